"""HDF5: data sets, chunk by chunk."""

from contextlib import contextmanager
from functools import partial

import numpy as np

from skweiper.io.arrays import ArrayFile, SliceFile, StoredArray
from skweiper.io.blocks import BlockRows
from skweiper.io.errors import DumpError, reading
from skweiper.io.packages import optional_module

__all__ = ["Hdf5File"]

KIND = "an HDF5 file"


class Hdf5File(ArrayFile):
    """A file of data sets, in groups or not.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        self.path = path
        self.arrays = {}
        self._chunk_rows = {}
        with _opened(path) as file:
            file.visititems(self._note)
        if not self.arrays:
            raise DumpError(f"{path} is an HDF5 file without data sets. Write it again.")

    def _note(self, name, item):
        if hasattr(item, "dtype") and hasattr(item, "chunks") and item.shape is not None:
            self.arrays[name] = StoredArray(name, tuple(item.shape), _dtype_name(item))
            self._chunk_rows[name] = (item.chunks or (1,))[0]

    def rows(self, name):
        stored = self.arrays[name]
        opened = partial(_data_set, self.path, name)
        file = SliceFile(self.path, stored.shape[0], self._chunk_rows[name], opened)
        return BlockRows([file], stored.shape[1], stored.dtype)

    def read(self, name):
        with _data_set(self.path, name) as array:
            return np.asarray(array[()])


@contextmanager
def _opened(path):
    h5py = optional_module("h5py", "HDF5 files")
    with reading(path, KIND), h5py.File(path, "r") as file:
        yield file


@contextmanager
def _data_set(path, name):
    with _opened(path) as file:
        yield file[name] if file[name].dtype.kind != "O" else file[name].asstr()


def _dtype_name(data_set):
    """NumPy's name of a type; "str" for text, "" for what is neither text nor plain."""
    if data_set.dtype.kind == "O":
        h5py = optional_module("h5py", "HDF5 files")
        return "str" if h5py.check_string_dtype(data_set.dtype) else ""
    return str(data_set.dtype) if data_set.dtype.names is None else ""
