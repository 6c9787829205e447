"""One matrix in every container that is taken, and what is refused."""

import tempfile
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tests.tensors import BFloat16Tensor

ALL = {"float16", "float32", "float64", "longdouble", "int8", "int32", "uint8", "bool"}
OF_FRAMES = ALL - {"float16", "longdouble"}


class Container(NamedTuple):
    """A way to hold a matrix.

    Attributes
    ----------
    make : callable
        From a C-contiguous array.
    dtypes : set of str
        What it can hold.
    values : callable
        The array that says the same.
    """

    make: Callable
    dtypes: set = ALL
    values: Callable = lambda X: X


def names_of(X):
    return [f"f{i}" for i in range(X.shape[1])]


def strided(X):
    wide = np.zeros((X.shape[0], 2 * X.shape[1]), X.dtype)
    wide[:, ::2] = X
    return wide[:, ::2]


def backwards(X):
    return X[::-1, ::-1].copy()[::-1, ::-1]


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def unaligned(X):
    buffer = np.empty(X.nbytes + 1, np.uint8)[1:]
    view = buffer.view(X.dtype).reshape(X.shape)
    view[:] = X
    return view


def memory_map(X):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return mapped


def pandas_frame(X):
    return pd.DataFrame(X, columns=names_of(X), index=np.arange(len(X))[::-1] + 7)


def nullable_frame(X):
    return pd.DataFrame(X, columns=names_of(X)).convert_dtypes(convert_floating=True)


def polars_frame(X):
    polars = pytest.importorskip("polars")
    return polars.DataFrame(dict(zip(names_of(X), X.T.copy(), strict=True)))


def pyarrow_table(X):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table(dict(zip(names_of(X), X.T.copy(), strict=True)))


def hdf5(X):
    h5py = pytest.importorskip("h5py")
    return h5py.File(BytesIO(), "w").create_dataset("X", data=X)


CONTAINERS = {
    "C order": Container(np.ascontiguousarray),
    "F order": Container(np.asfortranarray),
    "strided": Container(strided),
    "backwards": Container(backwards),
    "read-only": Container(read_only),
    "unaligned": Container(unaligned),
    "big-endian": Container(lambda X: X.astype(X.dtype.newbyteorder(">"))),
    "memory map": Container(memory_map),
    "masked without a mask": Container(np.ma.asarray),
    "lists": Container(lambda X: X.tolist(), ALL - {"longdouble"}, lambda X: np.array(X.tolist())),
    "objects": Container(lambda X: X.astype(object), ALL, lambda X: X.astype(np.float64)),
    "pandas": Container(pandas_frame),
    "pandas, numbered": Container(pd.DataFrame),
    "pandas, lists": Container(lambda X: pd.Series(list(X))),
    "polars": Container(polars_frame, OF_FRAMES),
    "pyarrow": Container(pyarrow_table, OF_FRAMES),
    "pyarrow batch": Container(lambda X: pyarrow_table(X).to_batches()[0], OF_FRAMES),
    "HDF5": Container(hdf5),
    "bfloat16": Container(BFloat16Tensor, {"float32"}, lambda X: BFloat16Tensor(X).values),
}

REFUSED = {
    "sparse": sp.csr_array,
    "sparse, coordinates": sp.coo_matrix,
    "masked": lambda X: np.ma.masked_array(X, np.eye(*X.shape, dtype=bool)),
    "complex": lambda X: X + 1j,
    "text": lambda X: X.astype(str),
    "bytes": lambda X: X.astype("S"),
    "objects of no kind": lambda X: np.full(X.shape, object()),
    "dates": lambda X: np.zeros(X.shape, "datetime64[s]"),
    "one row": lambda X: X[0],
    "three axes": lambda X: X[None],
    "no axes": lambda X: np.array(1.0),
    "nothing": lambda X: None,
    "a number": lambda X: 3,
    "a word": lambda X: "X",
    "no rows": lambda X: X[:0],
    "no columns": lambda X: X[:, :0],
    "ragged lists": lambda X: [*X.tolist(), [1.0] * (X.shape[1] + 1)],
    "a dictionary": lambda X: dict(enumerate(X)),
    "a generator": iter,
    "a Series": lambda X: pd.Series(X[:, 0]),
    "a column of text": lambda X: pandas_frame(X).assign(text="a"),
    "a column of dates": lambda X: pandas_frame(X).assign(day=pd.Timestamp("2026-01-01")),
    "a missing value": lambda X: pandas_frame(X).astype("Float64").mask(np.eye(*X.shape) > 0),
    "NaN": lambda X: np.where(np.eye(*X.shape) > 0, np.nan, X),
    "infinity": lambda X: np.where(np.eye(*X.shape) > 0, -np.inf, X),
    "records": lambda X: np.zeros(len(X), [("a", float), ("b", float)]),
}
