"""Which array of a file is what: by the name asked for, or by names and shapes."""

from skweiper.io.errors import DumpError
from skweiper.io.paths import refused_pickle
from skweiper.io.roles import (
    BIAS_NAMES,
    FEATURE_NAMES,
    WEIGHT_NAMES,
    is_id_name,
    is_label_name,
    last_part,
    layer_of,
)
from skweiper.io.tables import listed

__all__ = ["choose_features", "choose_ids", "choose_labels", "described_arrays", "role_of"]


def described_arrays(arrays):
    """Arrays with their shapes and dtypes, for a message.

    Parameters
    ----------
    arrays : iterable of StoredArray

    Returns
    -------
    str
    """
    return listed([f"{a.name!r} {a.shape} {a.dtype or 'of another type'}" for a in arrays])


def role_of(stored):
    """What an array seems to be, by its name and shape.

    Parameters
    ----------
    stored : StoredArray

    Returns
    -------
    str
        "features", "weight", "bias", "labels", "index" or "other".
    """
    name, n_axes = last_part(stored.name), len(stored.shape)
    if n_axes == 2 and stored.is_real:
        is_column = stored.shape[1] == 1 and is_label_name(name)
        is_weight = layer_of(stored.name, WEIGHT_NAMES) is not None
        return "labels" if is_column else "weight" if is_weight else "features"
    if n_axes == 1 and stored.is_real and layer_of(stored.name, BIAS_NAMES) is not None:
        return "bias"
    if n_axes == 1 and stored.dtype not in ("", "object"):
        return "labels" if is_label_name(name) else "index" if is_id_name(name) else "other"
    return "other"


def choose_features(file, key=None):
    """The array of a file that holds features.

    Parameters
    ----------
    file : ArrayFile
    key : str or None
        Its name. None: the only one of two dimensions that is no weight, or the only one of these
        with the name of features.

    Returns
    -------
    StoredArray

    Raises
    ------
    ValueError
        No such array, several, or one that is not of two dimensions and real.
    """
    if key is not None:
        return _of_two_axes(file, _named(file, key))
    if len(file.arrays) == 1:
        return _of_two_axes(file, next(iter(file.arrays.values())))
    found = [array for array in file.arrays.values() if role_of(array) == "features"]
    named = [array for array in found if last_part(array.name) in FEATURE_NAMES]
    if len(found) != 1:
        found = named
    if len(found) != 1:
        raise _several(file, "features, of shape (n_samples, n_features)")
    return found[0]


def choose_labels(file, key=None):
    """The array of a file that holds labels.

    Parameters
    ----------
    file : ArrayFile
    key : str or None
        Its name. None: the only one, or the only one with the name of labels.

    Returns
    -------
    StoredArray

    Raises
    ------
    ValueError
        No such array, several, or one that is not of one dimension.
    """
    if key is not None or len(file.arrays) == 1:
        found = [_named(file, key) if key is not None else next(iter(file.arrays.values()))]
    else:
        found = [array for array in file.arrays.values() if role_of(array) == "labels"]
    if len(found) != 1:
        raise _several(file, "labels, of shape (n_samples,)")
    _check_no_pickle(file, found[0])
    shape = found[0].shape
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise DumpError(
            f"{_place(file, found[0])} has shape {shape}, where labels have shape (n_samples,). "
            f"Pass key= with another of {described_arrays(file.arrays.values())}."
        )
    return found[0]


def choose_ids(file, n_rows, index=None):
    """The array of a file that names the rows of the features; None where there is none.

    Parameters
    ----------
    file : ArrayFile
    n_rows : int
        Of the features.
    index : str or None
        Its name. None: the only one with the name of ids and as many entries.

    Returns
    -------
    StoredArray or None

    Raises
    ------
    ValueError
        `index` names no array of one dimension with an entry for each row.
    """
    if index is None:
        found = [array for array in file.arrays.values() if role_of(array) == "index"]
        found = [array for array in found if array.shape == (n_rows,)]
        return found[0] if len(found) == 1 else None
    named = _named(file, index)
    _check_no_pickle(file, named)
    if named.shape not in ((n_rows,), (n_rows, 1)):
        raise DumpError(
            f"{_place(file, named)} has shape {named.shape}, where index= needs one entry for each "
            f"of {n_rows} rows of the features."
        )
    return named


def _named(file, key):
    if key in file.arrays:
        return file.arrays[key]
    raise DumpError(
        f"{file.path} has no array {key!r}, got {described_arrays(file.arrays.values())}. Pass one "
        "of these names."
    )


def _of_two_axes(file, stored):
    _check_no_pickle(file, stored)
    if len(stored.shape) != 2 or not stored.is_real:
        raise DumpError(
            f"{_place(file, stored)} has shape {stored.shape} and dtype "
            f"{stored.dtype or 'of another library'}, where features are real numbers of shape "
            f"(n_samples, n_features). {_remedy(file, stored)}"
        )
    return stored


def _remedy(file, stored):
    if len(stored.shape) > 2 and stored.is_real:
        return "Pool or flatten the other axes, and write it again."
    if len(file.arrays) > 1:
        return f"Pass key= with another of {described_arrays(file.arrays.values())}."
    return "Write it again as such."


def _check_no_pickle(file, stored):
    if stored.dtype == "object":
        raise refused_pickle(_place(file, stored))


def _place(file, stored):
    return f"The array {stored.name!r} in {file.path}" if stored.name else file.path


def _several(file, wanted):
    return DumpError(
        f"{file.path} does not say which of its arrays are {wanted}: it has "
        f"{described_arrays(file.arrays.values())}. Pass key= with the name of one."
    )
