"""Scores of a dump part by part, on the device that was asked for."""

from contextlib import contextmanager

import numpy as np
import typer

from skweiper.cli.output import progress_bar

__all__ = ["on_device", "scored_parts", "scores_of_dump"]

PART_ROWS = 2**18
"""Rows between two writes; their features are read in smaller parts still."""


def scored_parts(detector, dump, description="scoring"):
    """Scores of consecutive parts of a dump, with what names their rows.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`.
    dump : FeatureDump
    description : str
        Beside the progress bar.

    Yields
    ------
    scores : ndarray of shape (n_rows,)
    index : Index or None

    Raises
    ------
    ValueError
        Rows that the detector refuses; the message says where they are in the dump.
    """
    with progress_bar(description, len(dump)) as advance:
        for first in range(0, len(dump), PART_ROWS):
            part = dump.part(first, first + PART_ROWS)
            with _rows_named(dump.path, first, len(part)):
                scores = np.asarray(detector.score_samples(part))
            yield scores, part.index
            advance(len(part))


def scores_of_dump(detector, dump, description="scoring"):
    """Scores of all rows of a dump, ndarray of shape (n_samples,)."""
    return np.concatenate([scores for scores, _ in scored_parts(detector, dump, description)])


@contextmanager
def _rows_named(path, first, n_rows):
    try:
        yield
    except ValueError as error:
        where = f" (row 0 is row {first} of the file)" if first else ""
        raise ValueError(f"{path}, rows {first} to {first + n_rows - 1}{where}: {error}") from error


def on_device(detector, device):
    """Have a fitted detector, and those inside it, compute where it was asked for.

    Parameters
    ----------
    detector : estimator
        Changed in place.
    device : str or None
        None leaves it as it is.
    """
    if device is None:
        return
    names = [n for n in detector.get_params(deep=True) if n.rpartition("__")[2] == "device"]
    if not names and device == "cuda":
        raise typer.BadParameter(
            f"{type(detector).__name__} computes on the CPU only.", param_hint="--device"
        )
    detector.set_params(**dict.fromkeys(names, device))
