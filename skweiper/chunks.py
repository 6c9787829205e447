"""Rows of a feature matrix, converted chunk by chunk within a memory budget."""

from dataclasses import dataclass

import numpy as np
from sklearn import get_config

from skweiper.validation import check_finite, is_device_array

MEBIBYTE = 2**20


def memory_budget():
    """scikit-learn's `working_memory` setting, in bytes."""
    return int(get_config()["working_memory"] * MEBIBYTE)


def rows_within(budget, bytes_per_row, most):
    """How many rows of `bytes_per_row` fit `budget` bytes: at least 1, at most `most`."""
    return int(max(1, min(most, budget // max(1, bytes_per_row))))


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
    """

    X: object
    row_index: np.ndarray | None = None

    @classmethod
    def where(cls, X, mask):
        """The rows of X where `mask` is true; all of them where it is None."""
        return cls(X, None if mask is None else np.flatnonzero(mask))

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
        return self.X.iloc[chosen].to_numpy() if hasattr(self.X, "iloc") else self.X[chosen]

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
        source = self.raw(rows)
        with np.errstate(over="ignore"):  # an overflow is reported by check_finite, with its place
            chunk = np.ascontiguousarray(source, dtype=dtype)
        check_finite(chunk, source, self.row_numbers(rows))
        return chunk

    def row_numbers(self, rows):
        """Rows of X behind a slice of the rows."""
        return (range(len(self)) if self.row_index is None else self.row_index)[rows]
