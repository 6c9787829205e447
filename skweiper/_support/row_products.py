"""Matrix products in which the same row gives the same bits, whatever rows stand beside it.

BLAS sums in another order at the edges of a matrix than within it, and where it shares the work
among threads. So rows are multiplied in tiles of a few fixed sizes by one thread, and a probe of
the machine's own kernel finds out which tiles treat all their places alike. On a GPU the order is
that of cuBLAS, whatever it is.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from skweiper._support.blas_limit import one_blas_thread
from skweiper._support.containers import beside, is_device_array

LARGEST_PROBE = 2048
"""Columns of a probe at most: of more, as many as leave the same remainder by `PANEL`."""
PANEL = 96
"""A multiple of the columns that any kernel works on together."""
PATTERN = 4099
"""Random numbers of a probe, repeated: a prime, so that no column repeats another."""
PROBED_VALUES = 256
"""Results to compare in a probe at least: two orders of summation often round alike."""


class Tile(NamedTuple):
    """Rows that are multiplied at once.

    Attributes
    ----------
    n_rows : int
        Rows that are used.
    margin : int
        Rows of zeros before and behind them, which take the places that are summed otherwise.
    in_lanes : bool
        Whether rows lie in the kernel's vectors, `weight @ rows.T`, or columns, `rows @ weight.T`.
    """

    n_rows: int
    margin: int
    in_lanes: bool

    def multiply(self, rows, weight):
        """`rows @ weight.T` of at most `n_rows` rows, in the places of this tile."""
        return self.multiply_each(rows, weight[None])[0]

    def multiply_each(self, rows, weights):
        """`multiply` with each of several weights: (n_weights, n_rows, n_columns)."""
        padded = self._padded(rows)
        if self.in_lanes:
            products = np.matmul(weights, padded.T).transpose(0, 2, 1)
        else:
            products = np.matmul(padded, weights.transpose(0, 2, 1))
        return products[:, self.margin : self.margin + len(rows)]

    def _padded(self, rows):
        if self.margin == 0 and len(rows) == self.n_rows:
            return rows
        padded = np.empty((self.n_rows + 2 * self.margin, rows.shape[1]), rows.dtype)
        last = self.margin + len(rows)
        padded[: self.margin], padded[self.margin : last], padded[last:] = 0, rows, 0
        return padded


class Unprobed(Tile):
    """All rows, where no tiles treat them alike."""

    def multiply_each(self, rows, weights):
        return np.stack([row_products(rows, weight) for weight in weights])


SCHEMES = (
    (Tile(4, 0, False), Tile(16, 0, False), Tile(64, 0, False), Tile(256, 0, False)),
    (Tile(16, 0, False), Tile(64, 0, False), Tile(256, 0, False)),
    # OpenBLAS's single precision for AVX2 sums the first and the last eight rows otherwise.
    (Tile(8, 0, True), Tile(48, 8, True), Tile(256, 8, True)),
    (Tile(16, 0, True),),
)
"""Sets of tiles that may be mixed, from the fastest on; whether one serves is probed."""
TEMPORARY = 2**16
"""Products of a tile with several weights that are in memory twice."""
COLUMNS_TOGETHER = 128
"""Columns, at least, of several weights that are multiplied at once: with fewer, BLAS would copy
the rows into its own order for too little work."""
WORTH_FILLING = 0.75
"""Share of a tile's rows from which on a smaller tile, several times, would cost more."""


def tiles_over(n_rows, tiles):
    """Yield (slice of rows, tile) that cover `n_rows` rows, the largest tiles first."""
    first = 0
    while first < n_rows:
        left = n_rows - first
        tile = next((t for t in reversed(tiles) if left >= WORTH_FILLING * t.n_rows), tiles[0])
        last = min(first + tile.n_rows, n_rows)
        yield slice(first, last), tile
        first = last


@one_blas_thread
def row_products(rows, weight):
    """`rows @ weight.T`, the bits of each row independent of the other rows and their number.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32 or float64, C-contiguous
        On a GPU the product is made there, and a row's bits may depend on the number of rows.
    weight : ndarray of shape (n_columns, n_features), of the same dtype

    Returns
    -------
    ndarray of shape (n_rows, n_columns), of the same dtype
    """
    if is_device_array(rows):
        return rows @ beside(rows, weight).T
    products = np.empty((len(rows), len(weight)), rows.dtype)
    tiles = tiles_for(rows.dtype, *weight.shape, bool(weight.flags.c_contiguous))
    if tiles:
        for part, tile in tiles_over(len(rows), tiles):
            products[part] = tile.multiply(rows[part], weight)
    elif rows.dtype == np.float32:
        products[:] = row_products(rows.astype(np.float64), weight.astype(np.float64))
    else:
        np.einsum("ik,jk->ij", rows, weight, out=products)
    return products


