"""Compiled loops give the same bits wherever their arrays lie, side by side or far apart.

The compiler makes two versions of a loop that writes: one in vector registers, and one for arrays
that may overlap, which it also takes for some that only lie close together.
"""

from itertools import permutations

import numpy as np
import pytest

numba_divergence = pytest.importorskip(
    "skweiper._weiper.engines.numba_divergence", exc_type=ImportError
)
numba_kernels = pytest.importorskip("skweiper._weiper.engines.numba_kernels", exc_type=ImportError)

FAR = 8_192
"""Values from one array to the next where they do not lie close together."""


def placements(arrays, gaps=range(20)):
    """The arrays in one stretch of memory, each pair in turn so many values apart."""
    yield placed(arrays, {name: FAR * i for i, name in enumerate(arrays)})
    for first, second in permutations(arrays, 2):
        for gap in gaps:
            starts = {name: FAR * i for i, name in enumerate(arrays)}
            starts[second] = starts[first] + arrays[first].size + gap
            yield placed(arrays, starts)


def placed(arrays, starts):
    """Copies of the arrays that begin at these places of one stretch."""
    dtype = max((array.dtype for array in arrays.values()), key=lambda dtype: dtype.itemsize)
    stretch = np.zeros(FAR * (len(arrays) + 1), dtype)
    copies = {}
    for name, array in arrays.items():
        place = stretch[starts[name] : starts[name] + array.size].view(array.dtype)[: array.size]
        copies[name] = place.reshape(array.shape)
        copies[name][...] = array
    return copies


@pytest.mark.parametrize("window", [1, 4, 15, 40])
def test_divergences(window):
    rng = np.random.RandomState(window)
    counts = rng.randint(0, 50, (30, 100)).astype(np.int32)
    training = rng.dirichlet(np.ones(100)) + 0.01
    arrays = {
        "counts": counts,
        "training": training,
        "log_training": np.log(training),
        "density": np.zeros(100),
        "sums": np.zeros(100 + window),
        "out": np.zeros(30),
    }
    results = set()
    for at in placements(arrays):
        numba_divergence._divergences(
            at["out"],
            at["counts"],
            5_000,
            (window - 1) // 2,
            at["training"],
            at["log_training"],
            0.01,
            at["density"],
            at["sums"],
        )
        results.add(at["out"].tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("n_values", [7, 100, 300])
def test_sums_of_exponentials(n_values):
    rng = np.random.RandomState(0)
    values = rng.randn(n_values).astype(np.float32)
    arrays = {"sums": np.ones(n_values, np.float32), "values": values, "largest": values + 1}
    results = set()
    for at in placements(arrays):
        numba_kernels._add_exp(at["sums"], at["values"], at["largest"])
        results.add(at["sums"].tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("n_classes", [10, 150])
def test_perturbed_logits_over_repeats_and_over_classes(n_classes):
    rng = np.random.RandomState(0)
    n_repeats, n_samples, n_bins = 33, 2, 50
    arrays = {
        "counts": np.zeros((n_samples, n_bins), np.int32),
        "msp_sums": np.zeros(n_samples),
        "logits": rng.randn(n_samples, n_classes).astype(np.float32),
        "norms": rng.rand(n_samples).astype(np.float32),
        "offsets": rng.randn(n_classes, n_repeats).astype(np.float32),
        "flat": np.zeros(n_classes * n_repeats, np.float32),
        "rows": np.zeros((2, n_repeats), np.float32),
        "cells": np.zeros(n_classes * n_repeats, np.uint32),
    }
    limits, sizes = np.array([[-4, 4, n_bins / 8]], np.float32), np.array([n_bins])
    over_repeats, over_classes = set(), set()
    for at in placements(arrays, gaps=(0, 1, 4, 8)):
        results, histograms = (
            (at["counts"], at["msp_sums"]),
            np.zeros((1, 4, n_bins + 1), np.uint32),
        )
        inputs = (at["logits"], at["norms"])
        sizes_and_cells = (limits, sizes, histograms, at["cells"])
        values = at["flat"].reshape(n_classes, n_repeats)
        numba_kernels._over_repeats(
            *results, *inputs, at["offsets"], *sizes_and_cells, at["flat"], values, at["rows"]
        )
        over_repeats.add(at["counts"].tobytes() + at["msp_sums"].tobytes())
        for result in results:
            result[...] = 0
        offsets = np.ascontiguousarray(at["offsets"].T)
        cells, values = at["cells"][:n_classes], at["flat"][:n_classes]
        numba_kernels._over_classes(
            *results, *inputs, offsets, limits, sizes, histograms, cells, values
        )
        over_classes.add(at["counts"].tobytes() + at["msp_sums"].tobytes())
    assert len(over_repeats) == len(over_classes) == 1
