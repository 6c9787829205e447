"""Rows of what is no NumPy array, read slice by slice and never as a whole.

A view has a shape and a dtype, and `view[rows]` is a NumPy array of the rows that a slice or an
array of row numbers chooses.
"""

from typing import Any

import numpy as np
import pandas as pd

from skweiper._support.containers import (
    as_host,
    column_names,
    columns_of,
    is_foreign_frame,
    on_device_of,
)

MOST_UNUSED = 2
"""Neighbouring rows are read together if these are at most so many times the rows asked for: h5py
takes far longer for rows by number than for a slice."""


class RowView:
    """Base of the views.

    Parameters
    ----------
    source : object
        What is read, with `shape`.

    Attributes
    ----------
    columns : list of str, or None
        Names of the features, where there are any.
    index : pandas Index, or None
        What names the rows, where there is such a thing.
    """

    columns: list[str] | None = None
    index: Any = None

    def __init__(self, source):
        self.source = source
        self.shape = tuple(source.shape)

    @property
    def ndim(self):
        return len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype=dtype)  # for other libraries: reads the whole


class BFloat16Rows(RowView):
    """Rows of a tensor or array of bfloat16, as float32."""

    dtype = np.dtype(np.float32)

    def __getitem__(self, rows):
        return as_host(self.source[rows])


class StoredRows(RowView):
    """Rows of an array on disk that is read by slices (h5py)."""

    def __init__(self, source):
        super().__init__(source)
        self.dtype = np.dtype(source.dtype)

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            return self.source[rows]
        # h5py takes row numbers in increasing order only, each once.
        wanted, places = np.unique(rows, return_inverse=True)
        return self._read(wanted)[places]

    def _read(self, wanted):
        if len(wanted) == 0:
            return self.source[0:0]
        first, last = int(wanted[0]), int(wanted[-1]) + 1
        if last - first <= MOST_UNUSED * len(wanted):
            return self.source[first:last][wanted - first]
        return self.source[wanted]


class FrameRows(RowView):
    """Rows of a table of polars or pyarrow with numeric columns.

    Attributes
    ----------
    columns : list of str
    dtypes : list of dtype
    """

    def __init__(self, source):
        super().__init__(source)
        self.columns = column_names(source)
        self.dtypes = [np.asarray(column).dtype for column in columns_of(source.slice(0, 0))]

    @property
    def dtype(self):
        # One for all slices, whether they have missing values or not.
        return np.result_type(*self.dtypes, np.float16)

    def __getitem__(self, rows):
        return np.asarray(self.table_of(rows)).astype(self.dtype, copy=False)

    def table_of(self, rows):
        """The rows that a slice or an array of row numbers chooses, as a table of the same kind."""
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.shape[0])
            return self.source.slice(first, last - first)
        return self.source.take(rows) if hasattr(self.source, "take") else self.source[rows]


class ChosenRows(RowView):
    """Rows of a view by number, read when asked for.

    Parameters
    ----------
    source : RowView
    numbers : ndarray of int
    """

    def __init__(self, source, numbers):
        self.source = source
        self.numbers = np.asarray(numbers)
        self.shape = (len(numbers), *source.shape[1:])
        self.dtype = source.dtype
        self.columns = source.columns

    def __getitem__(self, rows):
        return self.source[self.numbers[rows]]


def rows_at(X, index):
    """Rows of a checked feature matrix by number; a table keeps its names, and a file its rows."""
    if isinstance(X, FrameRows):
        return X.table_of(index)
    if isinstance(X, RowView):
        return ChosenRows(X, index)
    if hasattr(X, "iloc"):
        return X.iloc[index]
    with on_device_of(X):
        return X[index]


def unwrapped(X):
    """What a checked feature matrix is for other libraries: tables as they came, else an array."""
    if isinstance(X, FrameRows):
        return X.source
    if isinstance(X, RowView):
        return X[:] if X.columns is None else as_pandas(X)
    return X


def as_pandas(X):
    """A table of another kind as a pandas DataFrame; anything without names as it is."""
    rows = FrameRows(X) if is_foreign_frame(X) else X
    if not isinstance(rows, RowView) or rows.columns is None:
        return X
    return pd.DataFrame(rows[:], columns=rows.columns, index=rows.index)
