"""The GPU engine against the CPU: on a device, and with CuPy emulated where there is none."""

import copy
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from skweiper import scores
from skweiper._support import memory
from skweiper._support.rows import FeatureRows
from skweiper._weiper.density import Bins
from skweiper._weiper.engines import cupy as cupy_engine
from skweiper._weiper.engines.arrays import ArrayEngine
from skweiper._weiper.engines.cupy import CupyEngine, travelling_dtype
from skweiper._weiper.engines.numpy import NumpyEngine, feature_norms
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.perturbation import ExplicitBlock, ImplicitBlock, Perturbation
from skweiper.detector import WeiPerDetector
from skweiper.head import check_head
from skweiper.model_selection import WeiPerDetectorCV
from skweiper.registry import all_detectors
from skweiper.shaping import ReAct
from skweiper.transformer import WeiPerTransformer
from tests.emulated_cupy import memory_limit

N_FEATURES = 13


def drawn(n_samples, n_repeats, n_classes, projection, delta=2.0):
    rng = np.random.RandomState(n_classes)
    head = check_head(rng.randn(n_classes, N_FEATURES), rng.randn(n_classes), N_FEATURES)
    block = next(Perturbation(head, projection, delta, n_repeats, 3).blocks(np.inf))
    return rng.randn(n_samples, N_FEATURES).astype(np.float32), block


def make_data(n_samples=24):
    rng = np.random.RandomState(0)
    X = rng.randn(n_samples, N_FEATURES).astype(np.float32)
    return rng.randn(5, N_FEATURES), X


def make_detector(weight, **params):
    return WeiPerDetector(weight, **{"n_repeats": 20, "random_state": 0, **params})


