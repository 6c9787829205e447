"""Compiled divergence of smoothed densities from the training density.

In NumPy each of its steps is a pass over a temporary; with few classes they cost more than the
perturbed logits.
"""

import numpy as np

from skweiper._weiper.engines.numba_compilers import (
    compiled_exact,
    compiled_sum,
    inlined,
    reinterpreted,
)

LN_2 = float(np.log(2.0))
MANTISSA_BITS = np.uint64(52)
MANTISSA = np.int64(2**52 - 1)
# As integers, the bits of the square root of 1/2, of 1, and of 2**52.
SQRT_HALF = np.int64(np.float64(np.sqrt(0.5)).view(np.int64))
ONE = np.int64(np.float64(1.0).view(np.int64))
TWO_TO_52 = np.float64(2.0**52).view(np.uint64)
EXPONENT_BIAS = 2.0**52 + 1023.0


@compiled_exact
def log(x):
    """Natural logarithm of a positive normal number, to 4e-16 of it; vectorises, unlike libm's.

    x = 2**exponent * m with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh((m - 1) / (m + 1)) by
    its series, whose terms fall by a factor of 34.
    """
    shifted = np.int64(reinterpreted(x, np.int64) + (ONE - SQRT_HALF))
    # An integer below 2**52 in the mantissa of 2**52 is a conversion to floating point.
    biased = np.uint64((np.uint64(shifted) >> MANTISSA_BITS) | TWO_TO_52)
    exponent = reinterpreted(biased, np.float64) - EXPONENT_BIAS
    m = reinterpreted(np.int64((shifted & MANTISSA) + SQRT_HALF), np.float64)
    z = (m - 1.0) / (m + 1.0)
    w = z * z
    series = 1 / 17 + w * (1 / 19)
    series = 1 / 13 + w * (1 / 15 + w * series)
    series = 1 / 9 + w * (1 / 11 + w * series)
    series = 1 / 5 + w * (1 / 7 + w * series)
    return exponent * LN_2 + 2.0 * z * (1.0 + w * (1 / 3 + w * series))


@inlined
def _sum_up(sums, counts, left):
    """Running sums of the counts, the outermost bins repeated; `left` of them before the first."""
    n_bins, total = counts.shape[0], np.int64(0)
    for j in range(left):
        total += counts[0]
        sums[j + 1] = total
    for b in range(n_bins):
        total += counts[b]
        sums[left + b + 1] = total
    for j in range(left + n_bins, sums.shape[0] - 1):
        total += counts[n_bins - 1]
        sums[j + 1] = total


@inlined
def _smooth_with_floor(density, sums, scale, epsilon):
    """Means over windows plus epsilon, from running sums; return their total.

    In a loop that also writes, the total would be taken in another order wherever the two arrays
    happen to lie so close that the compiler's check for an overlap fails.
    """
    window, total = sums.shape[0] - density.shape[0], 0.0
    for b in range(density.shape[0]):
        density[b] = (sums[b + window] - sums[b]) * scale + epsilon
    for b in range(density.shape[0]):
        total += density[b]
    return total


@inlined
def _symmetric_kl(density, scale, training, log_training):
    total = 0.0
    for b in range(density.shape[0]):
        q = density[b] * scale
        total += (q - training[b]) * (log(q) - log_training[b])
    return total


@compiled_sum
def _divergences(out, counts, n_values, left, training, log_training, epsilon, density, sums):
    window = sums.shape[0] - density.shape[0]
    for n in range(counts.shape[0]):
        _sum_up(sums, counts[n], left)
        total = _smooth_with_floor(density, sums, 1.0 / (window * n_values), epsilon)
        divergence = _symmetric_kl(density, 1.0 / total, training, log_training)
        # Rounding can leave a hair below zero where the densities agree.
        out[n] = divergence if divergence > 0.0 else 0.0


def divergences(out, counts, n_values, window, training, log_training, epsilon):
    """Write `skweiper._weiper.density.symmetric_kl` of each row, smoothed, into `out`.

    Parameters
    ----------
    out : ndarray of shape (n_samples,), float64
    counts : ndarray of shape (n_samples, n_bins), int32
    n_values, window : int
    training : ndarray of shape (n_bins,), float64
        Training density, raised by epsilon and normalised.
    log_training : ndarray of shape (n_bins,), float64
    epsilon : float
    """
    n_bins = counts.shape[1]
    density, sums = np.empty(n_bins), np.zeros(n_bins + window)
    left = (window - 1) // 2
    _divergences(out, counts, n_values, left, training, log_training, epsilon, density, sums)
