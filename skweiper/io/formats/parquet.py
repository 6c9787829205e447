"""Parquet: row groups, one by one; scores, chunk by chunk."""

import numpy as np

from skweiper.io.errors import reading
from skweiper.io.formats.arrow import ArrowTable, kept_schema, with_schema
from skweiper.io.packages import optional_module

__all__ = ["ParquetScores", "ParquetTable"]

KIND = "a Parquet file"
BUFFER_BYTES = 2**16
"""Read ahead of each column: otherwise all of its encoded bytes in the row group are."""


class ParquetTable(ArrowTable):
    """A Parquet file.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        with _opened(path) as file:
            metadata = file.metadata
            rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            super().__init__(path, file.schema_arrow, KIND)
        self._rows = rows

    def units(self):
        return self._rows

    def batches(self, entry, n_rows, names):
        first = int(np.searchsorted(np.cumsum(self._rows), entry, side="right"))
        with _opened(self.path) as file:
            for number in range(first, len(self._rows)):
                # One at a time: given several, pyarrow reads ahead.
                for batch in file.iter_batches(n_rows, row_groups=[number], columns=names):
                    yield batch.select(names)


def _opened(path):
    parquet = optional_module("pyarrow.parquet", "Parquet files")
    with reading(path, KIND):
        return parquet.ParquetFile(path, buffer_size=BUFFER_BYTES)


class ParquetScores:
    """Writes frames to a Parquet file, a row group each.

    Parameters
    ----------
    file : binary file object
    first : DataFrame
        The first of the frames, whose columns and types the others have.
    keeps_index : bool
    """

    def __init__(self, file, first, keeps_index):
        parquet = optional_module("pyarrow.parquet", "Parquet files")
        self.keeps_index = keeps_index
        self.schema = kept_schema(first, keeps_index)
        self._writer = parquet.ParquetWriter(file, self.schema)

    def write(self, frame):
        self._writer.write_table(with_schema(frame, self.schema, self.keeps_index))

    def finish(self):
        self._writer.close()