def assert_moved_at_most(counts, expected, n_values):
    moved = np.abs(counts - expected).sum() / 2
    assert moved <= 1e-3 * n_values  # none of fewer than a thousand


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize(
    "n_samples, n_repeats, n_classes, n_bins",
    [
        (1, 1, 1, 2),
        (3, 100, 10, 100),
        (2, 33, 33, 7),
        (2, 7, 100, 1001),
        (2, 7, 100, 5001),
        (3, 257, 3, 80),
    ],
)
def test_kernels_agree_with_plain_operations(
    cupy, projection, n_samples, n_repeats, n_classes, n_bins
):
    X, block = drawn(n_samples, n_repeats, n_classes, projection)
    kernels, plain = CupyEngine(), ArrayEngine(cupy, lambda: 2**28)
    on_device, block = cupy.asarray(X), kernels.prepare(block)
    bins = (Bins(-6.0, 7.0, n_bins), Bins(0.0, 1.0, n_bins))  # both leave values outside
    got, expected = (e.measure(on_device, block, bins, ("msp",)) for e in (kernels, plain))
    for counts, others in zip(got.logit_counts, expected.logit_counts, strict=True):
        assert counts.dtype == np.int32
        assert_moved_at_most(counts.get(), others.get(), X.shape[0] * n_repeats * n_classes)
    np.testing.assert_allclose(got.score_sums.get(), expected.score_sums.get(), rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("n_classes", [10, 100, 1000])
def test_kernels_agree_with_plain_operations_at_full_size(projection, n_classes):
    import cupy

    X, block = drawn(300, 100, n_classes, projection)
    kernels, plain = CupyEngine(), ArrayEngine(cupy, lambda: 2**30)
    on_device, block = cupy.asarray(X), kernels.prepare(block)
    lows, highs = plain.logit_extremes(on_device, block)
    bins = (Bins(float(lows.min()), float(highs.max()), 100),)
    got, expected = (e.measure(on_device, block, bins, ("msp",)) for e in (kernels, plain))
    assert (
        int(got.logit_counts[0].sum())
        == int(expected.logit_counts[0].sum())
        == X.shape[0] * 100 * n_classes
    )
    assert_moved_at_most(got.logit_counts[0].get(), expected.logit_counts[0].get(), 3e4 * n_classes)
    np.testing.assert_allclose(got.score_sums.get(), expected.score_sums.get(), rtol=1e-4)


@pytest.mark.skipif(os.environ.get("CUPY_TF32", "0") != "0", reason="TF32 was asked for")
def test_products_are_in_single_precision(cupy):
    rng = np.random.RandomState(0)
    X, weight = rng.randn(30, 512).astype(np.float32), rng.randn(7, 512)
    block = next(Perturbation(check_head(weight, None, 512), "explicit", 0.0, 1, 0).blocks(1e9))
    engine = CupyEngine()
    logits = engine.perturbed_logits(cupy.asarray(X), engine.prepare(block)).get()
    errors = logits[:, 0] - X.astype(np.float64) @ weight.T
    assert np.abs(errors).max() <= 1e-5 * np.abs(logits).max()  # TF32 has ten bits: 1e-3


@pytest.mark.parametrize("bins", [Bins(-1.0, 1.0, 16), Bins(-0.75, 2.0, 11), Bins(0.0, 0.1, 2)])
def test_values_on_bin_edges_are_counted_exactly_as_on_the_cpu(cupy, bins):
    values = np.linspace(-2, 3, 5 * 64 + 1, dtype=np.float16).astype(np.float32)
    ends = np.array([bins.low, bins.high], np.float32)
    beside = [np.nextafter(ends, np.float32(away)) for away in (-np.inf, np.inf)]
    values = np.concatenate([values, bins.edges.astype(np.float32), ends, *beside])[None]
    counts = CupyEngine().histogram(cupy.asarray(values), bins).get()
    np.testing.assert_array_equal(counts, NumpyEngine().histogram(values, bins))
    assert 0 < counts.sum() < values.size


def test_unperturbed_logits_are_counted_exactly_as_on_the_cpu(cupy):
    head = check_head(None, None, 8)
    block = next(Perturbation(head, "implicit", 0.0, 5, 0).blocks(np.inf))
    X = np.linspace(-2, 2, 6 * 8, dtype=np.float32).reshape(6, 8)
    bins = (Bins(-1.0, 1.0, 8),)
    engine = CupyEngine()
    got = engine.measure(cupy.asarray(X), engine.prepare(block), bins)
    np.testing.assert_array_equal(
        got.logit_counts[0].get(), NumpyEngine().measure(X, block, bins).logit_counts[0]
    )


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("n_msp", [0, 1, 3])
def test_any_number_of_histograms_and_scores_at_once(cupy, projection, n_msp):
    X, block = drawn(3, 9, 6, projection)
    bins = (Bins(-5.0, 6.0, 20), Bins(0.0, 1.0, 3))
    several = ("energy", *["msp"] * n_msp, partial(scores.energy, temperature=2.0))
    engine = CupyEngine()
    got = engine.measure(cupy.asarray(X), engine.prepare(block), bins, several)
    expected = NumpyEngine().measure(X, block, bins, several)
    np.testing.assert_allclose(got.score_sums.get(), expected.score_sums, rtol=1e-4)
    for counts, others in zip(got.logit_counts, expected.logit_counts, strict=True):
        assert_moved_at_most(counts.get(), others, X.shape[0] * 54)


def test_more_bins_than_shared_memory_holds(cupy):
    X, block = drawn(3, 9, 6, "implicit")
    bins = (Bins(-5.0, 6.0, 20_000),)
    engine = CupyEngine()
    got = engine.measure(cupy.asarray(X), engine.prepare(block), bins, ("msp",))
    expected = NumpyEngine().measure(X, block, bins, ("msp",))
    # Nearly every value has a bin of its own, so only how many lie below a bin can agree.
    below, expected_below = (
        np.cumsum(c, axis=1) for c in (got.logit_counts[0].get(), expected.logit_counts[0])
    )
    assert np.abs(below - expected_below).max() <= 2
    np.testing.assert_allclose(got.score_sums.get(), expected.score_sums, rtol=1e-4)
    values = engine.histogram(cupy.asarray(X), bins[0]).get()
    np.testing.assert_array_equal(values, NumpyEngine().histogram(X, bins[0]))


@pytest.mark.parametrize("projection", ["implicit", "explicit", "random"])
@pytest.mark.parametrize("method", ["kld", *scores.LOGIT_SCORES])
@pytest.mark.parametrize("where", ["cuda", "auto"])
def test_scores_agree_with_the_cpu(cupy, projection, method, where):
    weight, X = make_data()
    detector = make_detector(weight, projection=projection, method=method)
    expected = detector.fit(X).score_samples(X)
    given = X if where == "cuda" else cupy.asarray(X)
    on_gpu = detector.set_params(device=where).fit(given).score_samples(given)
    assert (type(on_gpu), on_gpu.dtype, on_gpu.shape) == (np.ndarray, np.float64, expected.shape)
    # One count more in one bin of so few shows in the fourth digit of the divergence.
    np.testing.assert_allclose(on_gpu, expected, rtol=1e-3 if method == "kld" else 1e-4)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("where", ["cuda", "auto"])
def test_delta_agrees_with_the_cpu(cupy, projection, where):
    weight, X = make_data(50)
    y = np.tile([1, 1, 1, -1, 1], 10)
    detector = make_detector(weight, projection=projection, method="msp")
    expected = detector.fit(X, y).delta_
    given = X if where == "cuda" else cupy.asarray(X)
    on_gpu = detector.set_params(device=where).fit(given, y).delta_
    assert type(on_gpu) is float
    assert on_gpu == pytest.approx(expected, rel=1e-5)
    with memory_limit(cupy, 2**16):
        in_parts = detector.fit(given, y).delta_
    assert in_parts == pytest.approx(expected, rel=1e-5)


def test_auroc_agrees_with_the_cpu(cupy):
    weight, X = make_data(60)
    outliers, is_id = 1.7 * X[::-1], np.repeat([True, False], 60)
    detector = make_detector(weight, engine="auto", delta=2.0)
    both = np.concatenate([X, outliers])
    expected = roc_auc_score(is_id, detector.fit(X).score_samples(both))
    on_gpu = detector.set_params(device="cuda").fit(X).score_samples(both)
    assert expected > 0.6
    assert abs(roc_auc_score(is_id, on_gpu) - expected) <= 1e-4 + 1 / 60**2  # one pair of near ties


@pytest.mark.gpu
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_full_size_agrees_with_the_cpu_and_repeats_its_bits(projection):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 512), dtype=np.float32)
    weight = rng.standard_normal((100, 512)) / 12
    on_cpu = WeiPerDetector(weight, projection=projection, random_state=0, device="cpu").fit(X)
    on_gpu = clone(on_cpu).set_params(device="cuda").fit(X)
    for of_gpu, of_cpu in zip(
        on_gpu.densities(X).values(), on_cpu.densities(X).values(), strict=True
    ):
        assert np.abs(of_gpu - of_cpu).sum() / 2 <= 1e-4 * len(X)
    scored = on_gpu.score_samples(X)
    np.testing.assert_array_equal(on_gpu.score_samples(X), scored)
    np.testing.assert_allclose(scored, on_cpu.score_samples(X), rtol=1e-4)
    both, is_id = np.concatenate([X, 1.05 * X]), np.repeat([1, -1], 1500)
    assert abs(on_gpu.score(both, is_id) - on_cpu.score(both, is_id)) <= 1e-4


