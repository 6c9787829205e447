"""What is wrong with a file, said once, with its name."""

from contextlib import contextmanager

from skweiper._typing import PathLike

__all__ = ["DumpError", "reading"]

PASSED_ON = (FileNotFoundError, PermissionError, IsADirectoryError, ImportError, MemoryError)
"""Errors that name the file, or have nothing to do with what is in it."""


class DumpError(ValueError):
    """A file does not hold what was asked of it: damaged, empty, or of another kind."""


@contextmanager
def reading(path: PathLike, kind: str):
    """Context in which whatever a library says of a bad file becomes one error with its name.

    Parameters
    ----------
    path : str or PathLike
    kind : str
        What the file was taken for, such as "a Parquet file".
    """
    try:
        yield
    except (DumpError, *PASSED_ON):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DumpError(
            f"{path} cannot be read as {kind}: {lines[0].rstrip('.')}. It was cut short, damaged, "
            "or is of another kind: write it again, or say what it is by format=."
        ) from error
