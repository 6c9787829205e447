"""ResidualDetector: length of the part of a row outside the principal subspace."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from skweiper._support.blocks import merged
from skweiper._support.containers import beside
from skweiper._support.parameters import Interval
from skweiper._support.row_products import row_products
from skweiper.baselines.base import LARGEST_VALUE, HeadDetector
from skweiper.baselines.moments import Scatter


class ResidualDetector(HeadDetector):
    """Detector by the residual to the principal subspace of the training features.

    The score is minus the length of the features' part outside the subspace, about the origin of
    ViM: at most 0, higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    n_components : int, default=None
        Dimension of the principal subspace, less than n_features. None: the paper's rule, 1000
        from 2048 features on, 512 from 768 on, else half of them.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    origin_ : ndarray of shape (n_features,)
        The point whose logits are closest to zero, -pinv(weight) bias.
    residual_basis_ : ndarray of shape (n_features, n_features - n_components)
        Orthonormal basis of the complement of the principal subspace.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Raises
    ------
    ValueError
        In `fit`: the training rows span no more than `n_components` dimensions, as fewer rows do.

    Warns
    -----
    UserWarning
        In `fit`: one or two training rows, or up to 0.1 % of them, carry more than half of the
        squared deviation from the origin. They are named.

    References
    ----------
    Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022.
    https://arxiv.org/abs/2203.10807
    """

    _computes_in_place = True
    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "n_components": [Interval(Integral, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        n_components: int | None = None,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.n_components = n_components
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.origin_ = origin_of(self.head_)
        n_components = subspace_dimension(self.n_components, rows.n_features)
        moment = merged(self._scatter_about_origin, rows).covariance("the origin")
        variances, directions = eigh(moment)
        check_residual(variances, n_components, len(rows))
        self.residual_basis_ = directions[:, : rows.n_features - n_components]

    def _scatter_about_origin(self, rows):
        return Scatter.of(rows, self._chunks(rows), self.origin_[None])

    def _residual(self, features):
        residual = row_products(features - beside(features, self.origin_), self.residual_basis_.T)
        return np.linalg.norm(residual, axis=1)

    def _score_features(self, features):
        return -self._residual(features)


def origin_of(head):
    """The point whose logits are closest to zero, -pinv(weight) bias.

    Parameters
    ----------
    head : Head

    Returns
    -------
    ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        The point is too far away to measure distances from it.
    """
    origin = -np.linalg.pinv(head.matrix) @ head.bias
    if not np.abs(origin).max() <= LARGEST_VALUE:  # or NaN
        raise ValueError(
            "weight is so small beside bias that the features whose logits are zero, "
            "-pinv(weight) bias, overflow. Rescale the features and the head together."
        )
    return origin


def subspace_dimension(n_components, n_features):
    """The dimension asked for, or the paper's rule.

    Raises
    ------
    ValueError
        No dimension is left for the residual.
    """
    if n_components is None:
        if n_features >= 2048:
            return 1000
        return 512 if n_features >= 768 else n_features // 2
    if n_components >= n_features:
        raise ValueError(
            f"n_components must be less than n_features={n_features}, or no residual is left, "
            f"got {n_components}."
        )
    return n_components


def check_residual(variances, n_components, n_samples):
    """Refuse training rows that lie in the principal subspace and so have no residual.

    Parameters
    ----------
    variances : ndarray of shape (n_features,)
        Eigenvalues of the second moment, ascending.
    n_components : int
    n_samples : int

    Raises
    ------
    ValueError
        The rows span no more than `n_components` dimensions, to rounding.
    """
    cut = np.abs(variances).max() * len(variances) * np.finfo(np.float64).eps
    rank = int(np.sum(variances > cut))
    if rank <= n_components:
        raise ValueError(
            f"The training rows (n_samples={n_samples}) span {rank} dimensions, so "
            f"n_components={n_components} leaves no residual. Pass more rows or a smaller "
            "n_components."
        )
