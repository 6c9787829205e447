"""From a path to files of one format: a file, a folder of parts, a glob, or several paths."""

import os
import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import PurePath
from types import MappingProxyType
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

from skweiper._typing import PathLike
from skweiper.io.errors import DumpError

__all__ = ["Files", "find_files", "format_of"]

ENDINGS = MappingProxyType(
    {
        "npy": (".npy",),
        "npz": (".npz",),
        "raw": (".bin", ".raw", ".dat", ".mmap", ".memmap"),
        "csv": (".csv", ".tsv"),
        "parquet": (".parquet", ".pq"),
        "feather": (".feather", ".arrow", ".arrows", ".ipc"),
        "safetensors": (".safetensors",),
        "hdf5": (".h5", ".hdf5", ".hdf"),
        "zarr": (".zarr",),
        "torch": (".pt", ".pth", ".ckpt"),
    }
)
"""Formats by name, and how their files' names end."""
FORMAT_OF_ENDING = {ending: name for name, endings in ENDINGS.items() for ending in endings}
COMPRESSED = (".gz", ".bz2", ".xz")
PICKLES = (".pkl", ".pickle", ".joblib", ".pck", ".p")
FIRST_BYTES = {
    b"\x93NUMPY": "npy",
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"\x89HDF\r\n": "hdf5",
    b"PK\x03\x04": "zip",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
}
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup", ".zmetadata")


class Files(NamedTuple):
    """Files that are read as one.

    Attributes
    ----------
    format : str
        One of `ENDINGS`.
    paths : list of str
        At least one.
    given : str
        What was passed, for messages.
    """

    format: str
    paths: list[str]
    given: str


def find_files(
    path: PathLike | Sequence[PathLike], format: str | None = None, unknown: str | None = None
) -> Files:
    """The files behind what a caller passed, in the order in which their rows follow each other.

    Parameters
    ----------
    path : str, PathLike or sequence of these
        A file; a folder, whose files of the one known format in it are parts; a glob; or several
        files. Parts of a folder or glob are sorted by name, numbers in it by value.
    format : str, default=None
        None: by the ending of the name, or by the first bytes.
    unknown : str, default=None
        Format of files of which neither says it. None: they are refused.

    Returns
    -------
    Files

    Raises
    ------
    FileNotFoundError
        No such file, or nothing that matches.
    ValueError
        Several formats, an unknown or an unsafe one, or a file of zero bytes.
    """
    _check_format(format)
    if not isinstance(path, (str, os.PathLike)):
        return _several([os.fspath(each) for each in path], format, unknown)
    name = os.path.expanduser(os.fspath(path))
    if os.path.isdir(name) and not _is_zarr(name) and format != "zarr":
        return _of_one_format(_parts_in(name, format), format, unknown, name)
    if os.path.exists(name):
        return _of_one_format([name], format, unknown, name)
    if has_magic(name):
        found = sorted(glob(name, recursive=True), key=natural_order)
        return _of_one_format(_existing(found, name), format, unknown, name)
    raise FileNotFoundError(2, "No such file or folder", name)


def natural_order(path: str) -> list[str | int]:
    """A sort key by which part-2 comes before part-10."""
    return [int(t) if t.isdigit() else t for t in re.split(r"([0-9]+)", path)]


def _check_format(format):
    if format is not None and format not in ENDINGS:
        raise ValueError(f"format must be one of {list(ENDINGS)} or None, got {format!r}.")


def _several(paths, format, unknown):
    if not paths:
        raise ValueError("path is an empty list; name at least one file.")
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(2, "No such file", path)
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return _of_one_format(paths, format, unknown, paths[0] + more)


def _existing(found, pattern):
    found = [path for path in found if not os.path.isdir(path) or _is_zarr(path)]
    if not found:
        raise FileNotFoundError(2, "No file matches", pattern)
    return found


def _is_zarr(folder):
    return os.path.isdir(folder) and any(
        os.path.exists(os.path.join(folder, mark)) for mark in ZARR_MARKS
    )


def _parts_in(folder, format):
    """Files of a known format in a folder; those that begin with a dot or underscore are notes."""
    names = sorted(os.listdir(folder), key=natural_order)
    paths = [os.path.join(folder, name) for name in names if name[0] not in "._"]
    parts = [path for path in paths if _is_zarr(path) or os.path.isfile(path)]
    if format is None:
        parts = [path for path in parts if _named_format(path) is not None]
    if not parts:
        raise DumpError(
            f"{folder} is a folder without a file of a known format "
            f"({', '.join(FORMAT_OF_ENDING)}), got {names[:5] or 'no file at all'}. Pass a file, "
            f"or a glob such as {os.path.join(folder, '**', '*.parquet')!r}."
        )
    return parts


def _of_one_format(paths, format, unknown, given):
    formats = {format or format_of(path, unknown) for path in paths}
    if len(formats) > 1:
        raise DumpError(
            f"{given} has parts of several formats, {sorted(formats)}. Pass a glob that matches "
            f"one of them, such as {os.path.join(given, '*' + PurePath(paths[0]).suffix)!r}."
        )
    for path in paths:
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            raise DumpError(f"{path} is empty (0 bytes). Write it again, or leave it out.")
    return Files(formats.pop(), paths, given)


def _named_format(path):
    """The format that the name of a file says; None where it says none."""
    name = os.path.basename(path).lower()
    for ending in COMPRESSED:
        if name.endswith(ending):
            stem = name.removesuffix(ending)
            return "csv" if FORMAT_OF_ENDING.get(PurePath(stem).suffix) == "csv" else None
    return FORMAT_OF_ENDING.get(PurePath(name).suffix)


def format_of(path: str, unknown: str | None = None) -> str:
    """Format of a file, by the ending of its name or else by its first bytes.

    Parameters
    ----------
    path : str
    unknown : str, default=None
        What to return where neither says it.

    Returns
    -------
    str, a key of `ENDINGS`

    Raises
    ------
    ValueError
        A pickle, or an unknown format.
    """
    if _is_zarr(path):
        return "zarr"
    if PurePath(path.lower()).suffix in PICKLES:
        raise refused_pickle(path)
    named = _named_format(path)
    if named not in (None, "raw"):
        return str(named)
    found = named or unknown if unknown else _sniffed(path) or named
    if found == "pickle":
        if named is None:
            raise refused_pickle(path)
        found = named  # numbers may begin with any bytes
    if found is None:
        raise DumpError(
            f"{path} is of no known format: its name should end with one of "
            f"{', '.join(FORMAT_OF_ENDING)}. Say what it is by format=, or by shape= and dtype= if "
            "it holds plain numbers."
        )
    return found


def refused_pickle(path: str) -> DumpError:
    """The error for a pickle.

    Parameters
    ----------
    path : str

    Returns
    -------
    DumpError
    """
    return DumpError(
        f"{path} is a pickle: to load one is to run whatever code it holds, so it is refused. If "
        "you trust it, load it yourself and save plain arrays, such as "
        "np.savez('features.npz', features=X, labels=y)."
    )


def _sniffed(path):
    """The format that the first bytes of a file say; None where they say none."""
    with open(path, "rb") as file:
        first = file.read(8)
    found = next((name for mark, name in FIRST_BYTES.items() if first.startswith(mark)), None)
    return _format_of_zip(path) if found == "zip" else found


def _format_of_zip(path):
    """A zip holds arrays of NumPy, or what PyTorch saves."""
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except BadZipFile:
        return "torch"
    return "npz" if any(name.endswith(".npy") for name in names) else "torch"
