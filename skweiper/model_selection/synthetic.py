"""Synthetic outliers from ID features, for tuning where no OOD data is at hand."""

from numbers import Integral
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state

from skweiper._support.containers import as_host, beside
from skweiper._support.parameters import Interval, StrOptions, validate_parameter_constraints
from skweiper._support.row_views import as_pandas
from skweiper._typing import Seed
from skweiper.head import check_head


def _mixtures(X, n_samples, classes, random_state):
    """Between a half and 30:70 of two samples, of different classes where they are known."""
    first = random_state.randint(len(X), size=n_samples)
    second = random_state.randint(len(X), size=n_samples)
    if classes is not None:
        second = _of_another_class(first, second, classes, random_state)
    share = random_state.uniform(0.3, 0.7, size=(n_samples, 1))
    return share * X[first] + (1 - share) * X[second]


def _of_another_class(first, second, classes, random_state):
    if len(np.unique(classes)) < 2:
        raise ValueError(
            "Mixtures with weight need samples of two predicted classes, got one. Pass samples of "
            "more classes, weight=None, or another method than 'mixture' and 'all'."
        )
    while (same := classes[first] == classes[second]).any():
        second[same] = random_state.randint(len(classes), size=np.count_nonzero(same))
    return second


def _permutations(X, n_samples, classes, random_state):
    """Every feature from a sample of its own: the marginals stay, the dependence goes."""
    rows = random_state.randint(len(X), size=(n_samples, X.shape[1]))
    return X[rows, np.arange(X.shape[1])]


def _noise(X, n_samples, classes, random_state):
    """Normal noise of each feature's own standard deviation."""
    rows = random_state.randint(len(X), size=n_samples)
    noise = random_state.standard_normal((n_samples, X.shape[1]))
    noisy = X[rows] + X.std(axis=0) * noise
    # Features after a ReLU have no negative values, nor have those of real OOD samples.
    return np.maximum(noisy, 0) if X.min() >= 0 else noisy


def _scaling(X, n_samples, classes, random_state):
    """Shrunk towards the origin: OOD features tend to have smaller norms."""
    rows = random_state.randint(len(X), size=n_samples)
    return random_state.uniform(0.3, 0.9, size=(n_samples, 1)) * X[rows]


KINDS = (_mixtures, _permutations, _noise, _scaling)


def _of_every_kind(X, n_samples, classes, random_state):
    """Equal shares of all kinds: what looks good against one of them alone fails on the others."""
    sizes = [len(part) for part in np.array_split(np.arange(n_samples), len(KINDS))]
    parts = [
        make(X, size, classes, random_state)
        for make, size in zip(KINDS, sizes, strict=True)
        if size
    ]
    return np.concatenate(parts)


SYNTHETIC_METHODS = MappingProxyType(
    {
        "all": _of_every_kind,
        "mixture": _mixtures,
        "permutation": _permutations,
        "noise": _noise,
        "scaling": _scaling,
    }
)


def synthetic_outliers(
    X: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    method: Literal["all", "mixture", "permutation", "noise", "scaling"] = "all",
    n_samples: int | None = None,
    random_state: Seed = None,
) -> Any:
    """Make outliers from ID features, to serve as validation OOD rows in a search.

    Parameters
    ----------
    X : array-like of shape (n_id, n_features)
        ID features, best held out from `fit`.
    weight : array-like of shape (n_classes, n_features), default=None
        The final layer. With it, "mixture" mixes samples of different predicted classes only.
    bias : array-like of shape (n_classes,), default=None
    method : {"all", "mixture", "permutation", "noise", "scaling"}, default="all"
        "all": equal shares of the others, in their order; each of them alone chose far worse
        than the default hyperparameters on some dataset, see docs/tuning.md.
        "mixture": convex mixtures of two samples, with shares between 0.3 and 0.7. "permutation":
        every feature is taken from another sample. "noise": normal noise with each feature's own
        standard deviation is added; non-negative features stay so. "scaling": samples are
        multiplied by factors between 0.3 and 0.9.
    n_samples : int, default=None
        None makes as many as X has.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    ndarray or DataFrame of shape (n_samples, n_features), float32
        A DataFrame with the columns of X where X is a table. Where X is on a GPU, a CuPy array
        beside it; the outliers are drawn on the CPU all the same, so that a seed means the same
        everywhere.

    Raises
    ------
    ValueError
        An unknown method, bad shapes, or mixtures asked of a single predicted class.

    Examples
    --------
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.model_selection import synthetic_outliers
    >>> data = load_clinc150()
    >>> synthetic_outliers(data.validation, data.weight, data.bias, random_state=0).shape
    (1200, 256)
    """
    constraints = {
        "method": [StrOptions(set(SYNTHETIC_METHODS))],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    given = {"method": method, "n_samples": n_samples, "random_state": random_state}
    validate_parameter_constraints(constraints, given, "synthetic_outliers")
    X = as_pandas(X)
    columns = X.columns if hasattr(X, "iloc") else None
    # In one order, or the sums behind the noise would differ between a frame and its values.
    features = check_array(as_host(X), dtype=np.float32, order="C", input_name="X")
    classes = None
    if weight is not None:
        classes = check_head(weight, bias, features.shape[1]).logits(features).argmax(axis=1)
    make = SYNTHETIC_METHODS[method]
    n_samples = n_samples or len(features)
    made = make(features, n_samples, classes, check_random_state(random_state)).astype(np.float32)
    return beside(X, made) if columns is None else pd.DataFrame(made, columns=columns)
