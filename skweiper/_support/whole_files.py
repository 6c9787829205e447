"""Files that are written whole or not at all."""

import os
import re
import secrets
from contextlib import contextmanager, suppress

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""Names of files while they are written."""


@contextmanager
def written_whole(path):
    """A new file that takes the place of `path` when the context ends without an error.

    It is written beside `path`, synchronised with the disk, and renamed. If anything goes wrong,
    it is removed, and what was at `path` before stays as it was.

    Parameters
    ----------
    path : str or PathLike
        A link is followed: what it points to is replaced.

    Yields
    ------
    binary file object, open for reading and writing

    Raises
    ------
    OSError
        No such folder, no permission, a full disk, ...; it names `path`.
    """
    target = os.path.realpath(path)
    _check_replaceable(path, target)
    folder, name = os.path.split(target)
    beside = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    try:
        with _opened(beside) as file:
            yield file
            _copy_mode(target, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)
        if isinstance(error, OSError) and error.filename in (None, beside):
            raise type(error)(error.errno, error.strerror or str(error), os.fspath(path)) from error
        raise
    _synchronise_folder(folder)


def remove_unfinished(folder):
    """Remove what processes that were killed left of files that they were writing.

    Parameters
    ----------
    folder : str or PathLike
        Nobody else writes to it now.
    """
    for name in os.listdir(folder):
        if UNFINISHED.fullmatch(name):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


def _check_replaceable(path, target):
    if os.path.isdir(target):
        raise IsADirectoryError(21, "Is a folder; name the file to write", os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(22, "Is no ordinary file, so it cannot be replaced", os.fspath(path))


def _opened(path):
    # Not by tempfile, whose files nobody but the owner may read.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b")


def _copy_mode(target, file):
    if os.path.exists(target) and hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), os.stat(target).st_mode & 0o7777)


def _synchronise_folder(folder):
    """Make the renaming outlast a power cut, where folders can be synchronised."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
