"""What users may import: lazily reachable, and listed in `__all__`."""

import inspect
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

import skweiper

PACKAGES = ("baselines", "cli", "datasets", "export", "io", "model_selection", "plotting")
MODULES = (
    "base",
    "conformal",
    "detector",
    "distributed",
    "evaluation",
    "ensemble",
    "head",
    "metrics",
    "monitoring",
    "presets",
    "recommendation",
    "registry",
    "scores",
    "shaping",
    "transformer",
    "version",
)
PUBLIC = [skweiper, *(import_module(f"skweiper.{name}") for name in PACKAGES + MODULES)]


def in_a_fresh_process(code):
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import skweiper; "
        "print({name.split('.')[0] for name in set(sys.modules) - before} - {'skweiper'} "
        "- set(sys.stdlib_module_names), sorted(m for m in sys.modules if 'skweiper' in m))"
    )
    assert in_a_fresh_process(code) == "set() ['skweiper', 'skweiper.version']"


def test_every_public_name_is_reachable_after_one_import():
    """With nothing of the package imported before; other packages take long, and may stay."""
    names = set(skweiper.__all__) - (set() if find_spec("matplotlib") else {"plotting"})
    code = (
        "import sys\n"
        f"for name in {sorted(names)}:\n"
        "    for module in [m for m in sys.modules if m.partition('.')[0] == 'skweiper']:\n"
        "        del sys.modules[module]\n"
        "    import skweiper\n"
        "    assert set(m for m in sys.modules if 'skweiper.' in m) == {'skweiper.version'}\n"
        "    assert getattr(skweiper, name) is not None\n"
        "    print(name)"
    )
    assert in_a_fresh_process(code).split() == sorted(names)


def test_dir_lists_what_is_public_and_no_internals():
    code = "import skweiper; skweiper.WeiPerDetector; print(sorted(dir(skweiper)))"
    assert in_a_fresh_process(code) == str(sorted(skweiper.__all__))


def test_unknown_names_are_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="module 'skweiper' has no attribute 'passes_of'"):
        skweiper.passes_of  # noqa: B018
    with pytest.raises(ImportError):
        exec("from skweiper import passes_of")


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_all_lists_what_the_module_defines(module):
    defined = {
        name
        for name, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    assert defined <= set(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


def test_flat_modules_are_public_where_the_package_says_so():
    for name in skweiper.__all__:
        assert inspect.ismodule(getattr(skweiper, name)) == (name in PACKAGES + MODULES)
