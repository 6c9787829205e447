"""The module of each format, found by its name."""

from skweiper.io.formats.csv import CsvTable
from skweiper.io.formats.feather import feather_table
from skweiper.io.formats.hdf5 import Hdf5File
from skweiper.io.formats.npy import NpyFile
from skweiper.io.formats.npz import NpzFile
from skweiper.io.formats.parquet import ParquetTable
from skweiper.io.formats.pytorch import TorchFile
from skweiper.io.formats.raw import RawFile
from skweiper.io.formats.safetensors import SafetensorsFile
from skweiper.io.formats.zarr import ZarrFile
from skweiper.io.paths import find_files

__all__ = ["opened_files"]

OPEN = {
    "npy": NpyFile,
    "npz": NpzFile,
    "csv": CsvTable,
    "parquet": ParquetTable,
    "feather": feather_table,
    "safetensors": SafetensorsFile,
    "hdf5": Hdf5File,
    "zarr": ZarrFile,
    "torch": TorchFile,
}


def opened_files(path, format=None, shape=None, dtype=None, offset=0):
    """The files behind a path, their headers read.

    Parameters
    ----------
    path : str, PathLike or sequence of these
    format : str or None
    shape, dtype, offset : of a raw file

    Returns
    -------
    files : list of ArrayFile or list of TableFile
    found : Files

    Raises
    ------
    ValueError
        `shape` and the like for a file that has a header.
    """
    is_described = shape is not None or dtype is not None or offset != 0
    found = find_files(path, format, unknown="raw" if is_described else None)
    if found.format == "raw":
        return [RawFile(part, shape, dtype, offset) for part in found.paths], found
    if is_described:
        raise ValueError(
            f"shape, dtype and offset are for files of plain numbers, but {found.given} is of the "
            f"format {found.format!r}, which has them. Leave them out, or pass format='raw'."
        )
    return [OPEN[found.format](part) for part in found.paths], found
