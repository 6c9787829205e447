"""The random numbers of a perturbation: the same for the same seed on every machine.

All of them come from `numpy.random.RandomState`, whose stream is frozen.
"""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import betaincinv, ndtr, ndtri

N_KNOTS = 513
FARTHEST = 9.0
"""Standard normal quantile where the table ends: one draw in 10^19 is farther out."""
PART_BYTES = 2**19
"""Directions that are drawn together: they stay in a core's cache until they are divided."""


def sphere_marginal_quantile(n_features):
    """Quantile function of one coordinate of a uniform point on the unit sphere of R^n_features.

    (1 + t) / 2 follows Beta((n_features - 1) / 2, (n_features - 1) / 2). As a function of the
    standard normal quantile of the same probability, t is smooth, in high dimensions nearly a
    straight line: a cubic spline through a table is exact to 1e-8 of a coordinate's scale,
    1 / sqrt(n_features), and faster than the inverse incomplete beta function of every probability.

    Parameters
    ----------
    n_features : int
        Dimension of the space. In one dimension the sphere is the two points -1 and 1.

    Returns
    -------
    callable
        From probabilities, ndarray in [0, 1], to coordinates in [-1, 1], of the same shape.
        Probabilities beyond the table, within 1e-19 of 0 or 1, are taken for its ends.
    """
    if n_features == 1:
        return lambda probability: np.where(probability < 0.5, -1.0, 1.0)
    below, shape = np.linspace(-FARTHEST, 0.0, N_KNOTS), (n_features - 1) / 2
    coordinates = 2.0 * betaincinv(shape, shape, ndtr(below)) - 1.0
    spline = CubicSpline(_mirrored(below), _mirrored(coordinates))
    return lambda probability: spline(np.clip(ndtri(probability), -FARTHEST, FARTHEST))


def _mirrored(values):
    """Ascending values up to 0, and their opposites after them."""
    return np.concatenate([values, -values[-2::-1]])


def draw_stratified_uniform(n_repeats, n_classes, random_state):
    """Latin hypercube: in each column one uniform draw per stratum [i/r, (i+1)/r), shuffled.

    Returns
    -------
    ndarray of shape (n_repeats, n_classes), in [0, 1)
    """
    strata = np.argsort(random_state.random_sample((n_repeats, n_classes)), axis=0)
    uniform = random_state.random_sample((n_repeats, n_classes))
    uniform += strata
    uniform /= n_repeats
    return uniform


def repeat_stream(seed, repeat):
    """The random numbers of one repeat, which can be drawn before those of another or beside it.

    Returns
    -------
    RandomState
    """
    return np.random.RandomState(
        np.random.MT19937(np.random.SeedSequence(seed, spawn_key=(repeat,)))
    )


def draw_directions(n_directions, n_features, random_state):
    """Uniform directions: normal draws divided by their length.

    Returns
    -------
    ndarray of shape (n_directions, n_features), rows of unit length
    """
    directions = random_state.standard_normal((n_directions, n_features))
    directions /= np.sqrt(np.einsum("ij,ij->i", directions, directions))[:, None]
    return directions
