"""PyTorch's .pt and .pth, where torch can be imported: tensors only, no code."""

from collections.abc import Mapping
from zipfile import is_zipfile

import numpy as np

from skweiper._support.containers import as_host, is_bfloat16, is_tensor
from skweiper._support.row_views import BFloat16Rows
from skweiper.io.arrays import ArrayFile, StoredArray
from skweiper.io.errors import DumpError, reading
from skweiper.io.packages import optional_module

__all__ = ["TorchFile"]

KIND = "a PyTorch file of tensors"


class TorchFile(ArrayFile):
    """A tensor, or tensors in mappings, such as a state dict.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path):
        self.path = path
        torch = optional_module("torch", "PyTorch files")
        self._tensors = _flat(_loaded(torch, path))
        if not self._tensors:
            raise DumpError(f"{path} holds no tensor. Save model.state_dict() or a tensor.")
        self.arrays = {
            name: StoredArray(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in self._tensors.items()
        }

    def rows(self, name):
        tensor = self._tensors[name].detach()
        return BFloat16Rows(tensor) if is_bfloat16(tensor) else as_host(tensor)

    def read(self, name):
        return np.array(as_host(self._tensors[name]))


def _loaded(torch, path):
    try:
        # Mapped, where the file is of the kind that can be.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except Exception as error:
        if "weights_only" in str(error) or "WeightsUnpickler" in str(error):
            raise DumpError(
                f"{path} holds more than tensors, and to load that is to run whatever code it "
                "holds, so it is refused. If you trust it, save its tensors: "
                "torch.save(model.state_dict(), path)."
            ) from error
        with reading(path, KIND):
            raise


def _flat(thing, prefix=""):
    """Tensors by name, those of nested mappings by the names of all of them."""
    if is_tensor(thing):
        return {prefix: thing}
    found = {}
    if isinstance(thing, Mapping):
        for name, value in thing.items():
            found |= _flat(value, f"{prefix}/{name}" if prefix else str(name))
    return found
