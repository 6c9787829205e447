"""MahalanobisDetector: distance to the nearest class mean, one covariance for all classes."""

import numpy as np

from skweiper.baselines.base import ClassDetector
from skweiper.baselines.moments import (
    class_means,
    covariance_about,
    squared_distances,
    whitening,
)


class MahalanobisDetector(ClassDetector):
    """Detector by the Mahalanobis distance to the nearest class mean (MDS).

    The score is minus the smallest squared distance under the covariance within classes:
    at most 0, higher = more in-distribution.

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
    means_ : ndarray of shape (n_classes_seen, n_features)
        Their mean features.
    whitening_ : ndarray of shape (n_features, rank)
        V with V V' the pseudo-inverse of the covariance within classes.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks", NeurIPS 2018. https://arxiv.org/abs/1807.03888
    """

    def __init__(self, weight=None, bias=None, *, labels="head", contamination=0.05):
        self.weight = weight
        self.bias = bias
        self.labels = labels
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.classes_, members = np.unique(self._class_labels(rows, labels), return_inverse=True)
        self.means_, _ = class_means(self._chunks(rows), members, len(self.classes_))
        covariance = covariance_about(self._chunks(rows), lambda part: self.means_[members[part]])
        self.whitening_ = whitening(covariance)

    @property
    def _values_per_row(self):
        classes = len(self.classes_) if hasattr(self, "classes_") else 0
        return 3 * self.n_features_in_ + max(self.head_.n_classes, classes)

    def _score_features(self, features):
        centre = self.means_.mean(axis=0)  # distances of centred vectors cancel less
        whitened = (features - centre) @ self.whitening_
        means = (self.means_ - centre) @ self.whitening_
        return -squared_distances(whitened, means).min(axis=1)
