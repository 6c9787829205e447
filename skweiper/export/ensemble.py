"""EnsembleDetector in a graph: its members' scores, standardised and put together."""

import numpy as np

from skweiper.ensemble import LARGEST_Z, p_value_curve
from skweiper.export.arithmetic import interpolated


def combined(graph, scores, ensemble):
    """Score of an `EnsembleDetector`, (n_samples,).

    Parameters
    ----------
    graph : Graph
    scores : list of str
        Of the members, each (n_samples,), float64.
    ensemble : EnsembleDetector
        As fitted.
    """
    standardise, is_mean = COMBINATIONS[ensemble.combine]
    pairs = zip(scores, ensemble.standards_, strict=True)
    total = graph.node("Sum", *(standardise(graph, each, standard) for each, standard in pairs))
    if not is_mean:
        return total
    return graph.node("Div", total, graph.constant(len(scores), np.float64))


def distance(graph, scores, origin, scale):
    """(scores - origin) / scale."""
    difference = graph.node("Sub", scores, graph.constant(origin, np.float64))
    return graph.node("Div", difference, graph.constant(scale, np.float64))


def clipped_z_scores(graph, scores, standard):
    """As `skweiper.ensemble.clipped_z_scores`."""
    z_scores = distance(graph, scores, standard.mean, standard.scale)
    low, high = (graph.constant(end, np.float64) for end in (-LARGEST_Z, LARGEST_Z))
    return graph.node("Min", graph.node("Max", z_scores, low), high)


def log_p_values(graph, scores, standard):
    """As `skweiper.ensemble.log_p_values`."""
    held_out, p_values = p_value_curve(standard)
    below = distance(graph, scores, held_out[0], standard.scale)
    beyond = graph.node("Min", below, graph.constant(0.0, np.float64))
    logarithms = graph.node("Log", interpolated(graph, scores, held_out, p_values))
    return graph.node("Add", logarithms, beyond)


COMBINATIONS = {"fisher": (log_p_values, False), "mean": (clipped_z_scores, True)}
"""By name: how a member's scores are standardised, and whether their sum is divided."""
