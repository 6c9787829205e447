"""Exact quantiles of many values, in memory or in bounded memory."""

import numpy as np

KEY_BITS = 32
SIGN_BIT = np.uint32(2**31)


def _ordered_keys(values):
    """Integers of shape (n_values,) in the same order as the float32 values."""
    bits = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    return np.where(bits & SIGN_BIT, ~bits, bits | SIGN_BIT)


def _value_of_key(key):
    bits = np.uint32(key)
    bits = bits ^ SIGN_BIT if bits & SIGN_BIT else ~bits
    return float(np.array(bits, dtype=np.uint32).view(np.float32))


def _digit_counts(chunks, prefixes, shift, digit_bits):
    """For each prefix, how many of the keys that begin with it go on with each digit."""
    n_digits = 2**digit_bits
    counts = {prefix: np.zeros(n_digits, dtype=np.int64) for prefix in prefixes}
    for values in chunks():
        keys = _ordered_keys(values) >> shift
        for prefix, total in counts.items():
            digits = keys[keys >> digit_bits == prefix] & (n_digits - 1)
            total += np.bincount(digits, minlength=n_digits)
    return counts


def _longer(prefix, rank, counts):
    """A prefix and one more digit, of the value of a rank; and its rank among those with both."""
    ends = np.cumsum(counts)
    digit = int(np.searchsorted(ends, rank, side="right"))
    return prefix * len(counts) + digit, rank - int(ends[digit] - counts[digit])


def _between(position, lower, upper):
    """Linear interpolation at the broken part of a position."""
    weight = position - np.floor(position)
    return lower + weight * (upper - lower) if weight else lower


def _ranks(position, n_values):
    """Both ranks beside a position."""
    return int(np.floor(position)), min(int(np.floor(position)) + 1, n_values - 1)


def pooled_quantile(chunks, share, digit_bits=16):
    """Quantile of all values of all chunks, with linear interpolation, as `np.quantile` gives it.

    Values are compared in single precision. A radix selection: each pass over the data finds the
    next digit of the value, so that no more than one chunk is in memory.

    Parameters
    ----------
    chunks : callable
        Without arguments; returns an iterator over arrays. Called once per digit.
    share : float, in [0, 1]
    digit_bits : {16, 8}, default=16
        Two passes with tables of a mebibyte, or four with hardly any.

    Returns
    -------
    float, NaN of no values
    """
    counts = _digit_counts(chunks, {0}, KEY_BITS - digit_bits, digit_bits)
    n_values = int(counts[0].sum())
    if n_values == 0:
        return np.nan
    position = share * (n_values - 1)
    places = [_longer(0, rank, counts[0]) for rank in _ranks(position, n_values)]
    for shift in range(KEY_BITS - 2 * digit_bits, -1, -digit_bits):
        counts = _digit_counts(chunks, {prefix for prefix, _ in places}, shift, digit_bits)
        places = [_longer(prefix, rank, counts[prefix]) for prefix, rank in places]
    return _between(position, *(_value_of_key(prefix) for prefix, _ in places))


def quantile_of(values, share):
    """`pooled_quantile` of values in memory, by one more copy of them.

    Parameters
    ----------
    values : ndarray of shape (n_values,), float32
    share : float, in [0, 1]

    Returns
    -------
    float, NaN of no values
    """
    if len(values) == 0:
        return np.nan
    position = share * (len(values) - 1)
    ranks = _ranks(position, len(values))
    ordered = np.partition(values, ranks)
    return _between(position, *(float(ordered[rank]) for rank in ranks))
