"""One pass over the data for all candidates that share a perturbation."""

from copy import deepcopy
from time import perf_counter
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state

from skweiper._support.memory import SWEEP_SCORES, SWEEP_TERMS, memory_budget, rows_within
from skweiper._support.rows import FeatureRows, row_slices
from skweiper._weiper.density import bins_over, smoothed_density, symmetric_kl
from skweiper._weiper.engines.contract import Request
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.fitting import collect, measured_rows, offset_sample
from skweiper._weiper.flips import perturbed
from skweiper._weiper.ranges import learn_ranges
from skweiper._weiper.statistics import Ranges
from skweiper._weiper.stretch import stretches
from skweiper.head import check_head
from skweiper.metrics import auroc_of_rows

BYTES_PER_SCORE = 64  # a candidate's score, its rank, and the temporaries of both
BYTES_PER_TERM = 16  # a term of a row's scores, and its copy while chunks are joined


def most_terms(n_rows):
    """How many terms of so many rows fit their share of the memory; at least one."""
    return max(1, memory_budget(SWEEP_TERMS) // (BYTES_PER_TERM * n_rows))


class FoldResult(NamedTuple):
    """What one group of candidates reached on one split.

    Attributes
    ----------
    positions : ndarray of shape (n_candidates,), int
    test_scores : ndarray of shape (n_candidates,)
    fit_time, score_time : float
        Seconds per candidate: the group's time divided by the number of its candidates.
    stretches : list of Stretch
        Of the histograms of the training rows.
    """

    positions: np.ndarray
    test_scores: np.ndarray
    fit_time: float
    score_time: float
    stretches: list


class PrecomputedScores(OutlierMixin, BaseEstimator):
    """A fitted candidate in the eyes of a scorer: its scores of the test rows are known.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
    offset : float
    """

    def __init__(self, scores, offset):
        self.scores = scores
        self.offset = offset
        self.offset_ = offset

    def __sklearn_is_fitted__(self):
        return True

    def score_samples(self, X):
        if X.shape[0] != len(self.scores):
            raise ValueError(
                f"scoring asked for the scores of {X.shape[0]} rows, expected the whole test fold "
                f"of {len(self.scores)}. Such a scoring needs GridSearchCV."
            )
        return self.scores

    def decision_function(self, X):
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        return np.where(self.decision_function(X) >= 0, 1, -1)


class FittedGroup:
    """What a group of candidates learns from the training rows of a split.

    Parameters
    ----------
    template : WeiPerDetector
        Head, engine and device.
    group : PassGroup
    train : FeatureRows
        Inlier training rows.
    """

    def __init__(self, template, group, train):
        self.group = group
        params = group.pass_parameters
        self.random_state = check_random_state(deepcopy(params["random_state"]))
        head = check_head(template.weight, template.bias, train.n_features)
        engine = select_engine(template.engine, template.device, train.X)
        self.execution = perturbed(train, head, params, engine, self.random_state)
        self.perturbation = self.execution.perturbation
        self.request = Request(scores=tuple(group.scores))
        self.stretches = []
        if group.binnings:
            self._learn_densities(train)

    def _learn_densities(self, train):
        """The mean training densities in all bins, in one pass."""
        binnings = self.group.binnings
        found = learn_ranges(train, self.execution, [each.value_range for each in binnings])
        feature_bins, logit_bins = (
            tuple(
                bins_over(getattr(ranges, space).as_array(), binning.n_bins)
                for ranges, binning in zip(found.ranges, binnings, strict=True)
            )
            for space in Ranges._fields
        )
        bins = Request(feature_bins, logit_bins)
        measured = measured_rows(train, (), self.execution, bins, known=found.known)
        self.densities = measured.sums.densities
        self.request = bins._replace(scores=self.request.scores)
        of_all = len(train), self.perturbation, bins, self.densities, found.extremes
        self.stretches = stretches(*of_all)

    def terms(self, rows):
        """All terms of all candidates' scores, ndarray of shape (n_terms, n_samples)."""
        return collect(rows, self.execution, self.request, self.chunk_terms).T

    def chunk_terms(self, measured, engine):
        """All terms of some rows on the host, ndarray of shape (n_samples, n_terms)."""
        group, terms = self.group, []
        if group.binnings:
            feature, logit = zip(*self.densities, strict=True)
            n_features, n_logits = self.perturbation.head.n_features, self.perturbation.n_logits
            of_features = measured.feature_counts, n_features, feature
            of_logits = measured.logit_counts, n_logits, logit
            terms += _divergences(*of_features, group.feature_terms, group.binnings)
            terms += _divergences(*of_logits, group.logit_terms, group.binnings)
        means = measured.score_sums / self.perturbation.n_repeats
        # To the host on the worker's stream, which makes no other stream wait.
        return engine.to_host(engine.xp.stack([*terms, *means], axis=1))

    def offset_rows(self, position, n_train):
        """Training rows behind a candidate's threshold, as `WeiPerDetector.fit` chooses them."""
        rule = self.group.rules[position]
        return offset_sample(n_train, self.execution, rule, deepcopy(self.random_state))


def _divergences(counts, n_values, training, terms, binnings):
    """Divergence for every (binning, window, epsilon); each smoothing is computed once."""
    smoothed = {}
    divergences = []
    for binning, window, epsilon in terms:
        which = binnings.index(binning)
        if (binning, window) not in smoothed:
            smoothed[binning, window] = smoothed_density(counts[which], n_values, window)
        divergences.append(symmetric_kl(training[which], smoothed[binning, window], epsilon))
    return divergences


def sweep_group(X, y, split, group, template, scorer):
    """Test scores of a group of candidates on one split.

    Parameters
    ----------
    X : feature matrix, checked
    y : ndarray of shape (n_samples,)
        -1 marks OOD rows.
    split : (ndarray, ndarray)
        Training and test row numbers.
    group : PassGroup
    template : WeiPerDetector
    scorer : callable(estimator, X, y) or None
        None: AUROC, computed for all candidates at once.

    Returns
    -------
    FoldResult
    """
    start = perf_counter()
    train_rows, test_rows = split
    inliers = train_rows[y[train_rows] != -1]
    train, test = FeatureRows(X, inliers), FeatureRows(X, test_rows)
    fitted = FittedGroup(template, group, train)
    training_terms = None if scorer is None else fitted.terms(train)
    middle = perf_counter()
    terms = fitted.terms(test)
    if scorer is None:
        test_scores = _aurocs(group, terms, y[test_rows] != -1)
    else:
        known = terms, training_terms
        test_scores = _scored(fitted, known, X, y, test_rows, scorer, template.contamination)
    n = len(group.candidates)
    end = perf_counter()
    times = (middle - start) / n, (end - middle) / n
    return FoldResult(group.positions, test_scores, *times, fitted.stretches)


def _aurocs(group, terms, is_id):
    n_candidates, n_samples = len(group.candidates), terms.shape[1]
    at_once = rows_within(memory_budget(SWEEP_SCORES), BYTES_PER_SCORE * n_samples, n_candidates)
    parts = row_slices(n_candidates, at_once)
    return np.concatenate(
        [auroc_of_rows(group.candidate_scores(terms, part), is_id) for part in parts]
    )


def _scored(fitted, known, X, y, test_rows, scorer, contamination):
    """Any scorer, candidate by candidate, on scores that are known already."""
    group, (terms, training_terms) = fitted.group, known
    X_test, y_test = FeatureRows(X, test_rows).raw(slice(None)), y[test_rows]
    results = np.empty(len(group.candidates))
    for position in range(len(group.candidates)):
        only = slice(position, position + 1)
        training = group.candidate_scores(training_terms, only)[0]
        training = training[fitted.offset_rows(position, len(training))]
        offset = float(np.quantile(training, contamination))
        candidate = PrecomputedScores(group.candidate_scores(terms, only)[0], offset)
        results[position] = scorer(candidate, X_test, y_test)
    return results
