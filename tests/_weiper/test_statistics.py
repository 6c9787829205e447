"""Extremes of training values merge in any order, and name the rows."""

from functools import reduce
from itertools import permutations

import numpy as np
import pytest

from skweiper._weiper.statistics import Extremes, Largest, RowValue, TrainingExtremes

RNG = np.random.RandomState(0)


def extremes_by_sorting(lows, highs, rows):
    """(lowest, highest, runner-up low, runner-up high), each by sorting rows."""
    by_low = sorted(zip(lows, rows, strict=True), key=lambda pair: (pair[0], pair[1]))
    by_high = sorted(zip(highs, rows, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return by_low[0], by_high[0], by_low[1][0], by_high[1][0]


@pytest.mark.parametrize("n_distinct", [3, 1000])
def test_extremes_of_parts_in_any_order_are_those_of_the_whole(n_distinct):
    values = RNG.randint(n_distinct, size=(40, 6)) / 7.0
    lows, highs, rows = values.min(axis=1), values.max(axis=1), RNG.permutation(100)[:40]
    low, high, next_low, next_high = extremes_by_sorting(lows, highs, rows)
    parts = np.array_split(np.arange(40), 4)
    for order in permutations(parts):
        found = reduce(
            Extremes.merge, (Extremes.of(lows[part], highs[part], rows[part]) for part in order)
        )
        assert (found.lowest, found.highest) == (RowValue(*low), RowValue(*high))
        assert found.range_beside(high[1]).high == next_high
        assert found.range_beside(low[1]).low == next_low
        assert found.range_beside(-5) == found.range
        assert found.merge(found) == found


def test_a_row_that_comes_twice_is_one_row():
    """As the repeats of a perturbation that come block by block do, or rows drawn with repeats."""
    found = Largest.of(np.array([3.0, 9.0, 9.0, 5.0]), np.array([0, 7, 7, 2]))
    assert found.merge(Largest.of(np.array([8.0]), np.array([7]))) == found
    assert found.found == ((9.0, 7), (5.0, 2))
    assert found.beside(7) == 5.0
    assert Largest.of(np.array([1.0, 2.0]), np.array([4, 4])).beside(4) == -np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_overflows_is_an_infinite_extreme(value):
    lows, highs = np.array([0.0, value, 1.0]), np.array([1.0, value, 2.0])
    ends = Extremes.of(lows, highs, range(3)).range.as_array()
    assert not np.isfinite(ends).all() and not np.isnan(ends).any()


def test_zeros_add_up():
    one, other = TrainingExtremes(n_zeros=3), TrainingExtremes(n_zeros=4)
    assert one.merge(other, other).n_zeros == 11
