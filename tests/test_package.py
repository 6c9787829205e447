"""The package as a whole: docstrings, data, imports."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from packaging.requirements import Requirement

import skweiper
from skweiper.datasets import load_clinc150

ROOT = Path(__file__).parents[1]
OPTIONAL = (
    *("numba", "matplotlib", "rich", "skops", "typer", "cupy", "dask", "torch"),
    *("pyarrow", "h5py", "safetensors", "zarr"),
)


def test_import_needs_no_optional_package():
    # scikit-learn imports some of them by itself where they are installed.
    code = (
        "import sys, joblib, pandas, sklearn.linear_model; before = set(sys.modules); "
        f"import skweiper; print(sorted((set(sys.modules) - before) & set({OPTIONAL!r})))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def imported_modules(path, modules):
    """Modules of the package that a file imports, inside functions too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        if (node.module or "").startswith("skweiper."):
            for alias in node.names:  # a module of a package, or something in a module
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def test_modules_import_each_other_in_one_direction():
    root = Path(skweiper.__file__).parent
    modules = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    graph = {name: set(imported_modules(path, modules)) for name, path in modules.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order.index("skweiper._weiper.density") < order.index("skweiper.detector")


@pytest.mark.parametrize("estimator", [skweiper.WeiPerDetector, skweiper.WeiPerTransformer])
def test_documented_defaults_are_the_real_ones(estimator):
    documented = {p.name: p.type for p in ClassDoc(estimator)["Parameters"]}
    signature = inspect.signature(estimator).parameters
    assert set(documented) == set(signature)
    for name, parameter in signature.items():
        stated = re.search(r"default=(.+)$", documented[name]).group(1)
        assert stated.strip('"') == str(parameter.default)


def test_clinc150_is_complete_and_its_licence_travels():
    data = load_clinc150()
    assert data.train.shape == (3750, 256) and data.weight.shape == (150, 256)
    assert "CC BY 3.0" in data.DESCR and "Apache-2.0" in data.DESCR
    predicted = np.argmax(data.test @ data.weight.T + data.bias, axis=1)
    assert np.mean(predicted == data.test_label) == pytest.approx(0.951, abs=1e-3)


def test_clinc150_as_one_problem():
    X, y = load_clinc150(return_X_y=True)
    assert X.shape == (3250, 256)
    assert [(y == 1).sum(), (y == -1).sum()] == [2250, 1000]


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE).group(1) == skweiper.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((?:unreleased|\d{4}-\d\d-\d\d)\)$", changelog, re.MULTILINE)
    assert newest.group(1) == skweiper.__version__


def test_extras_that_messages_and_guides_name_exist():
    package = Path(skweiper.__file__).parent
    pages = [*package.rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    texts = (path.read_text(encoding="utf-8") for path in pages)
    named = {
        extra.strip()
        for text in texts
        for extras in re.findall(r"(?:skweiper|'\.)\[([a-z\d ,-]+)\]", text)
        for extra in extras.split(",")
    }
    assert {"fast", "plot", "cli", "io"} <= named
    assert named <= set(project()["optional-dependencies"])


def test_constraints_of_the_demo_hold_what_the_demo_needs():
    text = (ROOT / "constraints" / "demo.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines)
    versions = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    extras = project()["optional-dependencies"]
    for text in (
        *project()["dependencies"],
        *(t for e in ("fast", "plot", "cli") for t in extras[e]),
    ):
        needed = Requirement(text)
        assert needed.specifier.contains(versions[needed.name]), text
    assert "skweiper" not in versions
