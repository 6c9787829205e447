"""GradNormDetector: length of the head's gradient, in closed form."""

import numpy as np
from numpy.typing import ArrayLike

from skweiper.baselines.base import HeadDetector
from skweiper.scores import softmax


class GradNormDetector(HeadDetector):
    """Detector by the gradient of the divergence from the uniform distribution (GradNorm).

    The score is the L1 norm of the gradient of KL(uniform || softmax) with respect to the head's
    weight, which is the product of two L1 norms: of the features and of softmax - 1 / n_classes.
    At least 0, higher = more in-distribution: ``sum(|z|) * sum(|softmax - 1 / n_classes|)``.

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
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Huang, Geng, Li, "On the Importance of Gradients for Detecting Distributional Shifts in the
    Wild", NeurIPS 2021. https://arxiv.org/abs/2110.00218
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

    def _score_features(self, features):
        excess = softmax(self.head_.logits(features)) - 1 / self.head_.n_classes
        return np.abs(features).sum(axis=1) * np.abs(excess).sum(axis=1)
