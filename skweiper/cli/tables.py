"""Tables for people, and as records for machines."""

import pandas as pd
from rich.table import Table

__all__ = ["records", "rich_table"]


def rich_table(frame):
    """A table with the names of its columns, without its index, numbers to the right.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    rich.table.Table
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in frame:
        is_number = all(map(_reads_as_number, frame[name]))
        table.add_column(str(name), justify="right" if is_number else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*map(_cell, row))
    return table


def _cell(value):
    if _is_missing(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _reads_as_number(value):
    """Whether a cell is a number, one with its interval behind it too."""
    return _is_missing(value) or _cell(value).lstrip("-")[:1].isdigit()


def _is_missing(value):
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def records(frame):
    """A table as a list of a dict for each row, what is missing as None.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    list of dict
    """
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
