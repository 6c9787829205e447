"""Every Python block of the README and the guides runs, in order, one namespace per file.

Blocks that begin with ```python gpu need CuPy: they run on a device, or with CuPy emulated. Blocks
that begin with ```python torch, or another package, run where it is installed, and are compiled
elsewhere. A ```text block right after a block is what it prints, up to white space and "...".
"""

import csv
import io
import re
import warnings
from contextlib import redirect_stdout
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.utils import Bunch

from skweiper import datasets
from skweiper.datasets import load_clinc150

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = {
    "skweiper.plotting import": "matplotlib",
    "skweiper.cli import": "skops",
    "skweiper.export import": "onnxruntime",
}
"""Of extras, which not every environment has, by what needs them."""
PYTHON_BLOCK = re.compile(
    r"^```(?:python|py)(?: (\w+))?\n(.*?)^```(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A Python block of a page.

    Attributes
    ----------
    first_line : int
        Number of the line before it.
    code : str
    package : str or None
        What it needs, beside this library.
    shown : str or None
        What the page says that it prints.
    """

    first_line: int
    code: str
    package: str | None
    shown: str | None


def python_blocks(text, with_gpu=False):
    """The blocks of a page, those for a GPU only with it."""
    return [
        Block(
            text.count("\n", 0, match.start(2)),
            match[2],
            None if match[1] == "gpu" else match[1],
            match[3],
        )
        for match in PYTHON_BLOCK.finditer(text)
        if with_gpu or match[1] != "gpu"
    ]


def run_blocks(page, with_gpu=False):
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8"), with_gpu):
        # Blank lines keep the page's line numbers in a traceback.
        compiled = compile("\n" * block.first_line + block.code, str(page), "exec")
        if block.package is not None and not find_spec(block.package):
            continue
        printed = io.StringIO()
        with redirect_stdout(printed), warnings.catch_warnings():
            if block.package is not None:  # warnings of other packages are no errors of the page
                warnings.simplefilter("ignore")
            exec(compiled, namespace)
        check_output(block.shown, printed.getvalue(), f"{page.name}:{block.first_line}")


def check_output(shown, printed, place):
    """Hold what a page shows to what its block prints."""
    rules = ELLIPSIS | NORMALIZE_WHITESPACE
    if shown is not None and not OutputChecker().check_output(shown, printed, rules):
        raise AssertionError(f"{place} prints\n{printed}\nand shows\n{shown}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    for needing, package in PACKAGES.items():
        if needing in text:
            pytest.importorskip(package)
    run_blocks(page)


def few_rows(loaded):
    """A data set of every fiftieth row: an emulated device takes its time."""
    few = {name: rows[::50] for name, rows in loaded.items() if np.shape(rows)[:1] > (999,)}
    return Bunch(**{**loaded, **few})


def test_gpu_blocks_run(cupy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if cupy.__version__ == "emulated":
        monkeypatch.setattr(datasets, "load_clinc150", lambda: few_rows(load_clinc150()))
    page = ROOT / "docs" / "gpu.md"
    text = page.read_text(encoding="utf-8")
    assert len(python_blocks(text, with_gpu=True)) > len(python_blocks(text))
    run_blocks(page, with_gpu=True)


def test_the_readme_has_blocks_to_run():
    assert len(python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))) >= 2


def test_a_broken_block_is_found_at_its_line():
    page = "text\n\n```python\nx = 1\n1 / (x - 1)\n```\n\n```\nmake demo\n```\n"
    (block,) = python_blocks(page)
    assert block.shown is None and block.package is None
    with pytest.raises(ZeroDivisionError) as error:
        exec(compile("\n" * block.first_line + block.code, "page.md", "exec"), {})
    assert error.traceback[-1].lineno + 1 == 5


def test_blocks_that_need_a_package_are_compiled_without_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```python no_such_package\nx.y.z\n```\n")
    run_blocks(page)
    page.write_text("```python no_such_package\nx = (\n```\n")
    with pytest.raises(SyntaxError):
        run_blocks(page)


def test_blocks_that_need_a_package_run_with_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python numpy\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        run_blocks(page)


def test_the_guide_to_feature_dumps_shows_every_source():
    text = (ROOT / "docs" / "feature_dumps.md").read_text(encoding="utf-8")
    sources = {block.package for block in python_blocks(text)}
    assert sources == {None, "magika", "torch", "torchvision", "timm", "transformers", "keras"}


RESULTS = ROOT / "docs" / "results"
TITLES = {"ActSub": "actsub", "ViM": "vim", "GEN": "gen", "MSP": "msp", "WeiPer+KLD": "weiper"}
TITLES |= {"`EnsembleDetector`": "ensemble", "relative Mahalanobis": "relative_mahalanobis"}
"""Rows of the README's table, by what the benchmark calls them."""


@pytest.mark.parametrize("table", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_a_table_is_written_by_a_benchmark_and_shown_in_a_guide(table):
    guides = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert f":file: results/{table.name}" in guides
    benchmarks = [path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py")]
    names = re.compile(rf"\b{table.stem}\b")
    assert any("publish(" in code and names.search(code) for code in benchmarks)
    header, *rows = read_table(table)
    assert rows and all(len(row) == len(header) for row in rows)
    # Cells are Markdown, in which a lone dash begins a list.
    assert not [cell for row in rows for cell in row if re.match(r"[-+*](\s|$)", cell)]


def read_table(path):
    """Lines of a published table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_readme_shows_the_figures_of_the_table_of_all_detectors():
    header, *rows = read_table(RESULTS / "defaults.csv")
    measured = {row[0]: row[1:-1] for row in rows}  # without the regret
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines()]
    assert ["", *header[1:-1]] in lines
    shown = {line[0]: line[1:] for line in lines if line and line[0] in TITLES}
    assert {TITLES[title]: cells for title, cells in shown.items()} == {
        name: measured[name] for name in TITLES.values()
    }


def test_an_output_that_is_not_what_is_printed_is_found():
    page = "```python\nprint(1,\n    2)\n```\n```text\n1   2\n```\n"
    shown = python_blocks(page)[0].shown
    check_output(shown, "1 2\n", "page.md:1")
    with pytest.raises(AssertionError, match=r"page\.md:1 prints"):
        check_output(shown, "1 3\n", "page.md:1")
