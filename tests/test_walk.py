"""How far it is from a user's call to the compiled loop, and who may call whom."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from skweiper import WeiPerDetector

PACKAGE = Path(__file__).parents[1] / "skweiper"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def frames_to(function_name, module, call):
    """Names of this package's modules on the stack when a Python callable of a module is called."""
    found, original = [], getattr(module, function_name)

    def recorded(*args):
        frame = sys._getframe(1)
        while frame is not None:
            found.append((frame.f_globals["__name__"], frame.f_code.co_name))
            frame = frame.f_back
        return original(*args)

    setattr(module, function_name, recorded)
    try:
        call()
    finally:
        setattr(module, function_name, original)
    names = [f"{name}.{function}" for name, function in found if name.startswith("skweiper")]
    return names[: names.index("skweiper.base.score_samples") + 1]


@pytest.mark.skipif(not find_spec("numba"), reason="needs numba")
@pytest.mark.parametrize("method", ["kld", "msp"])
def test_the_walk_from_score_samples_to_the_kernel_is_short(small, method):
    from skweiper._weiper.engines import numba_kernels

    detector = WeiPerDetector(small["weight"], method=method, engine="numba", random_state=0)
    detector.fit(small["X"])
    walk = frames_to("_over_repeats", numba_kernels, lambda: detector.score_samples(small["X"]))
    assert len(walk) + 1 <= 7, walk  # with the kernel itself
    modules = [frame.rsplit(".", 1)[0] for frame in walk]
    assert max(modules.count(module) for module in modules) <= 3


NAMED_TUPLES = {"_replace", "_asdict"}
"""Public methods of named tuples, whatever their names look like."""
DOORS = {
    PACKAGE / "_support" / "parameters.py",
    PACKAGE / "_weiper" / "engines" / "numba_cache.py",
}
"""Where scikit-learn's private checks, and numba's private cache, are used."""


def private_calls(text):
    """Calls of another object's private methods in some source."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, owner = node.func.attr, node.func.value
        is_private = name.startswith("_") and not name.startswith("__")
        own = isinstance(owner, ast.Name) and owner.id in ("self", "cls")
        parent = isinstance(owner, ast.Call) and getattr(owner.func, "id", "") == "super"
        if is_private and name not in NAMED_TUPLES and not own and not parent:
            yield f"line {node.lineno}: {ast.unparse(node.func)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_calls_another_object_s_private_methods(path):
    if path not in DOORS:
        assert not list(private_calls(path.read_text(encoding="utf-8")))


def test_a_private_call_is_found():
    text = "def f(self, x):\n    self._own()\n    super()._own()\n    x._replace(a=1)\n"
    assert not list(private_calls(text))
    assert list(private_calls(text + "    x.y._hidden()\n")) == ["line 5: x.y._hidden"]
