"""Shared data, CuPy on a device or emulated, the rule that tests marked `gpu` are skipped where
CuPy finds no device, and how long the attack in `tests/fuzz` lasts."""

import os
import shutil
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from skweiper.datasets import load_clinc150

EVERY_TIME = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}
settings.register_profile(
    "suite",
    **EVERY_TIME,
    max_examples=2,
    stateful_step_count=8,
    derandomize=True,
    database=None,
)
settings.register_profile(
    "fuzz",
    **EVERY_TIME,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")),
    stateful_step_count=40,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session")
def clinc150():
    return load_clinc150()


@pytest.fixture(scope="session")
def small():
    """A head with 5 classes on 12 features and 60 samples that it was never trained on."""
    rng = np.random.RandomState(0)
    head = {"weight": rng.normal(size=(5, 12)), "bias": rng.normal(size=5)}
    return {**head, "X": rng.normal(size=(60, 12)).astype(np.float32)}


@pytest.fixture(scope="session")
def emulated_kernels(tmp_path_factory):
    """The CUDA kernels, compiled for the CPU."""
    from skweiper._weiper.engines.cupy_launches import kernel_source
    from tests.emulated_cupy import compile_kernels

    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C++ compiler")
    return compile_kernels(kernel_source(), tmp_path_factory.mktemp("kernels"), compiler)


@pytest.fixture(params=["emulated", pytest.param("device", marks=pytest.mark.gpu)])
def cupy(request, monkeypatch):
    """CuPy on a device, or emulated: the same test holds for both."""
    from skweiper._weiper.engines import cupy as engine

    caches = (engine.kernels, engine.idle_streams, engine.worker_threads)
    for cached in caches:
        cached.cache_clear()
    if request.param == "emulated":
        from tests.emulated_cupy import emulated_cupy

        module = emulated_cupy(request.getfixturevalue("emulated_kernels"))
        monkeypatch.setitem(sys.modules, "cupy", module)
    else:
        import cupy as module
    yield module
    engine.worker_threads(0).calls.put(None)
    for cached in caches:
        cached.cache_clear()


def has_gpu():
    """Whether CuPy can be imported and finds a device."""
    try:
        import cupy
    except ImportError:
        return False
    return cupy.is_available()


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and an NVIDIA GPU"))
