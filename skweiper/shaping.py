"""Feature shapers: transformers that rectify, prune, scale or shift penultimate features.

They keep the feature space, so they may stand before any detector in a Pipeline:
`make_pipeline(ReAct(percentile=90), WeiPerDetector(weight, bias, method="energy"))`.

Their arithmetic is made of functions that CuPy takes over from NumPy: features on a GPU are shaped
there.
"""

from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from skweiper._support.containers import as_host, beside, on_device_of
from skweiper._support.memory import SHAPER_CHUNKS, memory_budget, rows_within
from skweiper._support.parameters import Interval, StrOptions, gives_tables
from skweiper._support.quantile import pooled_quantile
from skweiper._support.rows import FeatureRows, checked_rows, row_slices
from skweiper._support.validation import (
    check_feature_matrix,
    check_width_and_names,
    inlier_rows,
)
from skweiper.base import Estimator, as_fitted

__all__ = ["ASH", "RAS", "SCALE", "VRA", "FeatureShaper", "ReAct"]

BYTES_PER_SHAPED_FEATURE = 96  # value, copies, sort order, ranks and key of a feature of a row
LARGEST_EXPONENT = 80.0
"""Scaling factors stay below exp(80), the last round number before float32 overflows."""
PERCENT = Interval(Real, 0, 100, closed="both")
PERCENT_BELOW_ALL = Interval(Real, 0, 100, closed="left")
ASH_PERCENTILES = {"s": 90, "p": 60, "b": 65}


def _kept_positions(features, percentile):
    """Positions of the largest features of each row.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    percentile : float, in [0, 100)
        Percentage to drop. At least one feature is kept.

    Returns
    -------
    ndarray of shape (n_samples, n_kept), int
    """
    n_features = features.shape[1]
    n_kept = max(1, n_features - round(n_features * percentile / 100))
    return np.argpartition(features, n_features - n_kept, axis=1)[:, n_features - n_kept :]


def _pruned(features, kept):
    """Features with all but the kept positions set to zero."""
    result = np.zeros_like(features)
    np.put_along_axis(result, kept, np.take_along_axis(features, kept, axis=1), axis=1)
    return result


def _binarised(features, kept):
    """Kept positions share the row's sum of features equally; the others are zero."""
    result = np.zeros_like(features)
    share = features.sum(axis=1, keepdims=True) / kept.shape[1]
    np.put_along_axis(result, kept, np.broadcast_to(share, kept.shape), axis=1)
    return result


def _pruning_scale(features, kept):
    """Factor of each row, exp(sum of all features / sum of the kept ones), shape (n_samples, 1).

    One where the kept features sum to zero: a row of zeros stays a row of zeros.
    """
    total = features.sum(axis=1, keepdims=True)
    kept_total = np.take_along_axis(features, kept, axis=1).sum(axis=1, keepdims=True)
    is_zero = kept_total == 0
    with np.errstate(over="ignore"):
        ratio = np.where(is_zero, 0, total / np.where(is_zero, 1, kept_total))
    return np.exp(np.clip(ratio, -LARGEST_EXPONENT, LARGEST_EXPONENT))


