"""The GPU engine: with a device, agreement with the CPU; without, all that it shares with it."""

import ctypes
import pickle
import shutil
import subprocess
import sys
from contextlib import nullcontext
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from skweiper._support.memory import LARGEST_DEVICE_TILE, N_STREAMS, device_shares
from skweiper._support.validation import is_device_array
from skweiper._weiper.density import Bins, smooth, window_means
from skweiper._weiper.engines.arrays import ArrayEngine, for_each_tile
from skweiper._weiper.engines.cupy_launches import (
    SHARED_BYTES,
    cells_bytes,
    fits_shared_memory,
    histogram_copies,
    kernel_names,
    kernel_source,
    lanes_per_repeat,
    n_vectors,
)
from skweiper._weiper.engines.numpy import NumpyEngine
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.perturbation import Perturbation
from skweiper.baselines import MahalanobisDetector
from skweiper.detector import WeiPerDetector
from skweiper.head import check_head
from skweiper.shaping import ReAct
from skweiper.transformer import WeiPerTransformer


class DeviceArray(np.ndarray):
    """Stands for an array on a GPU."""

    __cuda_array_interface__ = None
    device = nullcontext()

    def get(self):
        return np.array(self)


def make_problem(projection="implicit"):
    rng = np.random.RandomState(0)
    weight, X = rng.randn(7, 12), rng.randn(40, 12).astype(np.float32)
    head = check_head(weight, rng.randn(7), 12)
    block = next(Perturbation(head, projection, 2.0, 9, 3).blocks(10**9))
    return weight, X, block


