"""Features and heads, drawn: tame ones that every estimator must take, and wild ones."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

WIDTHS = [1, 2, 3, 5, 8, 12, 16, 17, 33, 64, 70, 130]
TAME_WIDTHS = [4, 5, 8, 12, 17, 33]
CLASS_COUNTS = [1, 2, 3, 5, 10, 37, 150]
KINDS = ["normal", "rectified", "steps", "constant", "repeated", "spikes", "low rank", "one row"]
TAME_KINDS = ["normal", "rectified"]
DTYPES = ["float16", "float32", "float64", "longdouble", "int8", "int32", "uint8", "bool", ">f4"]
TAME_DTYPES = ["float16", "float32", "float64"]
SCALES = [0.0, 1e-300, 1e-100, 1e-30, 1e-10, 1e-3, 1.0, 1e3, 1e10, 1e30, 1e100, 1e300]
SPECIAL = [0.0, -0.0, 1e-45, 1e-38, -1e-310, 65504.0, -3.4e38, 1e39, 1e160, -1e308]
HEAD_KINDS = ["normal", "zeros", "constant rows", "equal rows", "one large row"]


@dataclass(frozen=True)
class Problem:
    """What an estimator is fitted on and asked.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
    queries : ndarray of shape (n_queries, n_features)
    weight : ndarray of shape (n_classes, n_features), or None
    bias : ndarray of shape (n_classes,), or None
    """

    X: np.ndarray
    queries: np.ndarray
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None

    @property
    def n_classes(self):
        return self.X.shape[1] if self.weight is None else len(self.weight)

    @property
    def classes(self):
        """The class of each row: the head's prediction, for a few rows another one."""
        X = np.clip(self.X.astype(np.float64), -1e100, 1e100)
        weight = np.eye(self.n_classes) if self.weight is None else self.weight
        bias = 0.0 if self.bias is None else self.bias
        with np.errstate(over="ignore", invalid="ignore"):
            classes = (X @ np.clip(weight, -1e100, 1e100).T + bias).argmax(axis=1)
        classes[::7] = (classes[::7] + 1) % self.n_classes
        return classes

    def of_dtype(self, dtype):
        """The same problem in another dtype, values beyond it at its ends."""
        return replace(self, X=cast(self.X, dtype), queries=cast(self.queries, dtype))


def cast(values, dtype):
    """Values in another dtype, rounded for integers, those beyond it at its ends."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return values > 0
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    if dtype.kind in "iu":
        values = np.rint(values)
    # The largest int64, as a float, is one too large.
    return np.clip(values, float(limits.min), np.nextafter(float(limits.max), 0)).astype(dtype)


def rows_of(kind, n_rows, n_features, rng):
    """Features of a kind, float64."""
    X = rng.standard_normal((n_rows, n_features))
    if kind == "rectified":
        return np.maximum(X, 0)
    if kind == "steps":  # ties, and values on the edges of bins
        return np.rint(4 * X) / 4
    if kind == "constant":
        return np.full(X.shape, X[0, 0])
    if kind == "repeated":
        return X[rng.randint(min(3, n_rows), size=n_rows)]
    if kind == "one row":
        return np.repeat(X[:1], n_rows, axis=0)
    if kind == "spikes":
        return X * np.where(rng.rand(*X.shape) < 0.02, 1e4, 1.0)
    if kind == "low rank":
        return X[:, :1] * rng.standard_normal(n_features)
    return X


def weight_of(kind, n_classes, n_features, rng):
    """A weight of a kind, float64."""
    weight = rng.standard_normal((n_classes, n_features))
    if kind == "zeros":
        return np.zeros_like(weight)
    if kind == "constant rows":
        return np.repeat(weight[:, :1], n_features, axis=1)
    if kind == "equal rows":
        return np.repeat(weight[:1], n_classes, axis=0)
    if kind == "one large row":
        weight[0] *= 1e6
    return weight


@st.composite
def tame_problems(draw, dtypes=TAME_DTYPES, kinds=TAME_KINDS):
    """More rows than features, of moderate size, and a head that tells some classes apart."""
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    n_features, n_classes = draw(st.sampled_from(TAME_WIDTHS)), draw(st.integers(2, 6))
    n_rows, n_queries = draw(st.integers(3 * n_features, 120)), draw(st.integers(1, 40))
    kind, scale = draw(st.sampled_from(kinds)), draw(st.sampled_from([0.1, 1.0, 10.0]))
    X, queries = (scale * rows_of(kind, n, n_features, rng) for n in (n_rows, n_queries))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    if dtype.kind in "iu":
        X, queries = 20 * X / scale, 20 * queries / scale  # many different integers
    weight = rng.standard_normal((n_classes, n_features)) / scale
    bias = rng.standard_normal(n_classes) if draw(st.booleans()) else None
    return Problem(X, queries + 0.5 * scale, weight, bias).of_dtype(dtype)


@st.composite
def wild_problems(draw, dtypes=DTYPES):
    """Any number of rows, any kind, any scale, and a few values that are like no other."""
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    n_features, n_classes = draw(st.sampled_from(WIDTHS)), draw(st.sampled_from(CLASS_COUNTS))
    scale, head_scale = draw(st.sampled_from(SCALES)), draw(st.sampled_from(SCALES))
    parts = []
    for most in (40, 12):
        kind, n_rows = draw(st.sampled_from(KINDS)), draw(st.integers(1, most))
        rows = scale * rows_of(kind, n_rows, n_features, rng)
        for value in draw(st.lists(st.sampled_from(SPECIAL), max_size=3)):
            rows[rng.randint(n_rows), rng.randint(n_features)] = value
        parts.append(rows)
    problem = Problem(*parts).of_dtype(draw(st.sampled_from(dtypes)))
    if draw(st.integers(0, 5)) == 0:
        return problem  # the rows are logits
    weight = head_scale * weight_of(draw(st.sampled_from(HEAD_KINDS)), n_classes, n_features, rng)
    bias = scale * head_scale * rng.standard_normal(n_classes) if draw(st.booleans()) else None
    dtype = draw(st.sampled_from(["float32", "float64"]))
    head = [None if part is None else cast(part, dtype) for part in (weight, bias)]
    return replace(problem, weight=head[0], bias=head[1])
