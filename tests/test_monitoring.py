"""Exchangeability martingales: fair under exchangeability, soon rich where a stream drifts."""

import copy
import io

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from skweiper import WeiPerDetector
from skweiper.baselines import KNNDetector, LogitDetector
from skweiper.monitoring import EXPONENTS, ExchangeabilityMartingale, StreamMonitor


def reference_p_values(calibration, scores, random_state):
    """The definition, in loops: the rank among all scores before, ties broken at random."""
    known, p_values = list(calibration), []
    for score in scores:
        n_below = sum(other < score for other in known)
        n_equal = 1 + sum(other == score for other in known)
        chance = 1 - random_state.random_sample()
        p_values.append((n_below + chance * n_equal) / (len(known) + 1))
        known.append(score)
    return p_values


def reference_wealth(p_values, jump):
    """log10 of the wealth after each bet."""
    shares, result = np.full(len(EXPONENTS), 1 / len(EXPONENTS)), []
    for p_value in p_values:
        shares = (1 - jump) * shares + jump * shares.sum() / len(EXPONENTS)
        shares = shares * np.array(EXPONENTS) * p_value ** (np.array(EXPONENTS) - 1)
        result.append(np.log10(shares.sum()))
    return result


def test_wealth_agrees_with_the_definition():
    rng = np.random.RandomState(0)
    calibration, scores = rng.randint(0, 30, 40) / 7, rng.randint(-9, 30, 120) / 7
    martingale = ExchangeabilityMartingale(calibration, jump=0.01, random_state=3)
    found = np.concatenate([martingale.update(part) for part in np.split(scores, [1, 50, 50, 90])])
    p_values = reference_p_values(calibration, scores, np.random.RandomState(3))
    np.testing.assert_allclose(found, reference_wealth(p_values, 0.01), rtol=1e-9, atol=1e-9)
    assert martingale.largest_log10_wealth == pytest.approx(max(0, found.max()))
    assert martingale.n_seen == 120


def test_p_values_of_an_exchangeable_stream_are_uniform_and_independent():
    rng = np.random.RandomState(0)
    martingale = ExchangeabilityMartingale(rng.randint(0, 5, 50))  # with many ties
    p_values = np.array(list(martingale._p_values(rng.randint(0, 5, 3000).astype(float))))
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(p_values[1:], p_values[:-1])[0, 1]) < 0.05


def test_false_alarms_keep_their_bound():
    n_streams, alpha = 200, 0.1
    alarms = 0
    for seed in range(n_streams):
        rng = np.random.RandomState(seed)
        martingale = ExchangeabilityMartingale(rng.randn(60), random_state=seed)
        alarms += martingale.update(rng.randn(150)).max() >= -np.log10(alpha)
    assert alarms <= n_streams * alpha + 3 * np.sqrt(n_streams * alpha * (1 - alpha))


@pytest.mark.parametrize(("share", "most"), [(0.05, 2000), (0.2, 250), (1.0, 30)])
def test_ood_rows_mixed_in_are_noticed(share, most, clinc150):
    head = clinc150.weight, clinc150.bias
    detector = LogitDetector(*head, method="gen").fit(clinc150.train)
    id_scores, ood_scores = map(detector.score_samples, (clinc150.test, clinc150.test_oos))
    delays = []
    for seed in range(10):
        rng = np.random.RandomState(seed)
        calibration = detector.score_samples(clinc150.validation)
        martingale = ExchangeabilityMartingale(calibration, random_state=seed)
        before, after = np.split(rng.permutation(id_scores), [200])
        quiet = martingale.update(before)
        is_ood = rng.random_sample(len(after)) < share
        mixed = np.where(is_ood, rng.choice(ood_scores, len(after)), after)
        wealth = martingale.update(mixed)
        assert quiet.max() < 2
        delays.append(np.argmax(wealth >= 2) if wealth.max() >= 2 else np.inf)
    assert np.median(delays) < most


def test_jumps_find_a_change_that_comes_late():
    rng = np.random.RandomState(0)
    calibration, scores = rng.randn(300), np.concatenate([rng.randn(3000), rng.randn(100) - 3])
    late = {
        jump: ExchangeabilityMartingale(calibration, jump=jump).update(scores).max()
        for jump in (0.0, 0.001)
    }
    assert late[0.001] > late[0.0] + 1


