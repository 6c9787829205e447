"""KernelPCADetector: what principal components in a kernel's feature space leave of a row."""

from numbers import Integral, Real
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy.linalg import eigh, svd
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import normalize

from skweiper._support.parameters import Interval, RealNotInt, StrOptions
from skweiper._support.row_products import row_products
from skweiper._typing import Seed
from skweiper.baselines.base import PeerDetector
from skweiper.baselines.moments import covariance_about, overall_mean

PUBLISHED_SHARES = MappingProxyType({"cosine": 0.85, "cosine_gaussian": 0.8})
COPIES_OF_RANDOM_FEATURES = 3
LEAST_VARIANCE = 1e-26
"""Sum of the variances of unit vectors that differ by rounding only, with room."""


class KernelPCADetector(PeerDetector):
    """Detector by the reconstruction error of kernel PCA (CoP and CoRP).

    The score is minus the distance of a row, in the feature space of a kernel, to the principal
    subspace of the training rows: at most 0, higher = more in-distribution. It needs neither a head
    nor labels.

    Parameters
    ----------
    kernel : {"cosine", "cosine_gaussian"}, default="cosine_gaussian"
        The paper's CoP, where rows are divided by their Euclidean length, or its CoRP, where these
        directions are mapped to random Fourier features of a Gaussian kernel.
    gamma : float, default=2.0
        Of the Gaussian kernel ``exp(-gamma |u - v|^2)`` between directions u and v.
    n_random_features : int, default=2048
        Random Fourier features that approximate it: the paper's M.
    n_components : int or float, default=None
        Principal components: their number, or the share in (0, 1) of the variance that as few as
        possible of them hold together. None: the paper's share on CIFAR-10, 0.8 of the
        cosine-Gaussian and 0.85 of the cosine kernel. A share leaves one direction at least.
    random_state : int, RandomState instance or None, default=None
        Draws the random features in `fit`; scoring never draws. Without use for "cosine".
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    random_weights_ : ndarray of shape (n_random_features, n_features)
        Frequencies of the random features; empty with "cosine".
    random_offset_ : ndarray of shape (n_random_features,)
        Their phases, in [0, 2 pi).
    mean_ : ndarray of shape (n_mapped,)
        Mean of the mapped training rows; n_mapped is n_random_features or n_features.
    components_ : ndarray of shape (`n_components_`, n_mapped)
        Orthonormal principal directions.
    n_components_ : int
        Their number.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Raises
    ------
    ValueError
        In `fit`: the training rows have the same direction, or too few for a residual.

    Notes
    -----
    A row of zeros has no direction and is mapped as the zero vector. `fit` decomposes a matrix as
    wide as there are mapped features, or training rows if these are fewer.

    References
    ----------
    Fang et al., "Kernel PCA for Out-of-Distribution Detection", NeurIPS 2024.
    https://arxiv.org/abs/2402.02949
    """

    _parameter_constraints = {
        **PeerDetector._parameter_constraints,
        "kernel": [StrOptions(set(PUBLISHED_SHARES))],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "n_random_features": [Interval(Integral, 2, None, closed="left")],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            None,
        ],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        kernel: Literal["cosine", "cosine_gaussian"] = "cosine_gaussian",
        gamma: float = 2.0,
        n_random_features: int = 2048,
        n_components: float | None = None,
        random_state: Seed = None,
        contamination: float = 0.05,
    ) -> None:
        self.kernel = kernel
        self.gamma = gamma
        self.n_random_features = n_random_features
        self.n_components = n_components
        self.random_state = random_state
        self.contamination = contamination

    def _learn(self, rows, labels):
        self._draw(rows.n_features if self.kernel == "cosine_gaussian" else 0)
        self.mean_ = overall_mean(self._mapped_chunks(rows), len(rows))
        variances, directions = self._principal_directions(rows)
        n_components = PUBLISHED_SHARES[self.kernel]
        if self.n_components is not None:
            n_components = self.n_components
        shape = len(rows), rows.n_features
        self.n_components_ = number_of_components(variances, n_components, *shape)
        self.components_ = np.ascontiguousarray(directions[: self.n_components_])

    def _draw(self, n_features):
        """Draw the random Fourier features; none where there is nothing to map."""
        if n_features == 0:
            self.random_weights_, self.random_offset_ = np.empty((0, 0)), np.empty(0)
            return
        sampler = RBFSampler(
            gamma=self.gamma,
            n_components=self.n_random_features,
            random_state=self.random_state,
        ).fit(np.zeros((1, n_features)))
        self.random_weights_ = np.ascontiguousarray(sampler.random_weights_.T)
        self.random_offset_ = sampler.random_offset_

    @property
    def _n_relations(self):
        return COPIES_OF_RANDOM_FEATURES * len(self.random_offset_)

    def _mapped(self, features):
        """The rows in the feature space of the kernel, or of its approximation."""
        directions = normalize(features)
        if self.kernel == "cosine":
            return directions
        # The formula of RBFSampler.transform, whose products depend on the other rows.
        mapped = row_products(directions, self.random_weights_)
        mapped += self.random_offset_
        np.cos(mapped, out=mapped)
        mapped *= np.sqrt(2 / mapped.shape[1])
        return mapped

    def _mapped_chunks(self, rows):
        return ((part, self._mapped(features)) for part, features in self._chunks(rows))

    def _principal_directions(self, rows):
        """Variances of the mapped training rows, descending, and the rows they belong to."""
        if len(rows) >= len(self.mean_):
            chunks = self._mapped_chunks(rows)
            covariance = covariance_about(rows, chunks, self.mean_, "their mean")
            variances, directions = eigh(covariance, overwrite_a=True)
            return variances[::-1], directions.T[::-1]
        centred = np.empty((len(rows), len(self.mean_)))
        for part, mapped in self._mapped_chunks(rows):
            centred[part] = mapped - self.mean_
        values, directions = svd(centred, full_matrices=False, overwrite_a=True)[1:]
        return np.square(values) / len(rows), directions

    def _score_features(self, features):
        centred = self._mapped(features) - self.mean_
        within = np.square(row_products(centred, self.components_)).sum(axis=1)
        # Of few components among many mapped features, cheaper than the reconstruction itself.
        return -np.sqrt(np.maximum(np.square(centred).sum(axis=1) - within, 0.0))


