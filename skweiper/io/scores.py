"""Scores to files, at once or as they come; a file is written whole or not at all."""

import io
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skweiper._support.containers import as_host, is_masked
from skweiper._support.whole_files import written_whole
from skweiper._typing import PathLike
from skweiper.io.formats.csv import CsvScores
from skweiper.io.formats.feather import FeatherScores
from skweiper.io.formats.npy import NpyScores
from skweiper.io.formats.parquet import ParquetScores

__all__ = ["ScoreWriter", "save_scores"]

WRITERS: dict[str, Any] = {
    ".csv": CsvScores,
    ".tsv": partial(CsvScores, separator="\t"),
    ".parquet": ParquetScores,
    ".pq": ParquetScores,
    ".feather": FeatherScores,
    ".arrow": FeatherScores,
    ".npy": NpyScores,
}


def save_scores(
    path: PathLike, scores: ArrayLike | Mapping[str, ArrayLike], index: ArrayLike | None = None
) -> None:
    """Write scores to a file, which is written whole or not at all.

    Parameters
    ----------
    path : str or PathLike
        Ends with .csv, .tsv, .parquet, .feather or .npy. What was there before is replaced when
        all is written, and stays as it was if anything goes wrong.
    scores : array-like of shape (n_samples,), or mapping of str to such
        Finite numbers, which become the column "score"; or several columns by name, such as scores,
        p-values and predictions.
    index : Index or array-like of shape (n_samples,), default=None
        What names the rows, such as `dump.index`; without a name, it becomes the column "id".

    Raises
    ------
    ValueError
        Another ending, columns of different lengths, scores that are not finite, or an index or
        several columns for .npy.
    OSError
        The file cannot be written, as on a full disk.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skweiper.io import save_scores
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores.csv"
    ...     save_scores(path, [0.25, -1.5], index=["a", "b"])
    ...     print(path.read_text())
    id,score
    a,0.25
    b,-1.5
    <BLANKLINE>
    """
    with ScoreWriter(path) as writer:
        writer.write(scores, index)


class ScoreWriter:
    """Writes scores to a file as they come, of a dump that is larger than memory.

    Used as a context: when it ends without an error, the file takes the place of what was at `path`
    before; otherwise nothing is left of it.

    Parameters
    ----------
    path : str or PathLike
        Ends with .csv, .tsv, .parquet, .feather or .npy.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skweiper.io import ScoreWriter
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores.npy"
    ...     with ScoreWriter(path) as writer:
    ...         writer.write([1.0, 2.0])
    ...         writer.write([3.0])
    ...     np.load(path)
    array([1., 2., 3.])
    """

    def __init__(self, path: PathLike) -> None:
        self.path = os.fspath(path)
        ending = os.path.splitext(self.path)[1].lower()
        if ending not in WRITERS:
            raise ValueError(
                f"Scores are written to {', '.join(WRITERS)}, got path={self.path!r}. Pass a path "
                "with one of these endings."
            )
        self._make_writer = WRITERS[ending]
        self._context = ExitStack()
        self._sink: Any = None
        self._writer: Any = None
        self._columns: Any = None

    def __enter__(self) -> Self:
        file = self._context.enter_context(written_whole(self.path))
        self._sink = Sink(file)
        return self

    def write(
        self, scores: ArrayLike | Mapping[str, ArrayLike], index: ArrayLike | None = None
    ) -> None:
        """Write the scores of further rows.

        Parameters
        ----------
        scores : array-like of shape (n_samples,), or mapping of str to such
            With the same names each time.
        index : Index or array-like of shape (n_samples,), default=None
            Each time or never.

        Raises
        ------
        ValueError
            Scores that are not finite, of another length than the index, or of other columns than
            before.
        OSError
            The file cannot be written, as on a full disk.
        """
        if self._sink is None:
            raise ValueError("A ScoreWriter is a context: with ScoreWriter(path) as writer.")
        frame = _frame(scores, index)
        columns = (*frame.columns, None if index is None else tuple(frame.index.names))
        if self._writer is None:
            self._columns = columns
            self._writer = self._make_writer(self._sink, frame, index is not None)
        if columns != self._columns:
            raise ValueError(
                f"Columns and index must be the same at each write, {self._columns} at the first, "
                f"got {columns}."
            )
        self._writer.write(frame)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as failure:
            self._abandon()
            self._context.__exit__(type(failure), failure, failure.__traceback__)
            raise
        if kind is not None:
            self._abandon()
        self._context.__exit__(kind, error, traceback)

    def _finish(self):
        if self._writer is None:
            raise ValueError(
                f"No scores were written to {self.path}, so it is left as it was. Call "
                "write(scores) at least once."
            )
        self._writer.finish()

    def _abandon(self):
        """End the writer without a trace: some write more when they are deleted."""
        self._sink.forget()
        if self._writer is not None:
            with suppress(Exception):
                self._writer.finish()


class Sink(io.RawIOBase):
    """A file that a library may write to and close, which neither closes it nor outlives it.

    Parameters
    ----------
    file : binary file object
    """

    def __init__(self, file):
        self._file = file

    def forget(self):
        """From now on, take what is written and do nothing with it."""
        self._file = None

    def writable(self):
        return True

    def seekable(self):
        return True

    def write(self, data):
        return len(data) if self._file is None else self._file.write(data)

    def seek(self, place, whence=os.SEEK_SET):
        return 0 if self._file is None else self._file.seek(place, whence)

    def tell(self):
        return 0 if self._file is None else self._file.tell()


def _frame(scores, index):
    """Columns of some rows with their index."""
    columns = scores if isinstance(scores, Mapping) else {"score": scores}
    if not columns:
        raise ValueError("scores is a mapping without a column; pass at least one.")
    arrays = {name: _column(values, name) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in arrays.items()}
    if index is not None:
        index = _named_index(index)
        lengths["index"] = len(index)
    if len(set(lengths.values())) > 1:
        raise ValueError(f"scores and index must have one entry for each row, got {lengths}.")
    return pd.DataFrame(arrays, index=index)


def _column(values, name):
    if is_masked(values):
        raise ValueError(f"{name} is a masked array. Fill or drop what is masked first.")
    values = np.asarray(as_host(values))
    if values.ndim != 1 or values.dtype.kind not in "fiubUO":
        raise ValueError(
            f"{name} must be one-dimensional, one number (or text) for each row, got shape "
            f"{values.shape} and dtype {values.dtype}. Pass the output of score_samples."
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{name} must be finite, got {values[row]} at row {row}.")
    return values


def _named_index(index):
    index = index if isinstance(index, pd.Index) else pd.Index(np.asarray(index))
    if index.nlevels == 1:
        return index.rename("id" if index.name is None else index.name)
    names = [f"id_{i}" if name is None else name for i, name in enumerate(index.names)]
    return index.set_names(names)
