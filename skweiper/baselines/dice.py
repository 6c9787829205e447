"""DICEDetector: energy of a head with its unimportant weights set to zero."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from skweiper.baselines.base import HeadDetector
from skweiper.baselines.moments import class_means
from skweiper.head import Head
from skweiper.scores import energy


class DICEDetector(HeadDetector):
    """Detector by directed sparsification (DICE).

    The weights that contribute least to the logits of the mean training features are set to zero;
    the score is the energy of the sparse head's logits. Unbounded, higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    percentile : float, default=90
        Percentage in [0, 100) of all weights to drop.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    sparse_head_ : Head
        The head with its kept weights and its bias.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Sun and Li, "DICE: Leveraging Sparsification for Out-of-Distribution Detection", ECCV 2022.
    https://arxiv.org/abs/2111.09805
    """

    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "percentile": [Interval(Real, 0, 100, closed="left")],
    }

    def __init__(self, weight=None, bias=None, *, percentile=90, contamination=0.05):
        self.weight = weight
        self.bias = bias
        self.percentile = percentile
        self.contamination = contamination

    def _learn(self, rows, labels):
        everyone = np.zeros(len(rows), dtype=np.intp)
        mean = class_means(self._chunks(rows), everyone, 1)[0][0]
        contribution = self.head_.matrix * mean
        kept = contribution > np.percentile(contribution, self.percentile)
        self.sparse_head_ = Head(np.where(kept, self.head_.matrix, 0.0), self.head_.bias)

    def _score_features(self, features):
        return energy(self.sparse_head_.logits(features))
