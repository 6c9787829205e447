"""What all detectors of this library share: labels of known outliers, scores, threshold, labels."""

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError

from skweiper._support.blocks import BlockMatrix, is_elsewhere, merged
from skweiper._support.containers import as_host
from skweiper._support.known_outliers import labelled_auroc, labels_as_array
from skweiper._support.notice import warn_caller
from skweiper._support.parameter_repr import estimator_repr
from skweiper._support.parameters import Interval, validate_parameter_constraints
from skweiper._support.quantile import quantile_of_blocks
from skweiper._support.rows import FeatureRows, checked_rows
from skweiper._support.validation import (
    check_feature_matrix,
    check_width_and_names,
    inlier_rows,
)
from skweiper._typing import FloatArray, IntArray
from skweiper.conformal import conformal_p_values
from skweiper.version import __version__

__all__ = ["BaseDetector", "Estimator", "as_fitted", "check_scores"]


ACT_AT_ONCE = {"device", "engine", "verbose", "n_jobs"}
"""Parameters that say where and how to compute, not what."""
ONLY_FOR_FIT = {"weight", "bias", "random_state", "estimator", "param_grid"}
"""Parameters that a fitted estimator holds in a form of its own, or has no more use for."""


class _Fitting:
    """Context of a fit: all of it is kept, with the parameters that it uses, or nothing.

    A fit that fails or is interrupted leaves the former one whole. Nothing is left to do after one
    that succeeds, and one step restores: an interrupt comes before it or after it. (A generator as
    context manager that is interrupted as it ends would restore later, after the next fit maybe.)

    Parameters
    ----------
    estimator : Estimator
    """

    def __init__(self, estimator):
        self._estimator = estimator

    def __enter__(self):
        estimator = self._estimator
        self._before = dict(vars(estimator))
        estimator._fitted_parameters = {
            name: value
            for name, value in estimator.get_params(deep=False).items()
            if name not in ACT_AT_ONCE | ONLY_FOR_FIT
        }

    def __exit__(self, kind, error, traceback):
        if kind is not None:
            self._estimator.__dict__ = self._before


class Estimator(BaseEstimator):
    """Base class of all estimators of this library: how they are fitted, shown and saved."""

    def _fitting(self):
        """The context of a fit."""
        return _Fitting(self)

    def __repr__(self):
        return estimator_repr(self)

    def __getstate__(self):
        # As NumPy arrays: neither PyTorch nor CuPy is needed where the estimator is loaded. Not in
        # `__init__`, where scikit-learn's clone expects each parameter to stay the same object.
        state = {name: as_host(value) for name, value in super().__getstate__().items()}
        return {**state, "_skweiper_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_skweiper_version", "unknown")
        if _compatible_versions(saved) != _compatible_versions(__version__):
            warn_caller(
                f"This {type(self).__name__} was saved by skweiper {saved} and is loaded by "
                f"skweiper {__version__}: its results may differ. Fit and save it again.",
            )
        super().__setstate__(state)


def _is_same(value, other):
    """Whether a parameter is the same; a pickle gives plain values back as equal ones only."""
    return value is other or (type(value) in (int, float, str) and value == other)


def _compatible_versions(version):
    """What versions that understand each other have in common: below 1.0, the minor version too."""
    major, _, rest = str(version).partition(".")
    return (major, rest.partition(".")[0]) if major == "0" else (major,)


def as_fitted(estimator: Any) -> Any:
    """A fitted estimator with the parameters of its fit, those changed since then put back.

    Parameters
    ----------
    estimator : Estimator
        Left as it is.

    Returns
    -------
    Estimator
        The estimator itself, or one that shares its state.
    """
    own = vars(estimator)
    fitted = own.get("_fitted_parameters", {})
    changed = {name: value for name, value in fitted.items() if not _is_same(own[name], value)}
    if not changed:
        return estimator
    view = object.__new__(type(estimator))
    vars(view).update(own | changed)
    return view


