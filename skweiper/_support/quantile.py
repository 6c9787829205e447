"""Exact quantiles of all values of a feature matrix, in bounded memory."""

import numpy as np

HALF_BITS = 16
N_BUCKETS = 2**HALF_BITS
SIGN_BIT = np.uint32(2**31)


def _ordered_keys(values):
    """Integers of shape (n_values,) in the same order as the float32 values."""
    bits = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    return np.where(bits & SIGN_BIT, ~bits, bits | SIGN_BIT)


def _value_of_key(key):
    bits = np.uint32(key)
    bits = bits ^ SIGN_BIT if bits & SIGN_BIT else ~bits
    return float(np.array(bits, dtype=np.uint32).view(np.float32))


def _place(counts, rank):
    """The bucket that holds the value of a rank, and its rank within that bucket."""
    ends = np.cumsum(counts)
    bucket = int(np.searchsorted(ends, rank, side="right"))
    return bucket, rank - int(ends[bucket] - counts[bucket])


def _value_at(chunks, high_counts, rank):
    """Value of a rank: its high bits from the first pass, its low bits from one more."""
    bucket, rank_within = _place(high_counts, rank)
    low_counts = np.zeros(N_BUCKETS, dtype=np.int64)
    for values in chunks():
        keys = _ordered_keys(values)
        low = keys[keys >> HALF_BITS == bucket] & (N_BUCKETS - 1)
        low_counts += np.bincount(low, minlength=N_BUCKETS)
    low, _ = _place(low_counts, rank_within)
    return _value_of_key(bucket * N_BUCKETS + low)


def pooled_quantile(chunks, share):
    """Quantile of all values of all chunks, with linear interpolation, as `np.quantile` gives it.

    Values are compared in single precision. A radix selection: one pass over the data counts the
    high bits, two more the low bits, so that no more than one chunk is in memory.

    Parameters
    ----------
    chunks : callable
        Without arguments; returns an iterator over arrays. Called up to three times.
    share : float, in [0, 1]

    Returns
    -------
    float
    """
    high_counts = np.zeros(N_BUCKETS, dtype=np.int64)
    for values in chunks():
        high_counts += np.bincount(_ordered_keys(values) >> HALF_BITS, minlength=N_BUCKETS)
    position = share * (int(high_counts.sum()) - 1)
    below = int(np.floor(position))
    lower = _value_at(chunks, high_counts, below)
    if position == below:
        return lower
    upper = _value_at(chunks, high_counts, below + 1)
    return lower + (position - below) * (upper - lower)
