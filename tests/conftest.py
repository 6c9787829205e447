"""Shared data, and the rule that tests marked `gpu` are skipped where CuPy finds no device."""

import numpy as np
import pytest

from skweiper.datasets import load_clinc150


@pytest.fixture(scope="session")
def clinc150():
    return load_clinc150()


@pytest.fixture(scope="session")
def small():
    """A head with 5 classes on 12 features and 60 samples that it was never trained on."""
    rng = np.random.RandomState(0)
    head = {"weight": rng.normal(size=(5, 12)), "bias": rng.normal(size=5)}
    return {**head, "X": rng.normal(size=(60, 12)).astype(np.float32)}


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
