"""Fit and score, as functions of rows, a perturbation and a rule.

The detector, the hyperparameter search and whoever spreads rows over machines call the same ones.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from skweiper._support.memory import rows_within
from skweiper._support.validation import as_host
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
    rows : FeatureRows
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
    if rule.needs_ranges:
        found = learn_ranges(rows, execution, [rule.value_range], verbose)
    sampled = offset_sample(len(rows), execution, rule, random_state)
    request = rule.request(*found.ranges)
    densities, kept = learn_densities(rows, execution, request, sampled, found.known, verbose)
    stretched = stretches(len(rows), perturbation, request, densities, found.extremes)
    warn_of_stretch(stretched)
    learnt = rule.learnt(perturbation, *found.ranges, *densities)
    score_kept = partial(kept_of, learnt.scores, execution.engine)
    return Fitted(learnt, np.concatenate(list(execution.map(score_kept, kept))))


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


def learn_densities(rows, execution, request, sampled=(), known=None, verbose=0):
    """Mean densities of all rows for each pair of bins requested, and what the sampled measure.

    Parameters
    ----------
    rows : FeatureRows
    execution : Execution
    request : Request
        As many feature bins as logit bins.
    sampled : ndarray of int, ascending
        Rows whose measurements are wanted.
    known : KnownLogits or None
    verbose : int

    Returns
    -------
    densities : list of Densities
    kept : list of Measured
        Of the sampled rows, in order.
    """
    perturbation = execution.perturbation
    features = [MeanDensity(b.n_bins, perturbation.head.n_features) for b in request.feature_bins]
    logits = [MeanDensity(b.n_bins, perturbation.n_logits) for b in request.logit_bins]
    keep, kept = with_sums if len(sampled) else only_sums, []
    for part, (measured, sums) in over_chunks(
        rows, execution, request, keep, known, verbose, "fit"
    ):
        for density, count_sums in zip(features + logits, sums, strict=True):
            density.add(part.stop - part.start, count_sums)
        if measured is not None:
            kept.append(sampled_of(measured, part, sampled, execution.first_engine))
    pairs = zip(features, logits, strict=True)
    return [Densities(f.density, v.density) for f, v in pairs], kept


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
