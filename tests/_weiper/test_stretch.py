"""What counts as stretched bins: few rows beyond a tenth of them, and no layer that is sparse."""

import pickle

import numpy as np
import pytest

from skweiper._weiper.density import bins_over
from skweiper._weiper.statistics import Extremes
from skweiper._weiper.stretch import (
    Histogram,
    bin_of_zero,
    narrow_window,
    stretch_of,
    trim_for,
)

RNG = np.random.RandomState(0)
RELU = np.maximum(RNG.standard_normal((2000, 50)), 0)


def histogram_of(X, n_bins=100, ends=None):
    """The histogram of a matrix's values, as a fit makes it."""
    X = np.asarray(X, np.float64)
    bins = bins_over(ends or (X.min(), X.max()), n_bins)
    counts, _ = np.histogram(X, bins.edges)
    extremes = Extremes.of(X.min(axis=1), X.max(axis=1), range(len(X)))
    n_zeros = np.count_nonzero(X == 0)
    return Histogram("values", extremes, len(X), X.size, n_zeros, bins, counts / X.size)


def with_values(X, **values):
    """A copy with values at (row, column 3), the names "row_17"."""
    X = X.copy()
    for name, value in values.items():
        X[int(name.removeprefix("row_")), 3] = value
    return X


def is_narrow(X, n_bins):
    """By every window of bins, value by value."""
    X = np.ravel(X)
    edges = np.linspace(X.min(), X.max(), n_bins + 1)
    others = X[X != 0]
    for first in range(n_bins):
        for last in range(first + 1, n_bins + 1):
            if last - first >= n_bins / 10:
                break
            low, high = edges[first], edges[last]
            shares = [np.mean((low <= v) & (v < high)) for v in (X, others)]
            if shares[0] >= 0.999 and shares[1] >= 0.99:
                return True
    return False


HEAVY = {
    "normal": RNG.standard_normal((1500, 20)),
    "relu": RELU[:1500, :20],
    "lognormal": RNG.lognormal(sigma=1.5, size=(1500, 20)),
    "wider lognormal": RNG.lognormal(sigma=2.5, size=(1500, 20)),
    "cauchy": RNG.standard_cauchy((1500, 20)),
    "sparse": RELU[:1500, :20] * (RNG.random_sample((1500, 20)) < 2e-3),
    "rare": with_values(RELU[:1500, :20], row_17=100, row_18=-90, row_19=80),
}


@pytest.mark.parametrize("n_bins", [11, 40, 100])
@pytest.mark.parametrize("name", HEAVY)
def test_it_is_what_counting_in_every_window_finds(name, n_bins):
    reference = is_narrow(HEAVY[name], n_bins)
    assert (narrow_window(histogram_of(HEAVY[name], n_bins)) is not None) == reference
    assert reference == (name == "rare") or name == "cauchy"


@pytest.mark.parametrize("value", [50.0, 1e4, 1e30, -50.0, -1e30])
def test_one_value_in_a_hundred_thousand_is_found(value):
    found = stretch_of(histogram_of(with_values(RELU, row_1234=value)))
    assert found.far == ((value, 1234),)
    assert found.n_outside == 1
    assert (found.window.low, found.window.high) == (0, RELU.max())
    assert f"but 1 of 100000 lie from 0 to {RELU.max():.4g}" in str(found)
    assert f"while row 1234 reaches {value:g}" in str(found)


def test_what_a_process_found_comes_back():
    found = stretch_of(histogram_of(with_values(RELU, row_8=-70, row_5=90)))
    assert str(pickle.loads(pickle.dumps(found))) == str(found)


def test_both_ends_are_named():
    found = stretch_of(histogram_of(with_values(RELU, row_8=-70, row_5=90)))
    assert found.far == ((-70.0, 8), (90.0, 5))
    assert "row 8 reaches -70 and row 5 reaches 90" in str(found)
    X = with_values(RELU, row_8=-70)
    X[8, 4] = 90
    assert "row 8 reaches -70 and 90" in str(stretch_of(histogram_of(X)))


def test_a_few_rows_are_found_and_counted():
    X = RELU.copy()
    X[::100, 7] = RNG.uniform(500, 600, 20)
    found = stretch_of(histogram_of(X))
    assert found.n_outside == 20
    assert RELU.max() < found.window.high < 6
    assert found.far[0].row == 100 * X[::100, 7].argmax()


