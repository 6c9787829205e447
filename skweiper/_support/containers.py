"""Arrays and tables of other libraries, told apart by what they offer; none is imported."""

from contextlib import nullcontext

import numpy as np


def is_device_array(X):
    """Whether X lives on a GPU (CuPy and other arrays with the CUDA array interface)."""
    # Of the instance: PyTorch's class has the property, but a tensor on the CPU refuses it.
    return hasattr(X, "__cuda_array_interface__")


def is_tensor(X):
    """Whether X is a tensor in the manner of PyTorch."""
    return hasattr(X, "detach") and hasattr(X, "numpy")


def is_bfloat16(X):
    """Whether X holds bfloat16, a type that NumPy knows from other packages only."""
    return str(getattr(X, "dtype", "")).endswith("bfloat16")


def is_real(dtype):
    """Whether a NumPy dtype is one of real numbers."""
    return dtype.kind in "fiub"


def is_foreign_frame(X):
    """Whether X is a table of polars or pyarrow."""
    is_theirs = type(X).__module__.partition(".")[0] in ("polars", "pyarrow")
    return is_theirs and hasattr(X, "slice") and len(getattr(X, "shape", ())) == 2


def is_stored_array(X):
    """Whether X is an array on disk that is read by slices, as h5py's data sets are."""
    return hasattr(X, "read_direct") and hasattr(X, "dtype")


def as_host(array):
    """A tensor or device array as a NumPy array, bfloat16 as float32; anything else as it is."""
    if is_tensor(array):
        array = array.detach().cpu()
        return (array.float() if is_bfloat16(array) else array).numpy()
    if is_device_array(array):
        return as_cupy(array).get()
    return array.astype(np.float32) if is_bfloat16(array) else array


def on_device_of(X):
    """Context in which a CuPy array is indexed, and arrays are made beside it, on its own device.

    CuPy does both on the current device; any other array needs no context.
    """
    return X.device if is_device_array(X) and hasattr(X, "get") else nullcontext()


def beside(X, array):
    """A NumPy array where X lives: as a CuPy array on its device, or as it is."""
    if not is_device_array(X):
        return array
    X = as_cupy(X)
    with on_device_of(X):
        return np.asarray(array, like=X)


def as_cupy(X):
    """A device array of any library as a CuPy array over the same memory."""
    if hasattr(X, "get"):
        return X
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            f"X is a {type(X).__name__} on the GPU; computing there needs CuPy, which cannot be "
            "imported. Run: pip install 'skweiper[gpu-cuda12]' or 'skweiper[gpu-cuda13]', or "
            "pass a copy in host memory (X.cpu() for PyTorch)."
        ) from error
    return cupy.asarray(X)


def detached(tensor):
    """A tensor off its gradient; on a GPU in a type that CuPy knows."""
    tensor = tensor.detach()
    on_gpu = getattr(tensor, "is_cuda", False)
    return tensor.float() if on_gpu and is_bfloat16(tensor) else tensor


def column_names(frame):
    """Names of the columns of a table of pandas, polars or pyarrow."""
    return list(frame.column_names if hasattr(frame, "column_names") else frame.columns)


def columns_of(frame):
    """The columns of a table of polars or pyarrow."""
    return frame.get_columns() if hasattr(frame, "get_columns") else frame.columns


def index_of(X):
    """Index of a pandas DataFrame or Series, or of a dump in a file; None of anything else."""
    index = getattr(X, "index", None)
    return None if callable(index) else index  # a list has a method of this name


def is_masked(array):
    """Whether an array is masked, with values that its mask hides."""
    return isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array)
