"""Histograms of rows, and how they diverge from the training density, as parts of a graph."""

import numpy as np

from skweiper._weiper.density import smooth, with_floor


def bin_counts(graph, values, bins, name=None):
    """Histogram of each row, (n_samples, n_bins + 1), float32 of whole numbers; exact below 2**24.

    The bins are found by the arithmetic of the library, in single precision. The last column is
    for what is in no bin.

    Parameters
    ----------
    graph : Graph
    values : str
        (n_samples, n_values), float32.
    bins : Bins
    name : str, default=None
    """
    return occurrences(graph, cells(graph, values, bins), bins.n_bins + 1, name)


def cells(graph, values, bins):
    """Bin of each value, int32: -1 below all bins, n_bins above.

    Where NaN ends up is left open; the score of such a row is NaN whatever its counts.
    """
    low, high, scale, below, last = (
        graph.constant(each, np.float32)
        for each in (bins.low, bins.high, bins.scale, -1, bins.n_bins - 1)
    )
    position = graph.node("Mul", graph.node("Sub", values, low), scale)
    # `high` itself, and what rounds up to it, belongs to the last bin.
    whole = graph.cast(graph.node("Floor", graph.node("Clip", position, below, last)), np.int32)
    # Again as integers, where limits hold for NaN too: no cell may lie outside of the histogram.
    ends = (graph.constant(end, np.int32) for end in (-1, bins.n_bins - 1))
    cell = graph.node("Clip", whole, *ends)
    is_above = graph.cast(graph.node("Greater", values, high), np.int32)
    return graph.node("Add", cell, is_above)


def occurrences(graph, numbers, n_numbers, name=None):
    """How often each of 0..n_numbers - 1 occurs in each row, (n_samples, n_numbers), float32.

    -1 counts as the last of them.
    """
    shape = graph.node("Shape", numbers)
    n_samples = graph.node("Shape", numbers, start=0, end=1)
    width = graph.constant([n_numbers])
    none = graph.filled(graph.node("Concat", n_samples, width, axis=0), 0.0)
    once = graph.filled(shape, 1.0)
    return graph.node("ScatterElements", none, numbers, once, name=name, axis=1, reduction="add")


def divergence(graph, counts, n_values, window, training_density, epsilon):
    """Symmetric divergence of smoothed densities from the training density, (n_samples,), in nats.

    As `skweiper._weiper.density.symmetric_kl` in double precision. Smoothing is linear: a product
    with the matrix of smoothed single bins.

    Parameters
    ----------
    graph : Graph
    counts : str
        As `bin_counts` gives them.
    n_values : int
        Values behind each row of counts, those outside all bins included.
    window : int
    training_density : ndarray of shape (n_bins,)
    epsilon : float
    """
    n_bins = len(training_density)
    in_a_bin = np.eye(n_bins + 1, n_bins)
    smoothing = graph.constant(smooth(in_a_bin, window) / n_values)
    training = with_floor(training_density, epsilon)
    q = graph.node("MatMul", graph.cast(counts, np.float64), smoothing)
    q = graph.node("Add", q, graph.constant(epsilon, np.float64))
    q = graph.node("Div", q, graph.reduced("ReduceSum", q, keepdims=True))
    difference = graph.node("Sub", q, graph.constant(training))
    log_ratio = graph.node("Sub", graph.node("Log", q), graph.constant(np.log(training)))
    return graph.reduced("ReduceSum", graph.node("Mul", difference, log_ratio))
