"""RelativeMahalanobisDetector: Mahalanobis distance less that to the background."""

import numpy as np
from numpy.typing import ArrayLike

from skweiper._support.blocks import merged
from skweiper._support.containers import beside
from skweiper._support.row_products import row_products
from skweiper._typing import ClassSource
from skweiper.baselines.mahalanobis import MahalanobisDetector
from skweiper.baselines.moments import Scatter, whitening


class RelativeMahalanobisDetector(MahalanobisDetector):
    """Detector by the relative Mahalanobis distance (RMDS).

    The score is the squared distance to the mean of all training rows, under their covariance,
    less the squared distance to the nearest class mean. Unbounded, higher = more in-distribution:
    ``MD_0(z) - min over c of MD_c(z)``.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    labels : {"head", "y"}, default="head"
        Where the class of a training row comes from: the head's prediction, or y.
    normalize : bool, default=False
        Whether every row is divided by its L2 norm before means, covariance and distances; the
        class means are not. The head predicts from the row as it is.
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
    centre_ : ndarray of shape (n_features,)
        Mean of `means_`, subtracted before whitening.
    whitened_means_ : ndarray of shape (n_classes_seen, rank)
        The centred means times `whitening_`.
    background_mean_ : ndarray of shape (n_features,)
        Mean of all training rows.
    background_whitening_ : ndarray of shape (n_features, rank)
        The same of the covariance of all training rows.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Raises
    ------
    ValueError
        As `MahalanobisDetector`.

    Warns
    -----
    UserWarning
        In `fit`: one or two training rows, or up to 0.1 % of them, carry more than half of the
        squared deviation from the class means or the mean. They are named.

    References
    ----------
    Ren et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021.
    https://arxiv.org/abs/2106.09022
    Mueller and Hein, "Mahalanobis++: Improving OOD Detection via Feature Normalization",
    ICML 2025. https://arxiv.org/abs/2505.18032
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        labels: ClassSource = "head",
        normalize: bool = False,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.labels = labels
        self.normalize = normalize
        self.contamination = contamination

    def _learn(self, rows, labels):
        super()._learn(rows, labels)
        self.background_mean_ = self._overall_mean(rows)
        covariance = merged(self._background_scatter, rows).covariance("their mean")
        self.background_whitening_ = whitening(covariance)

    def _background_scatter(self, rows):
        chunks = self._chunks(rows, self._load)
        return Scatter.of(rows, chunks, self.background_mean_[None])

    def _score_features(self, features):
        centred = features - beside(features, self.background_mean_)
        whitened = row_products(centred, self.background_whitening_.T)
        return np.square(whitened).sum(axis=1) + super()._score_features(features)
