"""Compiled counts of the digits of float32 values, for a `RankSearch`.

In NumPy each step is a pass over a temporary, and a value takes five times as long.
"""

import numpy as np

from skweiper._weiper.engines.numba_compilers import compiled


@compiled
def count_digits(counts, bits, shift):
    """Add how many values have each first digit.

    Parameters
    ----------
    counts : ndarray of shape (n_digits,), int64
        Added to.
    bits : ndarray of shape (n_values,), uint32
    shift : numpy.uint32
        Bits behind the digit.
    """
    for j in range(bits.shape[0]):
        counts[bits[j] >> shift] += 1


@compiled
def count_next_digits(counts, bits, prefix, shift, digit_bits):
    """Add how many values that begin with a prefix go on with each next digit.

    Parameters
    ----------
    counts : ndarray of shape (2**digit_bits,), int64
        Added to.
    bits : ndarray of shape (n_values,), uint32
    prefix : numpy.uint32
    shift, digit_bits : numpy.uint32
        Bits behind the digit, and its own.
    """
    mask = np.uint32(counts.shape[0] - 1)
    for j in range(bits.shape[0]):
        head = bits[j] >> shift
        if head >> digit_bits == prefix:
            counts[head & mask] += 1
