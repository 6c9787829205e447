"""NumPy's .npy: memory-mapped; scores, chunk by chunk."""

import os

import numpy as np

from skweiper.io.arrays import ArrayFile, FileRows, StoredArray
from skweiper.io.errors import DumpError, reading
from skweiper.io.paths import refused_pickle

__all__ = ["NpyFile", "NpyScores", "read_header"]

KIND = "an .npy file"


class NpyFile(ArrayFile):
    """A file of one array.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        self.path = path
        with reading(path, KIND), open(path, "rb") as file:
            shape, fortran, dtype = read_header(file)
            self._offset = file.tell()
        self._order = "F" if fortran else "C"
        self.arrays = {"": StoredArray("", shape, str(dtype))}
        self._check_size(dtype, shape)

    def _check_size(self, dtype, shape):
        if dtype.hasobject:
            return
        there = os.path.getsize(self.path) - self._offset
        needed = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if there < needed:
            raise DumpError(
                f"{self.path} was cut short: an array of shape {shape} and dtype {dtype} takes "
                f"{needed} bytes, got {there}. Write it again."
            )

    def rows(self, name):
        stored = self.arrays[name]
        return FileRows(self.path, stored.shape, stored.dtype, self._offset, self._order)

    def read(self, name):
        if self.arrays[name].dtype == "object":
            raise refused_pickle(self.path)
        with reading(self.path, KIND):
            return np.load(self.path, allow_pickle=False)


def read_header(file):
    """Shape, whether Fortran's order, and dtype of an array in NumPy's format.

    Parameters
    ----------
    file : binary file object
        At the beginning of the array; left at its first value.

    Returns
    -------
    shape : tuple of int
    is_fortran : bool
    dtype : dtype
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


class NpyScores:
    """Writes the only column of frames to an .npy file, whose length is known at the end.

    Parameters
    ----------
    file : binary file object
    first : DataFrame
    keeps_index : bool
    """

    def __init__(self, file, first, keeps_index):
        if keeps_index or first.shape[1] != 1:
            what = "an index" if keeps_index else f"{first.shape[1]} columns"
            raise ValueError(
                f"An .npy file holds one column of scores, got {what}. Pass a path that ends with "
                ".csv or .parquet."
            )
        self._file = file
        self._dtype = first.iloc[:, 0].to_numpy().dtype
        self._n_rows = 0
        self._write_header()

    def _write_header(self):
        descr = np.lib.format.dtype_to_descr(self._dtype)
        # NumPy leaves room in it for the first axis to grow.
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": descr, "fortran_order": False, "shape": (self._n_rows,)}
        )

    def write(self, frame):
        values = frame.iloc[:, 0].to_numpy()
        self._file.write(np.ascontiguousarray(values, self._dtype).tobytes())
        self._n_rows += len(values)

    def finish(self):
        self._file.seek(0)
        self._write_header()
        self._file.seek(0, os.SEEK_END)
