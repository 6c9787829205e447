"""Every example of the gallery runs as a script, without a window and without a warning."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
OPTIONAL = ("magika", "onnx", "onnxruntime", "pyarrow")
pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def headless(monkeypatch):
    """Draw into memory, and close what was drawn; `plt.show()` has nothing to show.

    BLAS gets one thread: on a busy machine its small products wait for the others.
    """
    pyplot.switch_backend("Agg")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    with threadpool_limits(1, user_api="blas"):
        yield
    pyplot.close("all")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(path, headless, tmp_path, monkeypatch, capsys):
    for package in imported(path.read_text(encoding="utf-8")):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert pyplot.get_fignums()
    printed = capsys.readouterr().out
    assert not [place for place in (Path.home(), tmp_path, sys.prefix) if str(place) in printed]


def imported(code):
    """Packages of extras that an example imports."""
    return [name for name in OPTIONAL if re.search(rf"^import {name}$", code, re.MULTILINE)]


def test_the_gallery_shows_them_in_an_order_of_its_own():
    listed = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert len(EXAMPLES) >= 13
    assert not [path.name for path in EXAMPLES if f'"{path.name}"' not in listed]
