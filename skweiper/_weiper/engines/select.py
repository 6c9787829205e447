"""Which engine computes, from the `engine` and `device` parameters and where the data lives."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from skweiper._support.containers import is_device_array
from skweiper._support.notice import warn_once
from skweiper._support.tasks import out_of_reach
from skweiper._weiper.engines.numpy import NumpyEngine

ENGINES = ("auto", "numpy", "numba")
DEVICES = ("auto", "cpu", "cuda")


@cache
def _import_numba_once():
    """Import the engine where no interrupt can leave numba imported by half, which is for good."""
    out_of_reach(import_module, "skweiper._weiper.engines.numba")


def _numba_engine():
    try:
        _import_numba_once()
        from skweiper._weiper.engines.numba import NumbaEngine
        from skweiper._weiper.engines.numba_cache import warn_where_uncached
    except Exception as error:  # a numba that does not match may raise anything
        raise ImportError(
            "engine='numba' needs numba, which cannot be imported: "
            f"{type(error).__name__}: {error}. "
            "Run: pip install 'skweiper[fast]', or pass engine='numpy'."
        ) from error
    warn_where_uncached()
    return NumbaEngine()


def _is_installed(name):
    try:
        return find_spec(name) is not None
    except ValueError:  # imported from no file
        return True


def _fastest_engine():
    if not _is_installed("numba"):
        return NumpyEngine()
    try:
        return _numba_engine()
    except ImportError as error:
        cause = error.__cause__
        warn_once(
            "engine",
            "engine='auto' computes with NumPy, which is slower, since the numba that is installed "
            f"cannot be imported: {type(cause).__name__}: {cause}. Run: pip install --upgrade "
            "'skweiper[fast]' for a numba that matches, or pass engine='numpy'.",
        )
        return NumpyEngine()


GPU_REMEDY = (
    "Run: pip install 'skweiper[gpu-cuda12]' or 'skweiper[gpu-cuda13]', whichever matches the "
    "driver (nvidia-smi shows it), or use set_params(device='cpu'); a fitted detector stays fitted."
)


def _cupy_engine(X):
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            f"device='cuda' needs CuPy, which cannot be imported. {GPU_REMEDY}"
        ) from error
    from skweiper._weiper.engines.cupy import CupyEngine

    if not cupy.is_available():
        raise RuntimeError(f"device='cuda' needs an NVIDIA GPU, and CuPy finds none. {GPU_REMEDY}")
    _check_libraries(cupy)
    on_device = is_device_array(X)
    return CupyEngine(cupy.asarray(X).device.id if on_device else cupy.cuda.Device().id)


def engine_named(name):
    """The engine of a name that another process told; on a GPU, whichever this process has.

    Parameters
    ----------
    name : str

    Returns
    -------
    Engine
    """
    if name.startswith("cupy"):
        return select_engine(device="cuda")
    return select_engine(name)


def _check_libraries(cupy):
    """Refuse a CuPy that finds no compiler of kernels or no cuBLAS, before a call needs them.

    Raises
    ------
    ImportError
    """
    try:
        cupy.cuda.nvrtc.getVersion()
        cupy.cuda.cublas  # noqa: B018 - CuPy loads it when it is first asked for
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            "device='cuda' needs NVRTC and cuBLAS, which CuPy does not find: "
            f"{type(error).__name__}: {error}. The plain packages cupy-cuda12x and cupy-cuda13x "
            f"come without them; their extra [ctk] brings them. {GPU_REMEDY}"
        ) from error


def select_engine(engine="auto", device="auto", X=None):
    """The engine that computes.

    Parameters
    ----------
    engine : {"auto", "numpy", "numba"}, default="auto"
        CPU engine; "auto" is numba where it can be imported, else numpy.
    device : {"auto", "cpu", "cuda"}, default="auto"
        "auto" is where X lives.
    X : array or None
        The features; only looked at for where they live.

    Returns
    -------
    Engine
        As `skweiper._weiper.engines.contract` has it.

    Raises
    ------
    TypeError
        `device="cpu"` and X on the GPU.
    ValueError
        A CPU engine asked for together with the GPU.
    ImportError
        numba or the GPU is asked for, and numba or CuPy cannot be imported.
    RuntimeError
        The GPU is asked for, and there is none.

    Warns
    -----
    UserWarning
        Once per process each: "auto" takes numpy although numba is installed, since it cannot be
        imported; numba cannot cache its compiled code on disk.
    """
    on_device = is_device_array(X)
    if device == "cpu" and on_device:
        raise TypeError(
            "X is on the GPU, but device='cpu' was asked for. Pass X.get(), or device='auto'."
        )
    if device == "cuda" or on_device:
        if engine != "auto":
            raise ValueError(
                f"engine={engine!r} computes on the CPU, but device={device!r} puts the work on "
                "the GPU. Pass engine='auto', or device='cpu' with X in host memory."
            )
        return _cupy_engine(X)
    if engine == "auto":
        return _fastest_engine()
    return _numba_engine() if engine == "numba" else NumpyEngine()
