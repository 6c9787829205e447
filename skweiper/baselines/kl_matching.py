"""KLMatchingDetector: divergence of the softmax from the nearest class template."""

import numpy as np
from numpy.typing import ArrayLike

from skweiper._support.blocks import merged
from skweiper._support.row_products import row_products
from skweiper._typing import ClassSource
from skweiper.baselines.base import ClassDetector
from skweiper.baselines.moments import ClassSums
from skweiper.scores import softmax


class KLMatchingDetector(ClassDetector):
    """Detector by matching the softmax to class templates (KL matching).

    A template is the mean softmax of a class. The score is minus the smallest
    KL(softmax || template), in nats: at most 0, higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    labels : {"head", "y"}, default="head"
        Where the class of a training row comes from: the head's prediction, or y.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    classes_ : ndarray of shape (n_classes_seen,)
        Classes of the training rows.
    templates_ : ndarray of shape (n_classes_seen, n_classes)
        Their mean softmax.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022.
    https://arxiv.org/abs/1911.11132
    """

    _computes_in_place = True

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        labels: ClassSource = "head",
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.labels = labels
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.classes_, members = self._classes_and_members(rows, labels)
        self.templates_ = merged(self._sums_of_classes, rows, members).means

    def _sums_of_classes(self, rows, members):
        chunks = ((part, self._probabilities(features)) for part, features in self._chunks(rows))
        return ClassSums.of(chunks, members, len(self.classes_))

    def _probabilities(self, features):
        return softmax(self.head_.logits(features))

    def _score_features(self, features):
        probabilities = self._probabilities(features)
        cross = -row_products(probabilities, log_of(self.templates_))
        own = (probabilities * log_of(probabilities)).sum(axis=1)
        return -np.maximum(cross.min(axis=1) + own, 0.0)


def log_of(probabilities):
    """Logarithm, finite where a probability has underflowed to zero."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
