"""A stand-in for tensors, for tests that run without PyTorch."""

import numpy as np


class BFloat16Tensor:
    """As much of a bfloat16 tensor as is used here: NumPy does not know its type."""

    dtype = "torch.bfloat16"

    def __init__(self, values, dtype="torch.bfloat16"):
        # Float32 with the mantissa of bfloat16.
        self.values = (np.float32(values).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        self.shape, self.ndim, self.dtype = self.values.shape, self.values.ndim, dtype

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return BFloat16Tensor(self.values, "torch.float32")

    def numpy(self):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values

    def __getitem__(self, rows):
        return BFloat16Tensor(self.values[rows])

    def __deepcopy__(self, memo):
        return BFloat16Tensor(self.values, self.dtype)

    def __reduce__(self):
        raise ModuleNotFoundError("No module named 'torch'")
