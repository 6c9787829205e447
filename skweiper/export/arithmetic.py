"""What several detectors compute of rows, as parts of a graph; each takes and gives names."""

import numpy as np

from skweiper.baselines.base import LEAST_LENGTH


def head_logits(graph, features, head):
    """Unperturbed logits of features in double precision, (n_samples, n_classes)."""
    if head.weight is None:
        return features
    products = graph.node("MatMul", features, graph.constant(head.weight.T, np.float64))
    return graph.node("Add", products, graph.constant(head.bias, np.float64))


def squared_lengths(graph, rows):
    """Squared Euclidean length of each row, (n_samples,)."""
    return graph.reduced("ReduceSum", graph.node("Mul", rows, rows))


def lengths(graph, rows):
    """Euclidean length of each row, (n_samples,)."""
    return graph.node("Sqrt", squared_lengths(graph, rows))


def directions(graph, rows):
    """Rows divided by their Euclidean length; rows of zeros stay what they are."""
    least = graph.constant(LEAST_LENGTH, np.float64)
    length = graph.node("Max", lengths(graph, rows), least)
    return graph.node("Div", rows, graph.column(length))


def projected(graph, rows, origin, basis):
    """(rows - origin) @ basis.

    Parameters
    ----------
    graph : Graph
    rows : str
    origin : ndarray of shape (n_features,)
    basis : ndarray of shape (n_features, n_components)
    """
    centred = graph.node("Sub", rows, graph.constant(origin, np.float64))
    return graph.node("MatMul", centred, graph.constant(basis, np.float64))


def squared_distances(graph, rows, points):
    """Squared Euclidean distances of rows to points, at least 0, (n_samples, n_points)."""
    products = graph.node("MatMul", rows, graph.constant(-2.0 * points.T, np.float64))
    own = graph.column(squared_lengths(graph, rows))
    of_points = graph.constant(np.square(points).sum(axis=1), np.float64)
    distances = graph.node("Add", graph.node("Add", products, own), of_points)
    return graph.node("Max", distances, graph.constant(0.0, np.float64))


def zero_or_nan(graph, values):
    """0 where values are finite, NaN where they are not."""
    return graph.node("Sub", values, values)


def predicted_class(graph, logits):
    """Number of the largest logit, the first of several, (n_samples,)."""
    return graph.node("ArgMax", logits, axis=-1, keepdims=0)


def number_not_above(graph, scores, ascending):
    """How many of some sorted numbers are at most each score, (n_samples,), int64.

    In two steps of about sqrt(n) comparisons each: whole blocks first, then within the block where
    the score falls. NaN is above none.

    Parameters
    ----------
    graph : Graph
    scores : str
        (n_samples,), float64.
    ascending : ndarray of shape (n,)
    """
    width = int(np.ceil(np.sqrt(len(ascending))))
    # Filled up with what no score is above. The last block is of these alone, or partly of them.
    blocks = np.full((len(ascending) // width + 1, width), np.nan)
    blocks.ravel()[: len(ascending)] = ascending
    n_whole = _number_at_most(graph, graph.constant(blocks[:-1, -1]), scores)
    own = graph.node("Gather", graph.constant(blocks), n_whole)
    before = graph.node("Mul", n_whole, graph.constant(width, np.int64))
    return graph.node("Add", before, _number_at_most(graph, own, scores))


def _number_at_most(graph, numbers, scores):
    is_at_most = graph.node("LessOrEqual", numbers, graph.column(scores))
    return graph.reduced("ReduceSum", graph.cast(is_at_most, np.int64))


def interpolated(graph, scores, points, values):
    """`numpy.interp(scores, points, values)`.

    Parameters
    ----------
    graph : Graph
    scores : str
    points : ndarray of shape (n_points,), ascending, none twice
    values : ndarray of shape (n_points,)
    """
    slopes = np.append(np.diff(values) / np.diff(points), 0.0)
    low, high = (graph.constant(end, np.float64) for end in points[[0, -1]])
    inside = graph.node("Min", graph.node("Max", scores, low), high)
    one = graph.constant(1, np.int64)
    place = graph.node("Sub", number_not_above(graph, inside, points), one)
    place = graph.node("Max", place, graph.constant(0, np.int64))
    from_point, value, slope = (
        graph.node("Gather", graph.constant(each, np.float64), place)
        for each in (points, values, slopes)
    )
    beyond = graph.node("Sub", inside, from_point)
    return graph.node("Add", value, graph.node("Mul", slope, beyond))
