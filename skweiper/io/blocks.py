"""Rows of files that are read forwards, block by block, for several passes and several threads.

Most formats keep rows in units that can only be decoded as a whole (a row group, a compressed
chunk) or from the beginning on (text, a compressed stream). A reader decodes them in their order
and keeps the last few blocks, so that slices which follow each other, from several threads too,
decode every unit once; a file that fits the memory kept for it is decoded once for all passes.
"""

import threading
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pandas as pd

from skweiper._support.memory import MEBIBYTE, file_budget, rows_within
from skweiper._support.row_views import RowView
from skweiper.io.errors import DumpError

__all__ = ["BlockFile", "BlockReader", "BlockRows", "frame_of"]

LARGEST_BLOCK = 16 * MEBIBYTE
"""Enough to outweigh the cost of starting to decode a block with hundreds of columns."""
BLOCKS_KEPT = 4
"""At least, where the budget is large enough for blocks of any use."""
ROW_BYTES_OF_TEXT = 256
"""Of a row of ids, about."""


class BlockFile:
    """Rows of one file (or of one array in it) that can be read forwards.

    Parameters
    ----------
    path : str
    n_rows : int
    entries : sequence of int, ascending from 0
        Rows from which reading can begin.
    """

    def __init__(self, path, n_rows, entries=(0,)):
        self.path = path
        self.n_rows = n_rows
        self.entries = np.asarray(entries)

    def blocks(self, entry, n_rows):
        """Yield consecutive blocks, arrays or DataFrames of about `n_rows` rows, from `entry` on.

        Parameters
        ----------
        entry : int
            One of `entries`.
        n_rows : int
        """
        raise NotImplementedError


class _Cursor:
    """A place in a file up to which it was decoded."""

    def __init__(self, file, entry, n_rows):
        self.file = file
        self.next_row = entry
        self._blocks = file.blocks(entry, n_rows)

    def advance(self):
        """(first row, block) of the next block that has rows."""
        for block in self._blocks:
            if len(block):
                first = self.next_row
                self.next_row += len(block)
                self._check(self.next_row <= self.file.n_rows)
                return first, block
        self._check(False)

    def _check(self, is_as_counted):
        if not is_as_counted:
            raise DumpError(
                f"{self.file.path} gave {self.next_row} rows, where {self.file.n_rows} were "
                "counted when it was opened: it was changed meanwhile, or is damaged. Load it "
                "again."
            )

    def close(self):
        self._blocks.close()


class BlockReader:
    """The rows of several files as one, in blocks. Safe to use from several threads.

    Parameters
    ----------
    files : list of BlockFile
    row_bytes : int
        Size of a decoded row.
    keeps_one : bool, default=False
        Whether to keep the last block only.
    """

    def __init__(self, files, row_bytes, keeps_one=False):
        self.files = files
        self.row_bytes = row_bytes
        self.keeps_one = keeps_one
        self.starts = np.concatenate([[0], np.cumsum([file.n_rows for file in files])])
        self._forget()

    def _forget(self):
        self._lock = threading.Lock()
        self._cursor = None
        self._kept = OrderedDict()
        self._kept_bytes = 0

    def __getstate__(self):
        names = ("files", "row_bytes", "keeps_one", "starts")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state):
        vars(self).update(state)
        self._forget()

    @property
    def n_rows(self):
        return int(self.starts[-1])

    def fill(self, first, last, out):
        """Copy consecutive rows into an array of as many rows."""
        with self._lock:
            for place, piece in self._pieces(first, last):
                out[place : place + len(piece)] = piece

    def gather(self, wanted, out):
        """Copy the rows of ascending numbers into an array of as many rows."""
        done = 0
        with self._lock:
            while done < len(wanted):
                first, block = self._block_with(int(wanted[done]))
                upto = int(np.searchsorted(wanted, first + len(block)))
                out[done:upto] = block[wanted[done:upto] - first]
                done = upto

    def frame(self, first, last):
        """Consecutive rows of blocks that are DataFrames."""
        with self._lock:
            pieces = [piece for _, piece in self._pieces(first, last)]
        return pd.concat(pieces, ignore_index=True)

    def _pieces(self, first, last):
        """(rows before it, part of a block) of consecutive rows."""
        row = first
        while row < last:
            start, block = self._block_with(row)
            piece = block[row - start : last - start]
            yield row - first, piece
            row += len(piece)

    def _block_with(self, row):
        """(first row, block) of the block that holds a row, decoded unless it is kept."""
        for start, block in reversed(self._kept.items()):
            if start <= row < start + len(block):
                return start, block
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        start = int(self.starts[number])
        try:
            self._go_to(self.files[number], row - start)
            while True:
                first, block = self._cursor.advance()
                self._keep(start + first, block)
                if self._cursor.next_row >= self.files[number].n_rows:
                    self._leave()  # no file stays open behind a pass
                if row < start + first + len(block):
                    return start + first, block
        except BaseException:
            self._leave()
            raise

    def _go_to(self, file, row):
        """Have the cursor before a row of a file, no further from it than need be."""
        entry = int(file.entries[np.searchsorted(file.entries, row, side="right") - 1])
        cursor = self._cursor
        if cursor and cursor.file is file and entry <= cursor.next_row <= row:
            return
        self._leave()
        block_bytes = min(file_budget() // BLOCKS_KEPT, LARGEST_BLOCK)
        n_rows = rows_within(block_bytes, self.row_bytes, file.n_rows)
        self._cursor = _Cursor(file, entry, n_rows)

    def _leave(self):
        cursor, self._cursor = self._cursor, None
        if cursor:
            with suppress(Exception):  # what went wrong before is what is told
                cursor.close()

    def _keep(self, first, block):
        before = self._kept.pop(first, None)
        if before is not None:
            self._kept_bytes -= _n_bytes(before)
        self._kept[first] = block
        self._kept_bytes += _n_bytes(block)
        budget = 0 if self.keeps_one else file_budget()
        while self._kept_bytes > budget and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= _n_bytes(oldest)


def _n_bytes(block):
    if isinstance(block, pd.DataFrame):
        return int(block.memory_usage(index=False, deep=True).sum())
    return block.nbytes


class BlockRows(RowView):
    """The feature rows of files that are read forwards, one below the other.

    Parameters
    ----------
    files : list of BlockFile
        Their blocks are arrays of shape (n_rows, n_features).
    n_features : int
    dtype : dtype
    """

    def __init__(self, files, n_features, dtype):
        self.files = files
        self.dtype = np.dtype(dtype)
        self._reader = BlockReader(files, n_features * self.dtype.itemsize)
        self.shape = (self._reader.n_rows, n_features)

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.shape[0])
            out = np.empty((max(0, last - first), self.shape[1]), self.dtype)
            self._reader.fill(first, last, out)
            return out
        wanted, places = np.unique(rows, return_inverse=True)
        out = np.empty((len(wanted), self.shape[1]), self.dtype)
        self._reader.gather(wanted, out)
        return out if np.array_equal(wanted, rows) else out[places]


def frame_of(files, first, last):
    """Consecutive rows of files whose blocks are DataFrames, read once and not kept.

    Parameters
    ----------
    files : list of BlockFile
    first, last : int

    Returns
    -------
    DataFrame
    """
    return BlockReader(files, ROW_BYTES_OF_TEXT, keeps_one=True).frame(first, last)
