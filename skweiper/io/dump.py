"""FeatureDump: features in files, as every estimator takes them."""

from collections.abc import Iterator
from operator import index as as_index
from typing import Any, Self

import numpy as np
import pandas as pd

from skweiper._support.row_views import RowView
from skweiper._typing import IntArray
from skweiper.io.stacked import PartRows

__all__ = ["FeatureDump"]

PART_ROWS = 2**16


class FeatureDump(RowView):
    """Features in one or several files, read when their rows are asked for.

    Made by `load_features` and `open_features`. Every estimator of this library takes it as X,
    reads it slice by slice and compares the names of its features; `dump[10:20]` and `dump[[3, 1]]`
    are NumPy arrays, `numpy.asarray(dump)` and `dump.to_frame()` read the whole. It may be used
    from several threads, and is pickled as a path.

    Parameters
    ----------
    values : RowView or ndarray, of shape (n_samples, n_features)
    path : str
    columns : list of str, default=None
    ids : object with `read(first, last)`, default=None
        Reads what names the rows.

    Attributes
    ----------
    shape : tuple of int, (n_samples, n_features)
    dtype : dtype
        As stored; bfloat16 is read as float32.
    path : str
    """

    def __init__(
        self, values: Any, path: str, columns: list[str] | None = None, ids: Any = None
    ) -> None:
        self._values = values
        self._ids = ids
        self._first_row = 0
        self.path = path
        self.columns = columns
        self.shape = tuple(values.shape)
        self.dtype = np.dtype(values.dtype)

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the features in their order; None where the file has none."""
        return self.columns

    @property
    def index(self) -> pd.Index | None:
        """What names the rows (the id columns), read now; None where the file has no ids."""
        if self._ids is None:
            return None
        return self._ids.read(self._first_row, self._first_row + len(self))

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, tuple):
            rows = _only_rows(rows)
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step == 1:
                return np.asarray(self._values[first : max(first, last)])
            rows = np.arange(first, last, step)
        elif not np.ndim(rows):
            return self[[as_index(rows)]][0]
        return np.asarray(self._values[_row_numbers(rows, len(self))])

    def part(self, first: int, last: int) -> Self:
        """Consecutive rows, still in the file.

        Parameters
        ----------
        first, last : int
            From row `first` to the row before `last`, as in a slice.

        Returns
        -------
        FeatureDump
        """
        first, last, _ = slice(first, last).indices(len(self))
        last = max(first, last)
        is_view = isinstance(self._values, RowView)
        values = PartRows(self._values, first, last) if is_view else self._values[first:last]
        part = type(self)(values, self.path, self.columns, self._ids)
        part._first_row = self._first_row + first
        return part

    def parts(self, n_rows: int = PART_ROWS) -> Iterator[Self]:
        """Consecutive parts of all rows, still in the file.

        Parameters
        ----------
        n_rows : int, default=65536
            Rows of a part, at most.

        Yields
        ------
        FeatureDump

        Examples
        --------
        Scores of a dump that is larger than memory, written as they come::

            with ScoreWriter("scores.parquet") as scores:
                for part in open_features("dump/*.parquet").parts():
                    scores.write(detector.score_samples(part), index=part.index)
        """
        if n_rows < 1:
            raise ValueError(f"n_rows must be at least 1, got {n_rows}.")
        for first in range(0, len(self), n_rows):
            yield self.part(first, first + n_rows)

    def to_frame(self) -> pd.DataFrame:
        """All rows as a table in memory, with the names of the features and the index.

        Returns
        -------
        DataFrame of shape (n_samples, n_features)
        """
        return pd.DataFrame(self[:], columns=self.columns, index=self.index, copy=False)

    def __repr__(self) -> str:
        names = self.columns
        named = "" if names is None else f", features {names[0]!r} .. {names[-1]!r}"
        ids = "" if self._ids is None else f", index {self._ids.names}"
        return f"<FeatureDump {self.path}: {self.shape}, {self.dtype}{named}{ids}>"


def _only_rows(key):
    """The rows of a key such as (rows, ...), which scikit-learn's splitters use."""
    rows, *others = key
    if not all(other is Ellipsis or other == slice(None) for other in others):
        raise TypeError(
            "A FeatureDump is sliced by rows only, as dump[rows]. Choose features by "
            "load_features(path, columns=...)."
        )
    return rows


def _row_numbers(rows, n_rows) -> IntArray:
    """Row numbers, at least 0, of a mask or of numbers that may count from the end."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n_rows,):
            raise IndexError(f"A mask of shape {rows.shape} cannot choose from {n_rows} rows.")
        return np.flatnonzero(rows)
    if rows.size == 0:
        return np.empty(0, np.intp)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise IndexError(f"Rows are chosen by numbers, a mask or a slice, got dtype {rows.dtype}.")
    if rows.min() < -n_rows or rows.max() >= n_rows:
        raise IndexError(f"Row {rows[np.argmax(np.abs(rows))]} is not among {n_rows} rows.")
    return np.where(rows < 0, rows + n_rows, rows)
