"""Rows of several sources below each other, and a part of one."""

import numpy as np

from skweiper._support.row_views import RowView
from skweiper.io.blocks import BlockRows

__all__ = ["PartRows", "StackedRows", "stacked"]


class PartRows(RowView):
    """Consecutive rows of a view, read when asked for.

    Parameters
    ----------
    source : RowView
    first, last : int
    """

    def __init__(self, source, first, last):
        self.source = source
        self.first = first
        self.shape = (last - first, *source.shape[1:])
        self.dtype = source.dtype

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.shape[0])
            return self.source[self.first + first : self.first + max(first, last)]
        return self.source[np.asarray(rows) + self.first]


class StackedRows(RowView):
    """The rows of several views below each other.

    Parameters
    ----------
    parts : list of RowView
        As wide as each other.
    """

    def __init__(self, parts):
        self.parts = parts
        self.starts = np.concatenate([[0], np.cumsum([part.shape[0] for part in parts])])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])
        self.dtype = np.result_type(*(part.dtype for part in parts))

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.shape[0])
            return self._consecutive(first, max(first, last))
        rows = np.asarray(rows)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        number = np.searchsorted(self.starts, rows, side="right") - 1
        for part in np.unique(number):
            here = number == part
            out[here] = self.parts[part][rows[here] - self.starts[part]]
        return out

    def _consecutive(self, first, last):
        out = np.empty((last - first, *self.shape[1:]), self.dtype)
        for part, start in zip(self.parts, self.starts[:-1], strict=True):
            lower, upper = max(first, start), min(last, start + part.shape[0])
            if lower < upper:
                out[lower - first : upper - first] = part[lower - start : upper - start]
        return out


def stacked(parts):
    """Views below each other; those that are read forwards share one reader, and its memory.

    Parameters
    ----------
    parts : list of RowView
        As wide as each other.

    Returns
    -------
    RowView
    """
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, BlockRows) for part in parts):
        files = [file for part in parts for file in part.files]
        dtype = np.result_type(*(part.dtype for part in parts))
        return BlockRows(files, parts[0].shape[1], dtype)
    return StackedRows(parts)
