"""What is in a file, by its header: names, shapes, types, and what each seems to be."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import pandas as pd
from numpy.typing import DTypeLike

from skweiper._typing import PathLike
from skweiper.io.choosing import role_of
from skweiper.io.errors import DumpError
from skweiper.io.opening import opened_files
from skweiper.io.roles import is_label_name
from skweiper.io.tables import TableFile, choose_columns

__all__ = ["Contents", "FileDescription", "describe"]


class Contents(NamedTuple):
    """An array in a file, or columns of a table that belong together.

    Attributes
    ----------
    name : str
        Of the array, or of the column or the first and last of several; "" for the only one.
    shape : tuple of int
        Over all parts.
    dtype : str
        As stored.
    role : str
        "features", "weight", "bias", "labels", "index" or "other", by name and shape.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str


class FileDescription(NamedTuple):
    """What is in one or several files.

    Attributes
    ----------
    path : str
    format : str
    n_files : int
    contents : tuple of Contents
    note : str
        Why the features of a table cannot be told; "" where they can.
    """

    path: str
    format: str
    n_files: int
    contents: tuple[Contents, ...]
    note: str

    def to_frame(self) -> pd.DataFrame:
        """The contents as a table, a row each.

        Returns
        -------
        DataFrame with columns name, shape, dtype, role
        """
        return pd.DataFrame(list(self.contents), columns=Contents._fields)

    def with_role(self, role: str) -> tuple[Contents, ...]:
        """The contents that seem to be this.

        Parameters
        ----------
        role : str

        Returns
        -------
        tuple of Contents
        """
        return tuple(each for each in self.contents if each.role == role)


def describe(
    path: PathLike | Sequence[PathLike],
    *,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    offset: int = 0,
    format: str | None = None,
) -> FileDescription:
    """What one or several files hold, without reading their values.

    Parameters
    ----------
    path : str, PathLike or sequence of these
        As for `open_features`.
    shape : tuple of int, default=None
    dtype : dtype, default=None
    offset : int, default=0
        Of files of plain numbers.
    format : str, default=None
        None: by the ending of the name, or by the first bytes.

    Returns
    -------
    FileDescription

    Raises
    ------
    FileNotFoundError
        No such file, or none that matches the glob.
    ValueError
        A file that is damaged, empty, of an unknown format, or a pickle.
    ImportError
        The package for the format is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skweiper.io import describe
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "dump.npz"
    ...     np.savez(path, features=np.zeros((5, 3)), label=np.zeros(5, int), weight=np.eye(3))
    ...     describe(path).to_frame()
           name   shape    dtype      role
    0  features  (5, 3)  float64  features
    1     label    (5,)    int64    labels
    2    weight  (3, 3)  float64    weight
    """
    files, found = opened_files(path, format, shape, dtype, offset)
    note = ""
    if isinstance(files[0], TableFile):
        n_rows = sum(file.count_rows() for file in files)
        contents, note = _of_table(files[0], n_rows)
    else:
        contents = _of_arrays(files)
    return FileDescription(found.given, found.format, len(found.paths), tuple(contents), note)


def _of_arrays(files):
    """Contents of files that are parts of each other, or of each file where they are not."""
    if any(_row_shapes(file) != _row_shapes(files[0]) for file in files):
        for file in files:
            for name, array in file.arrays.items():
                named = array._replace(name=name or PurePath(file.path).stem)
                yield Contents(f"{file.path}:{name}", array.shape, array.dtype, role_of(named))
        return
    for name, array in files[0].arrays.items():
        lengths = [file.arrays[name].shape[:1] for file in files]
        n_rows = () if () in lengths else (sum(length for (length,) in lengths),)
        yield Contents(name, (*n_rows, *array.shape[1:]), array.dtype, role_of(array))


def _row_shapes(file):
    """What arrays of one dump have in common in all of its parts."""
    return {name: array.shape[1:] for name, array in file.arrays.items()}


def _of_table(table, n_rows):
    """Contents, and why the features cannot be told."""
    try:
        choice, note = choose_columns(table), ""
    except DumpError as error:
        choice, note = None, str(error)
    features, contents = [] if choice is None else choice.features, []
    if choice is not None and not choice.is_list:
        stored = sorted({table.columns[name].stored for name in features})
        name = features[0] if len(features) == 1 else f"{features[0]} .. {features[-1]}"
        contents.append(Contents(name, (n_rows, len(features)), ", ".join(stored), "features"))
    for column in table.columns.values():
        if choice is not None and choice.is_list and column.name in features:
            shape = (n_rows, table.list_length(column.name))
            contents.append(Contents(column.name, shape, str(column.dtype), "features"))
        elif column.name not in features:
            role = _role_of_column(column, [] if choice is None else choice.ids)
            contents.append(Contents(column.name, (n_rows,), column.stored, role))
    return contents, note


def _role_of_column(column, ids):
    if column.name in ids:
        return "index"
    return "labels" if is_label_name(column.name) and column.kind != "list" else "other"
