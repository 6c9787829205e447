"""The packages that read and write other formats, imported when a file of theirs is met."""

from importlib import import_module
from typing import Any

__all__ = ["optional_module"]

INSTALL = {
    "pyarrow": "pip install 'skweiper[io]'",
    "safetensors": "pip install 'skweiper[io]'",
    "h5py": "pip install 'skweiper[io]'",
    "zarr": "pip install 'skweiper[zarr]'",
    "torch": "pip install torch",
}


def optional_module(name: str, purpose: str) -> Any:
    """A module of a package that need not be installed.

    Parameters
    ----------
    name : str
        Such as "pyarrow.parquet".
    purpose : str
        What it is needed for, to begin the message.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        With what to run.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{purpose} need {package}, which cannot be imported: {error}. Run: {INSTALL[package]}"
        ) from error
