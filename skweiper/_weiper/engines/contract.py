"""The whole contract of an engine: what computes everything that touches each perturbed logit.

An engine derives from `Engine` and defines what raises NotImplementedError here; the rest has
defaults for an engine that computes in host memory. Nothing else of an engine may be used, and
nothing but an engine knows where it computes.
"""

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

from skweiper._support.memory import (
    STREAMED_BLOCK,
    fits_host,
    host_shares,
    memory_budget,
    rows_within,
)
from skweiper._support.threads import available_threads, map_in_order

LEAST_LOGITS = 2**20
"""Perturbed logits of a chunk, below which starting threads costs more than they save."""
LEAST_PER_THREAD = 2**18
"""Bytes for the chunks of a thread: with fewer, there are too few rows in each to be worth it."""


class Request(NamedTuple):
    """What to measure on every sample.

    Attributes
    ----------
    feature_bins, logit_bins : tuple of Bins
        Histograms of the features and of the perturbed logits; one array of counts each.
    scores : tuple of str or callable
        Logit scores to add up over the repeats, as `skweiper.scores.logit_score` takes them.
    """

    feature_bins: tuple = ()
    logit_bins: tuple = ()
    scores: tuple = ()

    @property
    def n_bins(self):
        return sum(bins.n_bins for bins in self.feature_bins + self.logit_bins)


class Measured(NamedTuple):
    """The measurements of some rows, where the engine computes.

    Attributes
    ----------
    feature_counts, logit_counts : list of ndarray of shape (n_samples, n_bins), int32
        For each of the requested bins, the histogram of each sample.
    score_sums : ndarray of shape (n_scores, n_samples), float64
        Sum over the repeats of each requested logit score.
    """

    feature_counts: list
    logit_counts: list
    score_sums: np.ndarray

    def take(self, rows):
        """The measurements of some of the rows."""
        rows = np.asarray(rows, like=self.score_sums)
        return Measured(
            [counts[rows] for counts in self.feature_counts],
            [counts[rows] for counts in self.logit_counts],
            self.score_sums[:, rows],
        )


class Unperturbed(NamedTuple):
    """What an implicit block needs of the features; it outlives them between two passes.

    Attributes
    ----------
    logits : ndarray of shape (n_samples, n_classes), float32
    norms : ndarray of shape (n_samples,), float32
        Euclidean lengths of the features.
    """

    logits: np.ndarray
    norms: np.ndarray


class Loaded(NamedTuple):
    """Some rows' features, and what was measured of them on the way.

    Attributes
    ----------
    features : ndarray of shape (n_samples, n_features), float32
        Finite, C-contiguous, not to be written to.
    norms : ndarray of shape (n_samples,), float32, or None
        Their Euclidean lengths, where loading gives them.
    counts : list of ndarray of shape (n_samples, n_bins), int32
        Their histogram in each of the bins asked for.
    """

    features: np.ndarray
    norms: np.ndarray | None
    counts: list


class Plan(NamedTuple):
    """How much of a pass may be in memory at once, and how many compute it.

    Attributes
    ----------
    n_threads : int
    chunk_bytes : int
        For one chunk of features and its temporaries, in one thread.
    sums_bytes : int
        On the host, for counts that are summed over blocks or logits kept between passes.
    sample_bytes : int
        On the host, for what a fit keeps of the rows whose scores set its threshold.
    tile_bytes : int
        For the tiles of one thread and their temporaries.
    """

    n_threads: int
    chunk_bytes: int
    sums_bytes: int
    sample_bytes: int
    tile_bytes: int


