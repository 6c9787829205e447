"""How the kernels of weiper.cu and gen.cu are launched: their names, sizes and arguments."""

from importlib.resources import files
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from skweiper._support.memory import rows_within
from skweiper._weiper.perturbation import FLOAT32_BYTES

SOURCES = ("weiper.cu", "gen.cu")
"""Files of the kernels; what follows uses what is above it."""
THREADS = 256
WARP_LANES = 32
WARPS = THREADS // WARP_LANES
SHARED_BYTES = 40 * 2**10
"""Histograms of one thread block; every CUDA device grants 48 KiB, some of it used otherwise."""
SAMPLES_TOGETHER = 4
"""Samples of one thread block of an implicit kernel, as weiper.cu has it."""
VECTOR = 4
"""Classes that a lane takes at a time."""
EMPTY = np.finfo(np.float32).min
"""Logit of the classes that fill a vector up."""
MEASURES = ("counts", "scores", "both", "entropy", "gen")
"""What the kernels of perturbed logits are named by: histograms, scores, both, and the scores with
a kernel of their own."""
EXAMINED = ("counts", "norms", "both")
"""What the kernels of features are named by."""
SCORE_NUMBERS = {"msp": 0, "max_logit": 1, "energy": 2, "entropy": 3}
"""Scores that come from a softmax's maximum and sums, by the number that weiper.cu gives them."""
ALONE = ("entropy", "gen")
"""Scores that do not ride along with a histogram."""
DIGITS_BYTES = FLOAT32_BYTES * 256 * WARPS
"""Shared memory in which gen.cu selects the most probable classes: the digits of each warp."""


def kernel_source():
    """The source of all kernels."""
    folder = files("skweiper._weiper.engines")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SOURCES)


def kernel_names():
    """Names of all kernels."""
    measuring = [f"measure_{kind}_{what}" for kind in ("implicit", "stored") for what in MEASURES]
    return [*measuring, *(f"examine_rows_{what}" for what in EXAMINED)]


def bins_arguments(bins):
    """Bins as the kernels take them; `None` stands for no histogram."""
    low, scale, high = (0, 0, 0) if bins is None else (bins.low, bins.scale, bins.high)
    n_bins = 0 if bins is None else bins.n_bins
    return (*map(np.float32, (low, scale, high, n_bins - 1, n_bins)), np.int32(n_bins))


def cells_bytes(n_bins, n_samples):
    """Shared memory of a histogram of `n_bins`, and a cell on either side, of some samples."""
    return FLOAT32_BYTES * (n_bins + 2) * n_samples


def fits_shared_memory(n_bins, n_samples):
    """Whether histograms of so many samples fit a thread block's shared memory."""
    return cells_bytes(n_bins, n_samples) <= SHARED_BYTES


def histogram_copies(n_bins, n_samples):
    """Private histograms per thread block: one per warp, or as many as shared memory holds."""
    return rows_within(SHARED_BYTES, cells_bytes(n_bins, n_samples), WARPS)


def n_vectors(n_classes):
    """Vectors of classes in a row."""
    return -(-n_classes // VECTOR)


def lanes_per_repeat(n_classes):
    """Lanes of a warp that share one repeat: as many as leave at most a quarter of them idle.

    Parameters
    ----------
    n_classes : int

    Returns
    -------
    int
        A power of two, at most 32.
    """
    vectors = n_vectors(n_classes)
    for lanes in (32, 16, 8, 4, 2):
        if vectors >= 0.75 * lanes * -(-vectors // lanes):
            return lanes
    return 1


class Launch(NamedTuple):
    """What one kernel measures: a histogram, a score, or both.

    Attributes
    ----------
    bins : Bins or None
    counts : cupy.ndarray of shape (n_samples, n_bins), int32, or None
    score : str or None
        One that `is_known`.
    sums : cupy.ndarray of shape (n_samples,), float64, or None
    """

    bins: object = None
    counts: object = None
    score: str | None = None
    sums: object = None

    @property
    def measure(self):
        """Which kernel: one of `MEASURES`."""
        if self.score is None:
            return "counts"
        if self.score in ALONE:
            return self.score
        return "scores" if self.bins is None else "both"

    def of_rows(self, part):
        """The same of some of the rows."""
        counts = None if self.counts is None else self.counts[part]
        return self._replace(counts=counts, sums=None if self.sums is None else self.sums[part])


def is_known(score):
    """Whether a kernel computes a score."""
    return isinstance(score, str) and (score in SCORE_NUMBERS or score in ALONE)


def launches_of(counts, score_sums, logit_bins, scores):
    """The launches for some histograms and for the scores that kernels know.

    A score rides along with a histogram, but for those that are `ALONE`.
    """
    found = [
        (score, total) for score, total in zip(scores, score_sums, strict=True) if is_known(score)
    ]
    riding = [of_score for of_score in found if of_score[0] not in ALONE]
    alone = [of_score for of_score in found if of_score[0] in ALONE]
    histograms = list(zip(logit_bins, counts, strict=True))
    pairs = zip_longest(histograms, riding, fillvalue=(None, None))
    return [Launch(*histogram, *of_score) for histogram, of_score in pairs] + [
        Launch(None, None, *of_score) for of_score in alone
    ]
