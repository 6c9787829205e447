"""DICE: a head with its unimportant weights set to zero, and the detector by its energy."""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from skweiper._support.parameters import Interval, validate_parameter_constraints
from skweiper._support.rows import FeatureRows
from skweiper._support.validation import check_feature_matrix, inlier_rows
from skweiper._typing import FloatArray
from skweiper.baselines.base import HeadDetector, chunk_slices
from skweiper.baselines.moments import overall_mean
from skweiper.head import Head, check_head
from skweiper.scores import energy


def sparse_weight(weight, mean, percentile):
    """Weight without the entries that contribute least to the logits of the mean features.

    Parameters
    ----------
    weight : ndarray of shape (n_classes, n_features)
    mean : ndarray of shape (n_features,)
    percentile : float, in [0, 100)
        Percentage of all entries to drop.

    Returns
    -------
    ndarray of shape (n_classes, n_features)
    """
    contribution = weight * mean
    return np.where(contribution > np.percentile(contribution, percentile), weight, 0.0)


def dice_weight(
    weight: ArrayLike, X: ArrayLike, y: ArrayLike | None = None, *, percentile: float = 90
) -> FloatArray:
    """DICE's sparse weight, to put before any detector that takes a head.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features)
        Weight of the classifier's final layer, one row per class.
    X : array-like of shape (n_samples, n_features)
        Training features.
    y : array-like of shape (n_samples,), default=None
        Rows with y == -1 are known outliers and take no part.
    percentile : float, default=90
        Percentage in [0, 100) of all weights to drop.

    Returns
    -------
    ndarray of shape (n_classes, n_features)
        `weight`, its unimportant entries zero. The bias stays as it is.

    Raises
    ------
    ValueError
        As `DICEDetector.fit`.

    Notes
    -----
    The weight depends on X: in a cross-validation that must not see its test rows, call this
    within each split.

    References
    ----------
    Sun and Li, "DICE: Leveraging Sparsification for Out-of-Distribution Detection", ECCV 2022.
    https://arxiv.org/abs/2111.09805

    Examples
    --------
    WeiPer on the sparse head:

    >>> from skweiper import WeiPerDetector
    >>> from skweiper.baselines import dice_weight
    >>> from skweiper.datasets import load_clinc150
    >>> data = load_clinc150()
    >>> weight = dice_weight(data.weight, data.train, percentile=50)
    >>> float((weight == 0).mean().round(2))
    0.5
    >>> detector = WeiPerDetector(weight, data.bias, method="energy", random_state=0)
    >>> detector.fit(data.train).score_samples(data.test_oos).shape
    (1000,)
    """
    if weight is None:
        raise ValueError(
            "dice_weight needs the weight of the final layer, got None. Without one there is "
            "nothing to drop."
        )
    constraints = {"percentile": DICEDetector._parameter_constraints["percentile"]}
    parameters = {"percentile": percentile}
    validate_parameter_constraints(constraints, parameters, caller_name="dice_weight")
    X = check_feature_matrix(X, "dice_weight")
    rows = FeatureRows.where(X, inlier_rows(X, y))
    head = check_head(weight, None, rows.n_features)
    chunks = rows.chunks(chunk_slices(len(rows), rows.n_features))
    return sparse_weight(head.matrix, overall_mean(chunks, len(rows)), percentile)


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
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Sun and Li, "DICE: Leveraging Sparsification for Out-of-Distribution Detection", ECCV 2022.
    https://arxiv.org/abs/2111.09805
    """

    _computes_in_place = True
    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "percentile": [Interval(Real, 0, 100, closed="left")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        percentile: float = 90,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.percentile = percentile
        self.contamination = contamination

    def _learn(self, rows, labels):
        mean = overall_mean(self._chunks(rows), len(rows))
        weight = sparse_weight(self.head_.matrix, mean, self.percentile)
        self.sparse_head_ = Head(weight, self.head_.bias)

    def _score_features(self, features):
        return energy(self.sparse_head_.logits(features))