def as_stored(X, kind, folder):
    """The features as users hold them."""
    if kind == "memmap":
        path = folder / "X.npy"
        np.save(path, X.astype(np.float16))
        return np.load(path, mmap_mode="r")
    if kind == "Fortran":
        return np.asfortranarray(X)
    if kind == "strided":
        return np.repeat(X, 2, axis=0)[::2]
    return pd.DataFrame(X) if kind == "DataFrame" else X.astype(kind)


KINDS = ["f2", "f4", "f8", ">f4", ">i2", "longdouble", "int8", "memmap", "Fortran", "strided"]


@pytest.mark.parametrize("kind", [*KINDS, "DataFrame"])
def test_host_features_of_any_kind(cupy, kind, tmp_path, monkeypatch):
    weight, X = make_data()
    X = np.round(4 * X)  # what integers and half precision hold exactly
    detector = make_detector(weight, method="max_logit")
    expected = detector.fit(X).score_samples(X)
    stored = as_stored(X, kind, tmp_path)
    monkeypatch.setattr(cupy_engine, "PIECE_BYTES", 20 * N_FEATURES)  # several pieces
    detector.set_params(device="cuda").fit(stored)
    np.testing.assert_allclose(detector.score_samples(stored), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["f2", "f8", "int32"])
def test_device_features_of_any_kind(cupy, kind):
    weight, X = make_data()
    X = np.round(4 * X)
    detector = make_detector(weight, method="max_logit")
    expected = detector.fit(X).score_samples(X)
    np.testing.assert_allclose(
        detector.score_samples(cupy.asarray(X.astype(kind))), expected, rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["f2", ">f4", "i4", ">u2", "?"])
def test_values_travel_in_their_own_dtype(kind):
    assert travelling_dtype(np.dtype(kind)) == np.dtype(kind).newbyteorder("=")


