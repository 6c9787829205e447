"""The temperature is the one of largest likelihood."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning

from skweiper.baselines import LogitDetector, TemperatureScalingDetector


@pytest.fixture(scope="module")
def logits():
    return 3 * np.random.RandomState(0).randn(4000, 6)


def drawn(logits, temperature):
    """A class for each row, drawn from softmax(logits / temperature)."""
    noise = np.random.RandomState(1).gumbel(size=logits.shape)
    return (logits / temperature + noise).argmax(axis=1)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_temperature_that_made_the_classes_is_found(logits, true_temperature):
    scaling = TemperatureScalingDetector().fit(logits, drawn(logits, true_temperature))
    assert scaling.temperature_ == pytest.approx(true_temperature, rel=0.06)


def test_likelihood_is_largest_on_a_fine_grid(logits):
    y = drawn(logits, 1.7)
    scaling = TemperatureScalingDetector().fit(logits, y)
    grid = scaling.temperature_ * np.array([0.9, 0.999, 1, 1.001, 1.1])
    rows = np.arange(len(y))
    likelihood = [log_softmax(logits / t, axis=1)[rows, y].mean() for t in grid]
    assert np.argmax(likelihood) == 2


def test_known_outliers_do_not_move_the_temperature(logits):
    y = drawn(logits, 1.7)
    alone = TemperatureScalingDetector().fit(logits[:3000], y[:3000])
    y[3000:] = -1
    assert TemperatureScalingDetector().fit(logits, y).temperature_ == alone.temperature_


def test_score_is_the_msp_at_the_temperature(logits):
    scaling = TemperatureScalingDetector().fit(logits, drawn(logits, 2.0))
    msp = LogitDetector(method="msp", temperature=scaling.temperature_).fit(logits)
    np.testing.assert_array_equal(scaling.score_samples(logits), msp.score_samples(logits))


def test_classes_are_asked_for(logits):
    with pytest.raises(ValueError, match="pass y to fit, or set temperature"):
        TemperatureScalingDetector().fit(logits)
    with pytest.raises(ValueError, match="one class only"):
        TemperatureScalingDetector().fit(logits, np.ones(len(logits), dtype=int))
    with pytest.raises(ValueError, match="class numbers"):
        TemperatureScalingDetector().fit(logits, np.full(len(logits), 6))


def test_a_head_without_a_mistake_has_no_best_temperature(logits):
    with pytest.warns(ConvergenceWarning, match="classifies .* every row correctly") as caught:
        TemperatureScalingDetector().fit(logits, logits.argmax(axis=1))
    assert caught[0].filename == __file__
