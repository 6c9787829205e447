"""What fit learns from the data: ranges and mean densities that merge across chunks."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

ROUNDING = 4e-6
"""By how much of the largest logit a sum of float32 products may differ between two orders."""


@dataclass(frozen=True)
class ValueRange:
    """The ends of the bins: smallest and largest value, or quantiles of all values."""

    low: float
    high: float

    def widened(self):
        """The range with room for what another order of summation makes of its own two ends.

        The row that sets an end stays inside, whichever engine or processor computes it again.
        """
        margin = ROUNDING * max(abs(self.low), abs(self.high))
        return ValueRange(self.low - margin, self.high + margin)

    def within(self, other):
        """The part of the range that lies in another one."""
        return ValueRange(max(self.low, other.low), min(self.high, other.high))

    @property
    def width(self):
        return self.high - self.low

    def as_array(self):
        """ndarray of shape (2,): low, high."""
        return np.array([self.low, self.high])


class Ranges(NamedTuple):
    """Ranges of the features and of the perturbed logits.

    Attributes
    ----------
    feature, logit : ValueRange
    """

    feature: ValueRange
    logit: ValueRange


class RowValue(NamedTuple):
    """A value, and the row of X that holds it."""

    value: float
    row: int


@dataclass(frozen=True)
class Largest:
    """The two rows that reach highest. Merging is associative, commutative and idempotent.

    Attributes
    ----------
    found : tuple of RowValue
        Of two rows, of the lower number where they are equal; the larger value first.
    """

    found: tuple = ()

    @classmethod
    def of(cls, values, rows):
        """Of the largest value of each row.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
        rows : ndarray of shape (n_rows,), int
            Their numbers in X.
        """
        found = []
        while len(rows) and len(found) < 2:
            value = values.max()
            row = rows[values == value].min()
            found.append(RowValue(float(value), int(row)))
            others = rows != row
            values, rows = values[others], rows[others]
        return cls(tuple(found))

    def merge(self, other):
        """Of the rows of both."""
        best = {}
        for value, row in self.found + other.found:
            best[row] = max(value, best.get(row, -np.inf))
        ordered = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return Largest(tuple(RowValue(value, row) for row, value in ordered[:2]))

    def beside(self, row):
        """The largest value of all other rows; minus infinity where there are none."""
        return next((each.value for each in self.found if each.row != row), -np.inf)


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest of many values, with the rows of X that hold them and the runners-up.

    Merging is associative, commutative and idempotent.

    Attributes
    ----------
    high : Largest
    minus_low : Largest
        Of the values with the other sign.
    """

    high: Largest = Largest()
    minus_low: Largest = Largest()

    @classmethod
    def of(cls, lows, highs, rows):
        """Of each row's smallest and largest value, ndarrays of shape (n_rows,); NaN is infinite.

        Parameters
        ----------
        lows, highs : ndarray of shape (n_rows,)
        rows : sequence of int
            Their numbers in X.
        """
        rows = np.asarray(rows)
        lows, highs = np.nan_to_num([-lows, highs], nan=np.inf, posinf=np.inf, neginf=-np.inf)
        return cls(Largest.of(highs, rows), Largest.of(lows, rows))

    def merge(self, other):
        """Of the values of both."""
        return Extremes(self.high.merge(other.high), self.minus_low.merge(other.minus_low))

    @property
    def lowest(self):
        """The smallest value and its row."""
        value, row = self.minus_low.found[0]
        return RowValue(-value, row)

    @property
    def highest(self):
        """The largest value and its row."""
        return self.high.found[0]

    @property
    def range(self):
        return ValueRange(self.lowest.value, self.highest.value)

    def range_beside(self, row):
        """The range of the other rows' values; empty, low above high, where there are none."""
        return ValueRange(-self.minus_low.beside(row), self.high.beside(row))


class TrainingExtremes(NamedTuple):
    """Extremes in both spaces.

    Attributes
    ----------
    feature, logit : Extremes
    n_zeros : int
        Features that are exactly zero.
    """

    feature: Extremes = Extremes()
    logit: Extremes = Extremes()
    n_zeros: int = 0

    def merge(self, *others):
        """Of the values of all; no value is counted in two of them."""
        for other in others:
            feature, logit = self.feature.merge(other.feature), self.logit.merge(other.logit)
            self = TrainingExtremes(feature, logit, self.n_zeros + other.n_zeros)
        return self


class Densities(NamedTuple):
    """Densities in both spaces.

    Attributes
    ----------
    feature, logit : ndarray of shape (..., n_bins)
    """

    feature: np.ndarray
    logit: np.ndarray


class MeanDensity:
    """Mean over samples of their densities, kept as exact integer sums of their counts.

    Parameters
    ----------
    n_bins : int
    values_per_sample : int
        Number of values behind each sample's counts, those outside all bins included.
    """

    def __init__(self, n_bins, values_per_sample):
        self.values_per_sample = values_per_sample
        self.n_samples = 0
        self.count_sums = np.zeros(n_bins, np.int64)

    def add(self, n_samples, count_sums):
        """Add samples by the sum of their counts, an integer ndarray of shape (n_bins,)."""
        self.n_samples += n_samples
        self.count_sums += count_sums
        return self

    def merge(self, other):
        """Of the samples of both."""
        both = MeanDensity(len(self.count_sums), self.values_per_sample)
        both.add(self.n_samples, self.count_sums)
        return both.add(other.n_samples, other.count_sums)

    @property
    def density(self):
        """ndarray of shape (n_bins,), float64; sums to one less the share outside all bins."""
        return self.count_sums / (self.n_samples * self.values_per_sample)
