import numpy as np
import pytest

from skweiper._weiper.density import Bins, bins_over, smooth, symmetric_kl
from skweiper._weiper.engines.numpy import NumpyEngine
from tests import reference

RNG = np.random.RandomState(0)
DENSITIES = RNG.dirichlet(np.full(30, 0.3), size=6)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 12, 15, 29, 30, 31, 40])
def test_smoothing_agrees_with_the_reference(window):
    expected = [reference.smooth(q, window) for q in DENSITIES]
    np.testing.assert_allclose(smooth(DENSITIES, window), expected, atol=1e-14)


def test_smoothing_by_one_bin_changes_nothing():
    np.testing.assert_allclose(smooth(DENSITIES, 1), DENSITIES, atol=1e-15)


def test_an_even_window_reaches_farther_to_the_right():
    spike = np.array([0, 0, 0, 1.0, 0, 0, 0])
    np.testing.assert_allclose(smooth(spike, 4), [0, 0.25, 0.25, 0.25, 0.25, 0, 0], atol=1e-15)


def test_divergence_agrees_with_the_reference():
    p, q = DENSITIES[:3], DENSITIES[3:]
    expected = [reference.divergence(a, b, 0.01) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(symmetric_kl(p, q, 0.01), expected, rtol=1e-12)


def test_divergence_is_symmetric_nonnegative_and_zero_on_itself():
    p, q = DENSITIES[:3], DENSITIES[3:]
    np.testing.assert_allclose(symmetric_kl(p, q, 0.01), symmetric_kl(q, p, 0.01), rtol=1e-13)
    assert (symmetric_kl(p, q, 0.01) > 0).all()
    np.testing.assert_array_equal(symmetric_kl(p, p, 0.01), 0)


@pytest.mark.parametrize("width", [1e-45, 1e-40, 3e-37, 1e-36])
def test_the_scale_of_a_narrow_range_is_finite_and_keeps_its_values_inside(width):
    bins = bins_over((0.0, float(np.float32(width))), 100)
    assert np.isfinite(bins.scale)
    ends = np.array([[0.0, width]], np.float32)
    assert NumpyEngine().histogram(ends, bins).sum() == 2
    assert bins.high - bins.low == (1.0 if width < 5e-37 else np.float32(width))


@pytest.mark.parametrize("value", [0.0, 1.0, -3e-30, 1e9, -1e30])
def test_a_range_of_width_zero_still_holds_its_value(value):
    bins = bins_over((value, value), 10)
    assert np.float32(bins.low) < np.float32(value) < np.float32(bins.high)
    assert np.isfinite(np.float32(bins.scale)) and bins.scale > 0


def test_an_ordinary_range_is_kept_as_it_is():
    assert bins_over((-1.0, 3.0), 8) == Bins(-1.0, 3.0, 8)
    np.testing.assert_allclose(bins_over((-1.0, 3.0), 8).edges, np.linspace(-1, 3, 9))


def test_the_bin_scale_is_a_float32_never_below_the_exact_one():
    for high in np.random.RandomState(1).uniform(0.1, 100, 200):
        scale = Bins(0.0, high, 100).scale
        assert scale == np.float32(scale)
        assert 100 / high <= scale <= 100 / high * (1 + 1.2e-7)