def number_of_components(variances, n_components, n_samples, n_features):
    """How many principal components were asked for, checked to leave a residual.

    Parameters
    ----------
    variances : ndarray
        Of the mapped training rows along their principal directions, descending.
    n_components : int or float
        Number, or share of the variance in (0, 1).
    n_samples, n_features : int
        Shape of the training rows, for the messages.

    Returns
    -------
    int
        At least 1, less than the number of directions with variance.

    Raises
    ------
    ValueError
        The rows do not differ, or have no more than `n_components` directions with variance.
    """
    if variances.sum() <= LEAST_VARIANCE:
        raise ValueError(
            f"The training rows (n_samples={n_samples}, n_features={n_features}) do not differ in "
            "direction, so they have no principal components. Pass at least three rows of "
            "different directions."
        )
    cut = variances[0] * len(variances) * np.finfo(np.float64).eps
    rank = int(np.sum(variances > cut))
    asked = n_components
    if not isinstance(n_components, Integral):
        shares = np.cumsum(variances) / variances.sum()
        asked = max(1, min(int(np.searchsorted(shares, n_components)) + 1, rank - 1))
    if rank <= asked:
        raise ValueError(
            f"The directions of the training rows (n_samples={n_samples}, n_features={n_features}) "
            f"vary in {rank} dimensions, so n_components={n_components} leaves no residual. Pass "
            "more rows or a smaller n_components."
        )
    return int(asked)
