"""Features from files: as an array that is mapped, or as rows that are read when asked for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from skweiper._typing import PathLike
from skweiper.io.arrays import ArrayIds, FileRows
from skweiper.io.choosing import choose_features, choose_ids
from skweiper.io.dump import FeatureDump
from skweiper.io.errors import DumpError
from skweiper.io.opening import opened_files
from skweiper.io.stacked import stacked
from skweiper.io.tables import TableFile, TableIds, choose_columns, listed

__all__ = ["load_features", "open_features"]


def open_features(
    path: PathLike | Sequence[PathLike],
    *,
    key: str | None = None,
    columns: str | Sequence[str] | None = None,
    index: str | Sequence[str] | None = None,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    offset: int = 0,
    format: str | None = None,
) -> FeatureDump:
    """Features in one or several files, read when their rows are asked for.

    Parameters
    ----------
    path : str, PathLike or sequence of these
        A file; a folder of parts; a glob; or several files. Their rows follow each other in the
        order of the names, in which numbers count by value.
    key : str, default=None
        Name of the array in a file of several (npz, HDF5, safetensors, ...), or of the column of
        lists in a table. None: the only array of two dimensions that is no weight, or the only one
        of these called `features`, `feat_list`, `embeddings` or the like.
    columns : str or sequence of str, default=None
        The features of a table in their order: names, or patterns such as "f*". None: all numeric
        columns but ids and labels, or the only column of lists.
    index : str or sequence of str, default=None
        What names the rows: columns of a table, or an array. None: the index that pandas wrote, or
        what is called `id`, `path` or the like; in tables else all columns of text.
    shape : tuple of int, default=None
        (n_samples, n_features) of a file of plain numbers; -1 for as many samples as it holds.
    dtype : dtype, default=None
        Of a file of plain numbers.
    offset : int, default=0
        Bytes to leave out at the beginning of a file of plain numbers.
    format : {"npy", "npz", "raw", "csv", "parquet", "feather", "safetensors", "hdf5", "zarr", \
            "torch"}, default=None
        None: by the ending of the name, or by the first bytes.

    Returns
    -------
    FeatureDump

    Raises
    ------
    FileNotFoundError
        No such file, or none that matches the glob.
    ValueError
        A file that is damaged, empty, of an unknown format or a pickle; several arrays or columns
        of which none is chosen; parts of different features.
    ImportError
        The package for the format is not installed; the message says what to run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skweiper.io import open_features
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "features.npz"
    ...     np.savez(path, feat_list=np.eye(4, 3), label_list=np.arange(4))
    ...     open_features(path)[1:3]
    array([[0., 1., 0.],
           [0., 0., 1.]])
    """
    found, values, names, ids = _found(path, key, columns, index, (shape, dtype, offset), format)
    return FeatureDump(values, found.given, names, ids)


def _found(path, key, columns, index, plain, format):
    """The files, their features as rows, the names of these or None, and the ids or None."""
    files, found = opened_files(path, format, *plain)
    if isinstance(files[0], TableFile):
        values, names, ids = _of_tables(files, _columns_or_key(columns, key), index)
    else:
        if columns is not None:
            raise ValueError(
                f"columns are those of a table, but {found.given} holds arrays (format "
                f"{found.format!r}). Pass key= with the name of one."
            )
        values, names, ids = _of_arrays(files, key), None, _ids_of_arrays(files, key, index)
    if 0 in values.shape:
        raise DumpError(
            f"{found.given} holds features of shape {tuple(values.shape)}: there is nothing to "
            "read. Write it again with at least one row and one feature."
        )
    return found, values, names, ids


def load_features(
    path: PathLike | Sequence[PathLike],
    *,
    key: str | None = None,
    columns: str | Sequence[str] | None = None,
    index: str | Sequence[str] | None = None,
    mmap: bool = True,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    offset: int = 0,
    format: str | None = None,
) -> np.ndarray | pd.DataFrame | FeatureDump:
    """Features from files, as `fit` and `score_samples` take them.

    Parameters
    ----------
    path : str, PathLike or sequence of these
        As for `open_features`, like all others but `mmap`.
    key : str, default=None
    columns : str or sequence of str, default=None
    index : str or sequence of str, default=None
    mmap : bool, default=True
        Whether to leave the values in the file until they are asked for. False: read all of them.
    shape : tuple of int, default=None
    dtype : dtype, default=None
    offset : int, default=0
    format : str, default=None

    Returns
    -------
    memmap, FeatureDump, ndarray or DataFrame, of shape (n_samples, n_features)
        A memory map where the values lie in one file as they would in memory and nothing names the
        rows (.npy, plain numbers, safetensors), else a `FeatureDump`. With `mmap=False` an ndarray,
        or a DataFrame where features or rows have names.

    Raises
    ------
    FileNotFoundError
        No such file, or none that matches the glob.
    ValueError
        A file that does not hold features, with what it holds and what to pass.
    ImportError
        The package for the format is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from skweiper.io import load_features
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "features.csv"
    ...     pd.DataFrame({"id": ["a", "b"], "f0": [0.5, 1], "f1": [2, 3]}).to_csv(path, index=False)
    ...     X = load_features(path)
    ...     X.shape, X.feature_names, list(X.index), X[1:]
    ((2, 2), ['f0', 'f1'], ['a', 'b'], array([[1., 3.]]))
    """
    found, values, names, ids = _found(path, key, columns, index, (shape, dtype, offset), format)
    if mmap and isinstance(values, FileRows) and ids is None and values.is_mappable:
        return values.mapped()
    dump = FeatureDump(values, found.given, names, ids)
    if mmap:
        return dump
    return np.array(dump[:]) if names is None and ids is None else dump.to_frame()


def _columns_or_key(columns, key):
    if key is not None and columns is not None:
        raise ValueError(
            f"key={key!r} and columns={columns!r} both name columns of a table; pass one of them."
        )
    return columns if key is None else key


def _of_tables(files, columns, index):
    """Values, names of features and ids of tables below each other."""
    choice = choose_columns(files[0], columns, index)
    for file in files[1:]:
        _check_same_columns(files[0], choice, file, choose_columns(file, columns, index))
    parts = [file.features(choice._replace(dtype=_dtype_in(file, choice))) for file in files]
    has_names = files[0].has_names and not choice.is_list
    ids = TableIds([file.frames(choice.ids) for file in files], choice.ids) if choice.ids else None
    return _below_each_other(files, parts), choice.features if has_names else None, ids


def _dtype_in(file, choice):
    return np.result_type(*(file.columns[name].dtype for name in choice.features), np.float16)


def _check_same_columns(first, wanted, file, found):
    for what, expected, got in (
        ("features", wanted.features, found.features),
        ("index", wanted.ids, found.ids),
    ):
        missing = [name for name in expected if name not in got]
        new = [name for name in got if name not in expected]
        if missing or new:
            raise DumpError(
                f"{file.path} has other columns for the {what} than {first.path}: missing "
                f"{listed(map(repr, missing)) or 'none'}, new {listed(map(repr, new)) or 'none'}. "
                "Parts must have the same; pass columns= and index=, or a glob of fitting parts."
            )


def _of_arrays(files, key):
    """Values of arrays below each other."""
    chosen = [choose_features(file, key) for file in files]
    parts = [file.rows(array.name) for file, array in zip(files, chosen, strict=True)]
    return _below_each_other(files, parts)


def _below_each_other(files, parts):
    """The rows of all parts that have any."""
    filled = [(f, part) for f, part in zip(files, parts, strict=True) if part.shape[0]]
    for file, part in filled[1:]:
        first, expected = filled[0]
        if part.shape[1] != expected.shape[1]:
            raise DumpError(
                f"{file.path} has {part.shape[1]} features, where {first.path} has "
                f"{expected.shape[1]}. Parts must have the same; pass a glob that leaves it out."
            )
    return stacked([part for _, part in filled] or parts[:1])


def _ids_of_arrays(files, key, index):
    if index is not None and not isinstance(index, str):
        if len(index) != 1:
            raise ValueError(f"index must name one array of ids, got {list(index)!r}.")
        (index,) = index
    chosen = []
    for file in files:
        n_rows = choose_features(file, key).shape[0]
        chosen.append(choose_ids(file, n_rows, index))
    if any(array is None or array.name != chosen[0].name for array in chosen):
        return None
    return ArrayIds(files, [chosen[0].name])
