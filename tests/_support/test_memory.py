"""Memory beyond the input and the output stays within scikit-learn's working_memory."""

import copy
import tracemalloc

import numpy as np
import pytest
from sklearn import config_context

from skweiper import WeiPerDetector, WeiPerTransformer
from skweiper._support import memory
from skweiper._weiper.engines import contract
from skweiper._weiper.engines.numpy import NumpyEngine
from skweiper._weiper.perturbation import Perturbation
from skweiper.head import check_head

MEBIBYTE = 2**20
N_SAMPLES, N_FEATURES, N_CLASSES = 12_000, 64, 20
WORKING_MEMORY = 4


@pytest.fixture(scope="module")
def weight():
    return np.random.RandomState(0).standard_normal((N_CLASSES, N_FEATURES))


@pytest.fixture(scope="module", params=["float16", "float32"])
def dump(request, tmp_path_factory):
    """A memory-mapped file of features; its pages are not allocations of the process."""
    path = tmp_path_factory.mktemp("dump") / "features.npy"
    shape = (N_SAMPLES, N_FEATURES)
    features = np.lib.format.open_memmap(path, "w+", dtype=request.param, shape=shape)
    features[:] = np.random.RandomState(1).standard_normal(shape)
    return np.load(path, mmap_mode="r")


def peak_bytes(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("projection", "n_repeats", "n_threads"),
    [
        ("implicit", 100, 2),
        ("implicit", 100, 16),
        ("explicit", 100, 2),
        ("explicit", 640, 2),
        ("explicit", 2000, 2),
    ],
    ids=["implicit", "many threads", "kept", "barely kept", "redrawn"],
)
def test_fit_and_score_stay_within_working_memory(
    dump, weight, engine, projection, n_repeats, n_threads, monkeypatch
):
    if engine == "numba":
        pytest.importorskip("numba")
    monkeypatch.setattr(contract, "available_threads", lambda: n_threads)
    rows = dump[: {100: N_SAMPLES, 2000: 60}.get(n_repeats, 300)]
    detector = WeiPerDetector(
        weight, projection=projection, n_repeats=n_repeats, engine=engine, random_state=0
    )
    detector.fit(dump[:50]).score_samples(dump[:50])  # compiles and imports
    output = 8 * len(rows)
    with config_context(working_memory=WORKING_MEMORY):
        detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
        assert peak_bytes(lambda: detector.fit(rows)) - output < WORKING_MEMORY * MEBIBYTE
        assert peak_bytes(lambda: detector.score_samples(rows)) - 2 * output < (
            WORKING_MEMORY * MEBIBYTE
        )


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("projection", "n_repeats", "n_threads"),
    [("implicit", 100, 2), ("implicit", 100, 16), ("explicit", 640, 2), ("explicit", 900, 2)],
    ids=["implicit", "many threads", "barely kept", "redrawn"],
)
def test_finding_quantiles_stays_within_working_memory(
    dump, weight, engine, projection, n_repeats, n_threads, monkeypatch
):
    if engine == "numba":
        pytest.importorskip("numba")
    monkeypatch.setattr(contract, "available_threads", lambda: n_threads)
    rows = dump[:3000] if n_repeats == 100 else dump[:50]
    options = {"projection": projection, "n_repeats": n_repeats, "engine": engine}
    detector = WeiPerDetector(weight, value_range=(0.001, 0.999), random_state=0, **options)
    detector.fit(dump[:50])  # compiles and imports
    with config_context(working_memory=WORKING_MEMORY):
        peak = peak_bytes(lambda: detector.fit(rows))
    assert peak - 8 * len(rows) < WORKING_MEMORY * MEBIBYTE


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_the_transformer_stays_within_working_memory(dump, weight, projection):
    transformer = WeiPerTransformer(weight, projection=projection, n_repeats=600, random_state=0)
    rows, outputs = dump[:200], []
    expected = transformer.fit(rows).transform(rows)
    with config_context(working_memory=WORKING_MEMORY):
        peak = peak_bytes(lambda: outputs.append(transformer.transform(rows)))
    assert peak - expected.nbytes < WORKING_MEMORY * MEBIBYTE
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-4)


def test_drawing_implicit_perturbations_takes_few_copies():
    head = check_head(np.ones((1000, 8)), None, 8)
    perturbation = Perturbation(head, "implicit", 2.0, 100, 0)
    peak = peak_bytes(lambda: next(perturbation.blocks(MEBIBYTE)))
    assert peak < 5 * perturbation.nbytes


def test_the_budget_changes_neither_scores_nor_threshold(dump, weight):
    rows = dump[:500]
    detector = WeiPerDetector(weight, projection="explicit", n_repeats=200, random_state=0)
    expected = detector.fit(rows).score_samples(rows)
    offset = detector.offset_
    with config_context(working_memory=1):
        scores = detector.fit(rows).score_samples(rows)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    assert offset == pytest.approx(detector.offset_, rel=0.05)


def test_unperturbed_logits_are_computed_once_while_they_fit(dump, weight, monkeypatch):
    products = []

    computed = NumpyEngine.unperturbed

    def counted(self, features, *args):
        products.append(len(features))
        return computed(self, features, *args)

    monkeypatch.setattr(NumpyEngine, "unperturbed", counted)
    for budget, n_expected in ((1024, len(dump)), (0.5, 2 * len(dump))):
        products.clear()
        with config_context(working_memory=budget):
            WeiPerDetector(weight, n_repeats=5, delta=2.0, random_state=0).fit(dump)
        assert n_expected * 0.9 < sum(products) <= n_expected


@pytest.mark.parametrize("perturbation_mib", [0, 1, 100, 819, 820, 5000])
def test_the_shares_add_up_to_the_budget(perturbation_mib):
    shares = memory.host_shares(perturbation_mib * MEBIBYTE)
    budget = memory.memory_budget()
    assert sum(shares) <= budget
    assert min(shares[1:]) >= budget // 100
    assert memory.fits_host(perturbation_mib * MEBIBYTE) == (perturbation_mib < 820)


def test_what_others_take_at_once_fits_the_budget():
    transformer = 2 * memory.TRANSFORMED_BLOCK + memory.TRANSFORMED_CHUNK
    sweep = memory.SWEEP_TERMS + memory.SWEEP_SCORES
    for share in (transformer, sweep, memory.PEER_CHUNKS, memory.SHAPER_CHUNKS):
        assert 0 < share < 1
    on_the_way = memory.GATHERED_BLOCK + memory.SUMS + memory.SAMPLE
    assert on_the_way <= 1