def row_dots(rows, others):
    """Inner product of each row and the other of the same number, ndarray of shape (n_rows,).

    Parameters
    ----------
    rows, others : ndarray of shape (n_rows, n_features)
    """
    if is_device_array(rows):  # CuPy's einsum would make one matrix product per row
        return np.sum(rows * others, axis=1)
    return np.einsum("ij,ij->i", rows, others)


def weights_together(n_columns):
    """How many weights of so many columns are multiplied at once.

    Always the same ones from the first on, since a column's sum may depend on the columns beside
    it; whoever cuts a row of weights into parts must cut at multiples of this number.
    """
    return -(-COLUMNS_TOGETHER // n_columns)


def write_products(rows, weights, out):
    """Write `rows @ weight.T` of each of several weights, rows treated alike as in `row_products`.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_weights, n_columns, n_features), C-contiguous
    out : ndarray of shape (n_weights, n_rows, n_columns)
        In any order in memory.
    """
    n_columns, n_features = weights.shape[1:]
    together = weights_together(n_columns)
    n_whole = len(weights) // together * together
    n_left = len(weights) - n_whole
    for first, last, n_each in ((0, n_whole, together), (n_whole, len(weights), n_left)):
        if first < last:
            grouped = weights[first:last].reshape(-1, n_each * n_columns, n_features)
            _write_groups(rows, grouped, out[first:last].reshape(-1, n_each, *out.shape[1:]))


@one_blas_thread
def _write_groups(rows, weights, out):
    """`write_products` of groups, each as one weight; `out` by group and by weight of a group."""
    n_groups, n_each, n_rows, n_columns = out.shape
    tiles = tiles_for(rows.dtype, *weights.shape[1:])
    for part, tile in tiles_over(n_rows, tiles or (Unprobed(n_rows, 0, False),)):
        together = max(1, TEMPORARY // (tile.n_rows * weights.shape[1]))
        for first in range(0, n_groups, together):
            groups = slice(first, first + together)
            products = tile.multiply_each(rows[part], weights[groups])
            by_weight = products.reshape(len(products), -1, n_each, n_columns)
            out[groups, :, part] = by_weight.transpose(0, 2, 1, 3)


def tiles_for(dtype, n_columns, n_features, c_contiguous=True):
    """The fastest tiles in which this machine's BLAS treats all rows alike; () where none does.

    Parameters
    ----------
    dtype : numpy.dtype
    n_columns, n_features : int
        Shape of the weight.
    c_contiguous : bool
        Order of the weight in memory.

    Returns
    -------
    tuple of Tile
        From the smallest on.
    """
    if n_columns > LARGEST_PROBE:
        n_columns = LARGEST_PROBE - PANEL + n_columns % PANEL
    return _probed_tiles(dtype.char, n_columns, n_features, c_contiguous)


@cache
@one_blas_thread
def _probed_tiles(dtype, n_columns, n_features, c_contiguous):
    rows, weight = probed_operands(dtype, n_columns, n_features, c_contiguous)
    return next((t for t in SCHEMES if treat_rows_alike(t, rows, weight)), ())


def probed_operands(dtype, n_columns, n_features, c_contiguous):
    """Rows and a weight to compare orders of summation on: random, the same in every process.

    Parameters
    ----------
    dtype : numpy.dtype or str
    n_columns, n_features : int
        Shape of the weight.
    c_contiguous : bool
        Order of the weight in memory.

    Returns
    -------
    rows : ndarray of shape (n_rows, n_features)
        As many as give `PROBED_VALUES` products.
    weight : ndarray of shape (n_columns, n_features)
    """
    pattern = np.random.default_rng(0).standard_normal(PATTERN).astype(dtype)
    rows = np.resize(pattern[::-1], (-(-PROBED_VALUES // n_columns), n_features))
    if c_contiguous:
        return rows, np.resize(pattern, (n_columns, n_features))
    return rows, np.resize(pattern, (n_features, n_columns)).T


def treat_rows_alike(tiles, rows, weight):
    """Whether each of the rows has the same product at every place of every tile.

    Parameters
    ----------
    tiles : sequence of Tile
    rows : ndarray of shape (n_rows, n_features)
    weight : ndarray of shape (n_columns, n_features)
    """
    for row in rows:
        expected = tiles[0].multiply(row[None], weight)
        for tile in tiles:
            filled = np.tile(row, (tile.n_rows, 1))
            if not (tile.multiply(filled, weight) == expected).all():
                return False
    return True
