"""Order statistics of values that come in parts are those of the sorted whole, exactly."""

import numpy as np
import pytest

from skweiper._support.quantile import RankSearch, pooled_quantile

RNG = np.random.RandomState(0)
VALUES = {
    "normal": RNG.standard_normal(5003),
    "positive": RNG.exponential(size=4001),
    "negative": -RNG.exponential(size=4001),
    "mostly zero": np.where(RNG.random_sample(6007) < 0.9, 0.0, RNG.standard_normal(6007)),
    "both zeros": RNG.choice([-0.0, 0.0, 1e-45, -1e-45], 501),
    "any scale": RNG.standard_normal(3001) * 10.0 ** RNG.randint(-44, 38, 3001),
    "one outlier": np.append(RNG.standard_normal(999), 1e30),
    "equal": np.full(100, 2.5),
    "infinite": np.array([np.inf, -np.inf, 0.0, 3.0]),
    "one": np.array([-7.0]),
}


def found(values, ranks, digit_bits, n_parts, count=RankSearch.counts):
    search = RankSearch.of(ranks, digit_bits)
    while not search.is_done:
        parts = np.array_split(values, n_parts)
        search = search.narrowed(sum(count(search, part) for part in parts))
    return search.values


@pytest.mark.parametrize("digit_bits", [8, 16])
@pytest.mark.parametrize("name", VALUES)
def test_the_values_found_are_those_of_the_sorted_whole(name, digit_bits):
    values = VALUES[name].astype(np.float32)
    last = len(values) - 1
    ranks = sorted({0, 1 % len(values), last // 3, last // 2, last})
    for n_parts in (1, 7):
        np.testing.assert_array_equal(
            found(values, ranks, digit_bits, n_parts), np.sort(values)[ranks]
        )


@pytest.mark.parametrize("digit_bits", [8, 16])
@pytest.mark.parametrize("name", VALUES)
def test_the_compiled_counts_are_the_same(name, digit_bits):
    pytest.importorskip("numba")
    from skweiper._weiper.engines.numba import NumbaEngine

    def compiled(search, values):
        return NumbaEngine().digit_counts(values, search)

    values = VALUES[name].astype(np.float32)
    search = RankSearch.of((0, len(values) // 2, len(values) - 1), digit_bits)
    while not search.is_done:
        counts = compiled(search, values)
        np.testing.assert_array_equal(counts, search.counts(values))
        search = search.narrowed(counts)


@pytest.mark.parametrize("digit_bits", [8, 16])
@pytest.mark.parametrize("name", [name for name in VALUES if name != "infinite"])
def test_the_pooled_quantile_is_that_of_numpy(name, digit_bits):
    values = VALUES[name].astype(np.float32).astype(np.float64)
    for share in (0, 0.0005, 0.1, 0.5, 0.9, 0.9995, 1):
        expected = np.quantile(values, share)
        quantile = pooled_quantile(lambda: iter(np.array_split(values, 3)), share, digit_bits)
        assert quantile == pytest.approx(expected, rel=1e-12)
