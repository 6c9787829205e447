"""A column of lists, as Parquet stores embeddings, as a matrix."""

import numpy as np
from pandas import DataFrame

from skweiper._support.containers import columns_of, is_foreign_frame


def stacked_lists(X):
    """The lists of a single column below each other.

    Parameters
    ----------
    X : object
        A Series, a one-column table or an array of lists or arrays of one length; of pandas, polars
        or pyarrow.

    Returns
    -------
    ndarray of shape (n_samples, n_features), or None
        None where X is anything else.

    Raises
    ------
    ValueError
        Lists of different lengths, or a row without one.
    """
    column = _only_column(X)
    if column is None or column.ndim == 2:
        return column
    shapes = [np.shape(entry) if _is_list(entry) else None for entry in column]
    if not any(shapes):
        return None
    expected = next(shape for shape in shapes if shape)
    for row, shape in enumerate(shapes):
        if shape != expected:
            got = "no list" if shape is None else f"a list of shape {shape}"
            raise ValueError(
                f"X is a column of lists of shape {expected}, but row {row} holds {got}. All rows "
                "must have the same features; drop or repair the row."
            )
    return np.stack([np.asarray(entry) for entry in column])


def _is_list(entry):
    return isinstance(entry, (list, tuple, np.ndarray))


def _only_column(X):
    """The entries of a single column of objects, or a matrix where the library made one of it.

    None where there are several columns, or plain numbers.
    """
    if is_foreign_frame(X):
        X = columns_of(X)[0] if X.shape[1] == 1 else None
    elif getattr(X, "ndim", 1) == 2 and X.shape[1] == 1 and isinstance(X, (np.ndarray, DataFrame)):
        X = np.asarray(X)[:, 0]
    if not hasattr(X, "__array__") or getattr(X, "ndim", 1) != 1:
        return None
    entries = np.asarray(X)
    return entries if entries.dtype == object or entries.ndim == 2 else None