class FeatureShaper(OneToOneFeatureMixin, TransformerMixin, Estimator):
    """Base of the shapers: a subclass defines `_shape(features)`, and may define `_learn(chunks)`.

    Features on a GPU are shaped there. Known outliers (y == -1) take no part in `fit`.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn what the shaper needs from in-distribution features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite real features.
        y : array-like of shape (n_samples,), default=None
            Rows with y == -1 are known outliers and take no part.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        with self._fitting():
            self._validate_params()
            X = check_feature_matrix(X, type(self).__name__)
            mask = inlier_rows(X, y)
            check_width_and_names(self, X, reset=True)
            rows = FeatureRows.where(X, mask)
            with on_device_of(rows.X):
                self._learn(lambda: (features for _, features in _chunks(rows, np.float32)))
        return self

    def transform(self, X: ArrayLike) -> Any:
        """Shape each row of features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            float32 where X is float16 or float32, else float64; a CuPy array on the device of X
            where that is on a GPU, unless `set_output` asks for tables.

        Raises
        ------
        ValueError
            Bad values or shapes, or values so large that a shaped feature overflows.
        """
        fitted = as_fitted(self)
        if fitted is not self:
            return fitted.transform(X)
        rows = checked_rows(self, X)
        with on_device_of(rows.X):
            shaped = self._shaped(rows)
        return as_host(shaped) if gives_tables(self) else shaped

    def _shaped(self, rows):
        dtype = _result_dtype(rows.X)
        like = rows.X if rows.is_on_device else None
        shaped = np.empty(rows.X.shape, dtype=dtype, like=like)
        for part, features in _chunks(rows, dtype):
            with np.errstate(over="ignore", invalid="ignore"):
                shaped[part] = self._shape(features)
            _check_no_overflow(shaped[part], part.start)
        return shaped

    def _learn(self, chunks):
        """Check the data by reading it once; shapers that learn override this."""
        for _ in chunks():
            pass

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_in_")


def _result_dtype(X):
    dtypes = list(X.dtypes) if hasattr(X, "dtypes") else [X.dtype]
    return np.float32 if all(dtype in (np.float16, np.float32) for dtype in dtypes) else np.float64


def _check_no_overflow(shaped, first_row):
    """Refuse shaped features beyond their precision."""
    is_finite = np.isfinite(shaped).all(axis=1)
    if not is_finite.all():
        raise ValueError(
            f"The shaped features of row {first_row + int(np.argmin(is_finite))} of X overflow "
            f"{shaped.dtype}. Remove the row, or rescale the features and the head together."
        )


def _chunks(rows, dtype):
    """Yield (slice, features) of consecutive rows that fit their share of the memory."""
    bytes_per_row = BYTES_PER_SHAPED_FEATURE * rows.n_features
    n_rows = rows_within(memory_budget(SHAPER_CHUNKS), bytes_per_row, len(rows))
    for part in row_slices(len(rows), n_rows):
        yield part, rows.load_in_place(part, dtype)


class ReAct(FeatureShaper):
    """Rectified activations: clip features at a percentile of all training activations.

    Parameters
    ----------
    percentile : float, default=90
        Percentile in [0, 100] of all values of the training features; larger ones are clipped.

    Attributes
    ----------
    threshold_ : float
        Value above which features are clipped.
    n_features_in_ : int
        Width of the features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had names in `fit`.

    References
    ----------
    Sun, Guo, Li, "ReAct: Out-of-distribution Detection With Rectified Activations", NeurIPS 2021.
    https://arxiv.org/abs/2111.12797

    Examples
    --------
    WeiPer on rectified features:

    >>> from sklearn.pipeline import make_pipeline
    >>> from skweiper import WeiPerDetector
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.shaping import ReAct
    >>> data = load_clinc150()
    >>> detector = WeiPerDetector(data.weight, data.bias, method="energy", random_state=0)
    >>> pipeline = make_pipeline(ReAct(percentile=90), detector).fit(data.train)
    >>> pipeline.score_samples(data.test_oos).shape
    (1000,)
    """

    _parameter_constraints = {"percentile": [PERCENT]}

    def __init__(self, percentile: float = 90) -> None:
        self.percentile = percentile

    def _learn(self, chunks):
        self.threshold_ = pooled_quantile(chunks, self.percentile / 100)

    def _shape(self, features):
        return np.minimum(features, features.dtype.type(self.threshold_))


class VRA(FeatureShaper):
    """Variational rectified activations: clip large features, set small ones to zero.

    Parameters
    ----------
    percentile_low : float, default=60
        Features below this percentile of all training activations become zero.
    percentile_high : float, default=90
        Features above this percentile are clipped at it.

    Attributes
    ----------
    low_ : float
        Value below which features become zero.
    high_ : float
        Value above which features are clipped.
    n_features_in_ : int
        Width of the features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had names in `fit`.

    Notes
    -----
    The defaults are the authors' setting for CIFAR-10 (https://github.com/zeroQiaoba/VRA); for
    CIFAR-100 they take 60 and 95. They take percentiles of each feature; here, as in ReAct and
    OpenOOD, they are of all features together. OpenOOD's defaults are 10 and 90, and it raises
    small features to the lower threshold instead of setting them to zero.

    References
    ----------
    Xu et al., "VRA: Variational Rectified Activation for Out-of-distribution Detection",
    NeurIPS 2023. https://arxiv.org/abs/2302.11716
    """

    _parameter_constraints = {"percentile_low": [PERCENT], "percentile_high": [PERCENT]}

    def __init__(self, percentile_low: float = 60, percentile_high: float = 90) -> None:
        self.percentile_low = percentile_low
        self.percentile_high = percentile_high

    def _learn(self, chunks):
        if self.percentile_low > self.percentile_high:
            raise ValueError(
                f"percentile_low must not exceed percentile_high={self.percentile_high}, "
                f"got {self.percentile_low}. Swap them."
            )
        self.low_ = pooled_quantile(chunks, self.percentile_low / 100)
        self.high_ = pooled_quantile(chunks, self.percentile_high / 100)

    def _shape(self, features):
        shaped = np.minimum(features, features.dtype.type(self.high_))
        shaped[features < self.low_] = 0
        return shaped


class ASH(FeatureShaper):
    """Activation shaping: keep each row's largest features, drop the rest.

    Made for features after a ReLU. Learns nothing but the number of features.

    Parameters
    ----------
    variant : {"s", "p", "b"}, default="s"
        "p" keeps the largest features as they are, "s" also multiplies them by
        exp(sum of all features / sum of the kept ones), "b" gives each of them an equal share of
        the sum of all features.
    percentile : float, default=None
        Percentage in [0, 100) of each row's features to drop; at least one is kept. None: the
        paper's choice for the variant, 90 for "s", 60 for "p", 65 for "b".

    Attributes
    ----------
    n_features_in_ : int
        Width of the features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had names in `fit`.

    References
    ----------
    Djurisic et al., "Extremely Simple Activation Shaping for Out-of-Distribution Detection",
    ICLR 2023. https://arxiv.org/abs/2209.09858
    """

    _parameter_constraints = {
        "variant": [StrOptions({"s", "p", "b"})],
        "percentile": [PERCENT_BELOW_ALL, None],
    }

    def __init__(
        self, variant: Literal["s", "p", "b"] = "s", percentile: float | None = None
    ) -> None:
        self.variant = variant
        self.percentile = percentile

    def _shape(self, features):
        percentile = self.percentile
        if percentile is None:
            percentile = ASH_PERCENTILES[self.variant]
        kept = _kept_positions(features, percentile)
        if self.variant == "b":
            return _binarised(features, kept)
        shaped = _pruned(features, kept)
        return shaped * _pruning_scale(features, kept) if self.variant == "s" else shaped


class SCALE(FeatureShaper):
    """Scale each row by how much of its activation its largest features hold.

    All features are multiplied by exp(sum of all features / sum of the largest ones). Made for
    features after a ReLU. Learns nothing but the number of features.

    Parameters
    ----------
    percentile : float, default=85
        Percentage in [0, 100) of each row's features that are not among the largest; at least one
        is.

    Attributes
    ----------
    n_features_in_ : int
        Width of the features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had names in `fit`.

    References
    ----------
    Xu et al., "Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement",
    ICLR 2024. https://arxiv.org/abs/2310.00227
    """

    _parameter_constraints = {"percentile": [PERCENT_BELOW_ALL]}

    def __init__(self, percentile: float = 85) -> None:
        self.percentile = percentile

    def _shape(self, features):
        return features * _pruning_scale(features, _kept_positions(features, self.percentile))


def _profile_over_ties(ordered, profile):
    """The profile for each row; equal values of a row share the mean of it over their ranks.

    Parameters
    ----------
    ordered : ndarray of shape (n_samples, n_features)
        Each row ascending.
    profile : ndarray of shape (n_features,)

    Returns
    -------
    ndarray of shape (n_samples, n_features), float64
    """
    is_first = np.ones_like(ordered, dtype=bool)
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.flatnonzero(is_first)
    n_equal = np.diff(first, append=ordered.size)
    ranks = first % ordered.shape[1]
    sums = beside(ordered, np.concatenate([[0.0], np.cumsum(profile)]))
    means = (sums[ranks + n_equal] - sums[ranks]) / n_equal
    # The place of each value's mean; `np.repeat` would take counts from the host only.
    return means[np.cumsum(is_first) - 1].reshape(ordered.shape)


class RAS(FeatureShaper):
    """Ranked activation shift: give every row the activations of an average one, in its order.

    The i-th smallest activation of a row becomes the mean over the training rows of their i-th
    smallest. What a row keeps is which activations are large. Rectified features or not; no
    parameters.

    Attributes
    ----------
    profile_ : ndarray of shape (n_features,)
        Mean of the i-th smallest activation of the training rows, ascending.
    n_features_in_ : int
        Width of the features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had names in `fit`.

    Notes
    -----
    Equal activations of a row share the mean of the profile over their ranks, so that the order of
    the columns means nothing. The authors' code (https://github.com/gigug/RAS) leaves their order
    to the sort.

    Made for the energy. Before WeiPer+KLD it takes away what one of the densities shows: but for
    ties, the activations of all rows are then the same, in another order.

    References
    ----------
    Guglielmo and Masana, "Ranked Activation Shift for Post-Hoc Out-of-Distribution Detection",
    ECCV 2026. https://arxiv.org/abs/2604.08572

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skweiper.baselines import LogitDetector
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.shaping import RAS
    >>> data = load_clinc150()
    >>> energy = LogitDetector(data.weight, data.bias, method="energy")
    >>> make_pipeline(RAS(), energy).fit(data.train).score_samples(data.test_oos).shape
    (1000,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def _learn(self, chunks):
        total, n_samples = 0.0, 0
        for features in chunks():
            total = total + np.sort(features, axis=1).sum(axis=0, dtype=np.float64)
            n_samples += len(features)
        self.profile_ = as_host(total / n_samples)

    def _shape(self, features):
        order = np.argsort(features, axis=1)
        ordered = np.take_along_axis(features, order, axis=1)
        shaped = np.empty_like(features)
        np.put_along_axis(shaped, order, _profile_over_ties(ordered, self.profile_), axis=1)
        return shaped
