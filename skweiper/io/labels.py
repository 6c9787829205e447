"""Labels from files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skweiper._typing import PathLike
from skweiper.io.blocks import frame_of
from skweiper.io.choosing import choose_labels
from skweiper.io.errors import DumpError
from skweiper.io.opening import opened_files
from skweiper.io.roles import is_label_name
from skweiper.io.tables import TableFile, listed

__all__ = ["load_labels"]


def load_labels(
    path: PathLike | Sequence[PathLike], *, key: str | None = None, format: str | None = None
) -> NDArray[Any]:
    """Labels from one or several files, which may be those of the features.

    Parameters
    ----------
    path : str, PathLike or sequence of these
        As for `open_features`: the labels have the order of its rows.
    key : str, default=None
        Name of the array or column. None: the only one, or the only one called `label`, `y`,
        `target`, `label_list`, `..._label` or the like.
    format : str, default=None
        None: by the ending of the name, or by the first bytes.

    Returns
    -------
    ndarray of shape (n_samples,)
        As stored: numbers, or text. -1 marks known outliers.

    Raises
    ------
    FileNotFoundError
        No such file, or none that matches the glob.
    ValueError
        No labels, several arrays or columns of them, or a row without a label.
    ImportError
        The package for the format is not installed.
    """
    files, _ = opened_files(path, format)
    read = _labels_of_table if isinstance(files[0], TableFile) else _labels_of_arrays
    return np.concatenate([read(file, key) for file in files])


def _labels_of_arrays(file, key):
    return np.ravel(file.read(choose_labels(file, key).name))


def _labels_of_table(file, key):
    name = _label_column(file, key)
    labels = frame_of([file.frames([name])], 0, file.count_rows())[name]
    missing = labels.isna() | (labels == "")
    if missing.any():
        raise DumpError(
            f"{file.path} has no label in column {name!r} at row {int(missing.argmax())} and "
            f"{missing.sum() - 1} more. Label every row, or drop it."
        )
    if labels.dtype.kind in "fiub":
        return labels.to_numpy()
    return _numbers_or_text(labels)


def _numbers_or_text(labels):
    """Text as numbers where all of it are; CSV has nothing but text."""
    texts = labels.astype(str)
    numbers = pd.to_numeric(texts, errors="coerce")
    return texts.to_numpy(dtype=str) if numbers.isna().any() else numbers.to_numpy()


def _label_column(file, key):
    if key is not None:
        found = [name for name in file.columns if name == key]
    else:
        found = [name for name in file.columns if is_label_name(name)]
        found = found or (list(file.columns) if len(file.columns) == 1 else [])
    if len(found) != 1:
        named = "" if key is None else f" {key!r}"
        which = "several columns" if found else f"no column{named}"
        raise DumpError(
            f"{file.path} has {which} of labels among {listed(map(repr, found or file.columns))}. "
            "Pass key= with the name of one."
        )
    return found[0]
