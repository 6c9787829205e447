"""What fit learns from the data: ranges and mean densities that merge across chunks."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

ROUNDING = 4e-6
"""By how much of the largest logit a sum of float32 products may differ between two orders."""


@dataclass(frozen=True)
class ValueRange:
    """Smallest and largest value seen. Merging is associative and commutative."""

    low: float = np.inf
    high: float = -np.inf

    def merge(self, other):
        """The range of both."""
        return ValueRange(min(self.low, other.low), max(self.high, other.high))

    def widened(self):
        """The range with room for what another order of summation makes of its own two ends.

        The row that sets an end stays inside, whichever engine or processor computes it again.
        """
        margin = ROUNDING * max(abs(self.low), abs(self.high))
        return ValueRange(self.low - margin, self.high + margin)

    def as_array(self):
        """ndarray of shape (2,): low, high."""
        return np.array([self.low, self.high])


class Ranges(NamedTuple):
    """Ranges of all features and of all perturbed logits.

    Attributes
    ----------
    feature, logit : ValueRange
    """

    feature: ValueRange
    logit: ValueRange

    def merge(self, *others):
        """The ranges of all."""
        for other in others:
            self = Ranges(self.feature.merge(other.feature), self.logit.merge(other.logit))
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

    @property
    def density(self):
        """ndarray of shape (n_bins,), float64; sums to one less the share outside all bins."""
        return self.count_sums / (self.n_samples * self.values_per_sample)
