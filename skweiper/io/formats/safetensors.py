"""safetensors: checked by its library, then memory-mapped."""

import json

import numpy as np

from skweiper.io.arrays import ArrayFile, BFloat16FileRows, FileRows, StoredArray
from skweiper.io.errors import reading
from skweiper.io.packages import optional_module

__all__ = ["SafetensorsFile"]

KIND = "a safetensors file"
DTYPES = {
    **{f"F{n}": f"float{n}" for n in (16, 32, 64)},
    **{f"I{n}": f"int{n}" for n in (8, 16, 32, 64)},
    **{f"U{n}": f"uint{n}" for n in (8, 16, 32, 64)},
    "BF16": "bfloat16",
    "BOOL": "bool",
}


class SafetensorsFile(ArrayFile):
    """A file of named tensors.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        self.path = path
        safetensors = optional_module("safetensors", "safetensors files")
        with reading(path, KIND):
            with safetensors.safe_open(path, framework="numpy"):
                pass  # refuses what is cut short or overlaps
            self._offsets, self.arrays = _tensors(path)

    def rows(self, name):
        stored, offset = self.arrays[name], self._offsets[name]
        if stored.dtype == "bfloat16":
            # NumPy has no such type, and the library hands none on.
            return BFloat16FileRows(self.path, stored.shape, offset)
        return FileRows(self.path, stored.shape, stored.dtype, offset)

    def read(self, name):
        return np.array(self.rows(name)[:])


def _tensors(path):
    """Offset, and name, shape and dtype of each tensor, from the header.

    The header is JSON behind its length of 8 bytes; offsets count from its end
    (https://huggingface.co/docs/safetensors/index#format).
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    offsets = {name: 8 + length + tensor["data_offsets"][0] for name, tensor in header.items()}
    return offsets, {
        name: StoredArray(name, tuple(tensor["shape"]), DTYPES.get(tensor["dtype"], ""))
        for name, tensor in header.items()
    }
