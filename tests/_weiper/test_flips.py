"""delta="auto": the share of changed predictions is the flip rate, however it is computed."""

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn import config_context

from skweiper import WeiPerDetector, WeiPerTransformer
from skweiper._support.quantile import pooled_quantile, quantile_of
from skweiper._support.rows import FeatureRows
from skweiper._weiper.engines.arrays import ArrayEngine
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.flips import MOST_ROWS, perturbed, stratified_rows
from skweiper.head import check_head
from tests import reference

ENGINES = ["numpy", "numba"] if find_spec("numba") else ["numpy"]


def problem(n_classes, n_features, n_samples=40):
    rng = np.random.RandomState(n_classes)
    weight, bias = rng.normal(size=(n_classes, n_features)), rng.normal(size=n_classes)
    return weight, bias, rng.normal(size=(n_samples, n_features)).astype(np.float32)


def fitted(weight, bias, X, y=None, **params):
    return WeiPerDetector(weight, bias, **{"n_repeats": 9, "random_state": 0, **params}).fit(X, y)


def slopes_of(detector):
    """By how much the logits of a sample move at delta = 1, by the definition of a perturbation."""
    head, perturbation = detector.head_, detector.perturbation_
    (block,) = perturbation.of_length(1.0).blocks(np.inf)
    if perturbation.projection == "implicit":
        return lambda z: np.linalg.norm(z) * block.offsets.astype(np.float64)
    return lambda z: np.einsum("rck,k->rc", block.weight - head.matrix, z)


def expected_delta(detector, X):
    head, rows = detector.head_, X.astype(np.float64)
    slopes, rate = slopes_of(detector), detector.flip_rate
    return reference.learnt_delta(rows, head.matrix, head.bias, slopes, rate)


@pytest.mark.parametrize("flip_rate", [0.03, 0.1, 0.37])
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (7, 12), (40, 30), (150, 8)], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_delta_is_the_quantile_of_the_flip_lengths(engine, shape, projection, flip_rate):
    weight, bias, X = problem(*shape)
    options = {"projection": projection, "flip_rate": flip_rate, "engine": engine}
    detector = fitted(weight, bias, X, **options)
    assert detector.delta_ == pytest.approx(expected_delta(detector, X), rel=1e-4)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_plain_array_operations_find_the_same(projection):
    weight, bias, X = problem(12, 20)
    head, rows = check_head(weight, bias, 20), FeatureRows(X)
    parameters = {"projection": projection, "n_repeats": 7, "delta": "auto", "flip_rate": 0.2}
    deltas = []
    for tile_bytes in (1, 2**20):
        engine, seed = ArrayEngine(np, lambda n=tile_bytes: n), np.random.RandomState(3)
        deltas.append(perturbed(rows, head, parameters, engine, seed).perturbation.delta)
    expected = fitted(weight, bias, X, random_state=3, **parameters).delta_
    np.testing.assert_allclose(deltas, expected, rtol=1e-5)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("flip_rate", [0.05, 0.2])
def test_so_large_a_share_of_predictions_changes(projection, flip_rate, clinc150):
    X, head = clinc150.train[::12], (clinc150.weight, clinc150.bias)
    plain = (X @ head[0].T + head[1]).argmax(axis=1)

    def changed(**params):
        space = WeiPerTransformer(*head, projection=projection, n_repeats=15, random_state=0)
        logits = space.set_params(**params).fit_transform(X).reshape(len(X), 15, -1)
        return np.mean(logits.argmax(axis=2) != plain[:, None]), space.delta_

    share, delta = changed(flip_rate=flip_rate)
    assert share == pytest.approx(flip_rate, abs=1 / X.shape[0])
    assert changed(delta=0.9 * delta)[0] < share < changed(delta=1.1 * delta)[0]


