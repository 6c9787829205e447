"""NECODetector: the share of a row's length that lies in the principal subspace."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from skweiper._support.parameters import Interval
from skweiper._support.row_products import row_products
from skweiper.baselines.base import HeadDetector, warn_of_negative
from skweiper.baselines.moments import covariance_about, overall_mean


class NECODetector(HeadDetector):
    """Detector by neural collapse (NECO).

    Collapsed classes span few dimensions, and what belongs to none of them lies across these. The
    score is the length of the features' part in the principal subspace of the training features,
    over the length of the features, times the largest logit. All of it is measured on standardised
    features. Unbounded, higher = more in-distribution: ``|P' z| / |z| * max(v)``. Without the
    logit it is in [0, 1].

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    n_components : int or float, default=0.9
        Dimension of the principal subspace, at most n_features; or, between 0 and 1, the share of
        the variance that it holds at least.
    standardize : bool, default=True
        Whether every feature is centred and divided by its standard deviation. False: only the
        part in the subspace is centred, as by a PCA of the features as they are.
    scale_by_max_logit : bool, default=True
        Whether the share of the length is multiplied by the largest logit.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    mean_ : ndarray of shape (n_features,)
        Mean training features.
    scale_ : ndarray of shape (n_features,)
        Their standard deviation, 1 where they do not vary; ones with `standardize=False`.
    components_ : ndarray of shape (`n_components_`, n_features)
        Orthonormal basis of the principal subspace, of largest variance first.
    n_components_ : int
        Its dimension.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Raises
    ------
    ValueError
        In `fit`: the training rows do not differ, or span fewer dimensions than `n_components`.

    Warns
    -----
    UserWarning
        In `fit`: the largest logit of most training rows is not positive. Times such a logit, a
        larger share of the length gives a smaller score. Or one or two training rows, or up to
        0.1 % of them, carry more than half of the squared deviation from the mean; they are named.

    Notes
    -----
    The authors choose the dimension by hand for each model; the share of 0.9 is that of Mueller
    and Hein, "Mahalanobis++", ICML 2025 (https://github.com/mueller-mp/maha-norm). The authors
    multiply by the largest logit for all networks but a ResNet-18, and advise against
    standardising where classes are well separated. For DeiT and Swin their code divides the part of
    the standardised features by the length of those that are not, which is not copied.

    A row of length zero has no share in the subspace: 0.

    References
    ----------
    Ammar et al., "NECO: NEural Collapse Based Out-of-distribution detection", ICLR 2024.
    https://arxiv.org/abs/2310.06823
    """

    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "standardize": ["boolean"],
        "scale_by_max_logit": ["boolean"],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        n_components: int | float = 0.9,
        standardize: bool = True,
        scale_by_max_logit: bool = True,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.n_components = n_components
        self.standardize = standardize
        self.scale_by_max_logit = scale_by_max_logit
        self.contamination = contamination

    def _learn(self, rows, labels):
        check_dimension(self.n_components, rows.n_features)
        self.mean_ = overall_mean(self._chunks(rows), len(rows))
        covariance = covariance_about(rows, self._chunks(rows), self.mean_, "their mean")
        varies = varying_features(covariance, self.mean_, len(rows))
        covariance[~varies], covariance[:, ~varies] = 0.0, 0.0
        self.scale_ = np.ones(rows.n_features)
        if self.standardize:
            self.scale_[varies] = np.sqrt(np.diagonal(covariance)[varies])
        covariance /= np.outer(self.scale_, self.scale_)
        self.components_ = principal_components(covariance, self.n_components, len(rows))
        self.n_components_ = len(self.components_)
        if self.scale_by_max_logit:
            warn_of_negative(
                self._map_rows(rows, self._largest_logit),
                "largest logit",
                "times it a larger share in the subspace gives a smaller score. Pass "
                "scale_by_max_logit=False, or add a constant to the head's bias.",
            )

    def _share_in_subspace(self, features):
        centred = (features - self.mean_) / self.scale_
        inside = np.linalg.norm(row_products(centred, self.components_), axis=1)
        length = np.linalg.norm(centred if self.standardize else features, axis=1)
        return np.divide(inside, length, out=np.zeros_like(inside), where=length > 0)

    def _score_features(self, features):
        share = self._share_in_subspace(features)
        return share * self._largest_logit(features) if self.scale_by_max_logit else share


def check_dimension(n_components, n_features):
    """Refuse a subspace of more dimensions than there are.

    Raises
    ------
    ValueError
    """
    if n_components > n_features:
        raise ValueError(
            f"n_components must be at most n_features={n_features}, or a share of the variance "
            f"between 0 and 1, got {n_components}."
        )


def varying_features(covariance, mean, n_samples):
    """Which features are not constant, to rounding, by the rule of scikit-learn's StandardScaler.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
    mean : ndarray of shape (n_features,)
    n_samples : int

    Returns
    -------
    ndarray of shape (n_features,), bool
    """
    variance, precision = np.diagonal(covariance), np.finfo(np.float64).eps
    return variance > n_samples * precision * variance + (n_samples * mean * precision) ** 2


def principal_components(covariance, n_components, n_samples):
    """Orthonormal basis of the directions of largest variance, the largest first.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
    n_components : int or float
        How many, or the share of the variance in (0, 1) that they hold at least.
    n_samples : int
        Rows behind the covariance, for the message.

    Returns
    -------
    ndarray of shape (n_components, n_features)

    Raises
    ------
    ValueError
        The rows do not differ, or span fewer dimensions, to rounding.
    """
    variances, directions = (array[..., ::-1] for array in eigh(covariance))
    cut = variances[0] * len(variances) * np.finfo(np.float64).eps
    rank = int(np.sum(variances > cut))
    if n_components < 1:
        held = np.cumsum(variances[:rank]) / variances[:rank].sum()
        n_components = 1 + int(np.searchsorted(held[:-1], n_components))
    if n_components > rank:
        raise ValueError(
            f"The training rows (n_samples={n_samples}) span {rank} dimensions, fewer than "
            f"n_components={n_components}. Pass more rows that differ or a smaller n_components."
        )
    return np.ascontiguousarray(directions[:, :n_components].T)
