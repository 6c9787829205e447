"""Rows of a feature matrix, converted slice by slice when asked for."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skweiper._support.containers import as_host, is_device_array, on_device_of
from skweiper._support.validation import (
    check_feature_matrix,
    check_finite,
    check_width_and_names,
)


def row_slices(n_rows, chunk_rows):
    """Consecutive slices of at most `chunk_rows` rows."""
    return [slice(first, min(first + chunk_rows, n_rows)) for first in range(0, n_rows, chunk_rows)]


@dataclass(frozen=True)
class FeatureRows:
    """The rows of a checked feature matrix that take part, converted when asked for.

    Attributes
    ----------
    X : ndarray, memory map, DataFrame, `RowView` or device array, (n_samples, n_features)
    row_index : ndarray of shape (len(self),), int, or None
        Rows of X that take part; None means all.
    numbers : ndarray of shape (n_samples,), int, or None
        What the rows of X are called in messages, where X is a part of something; None: as they
        are counted.
    """

    X: object
    row_index: np.ndarray | None = None
    numbers: np.ndarray | None = None

    @classmethod
    def where(cls, X, mask):
        """The rows of X where `mask` is true; all of them where it is None."""
        return cls(X, None if mask is None else np.flatnonzero(mask))

    def take(self, rows):
        """Some of the rows, by their numbers among these."""
        chosen = rows if self.row_index is None else self.row_index[rows]
        return FeatureRows(self.X, chosen, self.numbers)

    def __len__(self):
        return self.X.shape[0] if self.row_index is None else len(self.row_index)

    @property
    def n_features(self):
        return self.X.shape[1]

    @property
    def is_on_device(self):
        return is_device_array(self.X)

    def raw(self, rows):
        """Values of a slice of the rows as they came."""
        chosen = rows if self.row_index is None else self.row_index[rows]
        if hasattr(self.X, "iloc"):
            return self.X.iloc[chosen].to_numpy()
        with on_device_of(self.X):
            return self.X[chosen]

    def load(self, rows, dtype=np.float32):
        """A slice of the rows as a finite, C-contiguous array that must not be written to.

        Raises
        ------
        ValueError
            NaN, infinity, or a value that `dtype` cannot hold.
        TypeError
            The rows are on a GPU, where only some estimators compute.
        """
        if self.is_on_device:
            raise TypeError(
                "X is on the GPU, but this computes on the CPU. Pass a copy in host memory, "
                "X.get() for CuPy."
            )
        return self._checked(self.raw(rows), rows, dtype)

    def chunks(self, parts, dtype=np.float64):
        """Yield (slice, its rows in host memory as `load` gives them) for consecutive slices.

        Rows on a GPU are copied, slice by slice.
        """
        for part in parts:
            yield part, self.load_copied(part, dtype)

    def load_copied(self, rows, dtype=np.float64):
        """`load`, from a GPU too."""
        return self._checked(as_host(self.raw(rows)), rows, dtype)

    def load_in_place(self, rows, dtype=np.float64):
        """`load`, where the rows live: as a CuPy array of rows on a GPU."""
        with on_device_of(self.X):
            return self._checked(self.raw(rows), rows, dtype)

    def _checked(self, source, rows, dtype):
        with np.errstate(over="ignore"):  # an overflow is reported by check_finite, with its place
            chunk = source.astype(dtype, order="C", copy=False)
        check_finite(chunk, source, self.row_numbers(rows))
        return chunk

    def row_numbers(self, rows):
        """Rows of X behind a slice of the rows."""
        if self.numbers is None:
            return (range(len(self)) if self.row_index is None else self.row_index)[rows]
        return self.numbers[rows if self.row_index is None else self.row_index[rows]]


def checked_rows(estimator, X):
    """The rows of X, checked against what a fitted estimator saw.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    FeatureRows
    """
    if not hasattr(estimator, "n_features_in_"):  # scikit-learn's check takes longer than a row
        check_is_fitted(estimator)
    X = check_feature_matrix(X, type(estimator).__name__)
    check_width_and_names(estimator, X, reset=False)
    return FeatureRows(X)