def test_a_row_too_many_is_no_outlier():
    """More than 0.1 % of the values beyond a tenth of the bins are what the layer does."""
    X = RELU.copy()
    X[:101, 7] = 600
    assert stretch_of(histogram_of(X)) is None
    X[:1, 7] = 0
    assert stretch_of(histogram_of(X)).n_outside == 100


@pytest.mark.parametrize("share", [1e-4, 4e-4, 5e-3])
def test_a_sparse_layer_is_no_outlier(share):
    """99.95 % of the values in the bin of zero, and no row unlike the others."""
    X = RELU * (RNG.random_sample(RELU.shape) < share)
    assert stretch_of(histogram_of(X)) is None
    assert np.mean(X == 0) > 0.99
    found = stretch_of(histogram_of(with_values(X, row_3=100.0)))
    assert found.far == ((100.0, 3),)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((50, 20)),
        np.full((50, 20), 7.5),
        (RNG.random_sample((2000, 50)) < 3e-4).astype(float),
        np.where(RNG.random_sample((2000, 50)) < 5e-4, 6.0, 0.0),
        RNG.randint(2, size=(50, 20)),
        np.sign(RNG.standard_normal((50, 20))),
        RNG.standard_normal((1, 20)),
        RNG.standard_normal((3, 2)),
        RNG.standard_normal((20, 1)),
    ],
    ids=["zeros", "constant", "rare ones", "rare sixes", "bits", "signs", "one row", "3", "column"],
)
def test_odd_layers_are_no_outliers(X):
    for n_bins in (2, 10, 17, 100):
        assert stretch_of(histogram_of(X, n_bins)) is None


@pytest.mark.parametrize("n_rows", [3, 10, 60, 500])
@pytest.mark.parametrize("n_bins", [2, 10, 100])
def test_one_row_of_few_is_found_although_it_has_more_than_a_thousandth(n_rows, n_bins):
    X = RNG.standard_normal((n_rows, 30))
    assert stretch_of(histogram_of(X, n_bins)) is None
    X[1] *= 100
    found = stretch_of(histogram_of(X, n_bins))
    assert {row for _, row in found.far} == {1}
    others = np.delete(X, 1, axis=0)
    assert (found.window.low, found.window.high) == (others.min(), others.max())


def test_two_rows_far_off_in_few_are_not_told_from_the_others():
    X = RNG.standard_normal((60, 30))
    X[1], X[2] = 100, 90
    assert stretch_of(histogram_of(X)) is None


def test_bins_between_quantiles_are_not_stretched_by_what_lies_beyond():
    X = with_values(RELU, row_5=1e10)
    ends = tuple(np.quantile(X, [0, 0.9995]))
    assert stretch_of(histogram_of(X, ends=ends)) is None
    X[::500, 7] = 500  # four more, and a quantile that leaves only one out
    found = stretch_of(histogram_of(X, ends=(0.0, 500.0)))
    assert found.n_outside == 5
    assert found.far == ((1e10, 5),)


def test_the_remedy_leaves_out_all_rare_values():
    for n_rare, trim in ((1, 0.0005), (50, 0.0005), (51, 0.001), (100, 0.001)):
        X = RELU.copy()
        X[:n_rare, 0] = 900 + np.arange(n_rare)
        stretch = stretch_of(histogram_of(X))
        assert trim_for([stretch]) == trim
        assert np.quantile(X, 1 - trim, method="lower") < 5
    X = RNG.standard_normal((20, 30))
    X[4] *= 50
    stretch = stretch_of(histogram_of(X))
    assert 0.02 <= trim_for([stretch]) <= 0.05
    high = np.quantile(X, 1 - trim_for([stretch]), method="lower")
    assert high <= np.delete(X, 4, axis=0).max()


@pytest.mark.parametrize("ends", [(0.0, 2.84765625), (-3.7, 8.1), (-5.0, 0.0), (0.0, 1e-30)])
def test_the_bin_of_zero_is_where_engines_count_it(ends):
    from skweiper._weiper.engines.numpy import NumpyEngine

    for n_bins in (2, 17, 100):
        bins = bins_over(ends, n_bins)
        counts = NumpyEngine().histogram(np.zeros((1, 1), np.float32), bins)
        assert counts[0, bin_of_zero(bins)] == 1
