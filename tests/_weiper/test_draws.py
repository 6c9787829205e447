"""Random numbers of a perturbation: their distribution, and that only the seed decides them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import betaincinv
from scipy.stats import kstest
from sklearn import config_context

from skweiper._weiper.draws import (
    UNIT,
    draw_directions,
    draw_normal,
    draw_stratified_uniform,
    normal_cells,
    numbered_stream,
    sphere_marginal_quantile,
)
from skweiper._weiper.perturbation import Perturbation
from skweiper.head import check_head

FIRST_DRAWS = [89781, 26813, 4567]
"""Of the first stream of seed 0."""


@pytest.mark.parametrize("n_features", [2, 3, 4, 5, 10, 64, 512, 4_096, 100_000])
def test_the_table_is_exact_to_1e_7_of_the_scale(n_features):
    random_state = np.random.RandomState(0)
    tails = 10.0 ** random_state.uniform(-18, 0, 500)
    probability = np.concatenate(
        [random_state.random_sample(1_000), tails, 1 - tails[tails > 1e-15]]
    )
    shape = (n_features - 1) / 2
    exact = 2 * betaincinv(shape, shape, probability) - 1
    error = sphere_marginal_quantile(n_features)(probability) - exact
    assert np.abs(error).max() * np.sqrt(n_features) < 1e-7


@pytest.mark.parametrize("n_features", [1, 2, 3, 50])
def test_the_quantile_is_odd_ascending_and_on_the_sphere(n_features):
    probability = np.linspace(0, 1, 2_049)  # its steps are exact, and so is 1 - probability
    coordinates = sphere_marginal_quantile(n_features)(probability)
    assert (np.diff(coordinates) >= 0).all()
    assert np.abs(coordinates).max() <= 1 + 1e-15
    apart = probability != 0.5
    np.testing.assert_allclose(coordinates[apart], -coordinates[::-1][apart], atol=1e-14)


def test_a_coordinate_of_drawn_directions_has_that_quantile_function():
    directions = draw_directions(4_000, 6, np.random.RandomState(0))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    grid = sphere_marginal_quantile(6)(np.linspace(0, 1, 10_001))

    def probability(coordinate):
        return np.interp(coordinate, grid, np.linspace(0, 1, 10_001))

    assert kstest(directions[:, 2], probability).pvalue > 0.01


def test_a_latin_hypercube_has_one_draw_per_stratum():
    uniform = draw_stratified_uniform(20, 5, np.random.RandomState(0))
    strata = np.sort((uniform * 20).astype(int), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(20)[:, None], 5, axis=1))


def test_streams_are_their_own():
    """The streams of a seed are frozen: a model must score alike in later versions."""
    first, again, second, other = (
        draw_normal(3, numbered_stream(seed, number))
        for seed, number in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.isin(second, first).any()
    assert not np.isin(other, first).any()
    np.testing.assert_array_equal(first, FIRST_DRAWS)


def test_normal_draws_have_the_moments_of_the_normal_distribution():
    """Exactly, over all words: each half of a word is one of the table's cells."""
    cells = normal_cells() / UNIT
    np.testing.assert_array_equal(cells, -cells[::-1])
    second, fourth, sixth = ((cells**power).mean() for power in (2, 4, 6))
    assert second == pytest.approx(1, abs=2e-6)
    assert (2 * fourth + 6 * second**2) / 4 == pytest.approx(3, abs=2e-4)
    assert (2 * sixth + 30 * fourth * second) / 8 == pytest.approx(15, abs=6e-3)


def test_normal_draws_are_normal_and_independent():
    values = draw_normal(400_000, np.random.RandomState(0)) / (np.sqrt(2) * UNIT)
    assert kstest(values, "norm").pvalue > 0.01
    for lag in (1, 2, 3, 624):
        assert abs(np.corrcoef(values[lag:], values[:-lag])[0, 1]) < 4 / np.sqrt(len(values))


def test_normal_draws_do_not_depend_on_their_parts():
    whole = draw_normal(1_000, np.random.RandomState(0))
    stream = np.random.RandomState(0)
    parts = [draw_normal(n_values, stream) for n_values in (7, 1, 992)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("shape", [(4, 3), (300, 400)])
def test_a_block_of_repeats_is_drawn_like_the_whole(shape):
    """Wherever it begins, in a stream or where one ends."""
    head = check_head(np.random.RandomState(0).randn(*shape), None, shape[1])
    n_repeats = 5_600 if shape[0] == 4 else 5
    perturbation = Perturbation(head, "explicit", 1.5, n_repeats, 3)
    (whole,) = perturbation.blocks(np.inf)
    with config_context(working_memory=0.1):  # few directions at a time
        parts = [block.weight for block in perturbation.blocks(perturbation.nbytes // 3)]
    assert len(parts) > 2
    np.testing.assert_array_equal(np.concatenate(parts), whole.weight)
    fewer = next(replace(perturbation, n_repeats=n_repeats // 2).blocks(np.inf))
    np.testing.assert_array_equal(fewer.weight, whole.weight[: n_repeats // 2])
    directions = (whole.weight - head.matrix) / (1.5 * head.norms[:, None])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=2), 1, rtol=1e-5)
    apart = np.unique(np.round(directions.reshape(-1, shape[1])[:, 0], 6))
    assert len(apart) > 0.9 * min(n_repeats * shape[0], 1e5)