class Engine:
    """Histograms, ranges and averaged logit scores of perturbed logits.

    Attributes
    ----------
    name : str
        Engines of one name can work on each other's prepared blocks.
    xp : module
        Array library of the results, like NumPy.
    keeps_logits : bool
        Whether a fit keeps the unperturbed logits of its first pass for the second.
    out_of_memory : exception class or tuple of them
        After which half as many rows, or a block of fewer repeats, may do.
    device_errors : exception class or tuple of them
        After which nothing that was kept on the device can be used.
    """

    name = "engine"
    xp = np
    keeps_logits = True
    out_of_memory = ()
    device_errors = ()

    # What to compute.

    def prepare(self, block):
        """A drawn block in the form that suits this engine; called once per block."""
        return block

    def unperturbed(self, features, block, norms=None):
        """`Unperturbed` of an implicit block; None for an explicit one, which has no use for it.

        With the features' norms where they are known.
        """
        raise NotImplementedError

    def logit_extremes(self, features, block, unperturbed=None):
        """Smallest and largest perturbed logit of each sample: two ndarrays (n_samples,)."""
        raise NotImplementedError

    def logit_tiles(self, features, block, unperturbed=None):
        """Yield all perturbed logits, some at a time and in any order, as flat float32 arrays.

        Each is overwritten by the next.
        """
        raise NotImplementedError

    def histogram(self, values, bins):
        """Histogram of each row, (n_samples, bins.n_bins), int32; outside values in no bin.

        Parameters
        ----------
        values : ndarray of shape (n_samples, n_values), float32
        bins : Bins
        """
        raise NotImplementedError

    def measure(self, features, block, logit_bins=(), scores=(), unperturbed=None, so_far=None):
        """Histograms and summed logit scores of the perturbed logits of each sample.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        block : ImplicitBlock or ExplicitBlock
            Prepared.
        logit_bins : sequence of Bins
        scores : sequence of str or callable
        unperturbed : Unperturbed or None
            Of these features, where it is known.
        so_far : ndarray of shape (n_scores, n_samples) or None
            Score sums of the repeats before this block's, to go on from: added up block by block
            they would round otherwise.

        Returns
        -------
        Measured
            Without feature counts.
        """
        raise NotImplementedError

    def flips(self, features, block, gains, predicted, lengths):
        """How fast each repeat of a directions' block takes a sample's prediction to another class.

        The largest over the classes c of `gains[c] * (slope[i, c] - slope[i, predicted])`, 0 where
        none is larger. The slopes are the offsets of an implicit block, and `lengths[c] * u[i, c]
        @ z` of an explicit one.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        block : ImplicitBlock or ExplicitBlock
            Prepared.
        gains : ndarray of shape (n_samples, n_classes), float32
            At least 0; 0 for the predicted class.
        predicted : ndarray of shape (n_samples,), int
        lengths : ndarray of shape (n_classes,), float32

        Returns
        -------
        ndarray of shape (n_samples, n_repeats), float32
        """
        raise NotImplementedError

    def digit_counts(self, values, search):
        """A round of a `RankSearch` over some values: search.counts(values)."""
        return search.counts(values)

    def divergence(self, counts, n_values, window, training_density, epsilon):
        """Divergence of each sample's smoothed density from the training density.

        Parameters
        ----------
        counts : ndarray of shape (n_samples, n_bins), int32
        n_values : int
            Values behind each row of counts, those outside all bins included.
        window : int
            Bins to smooth over.
        training_density : ndarray of shape (n_bins,)
        epsilon : float

        Returns
        -------
        ndarray of shape (n_samples,), float64, in nats, as `symmetric_kl`
        """
        raise NotImplementedError

    def perturbed_logits(self, features, block):
        """The perturbed logits, (n_samples, block.n_repeats, block.n_classes), float32."""
        raise NotImplementedError

    # Where: in host memory, unless overridden.

    def load(self, rows, part, feature_bins=()):
        """A slice of `FeatureRows`, checked, and its histograms.

        Parameters
        ----------
        rows : FeatureRows
        part : slice
        feature_bins : sequence of Bins

        Returns
        -------
        Loaded
        """
        return self.counted(rows.load(part), None, feature_bins)

    def counted(self, features, norms, feature_bins):
        """`Loaded` of these features: the bins are counted one after the other."""
        counts = [self.histogram(features, bins) for bins in feature_bins]
        return Loaded(features, norms, counts)

    def to_host(self, array):
        """An array of this engine as a NumPy array."""
        return array

    def working(self):
        """Context in which the calling thread computes; results are complete at its end."""
        return nullcontext()

    def map(self, work, items, n_threads):
        """`work(item)` for every item, in order."""
        return map_in_order(work, items, n_threads)

    # How much at once: within scikit-learn's `working_memory`, unless overridden.

    def within(self, bytes_per_thread):
        """This engine, its tiles and their temporaries within so many bytes in each thread."""
        return self

    def fits(self, perturbation_bytes, is_kept):
        """Whether a drawn perturbation of so many bytes may be kept, or stay where it is."""
        return fits_host(perturbation_bytes)

    def streamed_bytes(self, perturbation_bytes):
        """Bytes of a block, where the perturbation is drawn again in every pass."""
        return memory_budget(STREAMED_BLOCK)

    def draw_whole(self, perturbation):
        """All repeats as one prepared block."""
        return self.prepare(next(perturbation.blocks(perturbation.nbytes)))

    def plan(self, perturbation_bytes):
        """The `Plan` of a pass beside a perturbation of so many bytes."""
        shares = host_shares(perturbation_bytes)
        worth_it = shares.chunks // LEAST_PER_THREAD
        n_threads = max(1, min(available_threads(), worth_it))
        chunk, tile = shares.chunks // n_threads, shares.tiles // n_threads
        return Plan(n_threads, chunk, shares.sums, shares.sample, tile)

    def chunk_rows(self, plan, n_rows, bytes_per_row, logits_per_row, most):
        """Rows of a chunk: at most `most`, and as many as give every thread its share."""
        worth_a_thread = -(-LEAST_LOGITS // logits_per_row)
        fair_share = max(-(-n_rows // plan.n_threads), worth_a_thread)
        return rows_within(plan.chunk_bytes, bytes_per_row, min(most, fair_share))
