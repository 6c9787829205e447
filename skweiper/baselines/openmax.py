"""OpenMaxDetector: probability of an unknown class, by extreme values of distances in logits."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import weibull_min

from skweiper._support.parameters import Interval
from skweiper._typing import ClassSource
from skweiper.baselines.base import ClassDetector, MembersDetector, warn_of_negative
from skweiper.baselines.moments import class_means, squared_distances
from skweiper.scores import max_logit

STEEPEST_SHAPE = 1e6
"""A tail without spread has an infinite shape: the distribution function becomes a step."""


class OpenMaxDetector(MembersDetector):
    """Detector by the probability of an unknown class (OpenMax).

    For each class, a Weibull distribution is fitted to the largest distances of its training
    logits to their mean. A row's `n_ranked` largest logits are then weakened by the probability
    that so large a distance is extreme, and what they lose becomes the logit of an unknown class.
    The score is minus its softmax probability: in [-1, 0], higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    tail_size : int, default=20
        Number of largest distances of a class that its distribution is fitted to; all of them
        where there are fewer.
    n_ranked : int, default=10
        The paper's alpha: number of largest logits that are weakened, the first fully, each next
        one by 1 / n_ranked less. All logits where there are fewer.
    labels : {"head", "y"}, default="head"
        Where the class of a training row comes from: the head's prediction, or y.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    mean_logits_ : ndarray of shape (n_classes, n_classes)
        Mean logits of each class of the head.
    tail_start_ : ndarray of shape (n_classes,)
        Smallest distance in each class's tail; infinite for a class without a training row, whose
        logit is never weakened.
    tail_shape_, tail_scale_ : ndarray of shape (n_classes,)
        Shape and scale of the Weibull distribution of ``distance - tail_start_ + 1``.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Warns
    -----
    UserWarning
        In `fit`: the largest logit of most training rows is not positive. Weakened, a negative one
        becomes larger.

    Notes
    -----
    With `labels="y"` only rows that the head classifies correctly enter, as published; y then
    holds the class numbers 0..n_classes - 1. Let the tail be a small part of a class's rows: where
    a class has 25, a tail of 20 describes typical distances, not extreme ones.

    References
    ----------
    Bendale and Boult, "Towards Open Set Deep Networks", CVPR 2016.
    https://arxiv.org/abs/1511.06233
    """

    _parameter_constraints = {
        **ClassDetector._parameter_constraints,
        "tail_size": [Interval(Integral, 1, None, closed="left")],
        "n_ranked": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        tail_size: int = 20,
        n_ranked: int = 10,
        labels: ClassSource = "head",
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.tail_size = tail_size
        self.n_ranked = n_ranked
        self.labels = labels
        self.contamination = contamination

    def _learn(self, rows, labels):
        n_classes = self.head_.n_classes
        members = self._members(rows, labels)
        largest = np.empty(len(rows))
        self.mean_logits_, _ = class_means(self._logit_chunks(rows, largest), members, n_classes)
        warn_of_negative(
            largest,
            "largest logit",
            "a negative logit that loses a share of itself becomes larger, so that what is extreme "
            "looks known. Add a constant to the head's bias.",
        )
        distances = self._own_distances(rows, members)
        self.tail_start_ = np.full(n_classes, np.inf)
        self.tail_shape_, self.tail_scale_ = np.ones((2, n_classes))
        for label in np.unique(members[members >= 0]):
            tail = np.sort(distances[members == label])[-self.tail_size :]
            self.tail_start_[label] = tail[0]
            fitted = fit_weibull(tail - tail[0] + 1)
            self.tail_shape_[label], self.tail_scale_[label] = fitted

    def _logit_chunks(self, rows, largest):
        """Yield (slice, logits) of consecutive rows, and note the largest of each row."""
        for part, features in self._chunks(rows):
            logits = self.head_.logits(features)
            largest[part] = max_logit(logits)
            yield part, logits

    def _own_distances(self, rows, members):
        """Distance of each row's logits to the mean of its class."""
        distances = np.empty(len(rows))
        for part, features in self._chunks(rows):
            difference = self.head_.logits(features) - self.mean_logits_[members[part]]
            distances[part] = np.linalg.norm(difference, axis=1)
        if not np.isfinite(distances).all():
            raise ValueError(
                "The distances of the training rows' logits to their class means overflow. "
                "Rescale the features and the head together, so that the logits are of moderate "
                "size."
            )
        return distances

    def _score_features(self, features):
        logits = self.head_.logits(features)
        n_ranked = min(self.n_ranked, logits.shape[1])
        ranked = np.argsort(-logits, axis=1, kind="stable")[:, :n_ranked]
        top = np.take_along_axis(logits, ranked, axis=1)
        lost = top * self._extremeness(logits, ranked) * (1 - np.arange(n_ranked) / n_ranked)
        weakened = logits.copy()  # without a weight the logits are the caller's features
        np.put_along_axis(weakened, ranked, top - lost, axis=1)
        return -unknown_probability(weakened, lost.sum(axis=1))

    def _extremeness(self, logits, ranked):
        """Weibull probability of a smaller distance, for each ranked class, in [0, 1]."""
        squared = squared_distances(logits, self.mean_logits_)
        distances = np.sqrt(np.take_along_axis(squared, ranked, axis=1))
        excess = distances - self.tail_start_[ranked] + 1
        with np.errstate(over="ignore"):  # a steep shape's power: its exponential is 0 all the same
            return weibull_min.cdf(excess, self.tail_shape_[ranked], scale=self.tail_scale_[ranked])


def fit_weibull(values):
    """Shape and scale of the Weibull distribution of largest likelihood, located at zero.

    `scipy.stats.weibull_min.fit` finds the same by a general search that stops four digits in;
    the likelihood equation of the shape has one root, and the scale follows from it.

    Parameters
    ----------
    values : ndarray of shape (n_samples,), positive

    Returns
    -------
    shape, scale : float
        The shape is at most `STEEPEST_SHAPE`.
    """
    logs = np.log(values)
    largest = logs.max()

    def slope(shape):
        weights = np.exp(shape * (logs - largest))
        return weights @ logs / weights.sum() - 1 / shape - logs.mean()

    steep = slope(STEEPEST_SHAPE) <= 0
    shape = STEEPEST_SHAPE if steep else brentq(slope, 1e-6, STEEPEST_SHAPE, xtol=1e-12)
    mean_power = np.mean(np.exp(shape * (logs - largest)))
    return shape, np.exp(largest + np.log(mean_power) / shape)


def unknown_probability(logits, unknown):
    """Softmax probability of an unknown class beside the known ones.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes)
    unknown : ndarray of shape (n_samples,)
        Logit of the unknown class.

    Returns
    -------
    ndarray of shape (n_samples,), in [0, 1]
    """
    largest = np.maximum(logits.max(axis=1), unknown)
    known = np.exp(logits - largest[:, None]).sum(axis=1)
    unknown = np.exp(unknown - largest)
    return unknown / (known + unknown)
