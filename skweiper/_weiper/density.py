"""Histogram bins, smoothing and symmetric Kullback-Leibler divergence, as functions of arrays."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from skweiper._support.containers import is_device_array


class Bins(NamedTuple):
    """`n_bins` equal bins on the closed interval [`low`, `high`].

    A value v belongs to bin floor((v - low) * scale); `high` itself belongs to the last bin.
    Values outside the interval belong to no bin.
    """

    low: float
    high: float
    n_bins: int

    @property
    def scale(self):
        """Bins per unit of value: the next float32 not below n_bins / (high - low).

        Quantised features (float16 dumps) fall exactly on edges; a scale that were rounded down
        would put them into the bin below.
        """
        exact = self.n_bins / (self.high - self.low)
        rounded = np.float32(exact)
        if float(rounded) < exact:
            rounded = np.nextafter(rounded, np.float32(np.inf))
        return float(rounded)

    @property
    def edges(self):
        """The n_bins + 1 bin edges, ndarray of shape (n_bins + 1,)."""
        return np.linspace(self.low, self.high, self.n_bins + 1)


def bins_over(value_range, n_bins):
    """Bins over a (smallest, largest) pair of finite values.

    A range of width zero (constant features) is widened around its value, as `numpy.histogram`
    does, by at least one half and by enough for single precision to tell its two ends apart. So is
    a range so narrow that its bins per unit of value are no float32.

    Parameters
    ----------
    value_range : (float, float)
        Smallest and largest value.
    n_bins : int
        Number of bins.

    Returns
    -------
    Bins
    """
    low, high = float(value_range[0]), float(value_range[1])
    float32 = np.finfo(np.float32)
    resolution = float(float32.eps) * max(abs(low), abs(high))
    if high - low <= max(resolution, 2 * n_bins / float(float32.max)):
        half_width = max(0.5, 4 * resolution)
        low, high = low - half_width, high + half_width
    return Bins(low, high, int(n_bins))


def smooth(density, window):
    """Mean over a sliding window of bins, edge bins repeated (T_s).

    Parameters
    ----------
    density : ndarray of shape (..., n_bins)
        Densities or counts.
    window : int
        Width s of the window in bins: (s - 1) // 2 bins to the left of each bin, the bin itself,
        and the rest to the right. 1 leaves the density as it is.

    Returns
    -------
    ndarray of shape (..., n_bins), float64
    """
    if is_device_array(density):
        return window_means(density, window)
    # SciPy puts the longer half of an even window on the left; the paper's code, on the right.
    origin = -1 if window % 2 == 0 else 0
    return uniform_filter1d(
        density, window, axis=-1, output=np.float64, mode="nearest", origin=origin
    )


def smoothed_density(counts, n_values, window):
    """Smoothed densities from integer counts; one temporary less than `smooth(counts / n_values)`.

    Parameters
    ----------
    counts : ndarray of shape (..., n_bins)
    n_values : int
        Values behind each row of counts, those outside all bins included.
    window : int

    Returns
    -------
    ndarray of shape (..., n_bins), float64
    """
    smoothed = smooth(counts, window)
    smoothed /= n_values
    return smoothed


def window_means(density, window):
    """`smooth` by cumulative sums, in operations that NumPy and CuPy share."""
    left = (window - 1) // 2
    around = [(0, 0)] * (density.ndim - 1)
    padded = np.pad(density, [*around, (left, window - 1 - left)], mode="edge")
    sums = np.cumsum(np.pad(padded, [*around, (1, 0)]), axis=-1, dtype=np.float64)
    return (sums[..., window:] - sums[..., :-window]) / window


def with_floor(density, epsilon):
    """(density + epsilon), renormalised to sum one over the last axis."""
    raised = density + epsilon
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised


def symmetric_kl(p, q, epsilon):
    """Symmetric Kullback-Leibler divergence of two densities on the same bins, in nats.

    Both are raised by `epsilon` and renormalised, so that empty bins are allowed:
    sum over bins of (p - q) * (ln p - ln q). Zero if and only if the raised densities agree.

    Parameters
    ----------
    p : ndarray of shape (n_bins,) or of the shape of q
        Density, such as that of the training samples.
    q : ndarray of shape (..., n_bins)
        Densities, such as those of samples.
    epsilon : float
        Positive constant added to every bin.

    Returns
    -------
    ndarray of shape (...)
        In [0, inf).

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024, section 3.3. https://arxiv.org/abs/2405.17164
    """
    p = np.asarray(p, like=q)  # the training density goes to where the sample's is
    p, q = with_floor(p, epsilon), with_floor(q, epsilon)
    # In place: over many samples the temporaries would cost more than the logarithms.
    log_ratio = np.log(q)
    log_ratio -= np.log(p)
    q -= p
    q *= log_ratio  # and no einsum, which on a device is a matrix product for each row
    return np.sum(q, axis=-1)
