"""ViMDetector: energy less a virtual logit from the residual."""

from functools import partial

from numpy.typing import ArrayLike

from skweiper._support.blocks import merged
from skweiper._support.notice import warn_caller
from skweiper.baselines.residual import ResidualDetector
from skweiper.scores import energy


class ViMDetector(ResidualDetector):
    """Detector by virtual-logit matching (ViM).

    The score is the energy of the logits less the virtual logit, the residual to the principal
    subspace times `alpha_`. Unbounded, higher = more in-distribution:
    ``log(sum(exp(v))) - alpha * |R' (z - origin)|``.

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
    alpha_ : float
        Mean largest logit over mean residual of the training rows; 0 where the residual is.
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
        squared deviation from the origin; they are named. Or their largest logits are negative on
        average, and so is `alpha_`: a longer residual then gives a higher score.

    References
    ----------
    Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022.
    https://arxiv.org/abs/2203.10807
    """

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
        super()._learn(rows, labels)
        residual = merged(partial(self._sum_over_rows, work=self._residual), rows).mean
        largest = merged(partial(self._sum_over_rows, work=self._largest_logit), rows).mean
        self.alpha_ = float(largest / residual) if residual > 0 else 0.0
        if self.alpha_ < 0:
            warn_caller(
                f"The mean of the largest logits of the training rows is {largest:.4g}, and times "
                "it a longer residual gives a higher score. Add a constant to the head's bias, or "
                "take ResidualDetector."
            )

    def _score_features(self, features):
        return energy(self.head_.logits(features)) - self.alpha_ * self._residual(features)
