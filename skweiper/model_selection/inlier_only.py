"""InlierOnly: keep known outliers out of the fit of any estimator."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skweiper._support.containers import as_host, on_device_of
from skweiper._support.known_outliers import labelled_auroc
from skweiper._support.parameters import HasMethods, StrOptions
from skweiper._support.validation import inlier_rows
from skweiper._typing import FloatArray, IntArray
from skweiper.base import Estimator, as_fitted
from skweiper.model_selection.labels import as_inlier_labels


def _estimator_has(method):
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


def _has_scores(self):
    needed = "decision_function" if self._is_of_pyod else "score_samples"
    return _estimator_has(needed)(self)


class InlierOnly(MetaEstimatorMixin, Estimator):
    """Fit an estimator on the rows that are not labelled as outliers.

    For detectors and transformers of other libraries in cross-validation and searches with OOD
    rows: `make_pipeline(InlierOnly(StandardScaler()), InlierOnly(IsolationForest()))`.

    Parameters
    ----------
    estimator : estimator
        Detector or transformer.
    convention : {"sklearn", "pyod"}, default="sklearn"
        "pyod": the estimator's `decision_function` is higher for outliers and its `predict` is
        1 for them; both are turned to scikit-learn's direction, and `score_samples` is there for
        `evaluate`, `compare` and the scorers of `skweiper.metrics`.

    Attributes
    ----------
    estimator_ : estimator
        Fitted clone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skweiper.model_selection import InlierOnly
    >>> X, y = np.array([[1.0], [3.0], [100.0]]), [1, 1, -1]
    >>> InlierOnly(StandardScaler()).fit(X, y).estimator_.mean_
    array([2.])
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "convention": [StrOptions({"sklearn", "pyod"})],
    }

    def __init__(
        self, estimator: Any, *, convention: Literal["sklearn", "pyod"] = "sklearn"
    ) -> None:
        self.estimator = estimator
        self.convention = convention

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit on the rows with y != -1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            -1 marks known outliers. The labels of the others are passed on.

        Returns
        -------
        self : object
        """
        with self._fitting():
            self._validate_params()
            y = as_host(y)
            mask = inlier_rows(X, y)
            if mask is not None:
                rows = np.flatnonzero(mask)
                with on_device_of(X):
                    X = _safe_indexing(X, rows)
                y = _safe_indexing(np.asarray(y), rows)
            self.estimator_ = clone(self.estimator)
            if y is None:
                self.estimator_.fit(X)
            else:
                self.estimator_.fit(X, y)
        return self

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> FloatArray:
        """The estimator's decision, negative = OOD.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        decision = self.estimator_.decision_function(X)
        return self.estimator_.threshold_ - decision if self._is_of_pyod else decision

    @available_if(_has_scores)
    def score_samples(self, X: ArrayLike) -> FloatArray:
        """The estimator's score, higher = more in-distribution.

        With convention="pyod", its `decision_function` negated.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        if self._is_of_pyod:
            return -self.estimator_.decision_function(X)
        return self.estimator_.score_samples(X)

    @available_if(_has_scores)
    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Area under the ROC curve of `score_samples(X)`, in-distribution positive.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            -1 marks OOD samples, any other label ID ones.

        Returns
        -------
        float, in [0, 1], higher = better, 0.5 = chance
        """
        return labelled_auroc(y, self.score_samples(X))

    @available_if(_estimator_has("predict"))
    def predict(self, X: ArrayLike) -> IntArray:
        """The estimator's prediction; +1 ID and -1 OOD from detectors of either convention.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        labels = self.estimator_.predict(X)
        return as_inlier_labels(labels, "pyod") if self._is_of_pyod else labels

    @available_if(_estimator_has("transform"))
    def transform(self, X: ArrayLike) -> Any:
        """The estimator's transformation, of all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    @available_if(_estimator_has("transform"))
    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> Any:
        """Fit on the inliers, transform all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            -1 marks known outliers.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out)
        """
        return self.fit(X, y).transform(X)

    @available_if(_estimator_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """The estimator's output names.

        Parameters
        ----------
        input_features : array-like of str, default=None

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    @available_if(_estimator_has("predict"))
    def fit_predict(self, X: ArrayLike, y: ArrayLike | None = None) -> IntArray:
        """Fit on the inliers, predict all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            -1 marks known outliers.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.fit(X, y).predict(X)

    @available_if(_estimator_has("set_output"))
    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """Container of the output of `transform`, as of scikit-learn's transformers.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            None leaves it as it is.

        Returns
        -------
        self : object
        """
        self.estimator.set_output(transform=transform)
        if hasattr(self, "estimator_"):
            self.estimator_.set_output(transform=transform)
        return self

    @property
    def offset_(self) -> float:
        """Threshold on the scores, of a detector that has one."""
        if self._is_of_pyod:
            return -self.estimator_.threshold_
        return self.estimator_.offset_

    @property
    def n_features_in_(self) -> int:
        """Number of features the estimator saw in `fit`."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features the estimator saw in `fit`, where they had any."""
        return self.estimator_.feature_names_in_

    @property
    def _is_of_pyod(self):
        """Whether the estimator's direction is PyOD's: as it was when it was fitted."""
        return as_fitted(self).convention == "pyod"

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator) if hasattr(self.estimator, "__sklearn_tags__") else None
        if inner is not None:
            tags.estimator_type = inner.estimator_type
            tags.transformer_tags = inner.transformer_tags
            tags.input_tags = inner.input_tags
        return tags
