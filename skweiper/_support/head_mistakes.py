"""What is passed in place of a head by mistake, and what to pass instead."""

from collections.abc import Mapping
from os import PathLike

import numpy as np

from skweiper._support.containers import as_host, is_masked
from skweiper._support.notice import warn_caller
from skweiper._support.rows import FeatureRows

MOST_SHOWN = 5
LOAD = (
    "Load it: head_from_torch(torch.load(path, map_location='cpu', weights_only=True), "
    "prefix='fc.')."
)


def check_is_array(array, name):
    """Refuse a whole layer, model, state dict, path or pair where an array is expected.

    Parameters
    ----------
    array : object
    name : str
        "weight" or "bias".

    Raises
    ------
    TypeError
        Something that holds a head, with what to pass.
    ValueError
        A masked array.
    """
    if isinstance(array, (str, PathLike)):
        raise TypeError(f"{name} is the path {str(array)!r}, expected an array. {LOAD}")
    if _is_pair(array):
        raise TypeError(
            f"{name} is a pair of weight and bias, expected an array. A star is missing: "
            "WeiPerDetector(*head_from_torch(layer)), or pass both apart, weight=..., bias=...."
        )
    remedy = _remedy(array)
    if remedy:
        raise TypeError(f"{name} is a {type(array).__name__}, expected an array. {remedy}")
    if is_masked(array):
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(array)} masked values, which would "
            "be read as if they were there. Fill them: array.filled(value)."
        )


def warn_of_features(weight, X):
    """Warn where the features that are fitted on are passed as the weight, too.

    Parameters
    ----------
    weight : ndarray of shape (n_classes, n_features) or None
    X : ndarray, memory map, DataFrame, `RowView` or device array, (n_samples, n_features); or None
        None where the rows lie elsewhere.

    Warns
    -----
    UserWarning
    """
    if X is None or weight is None or weight.shape != X.shape:
        return
    if np.array_equal(as_host(FeatureRows(X).raw(slice(0, 1))), weight[:1]):
        warn_caller(
            f"weight holds the {len(weight)} rows of X, as if each were a class. Pass the final "
            "layer's weight, one row per class; weight=None means that X holds logits."
        )


def _is_pair(array):
    """Whether this is (weight, bias), as `head_from_torch` returns them."""
    if not isinstance(array, (tuple, list)) or len(array) != 2:
        return False
    weight, bias = array
    return _n_axes(weight) == 2 and (bias is None or _n_axes(bias) == 1)


def _n_axes(array):
    return len(getattr(array, "shape", ()))


def _remedy(thing):
    """How to take the head of something that has one; None where it is no such thing."""
    if isinstance(thing, Mapping):
        return "Pass the arrays themselves: *head_from_torch(state_dict, prefix='fc.')."
    if hasattr(thing, "state_dict"):
        return f"{_which_layer(thing)} as *head_from_torch(layer)."
    if hasattr(thing, "fit"):
        return "Pass its head: *head_from_classifier(classifier)."
    return None


def _which_layer(module):
    """What to take from a PyTorch module."""
    if hasattr(module, "weight"):
        return "Pass its parameters"
    if hasattr(module, "__getitem__"):
        return "Pass its last linear layer, such as sequential[-1]"
    return "Pass its last linear layer, such as model.fc"


def check_is_layer(layer):
    """Refuse what is neither a layer nor a state dict of tensors.

    Raises
    ------
    TypeError
        None, a path, a model, a pair, or anything else, with what to pass.
    """
    wanted = "layer must be a linear layer or the state dict of a model"
    if isinstance(layer, (str, PathLike)):
        raise TypeError(f"{wanted}, got the path {str(layer)!r}. {LOAD}")
    if hasattr(layer, "weight"):
        return
    if hasattr(layer, "state_dict"):
        weights = matrices(layer.state_dict())
        raise TypeError(
            f"{wanted}, got a {type(layer).__name__}. {_which_layer(layer)}, or "
            f"head_from_torch(model.state_dict(), prefix=...); likely heads: {listed(weights)}."
        )
    if not isinstance(layer, Mapping):
        raise TypeError(f"{wanted}, got {_named(layer)}. Pass model.fc, or model.state_dict().")
    nested = [key for key, value in layer.items() if isinstance(value, Mapping) and matrices(value)]
    if nested and not matrices(layer):
        raise TypeError(
            f"{wanted}, got a dict whose {nested} hold one. Pass checkpoint[{nested[0]!r}]."
        )


def _named(thing):
    return "None" if thing is None else f"a {type(thing).__name__}"


def matrices(state, prefix=""):
    """Keys of the two-dimensional weights of a state dict under a prefix."""
    return [
        key
        for key, value in state.items()
        if isinstance(key, str)
        and key.startswith(prefix)
        and key.split(".")[-1] == "weight"
        and _n_axes(value) == 2
    ]


def listed(keys):
    """The last few of the keys, among which the head's is most often the last."""
    if not keys:
        return "none"
    omitted = len(keys) - MOST_SHOWN
    return f"{keys[-MOST_SHOWN:]}" + (f" and {omitted} before them" if omitted > 0 else "")
