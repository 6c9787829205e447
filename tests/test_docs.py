"""Every Python block of the README and the guides runs, in order, one namespace per file.

Blocks that begin with ```python gpu need CuPy: they run on a device, or with CuPy emulated. Blocks
that begin with ```python torch, or another package, run where it is installed, and are compiled
elsewhere.
"""

import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = {
    "skweiper.plotting import": "matplotlib",
    "skweiper.cli import": "skops",
    "skweiper.export import": "onnxruntime",
}
"""Of extras, which not every environment has, by what needs them."""
PYTHON_BLOCK = re.compile(r"^```(?:python|py)(?: (\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python_blocks(text, with_gpu=False):
    """Line number before each Python block, its code, and the package that it needs or None."""
    return [
        (text.count("\n", 0, match.start(2)), match[2], None if match[1] == "gpu" else match[1])
        for match in PYTHON_BLOCK.finditer(text)
        if with_gpu or match[1] != "gpu"
    ]


def run_blocks(page, with_gpu=False):
    namespace = {"__name__": "__main__"}
    for first_line, code, package in python_blocks(page.read_text(encoding="utf-8"), with_gpu):
        # Blank lines keep the page's line numbers in a traceback.
        compiled = compile("\n" * first_line + code, str(page), "exec")
        if package is None:
            exec(compiled, namespace)
        elif find_spec(package):
            with warnings.catch_warnings():  # those of other packages are no errors of the page
                warnings.simplefilter("ignore")
                exec(compiled, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    for needing, package in PACKAGES.items():
        if needing in text:
            pytest.importorskip(package)
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
    ((first_line, code, _),) = python_blocks(page)
    with pytest.raises(ZeroDivisionError) as error:
        exec(compile("\n" * first_line + code, "page.md", "exec"), {})
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
    sources = {package for _, _, package in python_blocks(text)}
    assert sources == {None, "magika", "torch", "torchvision", "timm", "transformers", "keras"}
