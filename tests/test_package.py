"""The package as a whole: docstrings, data, imports."""

import ast
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc

import skweiper
from skweiper.datasets import load_clinc150

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


def imported_modules(path):
    """Modules of the package that a file imports, inside functions too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module for module in modules if module and module.startswith("skweiper.")}


def test_modules_import_each_other_in_one_direction():
    root = Path(skweiper.__file__).parent
    graph = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        graph[".".join(parts).removesuffix(".__init__")] = imported_modules(path)
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
