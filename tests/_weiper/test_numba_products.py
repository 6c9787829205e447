"""Products of a few rows: the bits of `row_products`, whatever order of sums the machine has."""

import numpy as np
import pytest

pytest.importorskip("numba")

from skweiper._support.row_products import row_products
from skweiper._weiper.engines import numba_products as module
from skweiper._weiper.engines.numba_products import (
    COLUMNS_TOGETHER,
    FEW,
    cut_sum,
    ends_of_sums,
    in_columns,
    multiplied,
    products_with,
)

SHAPES = [(1, 1), (7, 3), (12, 256), (100, 319), (100, 321), (37, 700), (2500, 33)]


def problem(shape, n_rows=FEW + 2):
    rng = np.random.RandomState(0)
    rows = rng.standard_normal((n_rows, shape[1])).astype(np.float32)
    return rows, rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_few_rows_have_the_bits_of_many(shape):
    rows, weight = problem(shape)
    columns = in_columns(weight)
    many = row_products(rows, columns)
    for n_rows in range(1, len(rows) + 1):
        np.testing.assert_array_equal(products_with(rows[:n_rows], columns), many[:n_rows])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_loop_multiplies(shape):
    rows, weight = problem(shape)
    exact = rows.astype(np.float64) @ weight.T.astype(np.float64)
    for ends in (np.array([shape[1]]), cut_sum(shape[1], 16, 8)):
        found = multiplied(rows, in_columns(weight), ends)[:, : len(weight)]
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 * np.abs(exact).max() + 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_weight_is_filled_up_with_zeros(shape):
    _, weight = problem(shape)
    columns = in_columns(weight)
    assert len(columns) % COLUMNS_TOGETHER == 0 and columns.flags.f_contiguous
    np.testing.assert_array_equal(columns[: len(weight)], weight)
    assert not columns[len(weight) :].any() and len(columns) - len(weight) < COLUMNS_TOGETHER


def test_sums_are_cut_as_openblas_cuts_them():
    assert cut_sum(320, 320, 8).tolist() == [320]
    assert cut_sum(330, 320, 8).tolist() == [168, 330]
    assert cut_sum(640, 320, 8).tolist() == [320, 640]
    assert cut_sum(1000, 320, 8).tolist() == [320, 640, 1000 - 176, 1000]
    for n_features in range(1, 1500, 37):
        parts = np.diff(cut_sum(n_features, 320, 8), prepend=0)
        assert parts.sum() == n_features and parts.min() > 0 and parts.max() <= 320


def test_an_unknown_order_leaves_the_work_to_blas(monkeypatch):
    rows, weight = problem((24, 50))
    monkeypatch.setattr(module, "ORDERS", ())
    module._probed_ends.cache_clear()
    assert ends_of_sums(24, 50) is None
    columns = in_columns(weight)
    np.testing.assert_array_equal(products_with(rows[:1], columns), row_products(rows[:1], columns))
    module._probed_ends.cache_clear()
