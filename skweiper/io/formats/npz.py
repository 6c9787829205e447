"""NumPy's .npz: arrays in a zip, decompressed block by block."""

from zipfile import ZipFile

import numpy as np

from skweiper.io.arrays import ArrayFile, StoredArray
from skweiper.io.blocks import BlockFile, BlockRows
from skweiper.io.errors import DumpError, reading
from skweiper.io.formats.npy import read_header
from skweiper.io.paths import refused_pickle

__all__ = ["NpzFile"]

KIND = "an .npz file"


class NpzFile(ArrayFile):
    """A zip of arrays.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        self.path = path
        self.arrays = {}
        self._is_fortran = {}
        with reading(path, KIND), ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    name = member.removesuffix(".npy")
                    with archive.open(member) as file:
                        shape, self._is_fortran[name], dtype = read_header(file)
                    self.arrays[name] = StoredArray(name, shape, str(dtype))
        if not self.arrays:
            raise DumpError(f"{path} is a zip without arrays. Write it by numpy.savez.")

    def rows(self, name):
        stored = self.arrays[name]
        if self._is_fortran[name]:
            return self.read(name)  # columns, which are only rows when all are there
        return BlockRows([NpzRows(self.path, stored)], stored.shape[1], stored.dtype)

    def read(self, name):
        if self.arrays[name].dtype == "object":
            raise refused_pickle(f"The array {name!r} in {self.path}")
        with reading(self.path, KIND), np.load(self.path, allow_pickle=False) as archive:
            return archive[name]


class NpzRows(BlockFile):
    """Rows of an array in a zip, read from its beginning.

    Parameters
    ----------
    path : str
    stored : StoredArray
    """

    def __init__(self, path, stored):
        super().__init__(path, stored.shape[0])
        self.stored = stored

    def blocks(self, entry, n_rows):
        dtype, width = np.dtype(self.stored.dtype), self.stored.shape[1]
        block_bytes = n_rows * width * dtype.itemsize
        with (
            reading(self.path, KIND),
            ZipFile(self.path) as archive,
            archive.open(f"{self.stored.name}.npy") as file,
        ):
            read_header(file)
            while block := file.read(block_bytes):
                yield np.frombuffer(block, dtype).reshape(-1, width)
