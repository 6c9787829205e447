"""Which engine computes, from the `engine` and `device` parameters and where the data lives."""

from importlib.util import find_spec

from skweiper.engines.numpy import NumpyEngine

ENGINES = ("auto", "numpy", "numba")
DEVICES = ("auto", "cpu", "cuda")


def _numba_engine():
    try:
        from skweiper.engines.numba import NumbaEngine
    except ImportError as error:
        raise ImportError(
            "engine='numba' needs numba, which is not installed. "
            "Run: pip install 'skweiper[fast]', or pass engine='numpy'."
        ) from error
    return NumbaEngine()


def select_engine(engine="auto"):
    """The engine that computes.

    Parameters
    ----------
    engine : {"auto", "numpy", "numba"}, default="auto"
        CPU engine; "auto" is numba where it can be imported, else numpy.

    Returns
    -------
    Engine
        An object with the methods of `skweiper.engines.numpy.NumpyEngine`.
    """
    if engine == "auto":
        engine = "numba" if find_spec("numba") else "numpy"
    return _numba_engine() if engine == "numba" else NumpyEngine()