@pytest.mark.parametrize("kind", ["f8", ">f8", "longdouble", "i8", "u8"])
def test_wide_dtypes_travel_in_single_precision(cupy, kind, monkeypatch):
    X = (100 * make_data()[1]).astype(kind)
    sent = []
    staged = CupyEngine._staged
    monkeypatch.setattr(CupyEngine, "_staged", lambda *args: sent.append(staged(*args)) or sent[-1])
    loaded = CupyEngine().load(FeatureRows(X), slice(2, 20))
    assert {values.dtype for values in sent} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(loaded.features.get(), X[2:20].astype(np.float32))


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("where", ["cuda", "auto"])
def test_many_chunks_on_several_streams_score_as_one(cupy, projection, where, monkeypatch):
    weight, X = make_data()
    given = X if where == "cuda" else cupy.asarray(X)
    detector = make_detector(weight, projection=projection, device=where)
    whole = detector.fit(given).score_samples(given)
    monkeypatch.setattr(memory, "LARGEST_DEVICE_CHUNK", 40_000)  # two or three rows
    detector = make_detector(weight, projection=projection, device=where).fit(given)
    np.testing.assert_allclose(detector.score_samples(given), whole, rtol=1e-3)
    np.testing.assert_array_equal(detector.score_samples(given), detector.score_samples(given))


def test_two_callers_at_once_get_the_same(cupy, monkeypatch):
    monkeypatch.setattr(memory, "LARGEST_DEVICE_CHUNK", 40_000)
    weight, X = make_data()
    detector = make_detector(weight, method="energy", device="cuda").fit(X)
    alone = detector.score_samples(X)
    with ThreadPoolExecutor(3) as pool:
        for together in pool.map(detector.score_samples, [X] * 6):
            np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))], ids=["deepcopy", "pickle"]
)
def test_copies_of_a_detector_on_the_device_score_the_same(cupy, copied):
    weight, X = make_data()
    detector = make_detector(cupy.asarray(weight), projection="explicit", device="cuda").fit(X)
    scored, other = detector.score_samples(X), copied(detector)
    np.testing.assert_array_equal(other.score_samples(X), scored)
    np.testing.assert_array_equal(clone(detector).fit(X).score_samples(X), scored)


def test_a_model_for_the_gpu_scores_without_cupy_once_its_device_is_set(cupy, monkeypatch):
    weight, X = make_data()
    fitted = pickle.dumps(make_detector(weight, method="energy", device="cuda").fit(X))
    expected = pickle.loads(fitted).score_samples(X)
    monkeypatch.setitem(sys.modules, "cupy", None)
    restored = pickle.loads(fitted)
    with pytest.raises(ImportError, match=r"set_params\(device='cpu'\)"):
        restored.score_samples(X)
    scored = restored.set_params(device="cpu").score_samples(X)
    np.testing.assert_allclose(scored, expected, rtol=1e-4)


def test_fitted_state_is_numpy(cupy):
    weight, X = make_data()
    detector = make_detector(weight).fit(cupy.asarray(X))
    fitted = {name: value for name, value in vars(detector).items() if name.endswith("_")}
    for name in ("feature_range_", "logit_range_", "feature_density_", "logit_density_"):
        assert type(fitted[name]) is np.ndarray
    assert type(detector.head_.weight) is np.ndarray
    assert type(detector.offset_) is float


def test_repeats_in_blocks_score_as_whole_ones(cupy, monkeypatch):
    weight, X = make_data()
    detector = make_detector(weight, projection="explicit", n_repeats=200, device="cuda")
    whole = detector.fit(X).score_samples(X)
    nbytes = detector.perturbation_.nbytes
    detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
    prepared = []
    monkeypatch.setattr(CupyEngine, "free_bytes", lambda self: nbytes)
    monkeypatch.setattr(
        CupyEngine,
        "prepare",
        lambda self, block: prepared.append(block) or ArrayEngine.prepare(self, block),
    )
    np.testing.assert_allclose(detector.score_samples(X), whole, rtol=1e-3)
    assert len(prepared) >= 4
    detector.fit(X)
    np.testing.assert_allclose(detector.score_samples(X), whole, rtol=1e-3)


def test_memory_is_not_handed_on_while_a_stream_works_on_it(cupy, monkeypatch):
    """Several chunks, each a sum over several blocks that are drawn again."""
    weight, X = make_data(60)
    detector = make_detector(weight, projection="explicit", n_repeats=200, device="cuda")
    whole = detector.fit(X).score_samples(X)
    nbytes = detector.perturbation_.nbytes
    detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
    monkeypatch.setattr(CupyEngine, "free_bytes", lambda self: nbytes)
    monkeypatch.setattr(memory, "LARGEST_DEVICE_CHUNK", 40_000)
    hazards = getattr(cupy.get_default_memory_pool(), "hazards", [])
    hazards.clear()
    np.testing.assert_allclose(detector.score_samples(X), whole, rtol=1e-3)
    detector.fit(X)
    assert not hazards


