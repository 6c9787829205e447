"""Zarr: arrays in a folder, chunk by chunk."""

from contextlib import contextmanager
from functools import partial

import numpy as np

from skweiper._support.notice import warn_caller
from skweiper.io.arrays import ArrayFile, SliceFile, StoredArray
from skweiper.io.blocks import BlockRows
from skweiper.io.errors import DumpError, reading
from skweiper.io.packages import optional_module
from skweiper.io.paths import refused_pickle

__all__ = ["ZarrFile"]

KIND = "a Zarr array or group"


class ZarrFile(ArrayFile):
    """An array, or a group of arrays.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        self.path = path
        with reading(path, KIND):
            found = _zarr().open(path, mode="r")
            arrays = _arrays_in(found)
            _check_no_pickle(path, arrays)
        self._n_missing = {name: _n_missing(array) for name, array in arrays.items()}
        self.arrays = {
            name: StoredArray(name, tuple(array.shape), _dtype_name(array))
            for name, array in arrays.items()
        }
        self._chunk_rows = {name: (array.chunks or (1,))[0] for name, array in arrays.items()}
        if not arrays:
            raise DumpError(f"{path} is a Zarr group without arrays. Write it again.")

    def rows(self, name):
        self._warn_of_missing(name)
        stored = self.arrays[name]
        opened = partial(_array, self.path, name)
        file = SliceFile(self.path, stored.shape[0], self._chunk_rows[name], opened)
        return BlockRows([file], stored.shape[1], stored.dtype)

    def _warn_of_missing(self, name):
        if self._n_missing[name]:
            warn_caller(
                f"{self._n_missing[name]} chunks of the array {name!r} in {self.path} are not "
                "there. Zarr leaves out chunks that hold its fill value only, and reads lost ones "
                "as such, too: compare the array with its source.",
            )

    def read(self, name):
        with _array(self.path, name) as array:
            return np.asarray(array[...])


def _zarr():
    return optional_module("zarr", "Zarr files")


def _arrays_in(found):
    if hasattr(found, "shape"):
        return {"": found}
    members = sorted(found.members(max_depth=None))
    return {name: item for name, item in members if hasattr(item, "shape")}


def _check_no_pickle(path, arrays):
    """Refuse chunks that are pickles, which not every release of numcodecs does."""
    for name, array in arrays.items():
        codecs = (*array.filters, *array.compressors)
        if any(getattr(codec, "codec_id", None) == "pickle" for codec in codecs):
            raise refused_pickle(f"The array {name!r} in {path}" if name else path)


def _n_missing(array):
    """How many chunks of an array have no file."""
    return array.nchunks - array.nchunks_initialized


@contextmanager
def _array(path, name):
    with reading(path, KIND):
        found = _zarr().open(path, mode="r")
        yield found[name] if name else found


def _dtype_name(array):
    dtype = np.dtype(array.dtype)
    return "str" if dtype.kind in "OT" else str(dtype)
