"""SHEDetector: similarity to the mean features of the predicted class."""

from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from skweiper._support.blocks import merged
from skweiper._support.containers import beside
from skweiper._support.parameters import StrOptions
from skweiper._support.row_products import row_dots
from skweiper._typing import ClassSource
from skweiper.baselines.base import ClassDetector, MembersDetector
from skweiper.baselines.moments import ClassSums


def inner_product(features, patterns):
    """Inner product of each row with its pattern, ndarray of shape (n_samples,)."""
    return row_dots(features, patterns)


def cosine(features, patterns):
    """Cosine of each row and its pattern; 0 for a row of zeros."""
    return inner_product(_directions(features), _directions(patterns))


def _directions(rows):
    """Every row divided by its L2 norm; (nearly) zero ones stay what they are."""
    lengths = np.sqrt(row_dots(rows, rows))
    smallest = 10 * np.finfo(lengths.dtype).eps
    return rows / np.where(lengths < smallest, 1.0, lengths)[:, None]


def minus_distance(features, patterns):
    """Minus the Euclidean distance of each row to its pattern."""
    return -np.linalg.norm(features - patterns, axis=1)


SIMILARITIES = MappingProxyType(
    {"inner_product": inner_product, "cosine": cosine, "euclidean": minus_distance}
)


class SHEDetector(MembersDetector):
    """Detector by the simplified Hopfield energy (SHE).

    The score is the similarity to the mean training features of the class that the head
    predicts. Higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    labels : {"head", "y"}, default="head"
        Where the class of a training row comes from: the head's prediction, or y.
    metric : {"inner_product", "cosine", "euclidean"}, default="inner_product"
        The similarity: the paper's inner product (unbounded), its cosine (in [-1, 1]), or minus
        the Euclidean distance (at most 0).
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    patterns_ : ndarray of shape (n_classes, n_features)
        Mean features of each class of the head; of all training rows for a class without any.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Notes
    -----
    With `labels="y"` only rows that the head classifies correctly enter a pattern, as published;
    y then holds the class numbers 0..n_classes - 1.

    References
    ----------
    Zhang et al., "Out-of-Distribution Detection based on In-Distribution Data Patterns
    Memorization with Modern Hopfield Energy", ICLR 2023.
    https://openreview.net/forum?id=KkazG4lgKL
    """

    _computes_in_place = True
    _parameter_constraints = {
        **ClassDetector._parameter_constraints,
        "metric": [StrOptions(set(SIMILARITIES))],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        labels: ClassSource = "head",
        metric: Literal["inner_product", "cosine", "euclidean"] = "inner_product",
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.labels = labels
        self.metric = metric
        self.contamination = contamination

    def _learn(self, rows, labels):
        members = self._members(rows, labels)
        found = merged(self._sums_of_classes, rows, members)
        self.patterns_ = found.means
        if not found.counts.all():
            self.patterns_[found.counts == 0] = self._overall_mean(rows)

    def _sums_of_classes(self, rows, members):
        return ClassSums.of(self._chunks(rows), members, self.head_.n_classes)

    def _score_features(self, features):
        patterns = beside(features, self.patterns_)[self._predicted_class(features)]
        return SIMILARITIES[self.metric](features, patterns)