def test_the_emulated_streams_notice_memory_that_is_handed_on(cupy, request):
    if request.node.callspec.params["cupy"] != "emulated":
        pytest.skip("a device does not tell")
    hazards = cupy.get_default_memory_pool().hazards
    first, second = cupy.cuda.Stream(), cupy.cuda.Stream()
    for is_waited_for in (True, False):
        hazards.clear()
        with first:
            total = cupy.zeros(100)
        with second:
            total += 1
        if is_waited_for:
            second.synchronize()
        del total
        assert hazards == ([] if is_waited_for else [second])
    hazards.clear()


def test_after_an_error_nothing_is_queued_any_more(cupy):
    engine = CupyEngine()
    with pytest.raises(ZeroDivisionError), engine.working():
        array = cupy.zeros(100)
        array += 1
        stream = cupy.cuda.get_current_stream()
        array / (1 // 0)
    assert stream.done if hasattr(stream, "done") else not stream.touched


@pytest.mark.parametrize("status", [3, 13])
def test_a_failure_of_cublas_is_one_of_memory_or_of_the_device(cupy, status, monkeypatch):
    weight, X = make_data()
    detector = make_detector(weight, method="energy", device="cuda", delta=1.0).fit(X)
    expected, n_rows = detector.score_samples(X), []
    multiply, failure = cupy.matmul, cupy.cuda.cublas.CUBLASError(status)

    def matmul(left, right):
        n_rows.append(len(left))
        if len(left) > 7:
            raise failure
        return multiply(left, right)

    monkeypatch.setattr(cupy, "matmul", matmul)
    if status == 3:  # CUBLAS_STATUS_ALLOC_FAILED: half as many rows may do
        np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-5)
        assert max(n_rows) == 24 and min(n_rows) <= 7
    else:
        with pytest.raises(type(failure)):
            detector.score_samples(X)
        assert n_rows == [24]


def test_a_perturbation_drawn_in_parts_is_one_block_on_the_device(cupy):
    weight, X = make_data()
    detector = make_detector(weight, projection="explicit", n_repeats=1000, device="cuda")
    expected = detector.set_params(method="energy").fit(X).score_samples(X)
    detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
    with config_context(working_memory=0.1):
        assert detector.perturbation_.nbytes > 2 * 0.1 * 2**20
        np.testing.assert_array_equal(detector.score_samples(X), expected)


def test_a_perturbation_that_no_longer_fits_is_drawn_in_blocks(cupy, monkeypatch):
    weight, X = make_data()
    detector = make_detector(
        weight, method="energy", projection="explicit", n_repeats=1_500, device="cuda"
    )
    expected = detector.fit(X).score_samples(X)
    detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
    monkeypatch.setattr(CupyEngine, "free_bytes", lambda self: 2**30)  # before somebody took it
    with memory_limit(cupy, detector.perturbation_.nbytes * 3 // 4):
        np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-5)
        detector.fit(X)
        np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-5)


def test_tiles_are_halved_where_the_device_is_full(cupy, monkeypatch):
    weight, X = make_data(500)
    detector = make_detector(weight, method=scores.gen, n_repeats=200, device="cuda")
    expected = detector.fit(X).score_samples(X)
    detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
    tile_rows, measured = [], ArrayEngine._tile
    monkeypatch.setattr(CupyEngine, "free_bytes", lambda self: 2**30)  # as if nobody else took it
    monkeypatch.setattr(
        CupyEngine,
        "_tile",
        lambda self, X, block, known, rows: (
            tile_rows.append(rows.stop - rows.start) or measured(self, X, block, known, rows)
        ),
    )
    with memory_limit(cupy, 2**20):
        np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-5)
    assert max(tile_rows) * 4 * 200 * 5 > 2**20  # the first did not fit
    assert len(tile_rows) > 2


def test_the_limit_of_the_pool_is_kept(cupy):
    engine = CupyEngine()
    before = engine.free_bytes()
    with memory_limit(cupy, 10**6):
        cached = cupy.get_default_memory_pool().free_bytes()
        assert 0 < engine.free_bytes() <= 10**6 + cached
        assert engine.free_bytes() < before


def test_the_pool_is_never_freed(cupy):
    weight, X = make_data()
    detector = make_detector(weight, device="cuda").fit(X)
    pool = cupy.get_default_memory_pool()
    of_the_user = cupy.zeros(10**6, np.float32)
    before = pool.total_bytes()
    del of_the_user
    detector.score_samples(X)
    assert pool.total_bytes() >= before


