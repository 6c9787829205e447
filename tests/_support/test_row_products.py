"""Products of rows: right, the same bits at every place, whatever this machine's kernels do."""

import numpy as np
import pytest

from skweiper._support import row_products as module
from skweiper._support.blas_limit import one_blas_thread
from skweiper._support.row_products import (
    SCHEMES,
    Tile,
    row_products,
    tiles_for,
    tiles_over,
    treat_rows_alike,
    weights_together,
    write_products,
)

SHAPES = [(1, 1), (7, 3), (32, 1), (37, 256), (100, 300), (150, 64), (2500, 33)]


def problem(shape, dtype, n_rows=300):
    rng = np.random.RandomState(0)
    weight = rng.standard_normal(shape).astype(dtype)
    return rng.standard_normal((n_rows, shape[1])).astype(dtype), weight


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_right_and_rows_do_not_meet(shape, order, dtype):
    rows, weight = problem(shape, dtype)
    weight = np.asarray(weight, order=order)
    whole = row_products(rows, weight)
    exact = rows.astype(np.longdouble) @ weight.T.astype(np.longdouble)
    scale = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    assert np.all(np.abs(whole - exact) <= 4 * np.finfo(dtype).eps * np.sqrt(shape[1]) * scale)
    for first, last in ((0, 1), (299, 300), (3, 11), (10, 77), (7, 263), (0, 256), (5, 300)):
        np.testing.assert_array_equal(row_products(rows[first:last], weight), whole[first:last])
    copies = row_products(np.repeat(rows[:1], 300, axis=0), weight)
    assert (copies == whole[0]).all()


@pytest.mark.parametrize("order", ["weights", "rows", "columns"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_with_several_weights_are_right_and_rows_do_not_meet(shape, order):
    rows, _ = problem(shape, np.float32)
    together = weights_together(len(problem(shape, np.float32)[1]))
    weights = np.random.RandomState(1).standard_normal((together + 1, *shape)).astype(np.float32)
    sizes = {"weights": len(weights), "rows": len(rows), "columns": shape[0]}
    axes = {"weights": (0, 1, 2), "rows": (1, 0, 2), "columns": (1, 2, 0)}[order]
    products = np.empty([list(sizes.values())[i] for i in np.argsort(axes)], np.float32)
    products = products.transpose(axes)
    write_products(rows, weights, products)
    np.testing.assert_allclose(products, rows @ weights.transpose(0, 2, 1), rtol=1e-4, atol=1e-4)
    for first, last in ((0, 1), (3, 11), (10, 77), (5, 300)):
        part = np.empty((len(weights), last - first, shape[0]), np.float32)
        write_products(rows[first:last], weights, part)
        np.testing.assert_array_equal(part, products[:, first:last])
    part = np.empty((1, len(rows), shape[0]), np.float32)
    write_products(rows, weights[together:], part)
    np.testing.assert_array_equal(part, products[together:])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n_rows", [1, 3, 16, 17, 191, 192, 193, 600])
def test_tiles_cover_all_rows_in_order(scheme, n_rows):
    covered = [
        row for part, _ in tiles_over(n_rows, scheme) for row in range(part.start, part.stop)
    ]
    assert covered == list(range(n_rows))
    assert all(part.stop - part.start <= tile.n_rows for part, tile in tiles_over(n_rows, scheme))


class Uneven(Tile):
    """A tile whose last place rounds otherwise."""

    def multiply(self, rows, weight):
        products = super().multiply(rows, weight).copy()
        if len(rows) == self.n_rows:
            products[-1] = np.nextafter(products[-1], np.inf, dtype=products.dtype)
        return products


def test_a_kernel_that_treats_a_place_otherwise_is_found_out():
    rows, weight = problem((40, 64), np.float32, 3)
    even, uneven = Tile(4, 0, False), Uneven(16, 0, False)
    alike = one_blas_thread(treat_rows_alike)
    assert alike((even,), rows, weight)
    assert not alike((even, uneven), rows, weight)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_a_kernel_that_serves_rows_still_do_not_meet(dtype, monkeypatch):
    monkeypatch.setattr(module, "tiles_for", lambda dtype, *shape: ())
    rows, weight = problem((37, 50), dtype, 40)
    whole = row_products(rows, weight)
    np.testing.assert_allclose(whole, rows @ weight.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(row_products(rows[9:10], weight), whole[9:10])
    products = np.empty((1, *whole.shape), dtype)
    write_products(rows, weight[None], products)
    np.testing.assert_array_equal(products[0], whole)


def test_the_probe_chooses_tiles_on_this_machine():
    for dtype in (np.float32, np.float64):
        assert tiles_for(np.dtype(dtype), 150, 256)
