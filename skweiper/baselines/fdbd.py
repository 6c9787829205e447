"""FDBDDetector: distance of a row to the head's decision boundaries."""

import numpy as np
from numpy.typing import ArrayLike

from skweiper._support.containers import beside
from skweiper.baselines.base import HeadDetector
from skweiper.baselines.moments import squared_distances


class FDBDDetector(HeadDetector):
    """Detector by the distance to decision boundaries (fDBD).

    The score is the mean distance to the boundaries between the predicted and every other class,
    over the distance to the mean of the training features. At least 0, higher = more
    in-distribution: ``mean over k != c of (v_c - v_k) / |w_c - w_k|``, over ``|z - mean|``, with
    logits v and the predicted class c.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
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
    Liu and Qin, "Fast Decision Boundary based Out-of-Distribution Detector", ICML 2024.
    https://arxiv.org/abs/2312.11536
    """

    _computes_in_place = True

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.mean_ = self._overall_mean(rows)

    def _score_features(self, features):
        logits = self.head_.logits(features)
        lead = logits.max(axis=1, keepdims=True) - logits
        predicted, place = np.unique(logits.argmax(axis=1), return_inverse=True)
        matrix = beside(features, self.head_.matrix)
        between = np.sqrt(squared_distances(matrix[predicted], matrix))[place]
        # Two classes of one weight share no boundary: they count as distance zero.
        distances = lead / np.where(between > 0, between, np.inf)
        to_mean = np.linalg.norm(features - beside(features, self.mean_), axis=1)
        n_boundaries = max(1, self.head_.n_classes - 1)
        smallest = np.finfo(np.float64).eps
        return distances.sum(axis=1) / n_boundaries / np.maximum(to_mean, smallest)
