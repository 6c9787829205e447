"""Histograms in a graph count what the library counts, bin by bin."""

from functools import partial

import numpy as np
import pytest

from skweiper._weiper.density import bins_over, smoothed_density, symmetric_kl
from skweiper._weiper.engines.arrays import bin_counts as counts_of_the_library
from skweiper.export.histograms import bin_counts, divergence, occurrences
from tests.onnx_graphs import evaluated  # skips the module where onnx is missing


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 5), (0.1, 0.7), (-1e-3, 1e4)])
@pytest.mark.parametrize("n_bins", [2, 10, 100])
def test_counts_are_exactly_those_of_the_library(low, high, n_bins):
    bins = bins_over((low, high), n_bins)
    rng = np.random.RandomState(0)
    at_edges = bins.edges.astype(np.float32)
    beside = [np.nextafter(at_edges, np.float32(side)) for side in (-np.inf, np.inf)]
    anywhere = rng.uniform(low - 1, high + 1, 500)
    far = [-np.inf, np.inf, -1e30, 1e30, -1e12, 1e12, 0]
    row = np.concatenate([at_edges, *beside, anywhere, far]).astype(np.float32)
    values = np.stack([row, rng.permutation(row), np.full_like(row, high)])
    found = evaluated(partial(bin_counts, bins=bins), values)
    np.testing.assert_array_equal(found[:, :-1], counts_of_the_library(values, bins, np))
    assert (found.sum(axis=1) == len(row)).all()


def test_nan_leaves_the_other_rows_alone():
    values = np.array([[0.1, 0.6], [np.nan, 0.6]], np.float32)
    found = evaluated(partial(bin_counts, bins=bins_over((0, 1), 2)), values)
    assert found[0].tolist() == [1, 1, 0]


def test_occurrences_of_numbers():
    numbers = np.array([[0, 2, 2, -1], [1, 1, 1, 1]], np.int32)
    found = evaluated(partial(occurrences, n_numbers=4), numbers)
    assert found.tolist() == [[1, 0, 2, 1], [0, 4, 0, 0]]


@pytest.mark.parametrize("window", [1, 4, 15, 40])
def test_the_divergence_is_that_of_the_library(window):
    rng = np.random.RandomState(0)
    counts = rng.poisson(3, (8, 31)).astype(np.float32)  # the last column is in no bin
    training, n_values = rng.dirichlet(np.ones(30)), 150
    part = partial(
        divergence,
        n_values=n_values,
        window=window,
        training_density=training,
        epsilon=0.01,
    )
    smoothed = smoothed_density(counts[:, :-1].astype(np.int32), n_values, window)
    expected = symmetric_kl(training, smoothed, 0.01)
    np.testing.assert_allclose(evaluated(part, counts), expected, rtol=1e-9)