def test_the_kept_block_is_dropped_when_the_device_fails(cupy, monkeypatch):
    failing = []

    def score(logits):
        if failing:
            raise cupy.cuda.runtime.CUDARuntimeError(999)
        return logits.max(axis=-1)

    weight, X = make_data()
    detector = make_detector(weight, method=score, device="cuda").fit(X)
    expected, prepared = detector.score_samples(X), []
    original = CupyEngine.prepare
    monkeypatch.setattr(
        CupyEngine, "prepare", lambda self, block: prepared.append(1) or original(self, block)
    )
    np.testing.assert_array_equal(detector.score_samples(X), expected)
    assert not prepared
    failing.append(True)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError):
        detector.score_samples(X)
    failing.clear()
    np.testing.assert_array_equal(detector.score_samples(X), expected)
    assert prepared


def test_a_callable_score_gets_arrays_on_the_device(cupy):
    seen = []

    def score(logits):
        seen.append(type(logits))
        return logits.max(axis=-1)

    weight, X = make_data()
    on_gpu = make_detector(weight, method=score, device="cuda").fit(X).score_samples(X)
    assert set(seen) == {cupy.ndarray}
    expected = make_detector(weight, method="max_logit").fit(X).score_samples(X)
    np.testing.assert_allclose(on_gpu, expected, rtol=1e-5)


def test_everything_a_detector_offers_takes_device_arrays(cupy):
    weight, X = make_data()
    y = np.where(np.arange(24) % 6, 1, -1)
    on_cpu, on_gpu = make_detector(weight), make_detector(weight)
    on_device, labels = cupy.asarray(X), cupy.asarray(y)
    on_cpu.fit(X, y).calibrate(X, 0.9)
    on_gpu.fit(on_device, labels).calibrate(on_device, 0.9)
    np.testing.assert_allclose(on_gpu.offset_, on_cpu.offset_, rtol=1e-3)
    np.testing.assert_array_equal(on_gpu.predict(on_device), on_cpu.predict(X))
    np.testing.assert_allclose(on_gpu.score(on_device, labels), on_cpu.score(X, y), atol=0.02)
    np.testing.assert_allclose(
        on_gpu.score_components(on_device), on_cpu.score_components(X), rtol=1e-3, atol=1e-6
    )
    for of_gpu, of_cpu in zip(
        on_gpu.densities(on_device).values(), on_cpu.densities(X).values(), strict=True
    ):
        assert type(of_gpu) is np.ndarray
        np.testing.assert_allclose(of_gpu, of_cpu, atol=0.02)
    on_gpu.calibrate_p_values(on_device)
    assert on_gpu.p_value(on_device).min() > 0


@pytest.mark.parametrize("where", ["cuda", "auto"])
def test_searches_choose_as_on_the_cpu(cupy, where):
    weight, X = make_data(30)
    y = np.repeat([1, 1, -1], 10)
    X[y == -1] *= 2
    given = X if where == "cuda" else cupy.asarray(X)
    grid, cv = {"method": ["msp", "energy"], "delta": [1.0, 2.0]}, StratifiedKFold(2)
    searches = [
        GridSearchCV(make_detector(weight, device=device), grid, cv=cv, n_jobs=1).fit(features, y)
        for features, device in ((X, "cpu"), (given, where))
    ]
    several = [
        WeiPerDetectorCV(
            weight, param_grid={**grid, "n_repeats": [20]}, cv=cv, random_state=0, device=device
        ).fit(features, y)
        for features, device in ((X, "cpu"), (given, where))
    ]
    for on_cpu, on_gpu in (searches, several):
        np.testing.assert_allclose(
            on_gpu.cv_results_["mean_test_score"], on_cpu.cv_results_["mean_test_score"], atol=0.02
        )
        assert type(on_gpu.best_estimator_.score_samples(given)) is np.ndarray


def test_a_search_over_divergences_on_the_device(cupy):
    weight, X = make_data(30)
    y = np.repeat([1, 1, -1], 10)
    grid = {"n_bins": [10, 20], "smoothing": [1, 4], "lambda_1": [0.1, 2.5], "n_repeats": [20]}
    results = [
        WeiPerDetectorCV(weight, param_grid=grid, cv=StratifiedKFold(2), random_state=0)
        .fit(features, labels)
        .cv_results_["mean_test_score"]
        for features, labels in ((X, y), (cupy.asarray(X), cupy.asarray(y)))
    ]
    np.testing.assert_allclose(*results, atol=0.02)


@pytest.mark.parametrize("entry", all_detectors(), ids=lambda entry: entry.name)
def test_every_detector_takes_device_arrays(cupy, entry):
    weight, X = make_data()
    detector = entry.estimator(**({"weight": weight} if entry.needs_head else {}))
    for name in ("n_repeats", "random_state", "dim"):
        if name in detector.get_params():
            detector.set_params(**{name: 4})
    y = np.arange(24) % 5 if entry.needs_labels else np.where(np.arange(24) % 6, 1, -1)
    expected = clone(detector).fit(X, y).score_samples(X)
    on_device = cupy.asarray(X)
    scored = detector.fit(on_device, cupy.asarray(y)).score_samples(on_device)
    assert type(scored) is np.ndarray
    np.testing.assert_allclose(scored, expected, rtol=1e-3)


