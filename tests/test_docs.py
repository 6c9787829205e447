"""Every Python block of the README and the guides runs, in order, one namespace per file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON_BLOCK = re.compile(r"^```(?:python|py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python_blocks(text):
    """Line number before each Python block, and its code."""
    return [
        (text.count("\n", 0, match.start(1)), match[1]) for match in PYTHON_BLOCK.finditer(text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for first_line, code in python_blocks(page.read_text(encoding="utf-8")):
        # Blank lines keep the page's line numbers in a traceback.
        exec(compile("\n" * first_line + code, str(page), "exec"), namespace)


def test_the_readme_has_blocks_to_run():
    assert len(python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))) >= 2


def test_a_broken_block_is_found_at_its_line():
    page = "text\n\n```python\nx = 1\n1 / (x - 1)\n```\n\n```\nmake demo\n```\n"
    ((first_line, code),) = python_blocks(page)
    with pytest.raises(ZeroDivisionError) as error:
        exec(compile("\n" * first_line + code, "page.md", "exec"), {})
    assert error.traceback[-1].lineno + 1 == 5
