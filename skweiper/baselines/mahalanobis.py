"""MahalanobisDetector: distance to the nearest class mean, one covariance for all classes."""

from numpy.typing import ArrayLike

from skweiper._support.blocks import merged
from skweiper._support.containers import beside
from skweiper._support.row_products import row_products
from skweiper._typing import ClassSource
from skweiper.baselines.base import ClassDetector, load_chunk, load_directions
from skweiper.baselines.moments import (
    ClassSums,
    Scatter,
    check_spread,
    squared_distances,
    whitening,
)


class MahalanobisDetector(ClassDetector):
    """Detector by the Mahalanobis distance to the nearest class mean (MDS).

    The score is minus the smallest squared distance under the covariance within classes:
    at most 0, higher = more in-distribution. With `normalize=True` it is Mahalanobis++.

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
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Raises
    ------
    ValueError
        In `fit`: no class has two training rows that differ.

    Warns
    -----
    UserWarning
        In `fit`: one or two training rows, or up to 0.1 % of them, carry more than half of the
        squared deviation from the class means. They are named.

    Notes
    -----
    Directions in which no training row differs from its class mean do not count. The covariance
    takes more rows than features to be of full rank. With `normalize=True` a row of zeros, which
    has no direction, stays at the origin, as in `KNNDetector`. In the authors' code, its score is
    NaN.

    References
    ----------
    Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
    Adversarial Attacks", NeurIPS 2018. https://arxiv.org/abs/1807.03888
    Mueller and Hein, "Mahalanobis++: Improving OOD Detection via Feature Normalization",
    ICML 2025. https://arxiv.org/abs/2505.18032

    Examples
    --------
    >>> from skweiper.baselines import MahalanobisDetector
    >>> from skweiper.datasets import load_clinc150
    >>> data = load_clinc150()
    >>> detector = MahalanobisDetector(data.weight, data.bias, normalize=True).fit(data.train)
    >>> detector.score_samples(data.test_oos).shape
    (1000,)
    """

    _computes_in_place = True
    _parameter_constraints = {**ClassDetector._parameter_constraints, "normalize": ["boolean"]}

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

    @property
    def _load(self):
        return load_directions if self.normalize else load_chunk

    def _learn(self, rows, labels):
        self.classes_, members = self._classes_and_members(rows, labels)
        self.means_ = merged(self._sums_of_classes, rows, members).means
        covariance = merged(self._scatter_in_classes, rows, members).covariance("their class means")
        check_spread(covariance, self.means_, len(rows))
        self.whitening_ = whitening(covariance)
        self.centre_ = self.means_.mean(axis=0)
        self.whitened_means_ = (self.means_ - self.centre_) @ self.whitening_

    def _sums_of_classes(self, rows, members):
        return ClassSums.of(self._chunks(rows, self._load), members, len(self.classes_))

    def _scatter_in_classes(self, rows, members):
        chunks = self._chunks(rows, self._load)
        return Scatter.of(rows, chunks, self.means_, members)

    def _score(self, rows):
        return self._map_rows(rows, self._score_features, self._load)

    def _score_features(self, features):
        # Distances of centred vectors cancel less.
        whitened = row_products(features - beside(features, self.centre_), self.whitening_.T)
        return -squared_distances(whitened, self.whitened_means_).min(axis=1)
