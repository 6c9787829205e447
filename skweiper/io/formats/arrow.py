"""Columns of Arrow as matrices and frames, for the formats that pyarrow reads."""

import json
from functools import partial

import numpy as np
import pandas as pd

from skweiper.io.blocks import BlockFile, BlockRows
from skweiper.io.errors import DumpError, reading
from skweiper.io.packages import optional_module
from skweiper.io.tables import Column, TableFile

__all__ = ["ArrowFile", "ArrowTable", "kept_schema", "with_schema"]

PADDING = 16


class ArrowTable(TableFile):
    """Base of the tables that pyarrow reads.

    A subclass defines `batches(entry, n_rows, names)` and `units()`.

    Parameters
    ----------
    path : str
    schema : pyarrow.Schema
    kind : str
        What the file is, for messages.
    """

    def __init__(self, path, schema, kind):
        self.path = path
        self.kind = kind
        self.columns = {name: _column(schema.field(i)) for i, name in enumerate(schema.names)}
        if len(self.columns) < len(schema.names):
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            raise DumpError(f"{path} has several columns of the same name, {twice}. Rename them.")
        self.index_names = _index_names(schema, self.columns)

    def batches(self, entry, n_rows, names):
        """Yield batches of about `n_rows` rows of some columns, from row `entry` on."""
        raise NotImplementedError

    def units(self):
        """Rows of each unit at whose first row reading can begin, list of int."""
        raise NotImplementedError

    def count_rows(self):
        return sum(self.units())

    def list_length(self, name):
        with reading(self.path, self.kind):
            for batch in self.batches(0, 1, [name]):
                lists = _storage(batch.column(0)).drop_null()
                if len(lists):
                    return len(lists[0])
        return 0

    def features(self, choice):
        if choice.is_list:
            width = self.list_length(choice.features[0])
            convert = partial(_stacked_lists, width, choice.dtype, self.path)
        else:
            width, convert = len(choice.features), partial(_matrix, choice.dtype)
        return BlockRows([ArrowFile(self, choice.features, convert)], width, choice.dtype)

    def frames(self, names):
        return ArrowFile(self, names, _frame)


class ArrowFile(BlockFile):
    """Rows of some columns of a table.

    Parameters
    ----------
    table : ArrowTable
    names : list of str
    convert : callable(batch, first_row)
        Makes a block of a batch.
    """

    def __init__(self, table, names, convert):
        units = table.units()
        starts = np.concatenate([[0], np.cumsum(units)])
        # Only the starts of units with rows; an empty file has none.
        entries = starts[:-1][np.asarray(units, dtype=int) > 0] if units else []
        super().__init__(table.path, int(starts[-1]), entries)
        self.table = table
        self.names = names
        self.convert = convert

    def blocks(self, entry, n_rows):
        row = entry
        with reading(self.path, self.table.kind):
            for batch in self.table.batches(entry, n_rows, self.names):
                yield self.convert(batch, row)
                row += len(batch)


def _column(field):
    types = optional_module("pyarrow.types", "Parquet and Arrow files")
    stored, type_ = str(field.type), getattr(field.type, "storage_type", field.type)
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        dtype = _number_type(type_.value_type, types)
        return Column(field.name, "other" if dtype is None else "list", dtype, stored)
    dtype = _number_type(type_, types)
    if dtype is not None:
        return Column(field.name, "number", dtype, stored)
    values = type_.value_type if types.is_dictionary(type_) else type_
    is_text = types.is_string(values) or types.is_large_string(values)
    is_text = is_text or getattr(types, "is_string_view", types.is_string)(values)
    return Column(field.name, "text" if is_text else "other", None, stored)


def _number_type(type_, types):
    """NumPy's type of Arrow's numbers; None for anything else."""
    if types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_):
        return np.dtype(type_.to_pandas_dtype())
    return None


def _index_names(schema, columns):
    """Columns that pandas wrote as the index."""
    written = (schema.metadata or {}).get(b"pandas")
    found = json.loads(written).get("index_columns", []) if written else []
    return [name for name in found if isinstance(name, str) and name in columns]


def _storage(column):
    """A column without the type that an extension puts over it."""
    return getattr(column, "storage", column)


def _matrix(dtype, batch, first_row):
    """Columns of numbers beside each other, ndarray of shape (n_rows, n_columns)."""
    # Not a power of two apart: columns that share cache lines take seven times as long to turn.
    values = np.empty((batch.num_columns, len(batch) + PADDING), dtype)[:, : len(batch)]
    for row, column in zip(values, batch.columns, strict=True):
        row[:] = column.to_numpy(zero_copy_only=False)
    return values.T


def _stacked_lists(width, dtype, path, batch, first_row):
    """Lists of one length below each other, ndarray of shape (n_rows, width)."""
    compute = optional_module("pyarrow.compute", "Parquet and Arrow files")
    column = _storage(batch.column(0))
    lengths = compute.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    if not (lengths == width).all():
        row = int(np.flatnonzero(lengths != width)[0])
        got = "no list" if lengths[row] < 0 else f"a list of length {lengths[row]}"
        raise DumpError(
            f"{path} has lists of length {width}, but row {first_row + row} holds {got}. All rows "
            "must have the same features; drop or repair the row."
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(dtype, copy=False).reshape(len(column), width)


def _frame(batch, first_row):
    return pd.DataFrame({name: _plain(batch.column(name)) for name in batch.schema.names})


def _plain(column):
    types = optional_module("pyarrow.types", "Parquet and Arrow files")
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.to_pandas()


def kept_schema(frame, keeps_index):
    """The schema of the first frame written, in which `pandas` finds the index again.

    Parameters
    ----------
    frame : DataFrame
    keeps_index : bool

    Returns
    -------
    pyarrow.Schema
    """
    pyarrow = optional_module("pyarrow", "Parquet and Arrow files")
    return pyarrow.Table.from_pandas(frame, preserve_index=keeps_index).schema


def with_schema(frame, schema, keeps_index):
    """A frame as a table of the schema of the first one.

    Parameters
    ----------
    frame : DataFrame
    schema : pyarrow.Schema
    keeps_index : bool

    Returns
    -------
    pyarrow.Table
    """
    pyarrow = optional_module("pyarrow", "Parquet and Arrow files")
    return pyarrow.Table.from_pandas(frame, schema=schema, preserve_index=keeps_index)