@pytest.mark.parametrize("projection", ["implicit", "explicit", "random"])
def test_array_operations_agree_with_the_reference_engine(projection):
    _, X, block = make_problem(projection)
    plain, reference = ArrayEngine(np, lambda: 5000), NumpyEngine()
    bins, scores = (Bins(-5.0, 6.0, 20), Bins(0.0, 1.0, 3)), ("msp", "energy")
    got, expected = (e.measure(X, block, bins, scores) for e in (plain, reference))
    for counts, others in zip(got.logit_counts, expected.logit_counts, strict=True):
        assert np.abs(counts - others).sum() <= 1e-4 * others.sum() + 2
    np.testing.assert_allclose(got.score_sums, expected.score_sums, rtol=1e-5)
    np.testing.assert_allclose(
        plain.logit_extremes(X, block), reference.logit_extremes(X, block), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(plain.histogram(X, bins[0]), reference.histogram(X, bins[0]))


def test_tiles_are_halved_until_they_fit_and_cover_every_row_once():
    done = []

    def work(part):
        if part.stop - part.start > 3:
            raise MemoryError
        done.extend(range(part.start, part.stop))

    for_each_tile(29, 16, work, MemoryError)
    assert done == list(range(29))


def test_a_row_that_does_not_fit_is_an_error():
    def work(part):
        raise MemoryError

    with pytest.raises(MemoryError):
        for_each_tile(5, 4, work, MemoryError)


@pytest.mark.parametrize("n_classes", [1, 2, 10, 31, 100, 1000])
def test_lanes_leave_at_most_a_quarter_idle(n_classes):
    lanes = lanes_per_repeat(n_classes)
    assert lanes in (1, 2, 4, 8, 16, 32)
    assert n_vectors(n_classes) >= 0.75 * lanes * -(-n_vectors(n_classes) // lanes)


@pytest.mark.parametrize("n_samples", [1, 4])
@pytest.mark.parametrize("n_bins", [2, 100, 2500])
def test_histogram_copies_fit_shared_memory(n_bins, n_samples):
    assert fits_shared_memory(n_bins, n_samples)
    n_copies = histogram_copies(n_bins, n_samples)
    assert n_copies >= 1 and n_copies * cells_bytes(n_bins, n_samples) <= SHARED_BYTES


@pytest.mark.parametrize("window", [1, 2, 4, 15, 40])
def test_window_means_are_the_smoothing(window):
    density = np.random.RandomState(0).rand(3, 20)
    np.testing.assert_allclose(window_means(density, window), smooth(density, window), rtol=1e-10)


@pytest.mark.parametrize("free", [2**20, 2**30, 16 * 2**30, 140 * 2**30])
def test_shares_of_a_device_leave_half_to_the_perturbation(free):
    shares = device_shares(free)
    assert 0 < N_STREAMS * (shares.tile + shares.chunk) <= free / 2
    assert shares.tile <= LARGEST_DEVICE_TILE


def test_an_estimator_on_the_cpu_refuses_device_arrays():
    weight, X, _ = make_problem()
    with pytest.raises(TypeError, match=r"X\.get\(\)"):
        WeiPerTransformer(weight).fit(X.view(DeviceArray))


@pytest.mark.parametrize("estimator", [ReAct(), MahalanobisDetector()], ids=str)
def test_a_bad_value_on_a_device_is_named_by_its_row_of_x(estimator):
    weight, X, _ = make_problem()
    y = np.ones(len(X))
    y[:10] = -1
    X = X.copy()
    X[25, 2] = np.nan
    if hasattr(estimator, "weight"):
        estimator = clone(estimator).set_params(weight=weight)
    with pytest.raises(ValueError, match="NaN at row 25, column 2"):
        estimator.fit(X.view(DeviceArray), y)


def test_device_arrays_of_other_libraries_need_cupy(monkeypatch):
    class Tensor(np.ndarray):
        __cuda_array_interface__ = None

    monkeypatch.setitem(sys.modules, "cupy", None)
    weight, X, _ = make_problem()
    with pytest.raises(ImportError, match=r"gpu-cuda12.*host memory"):
        WeiPerDetector(weight).fit(X.view(Tensor))


def test_cpu_refuses_device_arrays_with_a_remedy():
    with pytest.raises(TypeError, match=r"X\.get\(\)"):
        select_engine("auto", "cpu", np.zeros((2, 2)).view(DeviceArray))


def test_a_cpu_engine_cannot_compute_on_the_gpu():
    with pytest.raises(ValueError, match="engine='numpy' computes on the CPU"):
        select_engine("numpy", "cuda")


def test_without_cupy_the_error_names_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    weight, X, _ = make_problem()
    with pytest.raises(ImportError, match=r"gpu-cuda12.*gpu-cuda13"):
        WeiPerDetector(weight, device="cuda").fit(X)


class TensorOnCPU(np.ndarray):
    """Stands for a PyTorch tensor in host memory: its class has the interface, it has not."""

    @property
    def __cuda_array_interface__(self):
        raise AttributeError("Can't get __cuda_array_interface__ on non-CUDA tensor type")


def test_a_host_tensor_is_no_device_array():
    weight, X, _ = make_problem()
    detector = WeiPerDetector(weight, engine="numpy", random_state=0).fit(X)
    tensor = X.view(TensorOnCPU)
    assert not is_device_array(tensor)
    assert is_device_array(X.view(DeviceArray))
    assert isinstance(select_engine("numpy", "cpu", tensor), NumpyEngine)
    np.testing.assert_array_equal(detector.score_samples(tensor), detector.score_samples(X))


def test_device_parameters_are_pickled_as_numpy():
    weight, _, _ = make_problem()
    detector = pickle.loads(pickle.dumps(WeiPerDetector(weight.view(DeviceArray))))
    assert type(detector.weight) is np.ndarray


def nvcc_ptx(source, architecture, folder):
    """PTX from the CUDA toolkit's compiler."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    paths = folder / "weiper.cu", folder / "weiper.ptx"
    paths[0].write_bytes(source)
    options = [f"-arch=sm_{architecture}", "--std=c++17", "-ftz=true", "-Werror", "all-warnings"]
    subprocess.run([nvcc, "-ptx", *options, "-o", str(paths[1]), str(paths[0])], check=True)
    return paths[1].read_text()


def nvrtc_library():
    """NVRTC as pip installs it (nvidia-cuda-nvrtc, with CuPy's [ctk]), or the system's; or None."""
    found = [
        path for folder in sys.path for path in Path(folder).glob("nvidia/*/lib/libnvrtc.so.*")
    ]
    name = str(found[0]) if found else find_library("nvrtc")
    return None if name is None else ctypes.CDLL(name)


def nvrtc_ptx(source, architecture, folder):
    """PTX from the compiler that CuPy uses; it needs no device."""
    nvrtc = nvrtc_library()
    if nvrtc is None:
        pytest.skip("needs NVRTC (pip install nvidia-cuda-nvrtc)")
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"weiper.cu", 0, None, None)
    options = [b"--std=c++17", b"-ftz=true", b"--gpu-architecture=compute_%d" % architecture]
    failed = nvrtc.nvrtcCompileProgram(program, 3, (ctypes.c_char_p * 3)(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert not failed and not log.value, log.value.decode()
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    return ptx.value.decode()


@pytest.mark.parametrize("architecture", [75, 90])
@pytest.mark.parametrize("compiled", [nvcc_ptx, nvrtc_ptx])
def test_kernels_compile(compiled, architecture, tmp_path):
    ptx = compiled(kernel_source().encode(), architecture, tmp_path)
    for kernel in kernel_names():
        assert f".entry {kernel}(" in ptx
    # The engine's compiler may contract neither of the two roundings of a bin's position.
    assert "sub.rn.ftz.f32" in ptx and "mul.rn.ftz.f32" in ptx
    # Nor may it flush the features' squares, which are taken in double precision for that.
    norms = ptx.partition(".entry examine_rows_norms(")[2].partition(".entry")[0]
    assert "cvt.f64.f32" in norms and "cvt.rn.f32.f64" in norms and "cvt.ftz.f64.f32" not in norms
