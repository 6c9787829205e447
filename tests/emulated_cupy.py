"""CuPy on the CPU, as much of it as skweiper uses: the GPU engine's code runs without a device.

Like CuPy, and unlike NumPy, arrays refuse to mix with NumPy's or to be converted silently, and
reductions give arrays. Kernels run as they are written, compiled for the CPU against
`emulated_cuda.hpp`. Everything is computed at once, but each stream remembers which memory its work
has touched since it was last waited for: memory that is freed meanwhile to the arena of another
stream is a hazard. Arrays know the device that was the current one when they were made, and refuse
work while another one is. Timing and rounding of a real device are not emulated.
"""

import ctypes
import subprocess
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from skweiper._weiper.engines.cupy_launches import EXAMINED, MEASURES

SHARED_DECLARATION = "extern __shared__ int histograms[];"
BINS = "float low, float scale, float high, float last, float beyond, int n_bins, int* counts"
SIZES = "int n_samples, int n_repeats, int n_classes, int lanes, int n_copies, int score"
LOGITS = "const float4* logits, const float* norms, const float4* offsets"
VALUES = "const float* values, const float* bias"
IMPLICIT, STORED = f"{LOGITS}, {SIZES}, {BINS}", f"{VALUES}, {SIZES}, {BINS}"
ROWS = f"const float* values, int n_values, int n_copies, {BINS}, float* norms"
GEN = "int n_repeats, int n_classes, int lanes, int top_classes, float gamma, double* sums"
KERNELS = {
    **{f"measure_implicit_{what}": f"{IMPLICIT}, double* sums" for what in MEASURES},
    **{f"measure_stored_{what}": f"{STORED}, double* sums" for what in MEASURES},
    **{f"examine_rows_{what}": ROWS for what in EXAMINED},
    "measure_implicit_gen": f"{LOGITS}, {GEN}",
    "measure_stored_gen": f"{VALUES}, {GEN}",
}
"""The kernels' parameters, by name."""
C_TYPES = {"f": ctypes.c_float, "i": ctypes.c_int, "u": ctypes.c_void_p}


def launcher(name, parameters):
    """A function of the library that runs one kernel, in C++."""
    arguments = ", ".join(parameter.split()[-1] for parameter in parameters.split(", "))
    sizes = "int n_blocks, int n_threads, int shared_bytes"
    return f"""extern "C" int launch_{name}({sizes}, {parameters}) {{
        return run_grid(n_blocks, n_threads, shared_bytes, [=] {{ {name}({arguments}); }});
    }}"""


