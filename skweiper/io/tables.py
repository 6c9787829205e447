"""What every table in a file offers, and which of its columns are what."""

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import pandas as pd

from skweiper.io.blocks import ROW_BYTES_OF_TEXT, BlockReader
from skweiper.io.errors import DumpError
from skweiper.io.roles import is_id_name, is_label_name

__all__ = ["Choice", "Column", "TableFile", "TableIds", "as_index", "choose_columns", "listed"]

MOST_SHOWN = 8
STEM_AND_NUMBER = re.compile(r"(.*?)[0-9]+\D?$")


class Column(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    name : str
    kind : str
        "number", "list" (of numbers), "text" or "other".
    dtype : dtype or None
        NumPy's, of numbers and of the entries of lists.
    stored : str
        The type as the file has it.
    """

    name: str
    kind: str
    dtype: np.dtype | None
    stored: str


class TableFile:
    """Base of the formats that hold tables.

    A subclass sets the attributes and defines the methods.

    Attributes
    ----------
    path : str
    columns : dict of str to Column
    index_names : list of str
        Columns that the writer marked as the index.
    is_typed : bool
        Whether the file itself tells integers from floats.
    has_names : bool
        Whether the names of the columns are in the file.
    """

    is_typed = True
    has_names = True

    def count_rows(self):
        """Number of rows, int."""
        raise NotImplementedError

    def list_length(self, name):
        """Length of the lists of a column, int; 0 where there are no rows."""
        raise NotImplementedError

    def features(self, choice):
        """`BlockRows` of the features."""
        raise NotImplementedError

    def frames(self, names):
        """`BlockFile` of some columns as DataFrames."""
        raise NotImplementedError


class Choice(NamedTuple):
    """Which columns are what.

    Attributes
    ----------
    features : list of str
        One name, where `is_list`.
    is_list : bool
        Whether the features are the entries of a column of lists.
    ids : list of str
    dtype : dtype
        Of all features.
    """

    features: list[str]
    is_list: bool
    ids: list[str]
    dtype: np.dtype


class TableIds:
    """What names the rows of tables below each other.

    Parts that follow each other read on where the one before ended.

    Parameters
    ----------
    files : list of BlockFile
    names : list of str
    """

    def __init__(self, files, names):
        self.names = names
        self._reader = BlockReader(files, ROW_BYTES_OF_TEXT, keeps_one=True)

    def read(self, first, last):
        """The index of some rows, read now."""
        return as_index(self._reader.frame(first, last))


def as_index(frame):
    """The columns of a frame as an index; pandas' name for an index without name is none."""
    names = [None if str(name).startswith("__index_level_") else name for name in frame]
    if len(names) == 1:
        return pd.Index(frame.iloc[:, 0]).rename(names[0])
    return pd.MultiIndex.from_frame(frame, names=names)


def choose_columns(table, columns=None, index=None, without=()):
    """Features and ids of a table, as asked or by kind and name.

    Parameters
    ----------
    table : TableFile
    columns : str, list of str or None
        Names, or patterns such as "f*". None: all numeric columns but ids and labels, or the only
        column of lists.
    index : str, list of str or None
        None: the index that pandas wrote, or columns with the name of an id, or all text columns
        but labels.
    without : sequence of str
        Columns that are something else, where nobody names the features.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        Names that are not there, or columns of which it is not clear whether they are features.
    """
    ids = _ids_of(table) if index is None else _named(table, [index], "index")
    if columns is not None:
        features = _named(table, [columns], "columns")
        ids = ids if index is not None else [name for name in ids if name not in features]
    else:
        features = _found(table, {*ids, *without})
    kinds = {table.columns[name].kind for name in features}
    if not table.is_typed:
        kinds = {"number"}  # all is text there; what is no number is refused with its place
    if not kinds <= {"number", "list"} or ("list" in kinds and len(features) > 1):
        raise DumpError(
            f"{table.path}: features must be columns of numbers or one column of lists, got "
            f"{_described(table, features)}. Pass columns= with others."
        )
    dtypes = [table.columns[name].dtype for name in features]
    return Choice(features, kinds == {"list"}, ids, np.result_type(*dtypes, np.float16))


def _named(table, names, parameter):
    """Columns by name or pattern, in the order asked for."""
    flat = [n for name in names for n in ([name] if isinstance(name, str) else list(name))]
    found = []
    for name in flat:
        matching = [name] if name in table.columns else _matching(table, name)
        if not matching:
            raise DumpError(
                f"{table.path} has no column {name!r} ({parameter}=), got "
                f"{_described(table, table.columns)}."
            )
        found += [each for each in matching if each not in found]
    if not found:
        raise ValueError(f"{parameter} must name at least one column, got {names[0]!r}.")
    return found


def _matching(table, pattern):
    return [name for name in table.columns if fnmatchcase(name, str(pattern))]


def _ids_of(table):
    if table.index_names:
        return list(table.index_names)
    plain = [c for c in table.columns.values() if c.kind in ("number", "text")]
    named = [c.name for c in plain if is_id_name(c.name)]
    texts = [c.name for c in plain if c.kind == "text" and not is_label_name(c.name)]
    return named or texts


def _found(table, ids):
    """The features of a table whose columns nobody named."""
    others = [c for c in table.columns.values() if c.name not in ids and not is_label_name(c.name)]
    lists = [c.name for c in others if c.kind == "list"]
    numbers = [c for c in others if c.kind == "number"]
    if len(lists) == 1:
        return lists
    if lists or not numbers:
        found = "several columns of lists" if lists else "no column of numbers or lists"
        raise DumpError(
            f"{table.path} has {found} among {_described(table, table.columns)}. Name the features "
            "by columns=."
        )
    _check_alike(table, numbers)
    return [c.name for c in numbers]


def _check_alike(table, numbers):
    """Refuse numeric columns among the features that look like something else."""
    floats = [c.name for c in numbers if c.dtype.kind == "f"]
    odd = set()
    if table.is_typed and floats:
        odd = {c.name for c in numbers} - set(floats)
    stems = Counter(_stem(c.name) for c in numbers)
    stem, count = stems.most_common(1)[0]
    if stem is not None and count > 1 and 2 * count > len(numbers):
        odd |= {c.name for c in numbers if _stem(c.name) != stem}
    if odd:
        names = [c.name for c in numbers if c.name in odd]
        raise DumpError(
            f"{table.path} has {len(numbers)} columns of numbers, of which "
            f"{_described(table, names)} may be no features. Name the features by columns=, names "
            "or a pattern such as 'f*', and what names the rows by index=."
        )


def _stem(name):
    """What stands before the number at the end of a name; None without one."""
    match = STEM_AND_NUMBER.match(name)
    return match[1] if match else None


def _described(table, names):
    return listed([f"{name!r} ({table.columns[name].stored})" for name in names])


def listed(things):
    """The first few of some things, and how many there are beside them.

    Parameters
    ----------
    things : sequence of str

    Returns
    -------
    str
    """
    things = list(things)
    omitted = len(things) - MOST_SHOWN
    return ", ".join(things[:MOST_SHOWN]) + (f" and {omitted} more" if omitted > 0 else "")
