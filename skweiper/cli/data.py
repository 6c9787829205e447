"""Features, heads, labels and OOD sets from the paths on the command line."""

import os
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from skweiper._support.notice import warn_caller

__all__ = [
    "NamedPaths",
    "Reading",
    "described_data",
    "described_head",
    "head_for",
    "labels_of",
    "named_paths",
]

PANEL = "How features are read"


class Reading(NamedTuple):
    """Where in files the features are; a path may end with ::NAME instead of --key."""

    key: Annotated[
        str | None,
        typer.Option(
            help="Array in a file of several, or column of lists; PATH::NAME says it for one file.",
            metavar="NAME",
            rich_help_panel=PANEL,
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of a table, or patterns such as 'f*', separated by commas.",
            metavar="NAMES",
            rich_help_panel=PANEL,
        ),
    ] = None
    ids: Annotated[
        str | None,
        typer.Option(
            "--index",
            help="What names the rows: columns, separated by commas, or an array.",
            metavar="NAMES",
            rich_help_panel=PANEL,
        ),
    ] = None
    shape: Annotated[
        str | None,
        typer.Option(
            help="Of a file of plain numbers, such as -1,512.",
            metavar="ROWS,COLUMNS",
            rich_help_panel=PANEL,
        ),
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Of a file of plain numbers, such as float16.",
            metavar="TYPE",
            rich_help_panel=PANEL,
        ),
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            help="Such as parquet or raw; else by the ending of the name or the first bytes.",
            metavar="NAME",
            rich_help_panel=PANEL,
        ),
    ] = None

    def features(self, path: str) -> Any:
        """The features of a path, still in their files.

        Parameters
        ----------
        path : str

        Returns
        -------
        FeatureDump
        """
        from skweiper.io import open_features

        path, key = split_key(path)
        columns = None if key is not None else listed(self.columns)
        return open_features(
            path,
            key=self.key if key is None and columns is None else key,
            columns=columns,
            index=listed(self.ids),
            shape=self.numbers(),
            dtype=self.dtype,
            format=self.format,
        )

    def all_features(self, paths: dict[str, str]) -> dict[str, Any]:
        """The features of several paths by their names."""
        return {name: self.features(path) for name, path in paths.items()}

    def numbers(self):
        """The shape as numbers, or None."""
        if self.shape is None:
            return None
        try:
            return tuple(int(number) for number in self.shape.split(","))
        except ValueError:
            raise typer.BadParameter(
                f"expected two whole numbers such as -1,512, got {self.shape!r}.",
                param_hint="--shape",
            ) from None


def listed(names):
    """Names separated by commas as a list; None where there are none."""
    return None if names is None else [name.strip() for name in names.split(",")]


def split_key(path):
    """A path and the name of the array in it, PATH::NAME; None where none is named."""
    if "::" not in path or os.path.exists(path):
        return path, None
    path, _, key = path.rpartition("::")
    return path, key


def head_for(path, dump, entries):
    """The final layer for features, and for the detectors that take one.

    Parameters
    ----------
    path : str or None
        PATH or PATH::NAME.
    dump : FeatureDump
    entries : list of DetectorEntry

    Returns
    -------
    weight, bias : ndarray of shape (n_classes, n_features) and (n_classes,); both None without path

    Warns
    -----
    UserWarning
        Features are taken as logits, nothing takes the head, or features seem to be in its place.
    """
    from skweiper.io import load_head

    wanting = [entry.name for entry in entries if entry.needs_head]
    if path is None:
        if wanting:
            warn_caller(
                f"Without --head the {dump.shape[1]:,} columns of {dump.path} are taken as logits "
                f"by {', '.join(wanting)}."
            )
        return None, None
    if not wanting:
        names = ", ".join(dict.fromkeys(entry.name for entry in entries))
        warn_caller(f"--head is not used: {names} looks at features only.")
    path, key = split_key(path)
    weight, bias = load_head(path, key=key, n_features=dump.shape[1])
    if len(weight) == dump.shape[0]:
        warn_caller(
            f"The head in {path} has as many classes as {dump.path} has rows, {len(weight):,}: are "
            "these features? Pass the final layer's weight and bias."
        )
    return weight, bias


def labels_of(path):
    """Labels from a file, PATH or PATH::NAME; None without a path."""
    from skweiper.io import load_labels

    if path is None:
        return None
    path, key = split_key(path)
    return load_labels(path, key=key)


class NamedPaths(NamedTuple):
    """Paths of several sets by their names, and the groups that the names say.

    Attributes
    ----------
    paths : dict of str to str
    groups : dict of str to list of str, or None
        None where no name has a group.
    """

    paths: dict[str, str]
    groups: dict[str, list[str]] | None


def named_paths(texts, option):
    """Sets as NAME=PATH or GROUP/NAME=PATH.

    Parameters
    ----------
    texts : list of str
    option : str
        For messages.

    Returns
    -------
    NamedPaths
    """
    paths, groups = {}, {}
    for text in texts:
        label, separator, path = text.partition("=")
        group, slash, name = label.rpartition("/")
        if not separator or not path or not name or (slash and not group):
            raise typer.BadParameter(
                f"expected NAME=PATH or GROUP/NAME=PATH, such as near/tin=tin.parquet, got "
                f"{text!r}.",
                param_hint=option,
            )
        if name in paths:
            raise typer.BadParameter(
                f"{name!r} is named twice. Give each set a name of its own.", param_hint=option
            )
        paths[name] = path
        if group:
            groups.setdefault(group, []).append(name)
    return NamedPaths(paths, groups or None)


def described_data(dump):
    """Where data comes from and what it was, for a model file.

    Parameters
    ----------
    dump : FeatureDump

    Returns
    -------
    dict
    """
    from skweiper.cli.fingerprints import fingerprint

    return {
        "path": dump.path,
        "n_samples": dump.shape[0],
        "n_features": dump.shape[1],
        "dtype": str(dump.dtype),
        "fingerprint": fingerprint(dump, dump.feature_names),
    }


def described_head(path, weight, bias):
    """Where a head comes from and what it was, for a model file; None without one.

    Parameters
    ----------
    path : str or None
    weight, bias : ndarray of shape (n_classes, n_features) and (n_classes,), or None

    Returns
    -------
    dict or None
    """
    from skweiper.cli.fingerprints import fingerprint

    if weight is None:
        return None
    return {
        "path": path,
        "n_classes": len(weight),
        "n_features": weight.shape[1],
        "fingerprint": fingerprint(np.column_stack([weight, bias])),
    }
