"""Feather and Arrow's own files and streams: batch by batch."""

import numpy as np

from skweiper.io.errors import DumpError, reading
from skweiper.io.formats.arrow import ArrowTable, kept_schema, with_schema
from skweiper.io.packages import optional_module

__all__ = ["ArrowStream", "FeatherScores", "FeatherTable", "feather_table"]

KIND = "a Feather or Arrow file"
FILE_MARK = b"ARROW1"
OLD_FEATHER = b"FEA1"


def feather_table(path):
    """The table in a file of Arrow, whether it has a list of its batches or is a stream of them.

    Parameters
    ----------
    path : str

    Returns
    -------
    FeatherTable or ArrowStream
    """
    with open(path, "rb") as file:
        first = file.read(len(FILE_MARK))
    if first.startswith(OLD_FEATHER):
        raise DumpError(
            f"{path} is a Feather file of the first version, which cannot be read in parts. Write "
            "it again: pandas.read_feather(path).to_feather(path)."
        )
    return FeatherTable(path) if first == FILE_MARK else ArrowStream(path)


def _ipc():
    return optional_module("pyarrow.ipc", "Feather and Arrow files")


def _mapped(path):
    return optional_module("pyarrow", "Feather and Arrow files").memory_map(path)


class FeatherTable(ArrowTable):
    """A file whose batches can be read in any order (Feather 2).

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        with reading(path, KIND), _mapped(path) as source:
            schema = _ipc().open_file(source).schema
            super().__init__(path, schema, KIND)
            # The rows of a batch are known only when a column is read: the smallest.
            counted = _ipc().open_file(source, options=_only(schema, [_smallest(self.columns)]))
            numbers = range(counted.num_record_batches)
            self._rows = [counted.get_batch(i).num_rows for i in numbers]

    def units(self):
        return self._rows

    def batches(self, entry, n_rows, names):
        first = int(np.searchsorted(np.cumsum(self._rows), entry, side="right"))
        with _mapped(self.path) as source:
            file = _ipc().open_file(source, options=self._only(names))
            for number in range(first, len(self._rows)):
                yield from _pieces(file.get_batch(number).select(names), n_rows)

    def _only(self, names):
        return _only_places([list(self.columns).index(name) for name in names])


class ArrowStream(ArrowTable):
    """A stream of batches, which can only be read from its beginning.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        with reading(path, KIND), _mapped(path) as source:
            schema = _ipc().open_stream(source).schema
        super().__init__(path, schema, KIND)
        name = _smallest(self.columns)
        with reading(path, KIND):
            self._rows = sum(len(batch) for batch in self.batches(0, 2**31, [name]))

    def units(self):
        return [self._rows]

    def batches(self, entry, n_rows, names):
        places = [list(self.columns).index(name) for name in names]
        with _mapped(self.path) as source:
            for batch in _ipc().open_stream(source, options=_only_places(places)):
                yield from _pieces(batch.select(names), n_rows)


def _only(schema, names):
    return _only_places([schema.get_field_index(name) for name in names])


def _only_places(places):
    # Ascending: pyarrow takes them so.
    return _ipc().IpcReadOptions(included_fields=sorted(places))


def _smallest(columns):
    """A column that takes little to read."""
    order = {"number": 0, "text": 1, "other": 2, "list": 3}
    return min(columns.values(), key=lambda column: order[column.kind]).name


def _pieces(batch, n_rows):
    for first in range(0, len(batch), n_rows):
        yield batch.slice(first, n_rows)


class FeatherScores:
    """Writes frames to a Feather file, a batch each.

    Parameters
    ----------
    file : binary file object
    first : DataFrame
        The first of the frames, whose columns and types the others have.
    keeps_index : bool
    """

    def __init__(self, file, first, keeps_index):
        self.keeps_index = keeps_index
        self.schema = kept_schema(first, keeps_index)
        self._writer = _ipc().new_file(file, self.schema)

    def write(self, frame):
        self._writer.write_table(with_schema(frame, self.schema, self.keeps_index))

    def finish(self):
        self._writer.close()
