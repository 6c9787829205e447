"""Files that arrive in a folder, and which of them are no longer being written."""

import os
from typing import NamedTuple

from skweiper.io.paths import natural_order

__all__ = ["Arrival", "arrivals", "look_at", "settled"]

UNFINISHED = ("~", ".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp", ".swp")
"""How the names of files end that some program has not finished."""
FOLDERS = (".zarr",)
"""How the names of folders end that are files of features."""


class Arrival(NamedTuple):
    """A file as it was when it was looked at.

    Attributes
    ----------
    path : str
    size : int
        In bytes.
    modified : int
        In nanoseconds of Unix time.
    """

    path: str
    size: int
    modified: int

    @property
    def name(self) -> str:
        """Of the file, without its folder."""
        return os.path.basename(self.path)


def arrivals(folder):
    """The files of a folder in the order in which they were written, then of their names.

    Folders in it are not looked into, and names that are hidden (begin with a dot or underscore) or
    temporary are left out.

    Parameters
    ----------
    folder : str

    Returns
    -------
    list of Arrival

    Raises
    ------
    OSError
        The folder is not there, or may not be read.
    """
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if _is_finished(name)]
    found = [each for path in paths if (each := look_at(path)) is not None]
    return sorted(found, key=lambda each: (each.modified, natural_order(each.name)))


def _is_finished(name):
    return name[0] not in "._" and not name.lower().endswith(UNFINISHED)


def look_at(path):
    """A file as it is now; None where there is none, or an ordinary folder.

    Parameters
    ----------
    path : str

    Returns
    -------
    Arrival or None
    """
    try:
        if os.path.isdir(path):
            return _look_at_folder(path) if path.lower().endswith(FOLDERS) else None
        about = os.stat(path)
    except FileNotFoundError:
        return None
    return Arrival(path, about.st_size, about.st_mtime_ns)


def _look_at_folder(path):
    """A folder as one file: all that is in it, and the last change of anything."""
    inside = [os.stat(os.path.join(at, each)) for at, _, names in os.walk(path) for each in names]
    inside_folders = [os.stat(at) for at, _, _ in os.walk(path)]
    last = max(each.st_mtime_ns for each in inside + inside_folders)
    return Arrival(path, sum(each.st_size for each in inside), last)


def settled(before, now):
    """Those files that did not change between two looks.

    Parameters
    ----------
    before, now : list of Arrival

    Returns
    -------
    list of Arrival, in the order of `now`
    """
    known = set(before)
    return [each for each in now if each in known]
