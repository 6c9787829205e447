"""What fit learns from the data: ranges and mean densities that merge across chunks."""

from dataclasses import dataclass

import numpy as np

from skweiper._support.validation import as_host

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


def sum_of_counts(counts):
    """Sum over the samples, ndarray of shape (n_bins,), int64."""
    return as_host(counts.sum(axis=0, dtype=np.int64))


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

    def update(self, counts):
        """Add the counts of some samples, an integer ndarray of shape (n_samples, n_bins)."""
        return self.add(counts.shape[0], sum_of_counts(counts))

    def add(self, n_samples, count_sums):
        """Add samples of which only the sum of their counts is known, shape (n_bins,)."""
        self.n_samples += n_samples
        self.count_sums += count_sums
        return self

    def merge(self, other):
        """Add another density over the same bins."""
        return self.add(other.n_samples, other.count_sums)

    @property
    def density(self):
        """ndarray of shape (n_bins,), float64; sums to one less the share outside all bins."""
        return self.count_sums / (self.n_samples * self.values_per_sample)
