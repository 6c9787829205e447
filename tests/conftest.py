"""Tests marked `gpu` run where CuPy finds a device, and are skipped elsewhere."""

import pytest


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
