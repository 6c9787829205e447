"""The random numbers of a perturbation: the same for the same seed on every machine.

All of them come from `numpy.random.RandomState`, whose stream is frozen.
"""

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import betaincinv, ndtr, ndtri

from skweiper._support.rows import row_slices

N_KNOTS = 513
FARTHEST = 9.0
"""Standard normal quantile where the table ends: one draw in 10^19 is farther out."""
CELL_BITS = 16
"""The standard normal distribution is cut into 2^16 equally probable cells."""
UNIT = 2.0**16
"""What is one standard deviation in the table of normal values."""
LARGEST_PART = 2**19
"""Bytes of directions that are drawn together: fewer make threads wait for the interpreter, more
leave a core's cache before they are divided."""
STREAM_COORDINATES = 2**16
"""Coordinates of directions that are worth a stream: to begin one costs as much as 20,000."""


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


def numbered_stream(seed, number):
    """One of a seed's streams, which can be drawn from before another one or beside it.

    Returns
    -------
    RandomState
    """
    return np.random.RandomState(
        np.random.MT19937(np.random.SeedSequence(seed, spawn_key=(number,)))
    )


@cache
def normal_cells():
    """Mean of the standard normal distribution in each of its cells, as integers of 1 / UNIT.

    Integers, so that sums of their squares are exact, in whatever order they are added up.

    Returns
    -------
    ndarray of shape (2**CELL_BITS,), float64, ascending, read-only
    """
    n_cells = 2**CELL_BITS
    edges = ndtri(np.arange(1, n_cells) / n_cells)
    densities = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    # The mean between two edges is the difference of the densities there, by the cell's share.
    means = -n_cells * np.diff(densities, prepend=0.0, append=0.0)
    cells = np.rint(UNIT * means)
    cells.flags.writeable = False
    return cells


def draw_normal(n_values, random_state):
    """Normal draws of mean 0: the two halves of a random word, looked up in a table and added.

    Drawn faster than by NumPy's exact methods, and by a machine's arithmetic only, so that they are
    the same everywhere. Their kurtosis is 3 to within 1e-4, and none is farther out than 6.2
    standard deviations.

    Parameters
    ----------
    n_values : int
    random_state : RandomState
        Gives a word of 32 bits for each value: drawn in parts they are the same.

    Returns
    -------
    ndarray of shape (n_values,), float64
        Integers, of variance 2 UNIT^2 to within 2e-6.
    """
    words = random_state.randint(0, 2**32, n_values, np.uint32)
    cells = normal_cells()
    values = cells.take(words & np.uint32(2**CELL_BITS - 1), mode="clip")
    words >>= np.uint32(CELL_BITS)
    values += cells.take(words, mode="clip")
    return values


def draw_directions(n_directions, n_features, random_state):
    """Uniform directions: normal draws divided by their length.

    Returns
    -------
    ndarray of shape (n_directions, n_features), rows of unit length
    """
    directions = draw_normal(n_directions * n_features, random_state)
    directions = directions.reshape(n_directions, n_features)
    directions /= np.sqrt(np.einsum("ij,ij->i", directions, directions))[:, None]
    return directions


def write_directions(directions, n_together, random_state):
    """Draw uniform directions into an array, some at a time; the draws do not depend on how many.

    Parameters
    ----------
    directions : ndarray of shape (n_directions, n_features)
        Overwritten.
    n_together : int
    random_state : RandomState
    """
    n_directions, n_features = directions.shape
    for part in row_slices(n_directions, n_together):
        directions[part] = draw_directions(part.stop - part.start, n_features, random_state)