def test_shapers_keep_the_features_on_the_device(cupy):
    weight, X = make_data()
    on_device = cupy.asarray(X)
    shaped = ReAct().fit_transform(on_device)
    assert type(shaped) is cupy.ndarray
    np.testing.assert_array_equal(shaped.get(), ReAct().fit_transform(X))
    pipeline = make_pipeline(ReAct(), make_detector(weight, method="energy", device="cuda"))
    scored = pipeline.fit(on_device).score_samples(on_device)
    expected = pipeline.set_params(weiperdetector__device="cpu").fit(X).score_samples(X)
    np.testing.assert_allclose(scored, expected, rtol=1e-4)


def test_the_transformer_says_that_it_computes_on_the_cpu(cupy):
    weight, X = make_data()
    with pytest.raises(TypeError, match=r"X\.get\(\)"):
        WeiPerTransformer(weight).fit(cupy.asarray(X))
    with pytest.raises(TypeError, match=r"X\.get\(\)"):
        WeiPerTransformer(weight).fit(X).transform(cupy.asarray(X))


@pytest.mark.parametrize("where", ["cuda", "auto"])
@pytest.mark.parametrize(
    "value, message",
    [(np.nan, "NaN at row 7, column 3"), (-np.inf, "infinity.*row 7"), (1e39, "too large.*row 7")],
)
def test_bad_values_are_refused_with_their_place(cupy, where, value, message):
    weight, X = make_data()
    detector = make_detector(weight, method="energy", device=where).fit(X)
    X = X.astype(np.float64)
    X[7, 3] = value
    given = X if where == "cuda" else cupy.asarray(X)
    with pytest.raises(ValueError, match=message):
        detector.score_samples(given)
    with pytest.raises(ValueError, match=message):
        detector.fit(given, np.where(np.arange(24) == 2, -1, 1))


@pytest.mark.parametrize("method", ["kld", "energy"])
def test_overflow_is_reported_as_on_the_cpu(cupy, method):
    weight, X = make_data()
    detector, huge = make_detector(weight, method=method).fit(X), X * np.float32(1e38)
    messages = []
    for given in (huge, cupy.asarray(huge)):
        for use in (detector.score_samples, clone(detector).fit):
            try:
                use(given)
                messages.append(None)
            except ValueError as error:
                messages.append(str(error))
    assert messages[:2] == messages[2:]
    assert messages[1] is not None


def test_bad_shapes_on_the_device_are_refused(cupy):
    weight, X = make_data()
    with pytest.raises(ValueError, match=r"shape \(n_samples, n_features\)"):
        make_detector(weight).fit(cupy.asarray(X[0]))
    with pytest.raises(ValueError, match="0 sample"):
        make_detector(weight).fit(cupy.asarray(X[:0]))
    with pytest.raises(ValueError, match="expecting 13"):
        make_detector(weight).fit(X).score_samples(cupy.asarray(X[:, :5]))


def test_device_rules(cupy):
    _, X = make_data()
    on_device = cupy.asarray(X)
    assert isinstance(select_engine("auto", "auto", on_device), CupyEngine)
    assert isinstance(select_engine("auto", "cuda", X), CupyEngine)
    assert not isinstance(select_engine("auto", "auto", X), CupyEngine)
    with pytest.raises(TypeError, match=r"X\.get\(\)"):
        select_engine("auto", "cpu", on_device)
    with pytest.raises(ValueError, match="engine='numba' computes on the CPU"):
        select_engine("numba", "auto", on_device)


def test_cupy_without_a_device_names_the_extras(cupy, monkeypatch):
    monkeypatch.setattr(cupy, "is_available", lambda: False)
    weight, X = make_data()
    with pytest.raises(RuntimeError, match=r"NVIDIA GPU.*gpu-cuda12.*gpu-cuda13"):
        make_detector(weight, device="cuda").fit(X)


class WithoutCublas:
    """CuPy's package of libraries, where the one that it loads when asked for is missing."""

    def __init__(self, cuda):
        self.cuda = cuda

    def __getattr__(self, name):
        if name == "cublas":
            raise ImportError("libcublas.so.12: cannot open shared object file")
        return getattr(self.cuda, name)


