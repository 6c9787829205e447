"""The WeiPer space as a transformer: features to perturbed logits."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from skweiper._support.head_mistakes import warn_of_features
from skweiper._support.memory import (
    TRANSFORMED_BLOCK,
    TRANSFORMED_CHUNK,
    memory_budget,
    rows_within,
)
from skweiper._support.parameters import Interval, StrOptions
from skweiper._support.rows import FeatureRows, checked_rows, row_slices
from skweiper._support.validation import (
    check_feature_matrix,
    check_width_and_names,
    inlier_rows,
)
from skweiper._typing import Delta, Projection, Seed
from skweiper._weiper.engines.numpy import NumpyEngine
from skweiper._weiper.flips import perturbed
from skweiper._weiper.perturbation import FLOAT32_BYTES, PROJECTIONS
from skweiper.base import Estimator
from skweiper.head import check_head

__all__ = ["WeiPerTransformer"]

TRANSFORMED_ROWS = 128


class WeiPerTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):
    """Map penultimate features to perturbed logits, the WeiPer space.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    projection : {"implicit", "explicit", "random"}, default="implicit"
        As in `WeiPerDetector`. Columns of the implicit projection have each sample's distribution
        of perturbed logits, but one column is no fixed direction in feature space.
    n_repeats : int, default=100
        Perturbations per class. In [1, inf).
    delta : float or "auto", default="auto"
        Length of a perturbation relative to its weight's, in [0, inf). "auto" is the length at
        which a share `flip_rate` of the perturbed heads changes the prediction of training rows,
        as in `WeiPerDetector`.
    flip_rate : float, default=0.1
        What delta="auto" aims at, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Draws the perturbations, in `fit` only.

    Attributes
    ----------
    head_ : Head
    delta_ : float
        The length in use: `delta`, or what "auto" found.
    perturbation_ : Perturbation
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024. https://arxiv.org/abs/2405.17164

    Examples
    --------
    >>> from skweiper import WeiPerTransformer
    >>> from skweiper.datasets import load_clinc150
    >>> data = load_clinc150()
    >>> space = WeiPerTransformer(data.weight, data.bias, n_repeats=2, random_state=0)
    >>> space.fit_transform(data.test).shape
    (2250, 300)
    """

    _parameter_constraints = {
        "projection": [StrOptions(set(PROJECTIONS))],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "delta": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "flip_rate": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        projection: Projection = "implicit",
        n_repeats: int = 100,
        delta: Delta = "auto",
        flip_rate: float = 0.1,
        random_state: Seed = None,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.projection = projection
        self.n_repeats = n_repeats
        self.delta = delta
        self.flip_rate = flip_rate
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the head against X, draw the perturbations' seed and find their length.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            In-distribution features. With a number as `delta`, only its shape and feature names
            are used.
        y : array-like of shape (n_samples,), default=None
            Rows with y == -1 are known outliers and take no part. Any other label, or none,
            means inlier.

        Returns
        -------
        self : object
        """
        with self._fitting():
            self._validate_params()
            X = check_feature_matrix(X, type(self).__name__)
            inliers = inlier_rows(X, y)
            check_width_and_names(self, X, reset=True)
            for chunk in row_slices(X.shape[0], TRANSFORMED_ROWS):
                FeatureRows(X).load(chunk)
            self.head_ = check_head(self.weight, self.bias, X.shape[1])
            warn_of_features(self.head_.weight, X)
            self._draw(FeatureRows.where(X, inliers))
        return self

    def _draw(self, rows):
        parameters = self.get_params(deep=False)
        random_state = check_random_state(self.random_state)
        execution = perturbed(rows, self.head_, parameters, NumpyEngine(), random_state)
        self.perturbation_, self.delta_ = execution.perturbation, execution.perturbation.delta

    def transform(self, X: ArrayLike) -> Any:
        """Perturbed logits of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_repeats * n_classes), float32
            Column i * n_classes + c is repeat i of class c.

        Raises
        ------
        ValueError
            Bad values or shapes, or values so large that a perturbed logit overflows.
        """
        rows = checked_rows(self, X)
        return self._perturbed_logits(rows)

    def _perturbed_logits(self, rows):
        engine, n_classes = NumpyEngine(), self.head_.n_classes
        space = np.empty((len(rows), self._n_features_out), np.float32)
        first = 0
        for block in self.perturbation_.blocks(memory_budget(TRANSFORMED_BLOCK)):
            columns = slice(first, first + block.n_repeats * n_classes)
            bytes_per_row = FLOAT32_BYTES * (columns.stop - first)
            budget = memory_budget(TRANSFORMED_CHUNK)
            chunk_rows = rows_within(budget, bytes_per_row, TRANSFORMED_ROWS)
            for chunk in row_slices(len(rows), chunk_rows):
                with np.errstate(over="ignore", invalid="ignore"):
                    logits = engine.perturbed_logits(rows.load(chunk), block)
                _check_no_overflow(logits, chunk.start)
                space[chunk, columns] = logits.reshape(len(logits), -1)
            first = columns.stop
        return space

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.perturbation_.n_repeats * self.head_.n_classes


def _check_no_overflow(logits, first_row):
    """Refuse perturbed logits beyond float32."""
    is_finite = np.isfinite(logits).all(axis=(1, 2))
    if not is_finite.all():
        row = first_row + int(np.argmin(is_finite))
        raise ValueError(
            f"The perturbed logits of row {row} of X overflow float32. Remove the row, or rescale "
            "the features and the head together."
        )
