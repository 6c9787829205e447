"""What all detectors of this library share: labels of known outliers, scores, threshold, labels."""

import warnings
from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from skweiper._typing import FloatArray, IntArray, Scoring
from skweiper.chunks import FeatureRows
from skweiper.conformal import conformal_p_values
from skweiper.validation import as_host, check_feature_matrix, check_width_and_names, inlier_rows
from skweiper.version import __version__

__all__ = ["BaseDetector", "auroc_of"]


class BaseDetector(OutlierMixin, BaseEstimator):
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
        self._validate_params()
        X = check_feature_matrix(X, type(self).__name__)
        mask = inlier_rows(X, y)
        check_width_and_names(self, X, reset=True)
        training_scores = self._fit(FeatureRows.where(X, mask), _labels_of(y, mask))
        if not np.isfinite(training_scores).all():
            raise ValueError(
                "The scores of the training rows overflow. Rescale the features and the head "
                "together, so that the logits are of moderate size."
            )
        self.offset_ = float(np.quantile(training_scores, self.contamination))
        # Calibration scores of an earlier fit say nothing about this one.
        self.__dict__.pop("conformal_scores_", None)
        return self

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
        return self._finite_scores(self._checked_rows(X))

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
        return auroc_of(self, X, y)

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
        """
        constraints = {"tpr": [Interval(Real, 0, 1, closed="right")]}
        validate_parameter_constraints(constraints, {"tpr": tpr}, caller_name="calibrate")
        scores = np.sort(self.score_samples(X_id))
        # A hair off the product, or rounding would ask for one sample more: 0.95 * 20 > 19.
        n_accepted = max(1, int(np.ceil(tpr * len(scores) * (1 - 1e-12))))
        self.offset_ = float(scores[len(scores) - n_accepted])
        return self

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
        rows = self._checked_rows(X)
        if not hasattr(self, "conformal_scores_"):
            raise NotFittedError(
                f"This {type(self).__name__} has no calibration scores for p-values. Call "
                "calibrate_p_values(X_id) with held-out in-distribution samples after fit."
            )
        return conformal_p_values(self.conformal_scores_, self._finite_scores(rows))

    def _checked_rows(self, X):
        """The rows of X, checked against what fit saw."""
        check_is_fitted(self)
        X = check_feature_matrix(X, type(self).__name__)
        check_width_and_names(self, X, reset=False)
        return FeatureRows(X)

    def _finite_scores(self, rows):
        scores = self._score(rows)
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(
                f"The score of row {row} of X is {scores[row]}: its features, its logits or their "
                "exponentials overflow. Expected features of the scale that fit saw; remove the "
                "row, or rescale the features and the head together."
            )
        return scores

    def __getstate__(self):
        state = {name: as_host(value) for name, value in super().__getstate__().items()}
        return {**state, "_skweiper_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_skweiper_version", "unknown")
        if _major(saved) != _major(__version__):
            warnings.warn(
                f"This {type(self).__name__} was saved by skweiper {saved} and is loaded by "
                f"skweiper {__version__}: its scores may differ. Fit and save it again.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)


def auroc_of(detector: Scoring, X: ArrayLike, y: ArrayLike) -> float:
    """AUROC of a detector's `score_samples(X)`, as `BaseDetector.score` gives it.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`, higher = more in-distribution.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        -1 marks OOD samples.

    Returns
    -------
    float, in [0, 1]
    """
    return float(roc_auc_score(np.asarray(as_host(y)) != -1, detector.score_samples(X)))


def _major(version):
    return version.split(".")[0]


def _labels_of(y, mask):
    """The labels of the rows that take part, or None."""
    if y is None:
        return None
    labels = np.asarray(as_host(y))
    labels = labels.reshape(len(labels))
    return labels if mask is None else labels[mask]
