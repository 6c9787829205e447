"""One pass over the data for all candidates that share a perturbation."""

from copy import deepcopy
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state

from skweiper.chunks import FeatureRows, memory_budget, row_slices, rows_within
from skweiper.density import bins_over, smoothed_density, symmetric_kl
from skweiper.passes import Measured, Request, measured_chunks
from skweiper.statistics import MeanDensity

BYTES_PER_SCORE = 64  # a candidate's score, its rank, and the temporaries of both
BYTES_PER_TERM = 16  # a term of a row's scores, and its copy while chunks are joined


def most_terms(n_rows):
    """How many terms of so many rows fit a quarter of the memory budget; at least one."""
    return max(1, memory_budget() // (4 * BYTES_PER_TERM * n_rows))


class FoldResult(NamedTuple):
    """What one group of candidates reached on one split.

    Attributes
    ----------
    positions : ndarray of shape (n_candidates,), int
    test_scores : ndarray of shape (n_candidates,)
    fit_time, score_time : float
        Seconds per candidate: the group's time divided by the number of its candidates.
    """

    positions: np.ndarray
    test_scores: np.ndarray
    fit_time: float
    score_time: float


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


def auroc_of_rows(scores, is_id):
    """AUROC of every row of scores at once, from ranks (ties count one half).

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_samples)
        Higher = more in-distribution.
    is_id : ndarray of shape (n_samples,), bool

    Returns
    -------
    ndarray of shape (n_candidates,), in [0, 1]; NaN where ID or OOD samples are missing.
    """
    n_id = int(np.count_nonzero(is_id))
    n_ood = len(is_id) - n_id
    if n_id == 0 or n_ood == 0:
        return np.full(len(scores), np.nan)
    ranks = rankdata(scores, axis=1)[:, is_id].sum(axis=1)
    return (ranks - n_id * (n_id + 1) / 2) / (n_id * n_ood)


class GroupSpace:
    """The perturbed space of a group of candidates, fitted on the training rows of a split.

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
        self.detector = clone(template).set_params(**group.pass_parameters)
        self.random_state = check_random_state(deepcopy(self.detector.random_state))
        self.detector._draw(train, self.random_state)
        self.space = self.detector._space(train)
        self.request = Request(scores=tuple(group.scores))
        if group.n_bins:
            self._learn_densities(train)

    def _learn_densities(self, train):
        """The mean training densities for every number of bins, in one pass."""
        detector, n_bins = self.detector, self.group.n_bins
        detector._learn_ranges(train, self.space)
        bins = Request(
            tuple(bins_over(detector.feature_range_, n) for n in n_bins),
            tuple(bins_over(detector.logit_range_, n) for n in n_bins),
        )
        features = [MeanDensity(n, train.n_features) for n in n_bins]
        logits = [MeanDensity(n, self.space.logits_per_sample) for n in n_bins]
        for chunk, count_sums in measured_chunks(train, self.space, bins, Measured.count_sums):
            for density, sums in zip(features + logits, count_sums, strict=True):
                density.add(chunk.stop - chunk.start, sums)
        self.feature_densities = [density.density for density in features]
        self.logit_densities = [density.density for density in logits]
        self.request = bins._replace(scores=self.request.scores)

    def terms(self, rows):
        """All terms of all candidates' scores, ndarray of shape (n_terms, n_samples)."""
        chunks = measured_chunks(rows, self.space, self.request, self._chunk_terms)
        return np.concatenate([part for _, part in chunks], axis=1)

    def _chunk_terms(self, measured):
        group, n_features = self.group, self.detector.head_.n_features
        terms = []
        if group.n_bins:
            feature = measured.feature_counts, n_features, self.feature_densities
            logit = measured.logit_counts, self.space.logits_per_sample, self.logit_densities
            terms += _divergences(*feature, group.feature_terms, group)
            terms += _divergences(*logit, group.logit_terms, group)
        # To the host on the worker's stream, which makes no other stream wait.
        return self.space.engine.to_host(
            self.space.engine.xp.stack([*terms, *measured.score_means])
        )

    def offset_rows(self, position, n_train):
        """Training rows behind a candidate's threshold, as `WeiPerDetector.fit` chooses them."""
        detector, params = self.detector, self.group.candidates[position]
        detector.set_params(method=params["method"], n_bins=params["n_bins"])
        return detector._offset_sample(n_train, self.space, deepcopy(self.random_state))


def _divergences(counts, n_values, training, terms, group):
    """Divergence for every (n_bins, window, epsilon); each smoothing is computed once."""
    smoothed = {}
    divergences = []
    for n_bins, window, epsilon in terms:
        which = group.n_bins.index(n_bins)
        if (n_bins, window) not in smoothed:
            smoothed[n_bins, window] = smoothed_density(counts[which], n_values, window)
        divergences.append(symmetric_kl(training[which], smoothed[n_bins, window], epsilon))
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
    fitted = GroupSpace(template, group, train)
    training_terms = None if scorer is None else fitted.terms(train)
    middle = perf_counter()
    terms = fitted.terms(test)
    if scorer is None:
        test_scores = _aurocs(group, terms, y[test_rows] != -1)
    else:
        test_scores = _scored(fitted, terms, training_terms, X, y, test_rows, scorer)
    n = len(group.candidates)
    end = perf_counter()
    return FoldResult(group.positions, test_scores, (middle - start) / n, (end - middle) / n)


def _aurocs(group, terms, is_id):
    n_candidates, n_samples = len(group.candidates), terms.shape[1]
    at_once = rows_within(memory_budget() // 4, BYTES_PER_SCORE * n_samples, n_candidates)
    parts = row_slices(n_candidates, at_once)
    return np.concatenate(
        [auroc_of_rows(group.candidate_scores(terms, part), is_id) for part in parts]
    )


def _scored(fitted, terms, training_terms, X, y, test_rows, scorer):
    """Any scorer, candidate by candidate, on scores that are known already."""
    group, contamination = fitted.group, fitted.detector.contamination
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