def test_cupy_without_a_compiler_names_the_extra(cupy, monkeypatch):
    def missing():
        raise RuntimeError("CuPy failed to load libnvrtc.so.12")

    monkeypatch.setattr(cupy.cuda.nvrtc, "getVersion", missing)
    weight, X = make_data()
    with pytest.raises(ImportError, match=r"libnvrtc.*\[ctk\].*gpu-cuda12"):
        make_detector(weight, device="cuda").fit(X)


def test_cupy_without_cublas_names_the_extra(cupy, monkeypatch):
    monkeypatch.setattr(cupy, "cuda", WithoutCublas(cupy.cuda))
    weight, X = make_data()
    with pytest.raises(ImportError, match=r"libcublas.*\[ctk\].*gpu-cuda12"):
        make_detector(weight, device="cuda").fit(X)


def test_uploads_keep_their_rows(cupy, monkeypatch):
    monkeypatch.setattr(cupy_engine, "PIECE_BYTES", 3 * 2 * N_FEATURES)
    _, X = make_data(40)
    chosen = np.random.RandomState(0).permutation(40)[:31]
    source, engine = FeatureRows(X.astype(np.float16), chosen), CupyEngine()
    for rows in (slice(0, 31), slice(5, 6), slice(7, 29)):
        expected = X.astype(np.float16).astype(np.float32)[chosen[rows]]
        np.testing.assert_array_equal(engine.load(source, rows).features.get(), expected)


@pytest.mark.parametrize("n_bins", [(), (7,), (7, 3), (20_000,), (20_000, 5)])
def test_loading_measures_features_as_the_cpu_does(cupy, n_bins):
    rows = FeatureRows(make_data()[1])
    bins = [Bins(-1.0, 2.0, n) for n in n_bins]
    loaded, expected = (
        engine.load(rows, slice(3, 21), bins) for engine in (CupyEngine(), NumpyEngine())
    )
    assert len(loaded.counts) == len(n_bins)
    for counts, others in zip(loaded.counts, expected.counts, strict=True):
        assert counts.dtype == np.int32
        np.testing.assert_array_equal(counts.get(), others)
    np.testing.assert_allclose(loaded.norms.get(), feature_norms(expected.features), rtol=2e-7)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e30, 3e38])
def test_norms_neither_overflow_nor_vanish(cupy, scale):
    X = np.zeros((3, N_FEATURES), np.float32)
    X[0, :2], X[1, 4] = scale * np.array([0.5, 0.75]), scale
    norms = CupyEngine().load(FeatureRows(X), slice(0, 3)).norms.get()
    expected = np.linalg.norm(X.astype(np.float64), axis=1).astype(np.float32)
    np.testing.assert_array_equal(norms, expected)


def hard_logits(kind, n_classes, random_state):
    """Logits of five samples, of which softmax, ties or the choice of classes are hard."""
    logits = random_state.randn(5, n_classes)
    if kind == "one class":  # so probable that the probability of all others vanishes beside it
        logits[:, 0] += 40
    elif kind == "two classes":
        logits[:, :2] = 30
    elif kind == "ties":
        logits = np.round(logits)
    elif kind == "equal":
        logits[:] = logits[:, :1]
    elif kind == "far apart":  # exponentials from one to none
        logits *= 50
    elif kind == "in groups":  # the last digits decide
        logits = np.round(logits) + 1e-6 * logits
    return logits.astype(np.float32)


def gen_in_double_precision(logits):
    """With the classes whose exponential is zero in single precision left out."""
    logits = logits.astype(np.float64)
    falls = logits - logits.max(axis=1, keepdims=True)
    return scores.gen(np.where(falls > -149.5 * np.log(2), logits, -np.inf))


HARD = ("usual", "one class", "two classes", "ties", "equal", "far apart", "in groups")


@pytest.mark.parametrize("n_classes", [1, 2, 7, 100, 101, 103, 250])
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_the_generalised_entropy_needs_no_sort(cupy, kind, n_classes, projection, monkeypatch):
    logits = hard_logits(kind, n_classes, np.random.RandomState(n_classes))
    engine, identity = CupyEngine(), np.eye(n_classes, dtype=np.float32)
    bias, offsets = np.zeros(n_classes, np.float32), np.zeros((3, n_classes), np.float32)
    block = ImplicitBlock(None, bias, offsets)
    if projection == "explicit":
        block = ExplicitBlock(np.stack([identity] * 3), bias)
    prepared = engine.prepare(block)
    monkeypatch.setattr(engine, "_sum_scores", None)  # the function of arrays takes no part
    found = engine.measure(cupy.asarray(logits), prepared, (), ("gen",)).score_sums.get()
    np.testing.assert_allclose(found[0], 3 * gen_in_double_precision(logits), rtol=1e-5)
