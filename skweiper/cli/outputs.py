"""Files to write, checked before anything is computed."""

import os

import typer

__all__ = ["check_output"]


def check_output(path, *inputs, option="--output"):
    """Refuse a file that could not be written, or that would take the place of an input.

    Parameters
    ----------
    path : str or None
        Nothing is checked without one.
    *inputs : str
        Paths that are read.
    option : str
        For messages.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    BadParameter
        The path is that of an input.
    """
    if path is None:
        return
    target = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(2, "The folder to write to does not exist; make it first", path)
    same = [each for each in inputs if os.path.realpath(each.partition("::")[0]) == target]
    if same:
        raise typer.BadParameter(
            f"{same[0]} is read, and would be overwritten. Name another file.", param_hint=option
        )