def compile_kernels(source, folder, compiler):
    """The kernels' source as a library for the CPU."""
    assert source.count(SHARED_DECLARATION) == 1
    source = source.replace(SHARED_DECLARATION, "").replace('extern "C" __global__', "__global__")
    path, library = folder / "weiper.cpp", folder / "weiper.so"
    launchers = "\n".join(launcher(*kernel) for kernel in KERNELS.items())
    path.write_text(f'#include "emulated_cuda.hpp"\n{source}\n{launchers}')
    command = [compiler, "-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    include = f"-I{Path(__file__).parent}"
    subprocess.run([*command, include, "-o", str(library), str(path)], check=True)
    return ctypes.CDLL(str(library))


class OutOfMemoryError(MemoryError):
    """Stands for cupy.cuda.memory.OutOfMemoryError."""


class CUDARuntimeError(RuntimeError):
    """Stands for cupy.cuda.runtime.CUDARuntimeError."""


class CUDADriverError(RuntimeError):
    """Stands for cupy.cuda.driver.CUDADriverError."""


class CUBLASError(RuntimeError):
    """Stands for cupy.cuda.cublas.CUBLASError."""

    def __init__(self, status):
        super().__init__(f"CUBLAS status {status}")
        self.status = status


class Allocation:
    """Memory of one array: the stream that it came from, and those with work on it."""

    def __init__(self, stream):
        self.stream = stream
        self.pending = set()

    def pending_elsewhere(self):
        """Streams with work on it, but for its own; the default stream and others are in order."""
        others = self.pending - {self.stream, NULL_STREAM}
        return [] if self.stream is NULL_STREAM else list(others)


class Stream:
    """A queue of work: which memory it has touched since it was last waited for."""

    def __init__(self, non_blocking=False):
        self.touched = set()

    def __enter__(self):
        STREAMS.entered = [*getattr(STREAMS, "entered", ()), self]
        return self

    def __exit__(self, *exception):
        STREAMS.entered = STREAMS.entered[:-1]

    def queue(self, allocation):
        allocation.pending.add(self)
        self.touched.add(allocation)

    def synchronize(self):
        while self.touched:
            self.touched.pop().pending.discard(self)

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event


NULL_STREAM, STREAMS = Stream(), threading.local()


def current_stream():
    """The stream that the calling thread has entered last, or the default one."""
    entered = getattr(STREAMS, "entered", ())
    return entered[-1] if entered else NULL_STREAM


class Pool:
    """Counts the bytes of living arrays, keeps what they leave, refuses what exceeds its limit."""

    def __init__(self):
        self.used, self.total, self.limit = 0, 0, 0
        self.lock = threading.RLock()
        self.living, self.hazards = {}, []

    def take(self, values):
        with self.lock:
            if self.limit and self.used + values.nbytes > self.limit:
                raise OutOfMemoryError(f"{values.nbytes} bytes beyond the limit of {self.limit}")
            self.used += values.nbytes
            self.total = max(self.total, self.used)
            self.living.setdefault(id(values), Allocation(current_stream()))
        weakref.finalize(values, self.give, id(values), values.nbytes)

    def give(self, key, n_bytes):
        with self.lock:
            self.used -= n_bytes
            if key in self.living:  # an array may have been wrapped twice
                self.hazards += self.living.pop(key).pending_elsewhere()

    def touch(self, values):
        """Note that the current stream works on an array's memory."""
        while values.base is not None:
            values = values.base
        allocation = self.living.get(id(values))
        if allocation is not None:
            current_stream().queue(allocation)

    def used_bytes(self):
        return self.used

    def free_bytes(self):
        return self.total - self.used

    def total_bytes(self):
        return self.total

    def get_limit(self):
        return self.limit

    def set_limit(self, size):
        self.limit = size

    def free_all_blocks(self):
        self.total = self.used


POOL = Pool()


class ndarray(NDArrayOperatorsMixin):
    """An array that behaves like CuPy's towards NumPy."""

    def __init__(self, values):
        self.values, self.device = values, Device()
        if values.base is None and values.size:
            POOL.take(values)

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    nbytes = property(lambda self: self.values.nbytes)
    flags = property(lambda self: self.values.flags)
    T = property(lambda self: wrapped(self.values.T))
    __cuda_array_interface__ = property(lambda self: self.values.__array_interface__)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__":
            return NotImplemented
        if "out" in kwargs:
            (out,) = kwargs["out"]
            called(ufunc)(*inputs, **{**kwargs, "out": out})
            return out
        return called(ufunc)(*inputs, **kwargs)

    def __array_function__(self, func, types, args, kwargs):
        if func.__module__ == "numpy":
            return getattr(MODULE, func.__name__)(*args, **kwargs)
        return called(func)(*args, **kwargs)  # those of numpy.linalg

    def __getitem__(self, key):
        self.check_device()
        return wrapped(self.values[index(key)])

    def __setitem__(self, key, value):
        self.check_device()
        POOL.touch(self.values)
        self.values[index(key)] = unwrapped(value)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        method = called(getattr(self.values, name))

        def call(*args, **kwargs):
            self.check_device()
            return method(*args, **kwargs)

        return call

    def check_device(self):
        """Fail where another device than that of this array is the current one."""
        assert self.device.id == Device().id, "work on an array of another device"

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return map(wrapped, self.values)

    def __bool__(self):
        return bool(self.values)

    def __float__(self):
        return float(self.values)

    def __int__(self):
        return int(self.values)

    def __deepcopy__(self, memo):
        return ndarray(self.values.copy())

    def __reduce__(self):
        return asarray, (self.values.copy(),)

    def get(self):
        POOL.touch(self.values)
        current_stream().synchronize()
        return self.values.copy()

    def set(self, values, stream=None):
        assert type(values) is np.ndarray and self.values.flags.c_contiguous
        assert (values.dtype, values.shape) == (self.dtype, self.shape)
        POOL.touch(self.values)
        self.values[...] = values


def wrapped(result):
    """The result of a NumPy function as CuPy would give it."""
    if isinstance(result, np.ndarray | np.generic):
        array = ndarray(np.asarray(result))
        POOL.touch(array.values)
        return array
    return tuple(map(wrapped, result)) if isinstance(result, tuple | list) else result


def unwrapped(value):
    """An argument of a CuPy function as NumPy's takes it; NumPy's arrays are refused."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        return tuple(map(unwrapped, value))
    if isinstance(value, ndarray):
        value.check_device()
        POOL.touch(value.values)
        return value.values
    return value


def index(key):
    """CuPy takes NumPy arrays as indices."""
    if isinstance(key, tuple):
        return tuple(map(index, key))
    return key.values if isinstance(key, ndarray) else key


def called(function):
    """A NumPy function or method on CuPy arrays."""

    def call(*args, **kwargs):
        kwargs = {name: unwrapped(value) for name, value in kwargs.items()}
        with np.errstate(all="ignore"):  # a device has no warnings of NumPy's
            return wrapped(function(*map(unwrapped, args), **kwargs))

    return call


def asarray(a, dtype=None):
    if isinstance(a, ndarray):
        return a if dtype in (None, a.dtype) else ndarray(a.values.astype(dtype))
    return ndarray(np.array(a, dtype))


class Device:
    """One of any number of devices, the current one by default."""

    current = threading.local()

    def __init__(self, device=None):
        entered = getattr(self.current, "entered", ())
        self.id = int(device) if device is not None else entered[-1] if entered else 0
        self.compute_capability = "00"
        self.attributes = {"ClockRate": 1_000_000, "MultiProcessorCount": 1}

    def __enter__(self):
        self.current.entered = (*getattr(self.current, "entered", ()), self.id)
        return self

    def __exit__(self, *exception):
        self.current.entered = self.current.entered[:-1]

    def synchronize(self):
        pass


class Event:
    def record(self, stream=None):
        self.stream = stream or current_stream()
        self.time = perf_counter()

    def synchronize(self):
        self.stream.synchronize()


class RawModule:
    """Kernels of a library that `compile_kernels` made; one grid runs at a time."""

    lock = threading.Lock()

    def __init__(self, library):
        self.library = library

    def get_function(self, name):
        return lambda *launch, **options: self.launch(name, *launch, **options)

    def launch(self, name, grid, block, arguments, shared_mem=0):
        numbers = [ctypes.c_int(n) for n in (*grid, *block, shared_mem)]
        with self.lock:
            failure = getattr(self.library, f"launch_{name}")(*numbers, *map(c_value, arguments))
        assert not failure, "bad launch" if failure == 1 else "shared memory overrun"


def c_value(argument):
    if isinstance(argument, ndarray):
        argument.check_device()
        POOL.touch(argument.values)
        return ctypes.c_void_p(argument.values.ctypes.data)
    return C_TYPES[argument.dtype.kind](argument.item())


def elapsed(start, end):
    """Milliseconds between two events."""
    return 1e3 * (end.time - start.time)


class Module(ModuleType):
    """Whatever is not defined here is NumPy's, on the arrays of this module."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(np, name)
        return value if isinstance(value, type) or not callable(value) else called(value)


def emulated_cupy(library, free_bytes=2**30):
    """The module, with kernels from `library` and so much memory on its device."""
    MODULE.ndarray, MODULE.asarray, MODULE.array = ndarray, asarray, asarray
    MODULE.shape = lambda a: a.shape
    MODULE.is_available = lambda: True
    MODULE.asnumpy = lambda a: a.get()
    MODULE.RawModule = lambda code, options: RawModule(library)
    MODULE.get_default_memory_pool = lambda: POOL
    MODULE.cuda = SimpleNamespace(
        Device=Device,
        Stream=Stream,
        Event=Event,
        get_elapsed_time=elapsed,
        get_current_stream=current_stream,
        alloc_pinned_memory=lambda n_bytes: bytearray(2 * n_bytes),  # rounded up, like CuPy's
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        cublas=SimpleNamespace(CUBLASError=CUBLASError),
        nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
        driver=SimpleNamespace(CUDADriverError=CUDADriverError),
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            memGetInfo=lambda: (free_bytes, 2 * free_bytes),
            getDeviceProperties=lambda device: {"name": b"emulated"},
            runtimeGetVersion=lambda: 0,
        ),
    )
    return MODULE


MODULE = Module("cupy")
MODULE.__version__ = "emulated"


@contextmanager
def memory_limit(cupy, n_bytes):
    """No more than so many further bytes in CuPy's pool."""
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + n_bytes)
    try:
        yield
    finally:
        pool.set_limit(size=0)
