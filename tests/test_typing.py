"""The public signatures as a type checker sees them."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNIPPET = """
from skweiper import WeiPerDetector
from skweiper.baselines import SHEDetector

WeiPerDetector(method="mps")
WeiPerDetector(method="msp")
WeiPerDetector(score="msp")
WeiPerDetector(method=lambda logits: logits.max(axis=-1)).fit([[1.0]]).score([[1.0]], [1])
SHEDetector(metric="manhattan")
WeiPerDetector().fit([[1.0]]).no_such_method
"""


@pytest.fixture
def mypy(request):
    """Run mypy on some files in the settings of the project; its lines, and whether all passed."""
    pytest.importorskip("mypy")
    cache = request.config.cache.mkdir("mypy")

    def run(*paths):
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *map(str, paths)]
        found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        return found.stdout.splitlines(), found.returncode == 0

    return run


def test_the_marker_of_typed_packages_is_there():
    assert (files("skweiper") / "py.typed").is_file()


def test_a_users_script_passes(mypy):
    lines, passed = mypy("tests/typing_usage.py")
    assert passed, lines


def test_wrong_arguments_are_type_errors_and_right_ones_are_not(mypy, tmp_path):
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPET)
    lines, _ = mypy(script)
    wrong = {int(line.split(":")[1]) for line in lines if ": error: " in line}
    # Classes with an untyped base, such as scikit-learn's, may have any attribute.
    assert wrong == {5, 7, 9}, lines
    assert any("mps" in line for line in lines)