@pytest.fixture(scope="module")
def detector(clinc150):
    detector = WeiPerDetector(clinc150.weight, clinc150.bias, n_repeats=5, random_state=0)
    return detector.fit(clinc150.train[::5]).calibrate_p_values(clinc150.validation)


def test_rows_get_the_detectors_decisions(detector, clinc150):
    rows = pd.DataFrame(clinc150.test[:60], index=np.arange(60) + 5)
    table = StreamMonitor(detector).update(rows.to_numpy())
    np.testing.assert_array_equal(table.score, detector.score_samples(clinc150.test[:60]))
    np.testing.assert_array_equal(table.p_value, detector.p_value(clinc150.test[:60]))
    np.testing.assert_array_equal(table.is_ood, detector.predict(clinc150.test[:60]) == -1)


def test_parts_give_what_the_whole_gives(detector, clinc150):
    shuffled = np.random.RandomState(0).permutation(clinc150.test)
    stream = np.concatenate([shuffled[:80], clinc150.test_oos[:40]])
    whole, parts = StreamMonitor(detector, window=50), StreamMonitor(detector, window=50)
    expected = whole.update(stream)
    found = pd.concat([parts.update(part) for part in np.split(stream, [1, 30, 100])])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    assert parts.alarm_row == whole.alarm_row and 80 <= parts.alarm_row < 120
    pd.testing.assert_frame_equal(
        parts.history.tail(1).reset_index(drop=True), whole.history.tail(1)
    )
    assert whole.history.ood_rate[0] == pytest.approx(expected.is_ood[-50:].mean())


def test_a_saved_state_goes_on_where_it_was(detector, clinc150):
    stream = np.split(np.concatenate([clinc150.test[:50], clinc150.test_oos[:30]]), [20, 40, 65])
    whole, monitor = StreamMonitor(detector), StreamMonitor(detector)
    for part in stream:
        expected = whole.update(part)
        found = monitor.update(part)
        pd.testing.assert_frame_equal(found, expected)
        file = io.BytesIO()
        np.savez(file, **monitor.get_state())
        file.seek(0)
        with np.load(file, allow_pickle=False) as state:
            monitor = StreamMonitor.from_state(detector, dict(state))
    assert monitor.alarm_row == whole.alarm_row
    pd.testing.assert_frame_equal(monitor.history, whole.history)


def test_a_state_of_another_detector_is_refused(detector, clinc150):
    state = StreamMonitor(detector).get_state()
    other = KNNDetector().fit(clinc150.train[:100]).calibrate_p_values(clinc150.validation)
    with pytest.raises(ValueError, match="calibrated on other rows"):
        StreamMonitor.from_state(other, state)
    with pytest.raises(ValueError, match="no state of a StreamMonitor"):
        StreamMonitor.from_state(detector, {})


def test_a_detector_that_is_calibrated_anew_is_refused(detector, clinc150):
    calibrated = copy.deepcopy(detector)
    monitor = StreamMonitor(calibrated)
    before = monitor.update(clinc150.test[:5])
    calibrated.calibrate_p_values(clinc150.validation[:60])
    with pytest.raises(ValueError, match="calibrated anew"):
        monitor.update(clinc150.test[5:9])
    assert monitor.martingale.n_seen == len(before) == monitor.history.n_seen.iloc[-1]
    calibrated.calibrate_p_values(clinc150.validation)
    monitor.update(clinc150.test[5:9])  # the same rows, the same scores
    calibrated.fit(clinc150.train)
    with pytest.raises(ValueError, match="calibrated anew"):
        monitor.update(clinc150.test[9:12])


def test_bad_input_is_refused(detector, clinc150):
    with pytest.raises(ValueError, match="no calibration scores"):
        StreamMonitor(KNNDetector().fit(clinc150.train[:100]))
    with pytest.raises(ValueError, match="alpha"):
        StreamMonitor(detector, alpha=0)
    with pytest.raises(ValueError, match="jump"):
        StreamMonitor(detector, jump=1)
    with pytest.raises(ValueError, match="scores"):
        ExchangeabilityMartingale([1.0, 2.0]).update([np.nan])
