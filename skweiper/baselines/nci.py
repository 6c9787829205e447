"""NCIDetector: how far a row lies along the weight of its predicted class."""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from skweiper._support.containers import beside
from skweiper._support.parameters import Interval
from skweiper._support.row_products import row_dots
from skweiper.baselines.base import HeadDetector


class NCIDetector(HeadDetector):
    """Detector inspired by neural collapse (NCI).

    The score is the component of the predicted class's weight along the centred features, plus
    alpha times the L1 norm of the features. Unbounded, higher = more in-distribution:
    ``w_c . (z - mean) / |z - mean| + alpha * sum(|z|)``.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    alpha : float, default=1e-4
        Weight of the L1 norm, at least 0.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    mean_ : ndarray of shape (n_features,)
        Mean training features.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Liu and Qin, "Detecting Out-of-Distribution through the Lens of Neural Collapse", CVPR 2025.
    https://arxiv.org/abs/2311.01479
    """

    _computes_in_place = True
    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        alpha: float = 1e-4,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.alpha = alpha
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.mean_ = self._overall_mean(rows)

    def _score_features(self, features):
        predicted = self.head_.logits(features).argmax(axis=1)
        centred = features - beside(features, self.mean_)
        along = row_dots(beside(features, self.head_.matrix)[predicted], centred)
        length = np.maximum(np.linalg.norm(centred, axis=1), np.finfo(np.float64).eps)
        return along / length + self.alpha * np.abs(features).sum(axis=1)
