"""The finite-sample guarantees of conformal p-values, by simulation and by definition."""

import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skweiper import WeiPerDetector
from skweiper.conformal import conformal_p_values, ood_discoveries


def simulated_p_values(n_calibration, n_simulations, draw, seed=0):
    """A p-value of one ID sample in each of many independent calibrations."""
    rng = np.random.RandomState(seed)
    scores = draw(rng, (n_simulations, n_calibration + 1))
    return np.array([conformal_p_values(row[1:], row[:1])[0] for row in scores])


@pytest.mark.parametrize("n_calibration", [1, 9, 30])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.standard_cauchy(size),
        lambda rng, size: rng.randint(4, size=size).astype(float),  # many ties
    ],
)
def test_p_values_of_id_samples_are_super_uniform(n_calibration, draw):
    p = simulated_p_values(n_calibration, 20_000, draw)
    for t in (0.05, 0.1, 0.25, 0.5, 0.9):
        noise = 4 * np.sqrt(t * (1 - t) / len(p))
        assert np.mean(p <= t) <= t + noise


def test_p_values_without_ties_are_uniform_on_their_grid():
    p = simulated_p_values(9, 20_000, lambda rng, size: rng.normal(size=size))
    shares = np.bincount(np.round(p * 10).astype(int), minlength=11)[1:] / len(p)
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.01)


def test_p_values_agree_with_the_definition():
    rng = np.random.RandomState(0)
    calibration, scores = rng.randint(9, size=50), rng.randint(9, size=20)
    expected = [(1 + np.sum(calibration <= score)) / 51 for score in scores]
    assert np.array_equal(conformal_p_values(calibration, scores), expected)


def false_share(found, n_id):
    """Share of ID samples (the first `n_id`) among the discoveries; 0 where there are none."""
    return found[:n_id].sum() / max(1, found.sum())


@pytest.mark.parametrize("method", ["bh", "by"])
def test_false_discovery_rate_is_controlled_with_a_shared_calibration_set(method):
    rng = np.random.RandomState(0)
    shares, n_true = [], 0
    for _ in range(500):
        calibration, n_id = rng.normal(size=200), 80
        scores = np.concatenate([rng.normal(size=n_id), rng.normal(-3, 1, 20)])
        found = ood_discoveries(conformal_p_values(calibration, scores), 0.2, method=method)
        shares.append(false_share(found, n_id))
        n_true += found[n_id:].sum()
    assert np.mean(shares) <= 0.2 + 3 * np.std(shares) / np.sqrt(500)
    assert n_true > 500  # the guarantee is not kept by finding nothing


@pytest.mark.parametrize(
    ("calibration", "scores", "message"),
    [
        ([], [1.0], "calibration_scores is empty"),
        ([1.0, np.nan], [1.0], "calibration_scores must be .* 1 not finite"),
        ([1.0], [np.nan], "scores must be .* 1 not finite"),
        (np.ma.masked_less([1.0, 2.0], 1.5), [1.0], "calibration_scores is a masked array with 1"),
        ([1.0], [[1.0]], r"scores must be .* got shape \(1, 1\)"),
    ],
)
def test_scores_without_an_order_are_refused(calibration, scores, message):
    with pytest.raises(ValueError, match=message):
        conformal_p_values(calibration, scores)


def test_rejecting_small_p_values_of_a_detector_keeps_its_rate_on_real_features(clinc150):
    # One detector, many disjoint draws of a calibration set and of the samples to judge.
    detector = WeiPerDetector(
        clinc150.weight, clinc150.bias, method="msp", delta=1.0, n_repeats=5, random_state=0
    ).fit(clinc150.train[:500])
    scores = detector.score_samples(clinc150.test)
    rng = np.random.RandomState(0)
    rates = []
    for _ in range(400):
        order = rng.permutation(len(scores))
        p = conformal_p_values(scores[order[:19]], scores[order[19:119]])
        rates.append(np.mean(p <= 0.05))
    noise = 3 * np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= 0.05 + noise
    assert np.mean(rates) >= 0.05 - noise  # 0.05 (19 + 1) is whole: the bound is reached
    ood = conformal_p_values(scores[:99], detector.score_samples(clinc150.test_oos))
    assert np.mean(ood <= 0.05) > 0.5


@pytest.mark.parametrize("p_values", [np.full((5, 2), 0.01), 0.01, ["a"], [np.nan]])
def test_discoveries_of_no_vector_of_numbers_are_refused(p_values):
    with pytest.raises(ValueError, match="p_values must be a one-dimensional array"):
        ood_discoveries(p_values)


@pytest.mark.parametrize("p_values", [[0.1, 1.5], [-3.0, 0.5]])
def test_what_is_no_p_value_is_refused_by_name(p_values):
    with pytest.raises(ValueError, match=r"p_values must be in \[0, 1\], got .*output of p_value"):
        ood_discoveries(p_values)


@pytest.mark.parametrize("fdr", [0, 1, -0.1, None, "a", np.nan])
def test_discoveries_refuse_a_rate_out_of_range(fdr):
    with pytest.raises(ValueError, match=r"fdr must be in \(0, 1\)"):
        ood_discoveries([0.1], fdr)


@pytest.fixture
def fitted():
    rng = np.random.RandomState(0)
    weight, X = rng.normal(size=(4, 12)), rng.normal(size=(160, 12))
    detector = WeiPerDetector(weight, n_repeats=5, random_state=0).fit(X[:80])
    return detector, X


def test_detector_gives_the_p_values_of_its_scores(fitted):
    detector, X = fitted
    offset = detector.offset_
    held_out, new = X[80:120], X[120:]
    p = detector.calibrate_p_values(held_out).p_value(new)
    expected = conformal_p_values(detector.score_samples(held_out), detector.score_samples(new))
    assert np.array_equal(p, expected)
    assert detector.offset_ == offset
    assert np.array_equal(pickle.loads(pickle.dumps(detector)).p_value(new), p)


def test_calibrate_changes_the_threshold_only(fitted):
    detector, X = fitted
    detector.calibrate_p_values(X[80:120])
    before = detector.conformal_scores_
    detector.calibrate(X[:80], tpr=0.5)
    assert detector.conformal_scores_ is before


def test_p_values_need_a_calibration_after_each_fit(fitted):
    detector, X = fitted
    with pytest.raises(NotFittedError, match=r"Call calibrate_p_values\(X_id\)"):
        detector.p_value(X)
    detector.calibrate_p_values(X[80:]).fit(X[:80])
    with pytest.raises(NotFittedError, match="no calibration scores"):
        detector.p_value(X)
