"""Plain numbers in a file without a header: memory-mapped, with a shape and a dtype given."""

import os

import numpy as np

from skweiper.io.arrays import ArrayFile, FileRows, StoredArray
from skweiper.io.errors import DumpError

__all__ = ["RawFile"]


class RawFile(ArrayFile):
    """A file of numbers and nothing else.

    Parameters
    ----------
    path : str
    shape : tuple of int or None
        (n_samples, n_features), of which the first may be -1.
    dtype : dtype or None
    offset : int
        Bytes to leave out at the beginning.
    """

    def __init__(self, path, shape, dtype, offset):
        self.path = path
        if shape is None or dtype is None:
            raise DumpError(
                f"{path} has {os.path.getsize(path)} bytes of plain numbers, whose shape and dtype "
                "are not in the file. Pass shape=(n_samples, n_features) and dtype=, such as "
                "shape=(-1, 512), dtype='float32'."
            )
        self._dtype = _checked_dtype(dtype)
        self._offset = offset
        self.arrays = {"": StoredArray("", self._whole_shape(shape), str(self._dtype))}

    def _whole_shape(self, shape):
        shape = tuple(int(size) for size in np.atleast_1d(shape))
        if not shape or min(shape[1:], default=1) < 1 or shape[0] < -1:
            raise ValueError(f"shape must be (n_samples, n_features), got {shape}.")
        there = os.path.getsize(self.path) - self._offset
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * self._dtype.itemsize
        n_rows, rest = divmod(there, row_bytes)
        if (shape[0] == -1 and rest) or (shape[0] not in (-1, n_rows)) or rest or there < 0:
            raise DumpError(
                f"{self.path} holds {there} bytes after offset={self._offset}, which is "
                f"{there / row_bytes:g} rows of shape={shape}, dtype={self._dtype} "
                f"({row_bytes} bytes each). Pass the shape and dtype it was written with."
            )
        return (n_rows, *shape[1:])

    def rows(self, name):
        return FileRows(self.path, self.arrays[name].shape, self._dtype, self._offset)

    def read(self, name):
        return np.array(self.rows(name)[:])


def _checked_dtype(dtype):
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype must be a NumPy dtype such as 'float16', got {dtype!r}.") from error
    if found.kind not in "fiub":
        raise TypeError(f"dtype must be one of real numbers, got {found}.")
    return found