@pytest.mark.parametrize("projection", ["implicit", "explicit", "random"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("method", ["kld", "energy"])
def test_the_number_in_place_of_auto_gives_the_same_bits(method, engine, projection, clinc150):
    X = clinc150.train[::10].astype(np.float32)
    options = {"method": method, "engine": engine, "projection": projection}
    with config_context(working_memory=4):  # too little for all scores behind the threshold
        learnt = fitted(clinc150.weight, clinc150.bias, X, **options)
        given = fitted(clinc150.weight, clinc150.bias, X, delta=learnt.delta_, **options)
    assert given.delta_ == learnt.delta_
    assert given.offset_ == learnt.offset_
    np.testing.assert_array_equal(given.score_samples(X[:40]), learnt.score_samples(X[:40]))


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("engine", ENGINES)
def test_neither_memory_nor_threads_change_a_bit(engine, projection, clinc150, monkeypatch):
    X, inlier = clinc150.train[:1500:3].astype(np.float32), np.arange(500) % 5 > 0
    rows = FeatureRows.where(X, inlier)
    head = check_head(clinc150.weight[:37], clinc150.bias[:37], 256)
    parameters = {"projection": projection, "n_repeats": 5, "delta": "auto", "flip_rate": 0.1}

    def delta(engine=engine):
        seed = np.random.RandomState(0)
        return perturbed(rows, head, parameters, select_engine(engine), seed).perturbation.delta

    expected = delta()
    for mebibytes in (0.5, 8):
        with config_context(working_memory=mebibytes):
            assert delta() == expected
    for n_threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
        assert delta() == expected
    # Where two logits are close, a rounding of either is many of their distance.
    assert delta(engine="numpy") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("estimator", [WeiPerDetector, WeiPerTransformer])
@pytest.mark.parametrize("n_samples", [50, 3 * MOST_ROWS])
def test_known_outliers_take_no_part(estimator, n_samples):
    weight, bias, X = problem(6, 10, n_samples)
    outliers = np.full((n_samples, 10), 50.0, np.float32)
    both = np.stack([outliers, X], axis=1).reshape(-1, 10)
    y = np.tile([-1, 1], n_samples)
    space = estimator(weight, bias, n_repeats=4, random_state=0)
    expected = space.fit(X).delta_
    assert space.fit(both, y).delta_ == expected
    assert space.fit(both).delta_ != expected


def test_what_changes_no_prediction_changes_no_delta():
    weight, bias, X = problem(6, 10)
    delta = fitted(weight, bias, X).delta_
    assert fitted(weight, bias, X[::-1]).delta_ == delta
    assert fitted(weight, bias, np.repeat(X, 3, axis=0)).delta_ == pytest.approx(delta, rel=0.05)
    for scale in (1e-20, 1e-3, 1e8):
        assert fitted(weight, bias * scale, X * scale).delta_ == pytest.approx(delta, rel=1e-5)
        assert fitted(weight * scale, bias * scale, X).delta_ == pytest.approx(delta, rel=1e-5)
    assert fitted(weight, bias + 7, X).delta_ == pytest.approx(delta, rel=1e-4)


def test_a_layer_twice_as_wide_needs_perturbations_longer_by_the_root_of_two():
    weight, bias, X = problem(5, 64, 300)
    options = {"n_repeats": 100}
    once = fitted(weight, bias, X, **options).delta_
    twice = fitted(np.hstack([weight, weight]) / 2, bias, np.hstack([X, X]), **options).delta_
    assert twice / once == pytest.approx(np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_logits_as_features(projection):
    X = problem(8, 8)[2]
    detector = fitted(None, None, X, projection=projection)
    identity = fitted(np.eye(8), None, X, projection=projection)
    assert detector.delta_ == pytest.approx(identity.delta_, rel=1e-5)
    assert detector.delta_ == pytest.approx(expected_delta(detector, X), rel=1e-4)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_rows_without_a_prediction_are_not_counted(projection):
    weight, _, X = problem(6, 10)
    weight[3] = weight[1]  # where one of the two is largest, both are
    options = {"projection": projection}
    logits = X @ weight.T
    is_tie = logits[:, 1] == logits.max(axis=1)
    assert 0 < is_tie.sum() < len(X) / 2
    both = np.concatenate([np.zeros((30, 10), np.float32), X])
    expected = fitted(weight, None, X[~is_tie], **options).delta_
    assert fitted(weight, None, X, **options).delta_ == expected
    assert fitted(weight, None, both, **options).delta_ == expected
    # With a bias a row of zeros has a prediction, but nothing moves it.
    biased = fitted(weight, np.arange(6), X, **options).delta_
    assert fitted(weight, np.arange(6), both, **options).delta_ == biased


@pytest.mark.parametrize("estimator", [WeiPerDetector, WeiPerTransformer])
def test_one_class_and_random_projections_have_the_published_length(estimator):
    weight, bias, X = problem(4, 5)
    assert estimator(weight[:1], bias[:1], random_state=0).fit(X).delta_ == 2.0
    assert estimator(weight, bias, projection="random", random_state=0).fit(X).delta_ == 2.0
    assert estimator(weight, bias, delta=0.7).fit(X).delta_ == 0.7
    assert estimator(weight, bias, delta=0).fit(X).delta_ == 0.0


def few_flips(n_flips, n_heads):
    message = rf"flip_rate=.* but only {n_flips} of {n_heads} ever do, so delta_=2.0 is taken. Pass"
    return pytest.warns(UserWarning, match=message)


@pytest.mark.parametrize("mebibytes", [0.1, 1024])
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_a_head_that_never_flips(projection, mebibytes):
    weight, bias, X = problem(4, 5)
    options = {"projection": projection, "n_repeats": 50}
    with config_context(working_memory=mebibytes):
        with few_flips(0, 2000):  # a prediction, by the bias, that no perturbation moves
            assert fitted(np.zeros((4, 5)), bias, X, **options).delta_ == 2.0
        with few_flips(0, 0):  # no prediction
            assert fitted(np.zeros((4, 5)), None, X, **options).delta_ == 2.0
        with few_flips(0, 0):
            assert fitted(weight, bias, np.zeros((9, 5)), **options).delta_ == 2.0
        with few_flips(0, 0):
            assert fitted(np.ones((4, 5)), None, X, **options).delta_ == 2.0


def test_two_classes_change_in_half_of_the_heads_at_most():
    weight, bias, X = problem(2, 30, 400)
    options = {"n_repeats": 100}
    assert 0 < fitted(weight, bias, X, flip_rate=0.45, **options).delta_ < np.inf
    with pytest.warns(UserWarning, match=r"but only (19|20)\d{3} of 40000 ever do"):
        assert fitted(weight, bias, X, flip_rate=0.55, **options).delta_ == 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_that_overflow_are_refused(engine):
    weight, bias, X = problem(4, 5)
    X[17] = 3e38
    with pytest.raises(ValueError, match="logits of row 17 of X overflow float32"):
        fitted(weight, bias, X, engine=engine)


def test_few_seeds_differ_by_much(clinc150):
    """Over seeds of the draws and of the rows, on real features."""
    head, X = (clinc150.weight, clinc150.bias), clinc150.train.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deltas = [
            fitted(*head, X, method="msp", n_repeats=100, random_state=seed).delta_
            for seed in range(8)
        ]
    assert np.std(deltas) < 0.03 * np.mean(deltas)
    assert 0.8 < np.mean(deltas) < 1.0


@pytest.mark.parametrize("n_rows", [1, 7, 100, 101, 150, 12345])
def test_one_row_of_each_stretch(n_rows):
    rows = stratified_rows(n_rows, 100, seed=4)
    assert len(rows) == min(n_rows, 100)
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < n_rows
    if n_rows == 12345:
        np.testing.assert_array_equal(rows * 100 // n_rows, np.arange(100))
        assert (rows != stratified_rows(n_rows, 100, seed=5)).mean() > 0.9


@pytest.mark.parametrize("digit_bits", [8, 16])
@pytest.mark.parametrize("share", [0, 0.1, 0.37, 0.999, 1])
@pytest.mark.parametrize("n_values", [1, 2, 100, 777])
def test_a_quantile_in_memory_is_that_of_chunks(n_values, share, digit_bits):
    values = np.random.RandomState(n_values).standard_cauchy(n_values).astype(np.float32)
    values[: n_values // 3] = values[-1]
    chunks = np.array_split(values, 3)
    found = pooled_quantile(lambda: iter(chunks), share, digit_bits)
    assert found == quantile_of(values, share)
    assert found == pytest.approx(np.quantile(values.astype(np.float64), share), rel=1e-12)


def test_quantiles_of_no_values_and_of_infinite_ones():
    assert np.isnan(quantile_of(np.zeros(0, np.float32), 0.5))
    assert np.isnan(pooled_quantile(lambda: iter([]), 0.5))
    values = np.array([1, 2, np.inf, np.inf], np.float32)
    for quantile in (quantile_of, lambda v, share: pooled_quantile(lambda: iter([v]), share)):
        assert quantile(values, 1 / 3) == 2
        assert not np.isfinite(quantile(values, 0.5))
