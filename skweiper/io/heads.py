"""The final layer of a classifier from a file."""

import os
from typing import NamedTuple

import numpy as np

from skweiper._typing import FloatArray, PathLike
from skweiper.head import check_head
from skweiper.io.arrays import StoredArray
from skweiper.io.choosing import described_arrays
from skweiper.io.errors import DumpError
from skweiper.io.formats.npy import NpyFile
from skweiper.io.opening import opened_files
from skweiper.io.roles import (
    BIAS_NAMES,
    HEAD_GROUPS,
    HEAD_NAMES,
    WEIGHT_NAMES,
    bare_layer,
    layer_of,
)
from skweiper.io.tables import TableFile, choose_columns

__all__ = ["load_head"]


def load_head(
    path: PathLike,
    *,
    key: str | None = None,
    bias: str | None = None,
    n_features: int | None = None,
    format: str | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Final layer of a classifier, as `WeiPerDetector(*load_head(path))` takes it.

    Parameters
    ----------
    path : str or PathLike
        A file of named arrays (a state dict as safetensors or .pt, npz, HDF5, zarr), a folder of
        .npy files, an .npy file of the weight alone, or a table with a row per class and the bias
        in a column called so.
    key : str, default=None
        Name of the weight, such as "fc.weight", or of its layer, "fc". None: the only layer, the
        one with the name of a final layer (`fc`, `classifier`, `head`, ...), or the only one of
        `n_features` inputs.
    bias : str, default=None
        Name of the bias. None: what stands beside the weight; zeros where there is none.
    n_features : int, default=None
        Width of the features: of several layers, those of another width are left out.
    format : str, default=None
        None: by the ending of the name, or by the first bytes.

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features), float64
        Turned where the file has one column per class: in Keras' kernels, and where only so the
        bias or `n_features` fits.
    bias : ndarray of shape (n_classes,), float64

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        No layer or several, shapes that do not fit, values that are not finite, or a pickle.
    ImportError
        The package for the format is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skweiper.io import load_head
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "head.npz"
    ...     np.savez(path, weight=np.ones((10, 64)), bias=np.zeros(10))
    ...     weight, bias = load_head(path)
    >>> weight.shape, bias.shape
    ((10, 64), (10,))
    """
    file = _opened(path, format)
    if isinstance(file, TableFile):
        weight, offsets = _of_table(file, bias)
    else:
        layer = _chosen(file, _layers(file, bias), key, n_features)
        weight, offsets = layer.weight, layer.bias
        weight = np.asarray(file.read(weight.name))
        offsets = None if offsets is None else np.ravel(file.read(offsets.name))
        weight = weight.T if layer.is_turned(n_features) else weight
    return _checked(file.path, weight, offsets, n_features)


class Layer(NamedTuple):
    """A weight and its bias in a file.

    Attributes
    ----------
    name : str or None
        None where the weight is not called so.
    weight : StoredArray
    bias : StoredArray or None
    """

    name: str | None
    weight: StoredArray
    bias: StoredArray | None

    @property
    def bare(self):
        """The name without what is around the network; that of no layer where it has none."""
        return "?" if self.name is None else bare_layer(self.name)

    def is_turned(self, n_features):
        """Whether the weight has one column per class."""
        n_rows, n_columns = self.weight.shape
        if n_rows != n_columns and n_features in (n_rows, n_columns):
            return n_features == n_rows
        n_classes = None if self.bias is None else self.bias.shape[0]
        if n_rows != n_columns and n_classes in (n_rows, n_columns):
            return n_classes == n_columns
        return layer_of(self.weight.name, ("kernel",)) is not None

    def fits(self, n_features):
        """Whether features of this width may go in."""
        return n_features is None or n_features in self.weight.shape


class NpyFolder:
    """A folder of .npy files as one file of arrays, named as the files are."""

    def __init__(self, path, names):
        self.path = path
        paths = {name.removesuffix(".npy"): os.path.join(path, name) for name in names}
        self._files = {name: NpyFile(each) for name, each in paths.items()}
        self.arrays = {
            name: file.arrays[""]._replace(name=name) for name, file in self._files.items()
        }

    def read(self, name):
        return self._files[name].read("")


def _opened(path, format):
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the path of one file or folder, got {path!r}.")
    folder = os.path.expanduser(os.fspath(path))
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in names if name.endswith(".npy")]
    if len(names) > 1:
        return NpyFolder(folder, names)
    files, found = opened_files(path, format)
    if len(files) > 1:
        raise DumpError(f"{found.given} has {len(files)} parts; a head is in one file. Name it.")
    return files[0]


def _layers(file, bias):
    """All weights of two dimensions with the bias beside them."""
    if bias is not None and bias not in file.arrays:
        raise DumpError(
            f"{file.path} has no array {bias!r} (bias=), got "
            f"{described_arrays(file.arrays.values())}."
        )
    weights = [a for a in file.arrays.values() if len(a.shape) == 2 and a.is_real]
    layers = [_layer(file, weight, bias) for weight in weights]
    return [layer for layer in layers if layer.name is not None] or layers


def _layer(file, weight, bias):
    name = layer_of(weight.name, WEIGHT_NAMES)
    fitting = [array for array in file.arrays.values() if _fits_as_bias(array, weight)]
    if bias is not None:
        beside = [array for array in fitting if array.name == bias]
    elif name is not None:
        beside = [array for array in fitting if layer_of(array.name, BIAS_NAMES) == name]
    else:
        # By shape: the only array of as many values as there are classes, in the same group.
        beside = [array for array in fitting if _group(array.name) == _group(weight.name)]
        beside = beside if len(beside) == 1 else []
    return Layer(name, weight, beside[0] if beside else None)


def _group(name):
    return name.rpartition("/")[0]


def _fits_as_bias(array, weight):
    size = int(np.prod(array.shape))
    return array.is_real and size in weight.shape and size == max(array.shape, default=0)


def _chosen(file, layers, key, n_features):
    if key is not None:
        found = _by_key(file, layers, key)
    else:
        found = [layer for layer in layers if layer.fits(n_features)]
        found = _narrowed(found, lambda layer: layer.bare in HEAD_NAMES)
        found = _narrowed(found, lambda layer: layer.bare.partition(".")[0] in HEAD_GROUPS)
        found = _narrowed(found, lambda layer: layer.name is None and layer.bias is not None)
    if len(found) == 1:
        return found[0]
    width = "" if n_features is None else f" for {n_features} features"
    layers = found or layers
    raise DumpError(
        f"{file.path} has {'several layers' if found else 'no layer'}{width} that may be the head: "
        f"{described_arrays([layer.weight for layer in layers] or file.arrays.values())}. Pass "
        "key= with the name of the weight, of shape (n_classes, n_features)."
    )


def _narrowed(layers, holds):
    """Those of several layers for which something holds, if there are any."""
    return [layer for layer in layers if holds(layer)] or layers if len(layers) > 1 else layers


def _by_key(file, layers, key):
    """Layers whose weight, or whose name, is `key`; any array of two dimensions may be named."""
    exact = [layer for layer in layers if layer.weight.name == key]
    if not exact and key in file.arrays and len(file.arrays[key].shape) == 2:
        exact = [_layer(file, file.arrays[key], None)]
    if exact:
        return exact
    stem = key.rstrip("./_")
    named = [layer for layer in layers if layer.name == stem]
    return named or [layer for layer in layers if layer.weight.name.startswith(stem)]


def _of_table(file, bias):
    """Weight and bias of a table with a row per class."""
    biases = [bias] if bias else [name for name in file.columns if name.lower() in BIAS_NAMES]
    offsets = np.ravel(file.features(choose_columns(file, biases[0]))[:]) if biases else None
    return file.features(choose_columns(file, without=biases))[:], offsets


def _checked(path, weight, bias, n_features):
    try:
        head = check_head(weight, bias, weight.shape[1] if n_features is None else n_features)
    except (TypeError, ValueError) as error:
        raise DumpError(f"{path}: {error}") from error
    return head.weight, head.bias