class BaseDetector(OutlierMixin, Estimator):
    """Base class of all detectors: a detector learns and scores rows, the rest is done here.

    A subclass defines

    - `_fit(rows, labels)`: learn from `FeatureRows` (known outliers already left out) and their
      labels (None without y); return the scores of the training rows, or of a sample of them;
    - `_score(rows)`: scores of `FeatureRows`, ndarray of shape (n_samples,), higher = more
      in-distribution;
    - `_parameter_constraints`, in scikit-learn's form, for its own parameters.
    """

    _parameter_constraints = {"contamination": [Interval(Real, 0, 0.5, closed="right")]}

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn the in-distribution from features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite real features.
        y : array-like of shape (n_samples,), default=None
            Rows with y == -1 are known outliers and take no part. Any other label, or none,
            means inlier.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            Bad values or shapes, a hyperparameter out of range, or no inlier in `y`.
        """
        with self._fitting():
            self._fit_whole(X, y)
        return self

    def _fit_whole(self, X, y, *more):
        self._validate_params()
        X = check_feature_matrix(X, type(self).__name__)
        rows, labels = _training_rows(X, y, are_classes=self._reads_classes)
        check_width_and_names(self, X, reset=True)
        training_scores = self._fit(rows, labels, *more)
        if merged(_count_not_finite, training_scores):
            raise ValueError(
                "The scores of the training rows overflow. Rescale the features and the head "
                "together, so that the logits are of moderate size."
            )
        self.offset_ = _quantile(training_scores, self.contamination)
        self._training_offset = self.offset_
        # Calibration scores of an earlier fit say nothing about this one.
        self.__dict__.pop("conformal_scores_", None)

    @property
    def _reads_classes(self):
        """Whether `fit` learns from the classes in y, not only which rows to leave out."""
        return False

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._reads_classes
        return tags

    def fit_predict(self, X: ArrayLike, y: ArrayLike | None = None) -> IntArray:
        """Fit, then label the same rows; see `fit` and `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            -1 marks known outliers, which take no part in the fit and are labelled like the others.

        Returns
        -------
        ndarray of shape (n_samples,), int, of +1 (ID) and -1 (OOD)
        """
        # scikit-learn's own does not look at y.
        return self.fit(X, y).predict(X)

    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Score of each sample, higher = more in-distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), float64

        Raises
        ------
        ValueError
            Bad values or shapes, or values so large that a score overflows.
        """
        fitted = as_fitted(self)
        if fitted is not self:
            return fitted.score_samples(X)
        scores = self._score(checked_rows(self, X))
        check_scores(scores)
        return scores

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Score less the threshold, `score_samples(X) - offset_`: negative means OOD.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), float64
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> IntArray:
        """Label of each sample: +1 in-distribution, -1 out-of-distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Area under the ROC curve of `score_samples(X)`, in-distribution positive.

        What scikit-learn's `cross_val_score` and searches maximise where no `scoring` is given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            -1 marks OOD samples, any other label ID ones. NaN, with a warning, where one kind is
            missing.

        Returns
        -------
        float, in [0, 1], higher = better, 0.5 = chance
        """
        return labelled_auroc(y, self.score_samples(X))

    def calibrate(self, X_id: ArrayLike, tpr: float = 0.95) -> Self:
        """Set the threshold so that a share of held-out in-distribution samples is accepted.

        Only `offset_` changes.

        Parameters
        ----------
        X_id : array-like of shape (n_samples, n_features)
            In-distribution samples that took no part in `fit`.
        tpr : float, default=0.95
            Share in (0, 1] of `X_id` that `predict` must accept, at least: `offset_` is the
            largest score that reaches it.

        Returns
        -------
        self : object

        Warns
        -----
        UserWarning
            `X_id` has fewer than 1 / (1 - tpr) rows, so that its lowest score is the threshold; or
            most of its rows score below the threshold that `fit` set, as OOD rows do.
        """
        constraints = {"tpr": [Interval(Real, 0, 1, closed="right")]}
        validate_parameter_constraints(constraints, {"tpr": tpr}, caller_name="calibrate")
        scores = np.sort(self.score_samples(X_id))
        self._warn_of_calibration(scores, tpr)
        # A hair off the product, or rounding would ask for one sample more: 0.95 * 20 > 19.
        n_accepted = max(1, int(np.ceil(tpr * len(scores) * (1 - 1e-12))))
        self.offset_ = float(scores[len(scores) - n_accepted])
        return self

    def _warn_of_calibration(self, scores, tpr):
        """Warn of rows that are too few, or look like OOD rows, to calibrate on."""
        enough = 1 / (1 - tpr) if tpr < 1 else 1
        if len(scores) < enough * (1 - 1e-9):
            warn_caller(
                f"X_id has {len(scores)} rows, fewer than 1 / (1 - tpr) = {enough:.0f}: the "
                f"threshold is their lowest score, which says little about tpr={tpr}. Pass more "
                "held-out rows, or a lower tpr.",
            )
        share = np.mean(scores < getattr(self, "_training_offset", self.offset_))
        if share > 0.5:
            warn_caller(
                f"{share:.0%} of the rows of X_id score below the threshold that fit set for "
                f"{self.contamination:.0%} of the training rows: are they in-distribution, and "
                "prepared as the training rows were? As it is, OOD rows will pass as well.",
            )

    def calibrate_p_values(self, X_id: ArrayLike) -> Self:
        """Keep the scores of held-out in-distribution samples, for `p_value`.

        Only `conformal_scores_` changes: `offset_`, and with it `predict`, stay as they are, and
        `fit` forgets it.

        Parameters
        ----------
        X_id : array-like of shape (n_calibration, n_features)
            In-distribution samples that took no part in `fit`, nor in choosing hyperparameters.

        Returns
        -------
        self : object
        """
        self.conformal_scores_ = np.sort(self.score_samples(X_id))
        return self

    def p_value(self, X: ArrayLike) -> FloatArray:
        """Conformal p-value of each sample under the hypothesis that it is in-distribution.

        An in-distribution sample has p <= t with probability at most t, for every t in [0, 1],
        whatever the number of calibration samples, if it is exchangeable with them; so calling
        p <= 0.05 OOD rejects at most 5 % of in-distribution samples, on average over calibration
        sets. For a batch, see `skweiper.conformal.ood_discoveries`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), in [1 / (n_calibration + 1), 1]; small = OOD

        Raises
        ------
        NotFittedError
            `calibrate_p_values` was not called after `fit`.
        """
        checked_rows(self, X)
        if not hasattr(self, "conformal_scores_"):
            raise NotFittedError(
                f"This {type(self).__name__} has no calibration scores for p-values. Call "
                "calibrate_p_values(X_id) with held-out in-distribution samples after fit."
            )
        return conformal_p_values(self.conformal_scores_, self.score_samples(X))


def check_scores(scores: FloatArray) -> None:
    """Refuse scores that are not finite, naming the first of them.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
    """
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"The score of row {row} of X is {scores[row]}: its features, its logits or their "
            "exponentials overflow. Expected features of the scale that fit saw; remove the "
            "row, or rescale the features and the head together."
        )


def _training_rows(X, y, *, are_classes):
    """The rows of a checked feature matrix that take part, and their labels or None."""
    if isinstance(X, BlockMatrix):
        return X.rows, X.labels
    mask = inlier_rows(X, y, are_classes=are_classes)
    return FeatureRows.where(X, mask), _labels_of(y, mask)


def _count_not_finite(scores):
    return int(np.count_nonzero(~np.isfinite(scores)))


def _quantile(scores, share):
    """Quantile of the scores of training rows, wherever they lie."""
    quantile = quantile_of_blocks if is_elsewhere(scores) else np.quantile
    return float(quantile(scores, share))


def _labels_of(y, mask):
    """The labels of the rows that take part, or None."""
    if y is None:
        return None
    labels = labels_as_array(y)
    return labels if mask is None else labels[mask]
