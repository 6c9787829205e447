"""The engines agree with each other and with a slow reference in double precision."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib.util import find_spec

import numpy as np
import pytest

from skweiper._support import notice
from skweiper._weiper.density import bins_over, smooth, symmetric_kl
from skweiper._weiper.engines import numpy as numpy_engine
from skweiper._weiper.engines.arrays import ArrayEngine
from skweiper._weiper.engines.numpy import NumpyEngine
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.perturbation import ImplicitBlock, Perturbation
from skweiper.head import check_head
from skweiper.scores import logit_score

N_FEATURES = 33


def drawn(n_classes, n_repeats, projection, n_samples=37):
    rng = np.random.RandomState(n_classes + n_repeats)
    features = rng.standard_normal((n_samples, N_FEATURES)).astype(np.float32)
    head = check_head(rng.standard_normal((n_classes, N_FEATURES)), None, N_FEATURES)
    block = next(Perturbation(head, projection, 2.0, n_repeats, 0).blocks(np.inf))
    return features, block


@pytest.fixture(params=["numpy", "numba"])
def engine(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    return select_engine(request.param)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("n_repeats", [1, 3, 100])
@pytest.mark.parametrize("n_classes", [1, 2, 10, 65, 150])
def test_agrees_with_slow_reference(engine, n_classes, n_repeats, projection):
    features, block = drawn(n_classes, n_repeats, projection)
    logits = engine.perturbed_logits(features, block).astype(np.float64)
    wide = bins_over((logits.min(), logits.max()), 100)
    narrow = bins_over((-1.5, 2.0), 7)  # leaves values outside on both sides
    scores = ("energy", "msp")
    measured = engine.measure(features, block, (wide, narrow), scores)
    for counts, bins in zip(measured.logit_counts, (wide, narrow), strict=True):
        expected = [np.histogram(row, bins.n_bins, (bins.low, bins.high))[0] for row in logits]
        moved = np.abs(counts - np.array(expected)).sum() / 2
        assert moved <= n_on_edges(logits, bins)
    for sums, score in zip(measured.score_sums, scores, strict=True):
        expected = logit_score(score)(logits).sum(axis=1)
        np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-5 * n_repeats)


def n_on_edges(values, bins):
    """How many values are so close to the edge of a bin that rounding may take them across."""
    position = (values.astype(np.float64) - bins.low) * bins.n_bins / (bins.high - bins.low)
    return int(np.count_nonzero(np.abs(position - np.round(position)) < 1e-5 * bins.n_bins))


def exact_logits(features, block):
    """Perturbed logits from their definition, in double precision."""
    z, bias = features.astype(np.float64), block.bias.astype(np.float64)
    if isinstance(block, ImplicitBlock):
        plain = z @ block.weight.astype(np.float64).T + bias
        lengths = np.linalg.norm(z, axis=1)[:, None, None]
        return plain[:, None, :] + lengths * block.offsets
    return np.einsum("nk,rck->nrc", z, block.weight.astype(np.float64)) + bias


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("n_classes", [1, 7, 33, 129])
def test_perturbed_logits_are_what_they_are_defined_to_be(engine, n_classes, projection):
    features, block = drawn(n_classes, 5, projection)
    expected = exact_logits(features, block)
    logits = engine.perturbed_logits(features, engine.prepare(block))
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())
    lows, highs = engine.logit_extremes(features, engine.prepare(block))
    scale = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(lows, expected.min(axis=(1, 2)), atol=scale)
    np.testing.assert_allclose(highs, expected.max(axis=(1, 2)), atol=scale)
    tiles = engine.logit_tiles(features, engine.prepare(block))
    together = np.concatenate([tile.copy() for tile in tiles])
    assert together.dtype == np.float32
    np.testing.assert_array_equal(np.sort(together), np.sort(logits, axis=None))


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("n_classes", [2, 10, 128, 129, 300, 1000])
def test_engines_agree(n_classes, projection):
    pytest.importorskip("numba")
    features, block = drawn(n_classes, 41, projection, n_samples=11)
    results = []
    for name in ("numpy", "numba"):
        engine = select_engine(name)
        prepared = engine.prepare(block)
        lows, highs = engine.logit_extremes(features, prepared)
        bins = (bins_over((lows.min(), highs.max()), 100), bins_over((-3, 3), 17))
        results.append(engine.measure(features, prepared, bins, ("msp", "max_logit")))
    logits = select_engine("numpy").perturbed_logits(features, block)
    for one, other, each in zip(*(result.logit_counts for result in results), bins, strict=True):
        assert np.abs(one - other).sum() / 2 <= n_on_edges(logits, each)
    np.testing.assert_allclose(results[0].score_sums, results[1].score_sums, rtol=1e-5)


def test_logits_too_small_for_an_exponential_count_nothing(engine):
    """A class far below the largest adds zero to the softmax, and no NaN."""
    features = np.array([[0.0, -1e4, -1e18]], np.float32)
    block = ImplicitBlock(None, np.zeros(3, np.float32), np.zeros((4, 3), np.float32))
    measured = engine.measure(features, engine.prepare(block), (), ("msp",))
    np.testing.assert_allclose(measured.score_sums, [[4.0]], rtol=1e-6)


@pytest.mark.parametrize("name", ["numpy", "numba", "arrays"])
def test_values_that_are_no_numbers_are_in_no_bin(name):
    if name == "numba":
        pytest.importorskip("numba")
    engine = ArrayEngine(np, lambda: 10**6) if name == "arrays" else select_engine(name)
    values = np.array([[np.nan, 0.5, np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(engine.histogram(values, bins_over((0, 1), 4)), [[0, 0, 1, 0]])


def test_highest_value_is_in_the_last_bin_and_beyond_is_in_none(engine):
    values = np.array([[-0.1, 0.0, 0.999, 1.0, 1.001]], np.float32)
    np.testing.assert_array_equal(engine.histogram(values, bins_over((0, 1), 4)), [[1, 0, 0, 2]])


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_tiles_do_not_matter(engine, projection, monkeypatch):
    features, block = drawn(10, 13, projection)
    bins = (bins_over((-9, 9), 20),)
    whole = engine.measure(features, block, bins, ("msp", "entropy"))
    monkeypatch.setattr(numpy_engine, "TILE_BYTES", 1000)
    monkeypatch.setattr(engine, "product_bytes", 1000)
    tiled = engine.measure(features, block, bins, ("msp", "entropy"))
    moved = np.abs(whole.logit_counts[0] - tiled.logit_counts[0]).sum() / 2
    assert moved <= n_on_edges(engine.perturbed_logits(features, block), bins[0])
    np.testing.assert_allclose(whole.score_sums, tiled.score_sums, rtol=1e-5)


def test_two_threads_at_once_get_the_same(engine):
    features, block = drawn(65, 30, "implicit")
    bins = (bins_over((-9, 9), 20),)
    alone = engine.measure(features, block, bins, ("msp",))
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(engine.measure, features, block, bins, ("msp",)) for _ in range(8)]
    for job in jobs:
        np.testing.assert_array_equal(job.result().logit_counts[0], alone.logit_counts[0])
        np.testing.assert_array_equal(job.result().score_sums, alone.score_sums)


def test_auto_is_numba_where_installed():
    pytest.importorskip("numba")
    assert select_engine("auto").name == "numba"
    assert type(select_engine("numpy")) is NumpyEngine


def test_auto_is_numpy_where_numba_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "skweiper._weiper.engines.numba", None)
    notice._times_given.cache_clear()
    with nullcontext() if find_spec("numba") is None else pytest.warns(match="cannot be imported"):
        assert type(select_engine("auto")) is NumpyEngine
    assert type(select_engine("auto")) is NumpyEngine
    with pytest.raises(ImportError, match=r"cannot be imported.*skweiper\[fast\]"):
        select_engine("numba")


@pytest.mark.parametrize("window", [1, 2, 4, 15, 40, 300])
@pytest.mark.parametrize("n_bins", [2, 7, 100])
def test_divergence_is_that_of_smoothed_densities(engine, n_bins, window):
    counts = np.random.RandomState(n_bins + window).poisson(4, (9, n_bins)).astype(np.int32)
    counts[0] = 0  # all values outside of the bins
    n_values, training = int(counts.sum(axis=1).max()) + 3, counts.mean(axis=0) / 500
    found = engine.divergence(counts, n_values, window, training, 0.01)
    smoothed = smooth(counts / n_values, window)
    np.testing.assert_allclose(found, symmetric_kl(training, smoothed, 0.01), rtol=1e-11)


def test_divergence_with_a_floor_below_the_normal_numbers(engine):
    counts = np.array([[0, 5, 0, 3]], np.int32)
    found = engine.divergence(counts, 8, 1, np.full(4, 0.25), 1e-310)
    assert found[0] == pytest.approx(symmetric_kl(np.full(4, 0.25), counts / 8, 1e-310)[0])


def test_divergence_from_itself_is_zero(engine):
    counts = np.full((1, 50), 3, np.int32)
    found = engine.divergence(counts, 150, 4, np.full(50, 0.02), 0.01)
    assert 0 <= found[0] < 1e-25


def test_compiled_logarithm():
    divergence = pytest.importorskip(
        "skweiper._weiper.engines.numba_divergence", exc_type=ImportError
    )
    x = np.exp(np.random.RandomState(0).uniform(-700, 700, 2000))
    found = [divergence.log(value) for value in (*x, 1.0, 0.5, 2.0)]
    expected = np.log([*x, 1.0, 0.5, 2.0])
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-16)
