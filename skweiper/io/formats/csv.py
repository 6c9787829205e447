"""CSV: parsed from the beginning on, chunk by chunk; scores, chunk by chunk."""

import bz2
import csv
import gzip
import lzma
import re

import numpy as np
import pandas as pd

from skweiper.io.blocks import BlockFile, BlockRows
from skweiper.io.errors import DumpError, reading
from skweiper.io.roles import is_id_name
from skweiper.io.tables import Column, TableFile

__all__ = ["CsvScores", "CsvTable"]

KIND = "a CSV file"
SAMPLED_ROWS = 1000
SCANNED_ROWS = 100_000
WHOLE_NUMBER = re.compile(r"(0|-?[1-9][0-9]{0,17})\Z")
"""Without leading zeros, which an id may have."""
FLOAT64 = np.dtype(np.float64)
TEXT = ("text", FLOAT64, "text")  # the type that it must have if it is asked for as a feature
NO_NUMBER = ["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A", "n/a", "<NA>"]
OPENED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2])


class CsvTable(TableFile):
    """A table as text, with names in its first line or without.

    The first line holds data, and not names, where all of it are numbers, unless they count from 0.
    A first column without a name is the index, as pandas writes it.

    Parameters
    ----------
    path : str
    """

    is_typed = False

    def __init__(self, path):
        self.path = path
        with reading(path, KIND):
            first = _first_line(path)
            self.separator = max(",;\t", key=first.count)
            fields = next(csv.reader([first], delimiter=self.separator))
            self.has_names = not _is_data(fields)
            self.names = self._checked_names(fields)
            sample = next(self.chunks(None, SAMPLED_ROWS))
            self.columns = {name: self._column(name, sample[name]) for name in self.names}
        nameless = self.has_names and not fields[0].strip() and len(fields) > 1
        self.index_names = self.names[:1] if nameless else []
        self._n_rows = None
        self.whole = set()

    def _checked_names(self, fields):
        if not self.has_names:
            return [f"column {i}" for i in range(len(fields))]
        names = [field.strip() or f"__index_level_{i}__" for i, field in enumerate(fields)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DumpError(f"{self.path} has several columns of the same name, {twice}.")
        return names

    def _column(self, name, texts):
        filled = texts[~texts.str.strip().isin(NO_NUMBER)]
        # A stray word among numbers is an error of theirs, and makes no text of the column.
        is_number = pd.to_numeric(filled, errors="coerce").isna().sum() <= len(filled) / 2
        return Column(name, *(("number", FLOAT64, "numbers") if is_number else TEXT))

    def chunks(self, names, n_rows, numbers=()):
        """Yield frames of consecutive rows.

        Parameters
        ----------
        names : list of str or None
            None: all columns, and a line with more fields than these is an error.
        n_rows : int
        numbers : list of str
            Columns that are numbers; the others are text.
        """
        # Correctly rounded: the numbers that were written. Later versions of pandas always are.
        precision = {"float_precision": "round_trip"} if numbers and PANDAS < (3, 1) else {}
        with pd.read_csv(
            self.path,
            sep=self.separator,
            names=self.names,
            header=0 if self.has_names else None,
            usecols=names,
            chunksize=n_rows,
            dtype=dict.fromkeys(self.names, str) | dict.fromkeys(numbers, FLOAT64),
            na_values={name: NO_NUMBER for name in numbers},
            keep_default_na=False,
            encoding="utf-8-sig",
            **precision,
        ) as chunks:
            for chunk in chunks:
                if not isinstance(chunk.index, pd.RangeIndex):
                    raise DumpError(
                        f"{self.path} has lines of more fields than the first, which has "
                        f"{len(self.names)}. Write it again, with a name for every column."
                    )
                yield chunk

    def count_rows(self):
        if self._n_rows is None:
            # Ids are text, of which only the whole column says whether it is whole numbers.
            names = [n for n in self.names if n in self.index_names or is_id_name(n)]
            names = names or self.names[:1]
            self._n_rows, self.whole = 0, set(names)
            with reading(self.path, KIND):
                for chunk in self.chunks(names, SCANNED_ROWS):
                    self._n_rows += len(chunk)
                    self.whole = {n for n in self.whole if _are_whole(chunk[n])}
        return self._n_rows

    def features(self, choice):
        return BlockRows([CsvFeatures(self, choice)], len(choice.features), choice.dtype)

    def frames(self, names):
        return CsvFrames(self, names)


class CsvFeatures(BlockFile):
    """Columns of numbers.

    Parameters
    ----------
    table : CsvTable
    choice : Choice
    """

    def __init__(self, table, choice):
        super().__init__(table.path, table.count_rows())
        self.table = table
        self.names = choice.features

    def blocks(self, entry, n_rows):
        row = entry
        with reading(self.path, KIND):
            for chunk in self._numbers(n_rows):
                values = chunk[self.names].to_numpy()
                if np.isnan(values).any():
                    raise self._missing(values, row)
                yield values
                row += len(values)

    def _numbers(self, n_rows):
        try:
            yield from self.table.chunks(None, n_rows, self.names)
        except ValueError as error:
            raise self._no_number(error) from error

    def _missing(self, values, row):
        place, column = (int(i[0]) for i in np.nonzero(np.isnan(values)))
        return DumpError(
            f"{self.path} has no number at row {row + place} (from 0, without the line of names), "
            f"column {self.names[column]!r}: the field is empty or NaN, or the line was cut short. "
            "Repair or drop the row."
        )

    def _no_number(self, error):
        """The error of a field that is no number, with its place."""
        row = 0
        for chunk in self.table.chunks(None, SCANNED_ROWS):
            for name in self.names:
                bad = pd.to_numeric(chunk[name], errors="coerce").isna() & ~chunk[name].isin(
                    NO_NUMBER
                )
                if bad.any():
                    place = int(np.flatnonzero(bad)[0])
                    return DumpError(
                        f"{self.path} has {chunk[name].iloc[place]!r} at row {row + place} (from "
                        f"0, without the line of names), column {name!r}, where a number is "
                        "expected. Repair or drop the row, or name the features by columns=."
                    )
            row += len(chunk)
        return error


class CsvFrames(BlockFile):
    """Columns of ids, as text or as whole numbers.

    Parameters
    ----------
    table : CsvTable
    names : list of str
    """

    def __init__(self, table, names):
        super().__init__(table.path, table.count_rows())
        self.table = table
        self.names = names

    def blocks(self, entry, n_rows):
        with reading(self.path, KIND):
            for chunk in self.table.chunks(self.names, n_rows):
                whole = {n: np.int64 for n in self.names if n in self.table.whole}
                yield chunk[self.names].astype(whole)


def _first_line(path):
    """The first line that is not blank, without the mark of byte order."""
    opened = next((f for ending, f in OPENED.items() if path.lower().endswith(ending)), open)
    with opened(path, "rt", encoding="utf-8-sig") as file:
        for line in file:
            if line.strip():
                return line.rstrip("\r\n")
    raise DumpError(f"{path} has no line. Write it again, or leave it out.")


def _is_data(fields):
    """Whether the first line holds numbers, which are not the numbers of the columns."""
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        return False
    return numbers != list(range(len(numbers)))


def _are_whole(texts):
    return texts.str.match(WHOLE_NUMBER).all()


class CsvScores:
    """Writes frames to a CSV file.

    Parameters
    ----------
    file : binary file object
    first : DataFrame
        The first of the frames, whose columns the others have.
    keeps_index : bool
    separator : str, default=","
    """

    def __init__(self, file, first, keeps_index, separator=","):
        self._file = file
        self.keeps_index = keeps_index
        self.separator = separator
        self._write(first.iloc[:0], header=True)

    def write(self, frame):
        self._write(frame, header=False)

    def _write(self, frame, header):
        text = frame.to_csv(
            sep=self.separator, index=self.keeps_index, header=header, lineterminator="\n"
        )
        self._file.write(text.encode("utf-8"))

    def finish(self):
        """A CSV file needs no end."""
