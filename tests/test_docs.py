"""Every Python block of the README and the guides runs, in order, one namespace per file.

Blocks that begin with ```python gpu need CuPy: they run on a device, or with CuPy emulated. A
```text block right after one is what it prints, up to white space and "...".
"""

import io
import re
from contextlib import redirect_stdout
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON_BLOCK = re.compile(
    r"^```(?:python|py)( gpu)?\n(.*?)^```(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL
)


def python_blocks(text, with_gpu=False):
    """Line number before each Python block, its code, and what it prints (None: not shown)."""
    return [
        (text.count("\n", 0, match.start(2)), match[2], match[3])
        for match in PYTHON_BLOCK.finditer(text)
        if with_gpu or not match[1]
    ]


def run_blocks(page, with_gpu=False):
    namespace = {"__name__": "__main__"}
    for first_line, code, shown in python_blocks(page.read_text(encoding="utf-8"), with_gpu):
        printed = io.StringIO()
        with redirect_stdout(printed):
            # Blank lines keep the page's line numbers in a traceback.
            exec(compile("\n" * first_line + code, str(page), "exec"), namespace)
        check_output(shown, printed.getvalue(), f"{page.name}:{first_line}")


def check_output(shown, printed, place):
    """Hold what a page shows to what its block prints."""
    rules = ELLIPSIS | NORMALIZE_WHITESPACE
    if shown is not None and not OutputChecker().check_output(shown, printed, rules):
        raise AssertionError(f"{place} prints\n{printed}\nand shows\n{shown}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "skweiper.plotting import" in page.read_text(encoding="utf-8"):
        pytest.importorskip("matplotlib")  # an extra, which not every environment has
    run_blocks(page)


def test_gpu_blocks_run(cupy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "gpu.md"
    text = page.read_text(encoding="utf-8")
    assert len(python_blocks(text, with_gpu=True)) > len(python_blocks(text))
    run_blocks(page, with_gpu=True)


def test_the_readme_has_blocks_to_run():
    assert len(python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))) >= 2


def test_a_broken_block_is_found_at_its_line():
    page = "text\n\n```python\nx = 1\n1 / (x - 1)\n```\n\n```\nmake demo\n```\n"
    ((first_line, code, shown),) = python_blocks(page)
    assert shown is None
    with pytest.raises(ZeroDivisionError) as error:
        exec(compile("\n" * first_line + code, "page.md", "exec"), {})
    assert error.traceback[-1].lineno + 1 == 5


def test_an_output_that_is_not_what_is_printed_is_found():
    page = "```python\nprint(1,\n    2)\n```\n```text\n1   2\n```\n"
    ((_, _, shown),) = python_blocks(page)
    check_output(shown, "1 2\n", "page.md:1")
    with pytest.raises(AssertionError, match=r"page\.md:1 prints"):
        check_output(shown, "1 3\n", "page.md:1")
