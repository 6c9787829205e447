"""Exact quantiles of many values, in memory or in bounded memory."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skweiper._support.blocks import gathered, mapped, merged
from skweiper._support.containers import as_host

FLOAT_BITS = 32
SIGN_BIT = 2 ** (FLOAT_BITS - 1)


def _bits_of(values):
    """The bits of values in single precision, ndarray of shape (n_values,), uint32."""
    return values.astype(np.float32, copy=False).reshape(-1).view(np.uint32)


def _value_of(bits):
    return float(np.array(bits, dtype=np.uint32).view(np.float32))


def _digits_in_order(prefix, n_bits, n_digits):
    """The digits that may follow a prefix of so many bits, in the order of the values.

    Bits of positive values are in the order of the values, those of negative ones in the reverse.
    """
    ascending = np.arange(n_digits)
    if n_bits == 0:
        positive, negative = np.split(ascending, 2)
        return np.concatenate([negative[::-1], positive])
    is_negative = prefix >> (n_bits - 1)
    return ascending[::-1] if is_negative else ascending


@dataclass(frozen=True)
class RankSearch:
    """Search for the values of some ranks among very many that come in parts: a radix selection.

    A round counts, among the values whose bits begin with the digits found so far, how many go on
    with each next digit. The counts of parts add up, so that the values found do not depend on how
    they are cut. Values are compared in single precision and found exactly.

    Attributes
    ----------
    ranks : tuple of int
        From 0, of each wanted value among those that begin with the same digits.
    prefixes : tuple of int
        The digits found so far of each wanted value.
    n_bits : int
        Bits in these digits.
    digit_bits : {16, 8}
        Two rounds with tables of half a mebibyte, or four with hardly any.
    """

    ranks: tuple = ()
    prefixes: tuple = ()
    n_bits: int = 0
    digit_bits: int = 16

    @classmethod
    def of(cls, ranks, digit_bits=16):
        """The search at its beginning."""
        return cls(tuple(ranks), (0,) * len(ranks), digit_bits=digit_bits)

    @property
    def is_done(self):
        return self.n_bits == FLOAT_BITS

    @property
    def values(self):
        """tuple of float: the value of each rank, once the search is done."""
        return tuple(map(_value_of, self.prefixes))

    @property
    def distinct(self):
        """The prefixes, each once: a round counts a table for each of them."""
        return sorted(set(self.prefixes)) or [0]

    @property
    def n_bits_behind(self):
        """Bits behind the digit that a round counts."""
        return FLOAT_BITS - self.n_bits - self.digit_bits

    def counts(self, values):
        """How many of these values go on with each digit.

        Parameters
        ----------
        values : ndarray of any shape, on the host or a device

        Returns
        -------
        ndarray of shape (n_distinct, 2**digit_bits), int64, on the host
        """
        n_digits = 2**self.digit_bits
        heads = _bits_of(values) >> np.uint32(self.n_bits_behind)
        counts = np.empty((len(self.distinct), n_digits), np.int64)
        for table, prefix in zip(counts, self.distinct, strict=True):
            digits = heads
            if self.n_bits:
                digits = heads[heads >> np.uint32(self.digit_bits) == np.uint32(prefix)]
                digits &= np.uint32(n_digits - 1)
            table[:] = as_host(np.bincount(digits.astype(np.int64), minlength=n_digits))
        return counts

    def narrowed(self, counts):
        """The search after a round.

        Parameters
        ----------
        counts : ndarray of shape (n_distinct, 2**digit_bits), int
            Sum of the counts of all parts.
        """
        places, tables = [], dict(zip(self.distinct, counts, strict=True))
        for prefix, rank in zip(self.prefixes, self.ranks, strict=True):
            digits = _digits_in_order(prefix, self.n_bits, counts.shape[1])
            table = tables[prefix][digits]
            place = int(np.searchsorted(np.cumsum(table), rank, side="right"))
            before = int(table[:place].sum())
            places.append((prefix * len(table) + int(digits[place]), rank - before))
        prefixes, ranks = zip(*places, strict=True)
        n_bits = self.n_bits + self.digit_bits
        return replace(self, ranks=ranks, prefixes=prefixes, n_bits=n_bits)


def _ranks(position, n_values):
    """Both ranks beside a position."""
    return int(np.floor(position)), min(int(np.floor(position)) + 1, n_values - 1)


def _between(position, lower, upper):
    """Linear interpolation at the broken part of a position."""
    weight = position - np.floor(position)
    return lower + weight * (upper - lower) if weight else lower


def pooled_quantile(chunks, share, digit_bits=16):
    """Quantile of all values of all chunks, with linear interpolation, as `np.quantile` gives it.

    Values are compared in single precision, and no more than one chunk is in memory.

    Parameters
    ----------
    chunks : callable
        Without arguments; returns an iterator over arrays. Called once per digit.
    share : float, in [0, 1]
    digit_bits : {16, 8}, default=16
        Two passes with tables of half a mebibyte, or four with hardly any.

    Returns
    -------
    float, NaN of no values
    """
    first = sum(map(RankSearch(digit_bits=digit_bits).counts, chunks()))
    n_values = int(np.sum(first))
    if n_values == 0:
        return np.nan
    position = share * (n_values - 1)
    search = RankSearch.of(_ranks(position, n_values), digit_bits).narrowed(first)
    while not search.is_done:
        search = search.narrowed(sum(map(search.counts, chunks())))
    return _between(position, *search.values)


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


def quantile_of_blocks(values, share):
    """Quantile of values that lie elsewhere, to the last bit that of `np.quantile`.

    Two rounds find the quantile in single precision, a third one fetches the values that round to
    it.

    Parameters
    ----------
    values : BlockColumn of ndarray, float64, finite
    share : float, in [0, 1]

    Returns
    -------
    float
    """
    n_values = merged(len, values)
    position = share * (n_values - 1)
    ranks = _ranks(position, n_values)
    search = RankSearch.of(ranks)
    while not search.is_done:
        search = search.narrowed(merged(search.counts, values))
    ends = [_exact(values, *each) for each in zip(ranks, search.values, strict=True)]
    return float(np.quantile(ends, position - np.floor(position)))


def _exact(values, rank, rounded):
    """The value of a rank, of which the one in single precision is known."""
    n_below = merged(partial(_count_below, rounded), values)
    near = np.sort(gathered(mapped(partial(_rounding_to, rounded), values)))
    return near[rank - n_below]


def _count_below(rounded, values):
    return int(np.count_nonzero(_single(values) < rounded))


def _rounding_to(rounded, values):
    return values[_single(values) == rounded]


def _single(values):
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
