"""What every file of named arrays offers, and rows of arrays that lie in a file as they are."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from skweiper._support.containers import is_real
from skweiper._support.row_views import RowView
from skweiper.io.blocks import BlockFile

__all__ = ["ArrayFile", "ArrayIds", "BFloat16FileRows", "FileRows", "SliceFile", "StoredArray"]


class StoredArray(NamedTuple):
    """An array in a file.

    Attributes
    ----------
    name : str
        "" where the file has one array without a name.
    shape : tuple of int
    dtype : str
        NumPy's name where it has one; "bfloat16" is read as float32; "object" is a pickle.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def is_real(self) -> bool:
        """Whether it holds real numbers."""
        if self.dtype == "bfloat16":
            return True
        try:
            return bool(self.dtype) and is_real(np.dtype(self.dtype))
        except TypeError:  # a type that NumPy does not know, or one of several fields
            return False


class ArrayFile:
    """Base of the formats that hold named arrays.

    A subclass sets the attributes and defines the methods.

    Attributes
    ----------
    path : str
    arrays : dict of str to StoredArray
    """

    def rows(self, name):
        """Rows of an array of two dimensions, `RowView`."""
        raise NotImplementedError

    def read(self, name):
        """The whole of an array, ndarray."""
        raise NotImplementedError


class ArrayIds:
    """What names the rows of files below each other: an array in each of them.

    Parameters
    ----------
    files : list of ArrayFile
    names : list of str
        One name.
    """

    def __init__(self, files, names):
        self.files = files
        self.names = names
        self._whole = None

    def __getstate__(self):
        return vars(self) | {"_whole": None}

    def read(self, first, last):
        """The index of some rows; all are read at the first time, and kept."""
        if self._whole is None:
            self._whole = np.concatenate([np.ravel(f.read(self.names[0])) for f in self.files])
        return pd.Index(self._whole[first:last], name=self.names[0])


class FileRows(RowView):
    """Rows of an array that lies in a file as it would in memory; mapped at each read.

    No file stays open, and a copy in another process opens it anew.

    Parameters
    ----------
    path : str
    shape : tuple of int
    dtype : dtype
    offset : int, default=0
        Bytes before the array.
    order : {"C", "F"}, default="C"
    """

    def __init__(self, path, shape, dtype, offset=0, order="C"):
        self.path = path
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.offset = offset
        self.order = order

    @property
    def is_mappable(self):
        """Whether the map is an array of `dtype` to any code."""
        return self.offset % self.dtype.itemsize == 0

    def mapped(self):
        """The array as a memory map."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)

    def __getitem__(self, rows):
        if 0 in self.shape:  # nothing can be mapped
            return np.empty(self.shape, self.dtype)[rows]
        # An array that begins in the middle of a number is no array to compiled code.
        return np.require(self.mapped()[rows], requirements="A")


class BFloat16FileRows(FileRows):
    """Rows of bfloat16, the upper halves of float32, as float32."""

    def __init__(self, path, shape, offset):
        super().__init__(path, shape, np.uint16, offset)
        self.dtype = np.dtype(np.float32)

    is_mappable = False

    def mapped(self):
        return np.memmap(self.path, np.uint16, "r", self.offset, self.shape)

    def __getitem__(self, rows):
        halves = super().__getitem__(rows)
        return (halves.astype(np.uint32) << 16).view(np.float32)


class SliceFile(BlockFile):
    """Rows of an array that is stored in chunks, each of which is decoded as a whole.

    Parameters
    ----------
    path : str
    n_rows : int
    chunk_rows : int
    opened : callable() -> context manager
        Gives the array, which is sliced.
    """

    def __init__(self, path, n_rows, chunk_rows, opened):
        self.chunk_rows = max(1, min(chunk_rows, n_rows))
        super().__init__(path, n_rows, np.arange(0, n_rows, self.chunk_rows))
        self.opened = opened

    def blocks(self, entry, n_rows):
        step = max(self.chunk_rows, n_rows // self.chunk_rows * self.chunk_rows)
        with self.opened() as array:
            for first in range(entry, self.n_rows, step):
                yield np.asarray(array[first : first + step])
