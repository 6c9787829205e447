"""Fit and score, as functions of rows, a perturbation and a rule.

The detector, the hyperparameter search and whoever spreads rows over machines call the same ones.
"""

from functools import partial
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from skweiper._support.blocks import gathered, is_elsewhere, mapped, merged, split
from skweiper._support.containers import as_host
from skweiper._support.memory import rows_within
from skweiper._weiper.passes import kept_of, over_chunks
from skweiper._weiper.ranges import NO_RANGES, learn_ranges
from skweiper._weiper.statistics import Densities, MeanDensity
from skweiper._weiper.stretch import stretches, warn_of_stretch


class Fitted(NamedTuple):
    """What a fit gives.

    Attributes
    ----------
    rule : LearntKLD or LearntMeanScore
    scores : ndarray of shape (n_sampled,)
        Scores of the training rows that set the threshold.
    """

    rule: object
    scores: np.ndarray


def fit(rows, execution, rule, random_state, verbose=0):
    """Learn a rule from training rows, and score those that set the threshold.

    Parameters
    ----------
    rows : FeatureRows, or BlockColumn of such
        In-distribution rows.
    execution : Execution
    rule : KLD or MeanScore
    random_state : RandomState
        Chooses the rows that set the threshold, where not all of them fit the memory.
    verbose : int

    Returns
    -------
    Fitted
    """
    found, perturbation = NO_RANGES, execution.perturbation
    verbose = 0 if is_elsewhere(rows) else verbose
    if rule.needs_ranges:
        found = learn_ranges(rows, execution, [rule.value_range], verbose)
    sampled = offset_sample(len(rows), execution, rule, random_state)
    request = rule.request(*found.ranges)
    measure = partial(
        measured_rows, execution=execution, request=request, known=found.known, verbose=verbose
    )
    measured = mapped(measure, rows, split(rows, sampled))
    densities = merged(attrgetter("sums"), measured).densities
    stretched = stretches(len(rows), perturbation, request, densities, found.extremes)
    warn_of_stretch(stretched)
    learnt = rule.learnt(perturbation, *found.ranges, *densities)
    score_kept = partial(scores_of_kept, rule=learnt, execution=execution)
    return Fitted(learnt, gathered(mapped(score_kept, measured)))


def scores_of_kept(measured, rule, execution):
    """Scores of the rows whose measurements were kept.

    Parameters
    ----------
    measured : MeasuredRows
    rule : LearntKLD or LearntMeanScore
    execution : Execution

    Returns
    -------
    ndarray of shape (n_kept,)
    """
    score = partial(kept_of, rule.scores, execution.engine)
    scores = list(execution.map(score, measured.kept))
    return np.concatenate(scores) if scores else np.empty(0, np.float32)


def collect(rows, execution, request, keep, verbose=0):
    """What `keep` makes of all rows' measurements on the host, such as their scores.

    Parameters
    ----------
    rows : FeatureRows
    execution : Execution
    request : Request
    keep : callable(Measured, Engine)
        A method of a learnt rule such as `scores`, to an ndarray of as many rows.
    verbose : int

    Returns
    -------
    ndarray of shape (n_samples, ...)
    """
    done = list(over_chunks(rows, execution, request, keep, verbose=verbose, description="score"))
    return np.concatenate([part for _, part in done])


def offset_sample(n_samples, execution, rule, random_state):
    """Rows whose scores set the threshold: all whose measurements fit the memory, or a sample.

    Parameters
    ----------
    n_samples : int
    execution : Execution
    rule : KLD or MeanScore
    random_state : RandomState

    Returns
    -------
    ndarray of shape (n_sampled,), int, ascending
    """
    n_sampled = rows_within(execution.plan().sample_bytes, rule.sample_bytes, n_samples)
    if n_sampled == n_samples:
        return np.arange(n_samples)
    return np.sort(random_state.choice(n_samples, n_sampled, replace=False))


class CountSums(NamedTuple):
    """Sums of counts for each pair of bins; those of parts add up.

    Attributes
    ----------
    feature, logit : list of MeanDensity
    """

    feature: list
    logit: list

    @classmethod
    def of(cls, request, perturbation):
        """Of no rows yet."""
        n_features, n_logits = perturbation.head.n_features, perturbation.n_logits
        return cls(
            [MeanDensity(bins.n_bins, n_features) for bins in request.feature_bins],
            [MeanDensity(bins.n_bins, n_logits) for bins in request.logit_bins],
        )

    def add(self, n_samples, count_sums):
        """Add samples by the sums of their counts, of features first."""
        for density, sums in zip(self.feature + self.logit, count_sums, strict=True):
            density.add(n_samples, sums)

    def merge(self, other):
        """Of the rows of both."""
        pairs = (zip(own, others, strict=True) for own, others in zip(self, other, strict=True))
        return CountSums(*([own.merge(more) for own, more in pair] for pair in pairs))

    @property
    def densities(self):
        """list of Densities, one for each pair of bins."""
        pairs = zip(self.feature, self.logit, strict=True)
        return [Densities(feature.density, logit.density) for feature, logit in pairs]


class MeasuredRows(NamedTuple):
    """What a pass over training rows gives.

    Attributes
    ----------
    sums : CountSums
        Of all rows.
    kept : list of Measured
        Of the sampled rows, in order.
    """

    sums: CountSums
    kept: list


def measured_rows(rows, sampled, execution, request, known=None, verbose=0):
    """Sums of all rows' counts in the bins requested, and what the sampled rows measure.

    Parameters
    ----------
    rows : FeatureRows
    sampled : ndarray of int, ascending
        Rows whose measurements are wanted.
    execution : Execution
    request : Request
        As many feature bins as logit bins.
    known : KnownLogits or None
    verbose : int

    Returns
    -------
    MeasuredRows
    """
    sums = CountSums.of(request, execution.perturbation)
    keep, kept = with_sums if len(sampled) else only_sums, []
    for part, (measured, count_sums) in over_chunks(
        rows, execution, request, keep, known, verbose, "fit"
    ):
        sums.add(part.stop - part.start, count_sums)
        if measured is not None:
            kept.append(sampled_of(measured, part, sampled, execution.first_engine))
    return MeasuredRows(sums, kept)


def only_sums(measured, engine):
    """No measurements, and the sums of all counts over the samples, on the host."""
    return None, [sum_of_counts(each) for each in measured.feature_counts + measured.logit_counts]


def with_sums(measured, engine):
    """The measurements, and the sums of their counts."""
    return measured, only_sums(measured, engine)[1]


def sum_of_counts(counts):
    """Sum over the samples, ndarray of shape (n_bins,), int64, on the host."""
    return as_host(counts.sum(axis=0, dtype=np.int64))


def sampled_of(measured, part, sampled, engine):
    """The measurements of those rows of a slice that are sampled."""
    first, last = np.searchsorted(sampled, [part.start, part.stop])
    if last - first == part.stop - part.start:
        return measured
    with engine.working():
        return measured.take(sampled[first:last] - part.start)
