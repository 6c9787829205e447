"""Scores and p-values as vectors of finite numbers."""

import numpy as np

from skweiper._support.containers import as_host, is_masked


def finite_vector(values, name, remedy="Pass the output of score_samples.", *, may_be_empty=False):
    """Values as a float64 vector.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
    name : str
        What the caller calls them, for messages.
    remedy : str
    may_be_empty : bool

    Returns
    -------
    ndarray of shape (n_samples,), float64

    Raises
    ------
    ValueError
        Values that are not finite numbers, masked, or not one-dimensional.
    """
    values = as_host(values)
    if is_masked(values):
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(values)} masked values, which "
            "would be read as if they were there. Drop them: values.compressed()."
        )
    wanted = "a one-dimensional" if may_be_empty else "a non-empty one-dimensional"
    values = _as_numbers(values, name, f"{wanted} array of finite numbers", remedy)
    is_empty = values.size == 0 and not may_be_empty
    if values.ndim != 1 or is_empty or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be {wanted} array of finite numbers, got shape {values.shape} "
            f"with {np.sum(~np.isfinite(values))} not finite. {remedy}"
        )
    return values


def _as_numbers(values, name, wanted, remedy):
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiubO":
            raise TypeError(f"dtype {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be {wanted}, got something else: {error}. {remedy}"
        ) from error
