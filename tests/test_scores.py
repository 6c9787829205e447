import numpy as np
import pytest

from skweiper import scores
from tests import reference

LOGITS = np.random.RandomState(0).normal(scale=4, size=(40, 7))


@pytest.mark.parametrize("name", sorted(scores.LOGIT_SCORES))
def test_agrees_with_the_reference(name):
    fast = scores.logit_score(name)(LOGITS)
    np.testing.assert_allclose(fast, [getattr(reference, name)(row) for row in LOGITS], rtol=1e-12)


@pytest.mark.parametrize("name", sorted(scores.LOGIT_SCORES))
def test_leaves_its_input_alone_and_takes_any_leading_shape(name):
    logits = LOGITS.reshape(5, 8, 7).copy()
    logits.setflags(write=False)
    stacked = scores.logit_score(name)(logits)
    np.testing.assert_allclose(stacked.ravel(), scores.logit_score(name)(LOGITS), rtol=1e-13)


@pytest.mark.parametrize("name", ["msp", "entropy", "gen"])
def test_softmax_scores_do_not_change_with_a_constant(name):
    score = scores.logit_score(name)
    np.testing.assert_allclose(score(LOGITS + 100), score(LOGITS), rtol=1e-9)


@pytest.mark.parametrize("name", ["max_logit", "energy"])
def test_logit_scales_move_with_a_constant(name):
    score = scores.logit_score(name)
    np.testing.assert_allclose(score(LOGITS + 100), score(LOGITS) + 100, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(scores.LOGIT_SCORES))
def test_extreme_logits_stay_finite(name):
    extreme = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    assert np.isfinite(scores.logit_score(name)(extreme)).all()


def test_limits_of_uniform_logits():
    uniform = np.zeros((1, 8))
    assert scores.msp(uniform) == pytest.approx(1 / 8)
    assert scores.entropy(uniform) == pytest.approx(-np.log(8))
    assert scores.energy(uniform) == pytest.approx(np.log(8))


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0, 10.0])
def test_energy_with_temperature(temperature):
    expected = [reference.energy(row, temperature) for row in LOGITS]
    np.testing.assert_allclose(scores.energy(LOGITS, temperature), expected, rtol=1e-12)


def test_cold_energy_is_the_largest_logit():
    np.testing.assert_allclose(scores.energy(LOGITS, 1e-3), scores.max_logit(LOGITS), atol=0.01)


@pytest.mark.parametrize("top_classes", [1, 3, 7, 100])
@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_gen_with_its_options(gamma, top_classes):
    expected = [reference.gen(row, gamma, top_classes) for row in LOGITS]
    np.testing.assert_allclose(scores.gen(LOGITS, gamma, top_classes), expected, rtol=1e-9)
