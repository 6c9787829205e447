"""Compiled products of a few rows with the bits that BLAS gives the same rows among many.

BLAS copies the whole weight into the order of its kernel before it multiplies, which for a single
row takes several times as long as to multiply. A loop that adds up in the kernel's order needs no
copy. Which order that is, is not documented: a probe of the machine's own kernel finds out whether
one of the known ones gives the same bits.
"""

from functools import cache

import numpy as np

from skweiper._support.row_products import LARGEST_PROBE, PANEL, probed_operands, row_products
from skweiper._weiper.engines.numba_compilers import compiled_exact

FEW = 4
"""Rows up to which the loop is faster than BLAS."""
COLUMNS_TOGETHER = 12
"""Columns that OpenBLAS's kernels work on at once; those left over, they may sum otherwise."""
ORDERS = ((320, 8), (448, 16), (384, 16), (320, 16))
"""Depth at which OpenBLAS cuts a sum, and what the halves of a longer one are rounded up to: of its
kernels for AVX2, and of several versions' for AVX-512."""
EIGHT = 8


@compiled_exact
def _add_eight(sums, row, columns, k):
    x0, x1, x2, x3 = row[k], row[k + 1], row[k + 2], row[k + 3]
    x4, x5, x6, x7 = row[k + 4], row[k + 5], row[k + 6], row[k + 7]
    for j in range(sums.shape[0]):
        total = sums[j]
        total += x0 * columns[k, j]
        total += x1 * columns[k + 1, j]
        total += x2 * columns[k + 2, j]
        total += x3 * columns[k + 3, j]
        total += x4 * columns[k + 4, j]
        total += x5 * columns[k + 5, j]
        total += x6 * columns[k + 6, j]
        total += x7 * columns[k + 7, j]
        sums[j] = total


@compiled_exact
def _add_one(sums, row, columns, k):
    for j in range(sums.shape[0]):
        sums[j] += row[k] * columns[k, j]


@compiled_exact
def _multiply(products, rows, columns, ends, sums):
    for n in range(rows.shape[0]):
        k, row = 0, rows[n]
        for end in ends:
            sums[:] = 0
            while k + EIGHT <= end:
                _add_eight(sums, row, columns, k)
                k += EIGHT
            while k < end:
                _add_one(sums, row, columns, k)
                k += 1
            for j in range(sums.shape[0]):
                products[n, j] += sums[j]


def in_columns(weight):
    """A weight for `products_with`: its columns lie together, and zeros fill up the last panel.

    Parameters
    ----------
    weight : ndarray of shape (n_classes, n_features), float32

    Returns
    -------
    ndarray of shape (n_columns, n_features), Fortran-contiguous
        n_columns is the next multiple of `COLUMNS_TOGETHER`.
    """
    missing = -len(weight) % COLUMNS_TOGETHER
    return np.asfortranarray(np.pad(weight, ((0, missing), (0, 0))))


def products_with(rows, weight):
    """`row_products(rows, weight)`, faster where there are few rows.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32, C-contiguous
    weight : ndarray of shape (n_columns, n_features)
        As `in_columns` gives it.

    Returns
    -------
    ndarray of shape (n_rows, n_columns), float32
    """
    ends = ends_of_sums(*weight.shape) if len(rows) <= FEW else None
    return row_products(rows, weight) if ends is None else multiplied(rows, weight, ends)


def multiplied(rows, weight, ends):
    """`rows @ weight.T`, summed in order between these features, and then over the parts."""
    products = np.zeros((len(rows), len(weight)), np.float32)
    _multiply(products, rows, weight.T, ends, np.empty(len(weight), np.float32))
    return products


def ends_of_sums(n_columns, n_features):
    """Where this machine's BLAS cuts the sums of a product, or None where that is not known.

    Parameters
    ----------
    n_columns, n_features : int
        Shape of the weight, in Fortran order.

    Returns
    -------
    ndarray of int or None
    """
    if n_columns > LARGEST_PROBE:
        n_columns = LARGEST_PROBE - PANEL + n_columns % PANEL
    return _probed_ends(n_columns, n_features)


@cache
def _probed_ends(n_columns, n_features):
    rows, weight = probed_operands(np.float32, n_columns, n_features, c_contiguous=False)
    expected = row_products(rows, weight)
    for order in ORDERS:
        ends = cut_sum(n_features, *order)
        if (multiplied(rows, weight, ends) == expected).all():
            return ends
    return None


def cut_sum(n_features, depth, multiple):
    """Ends of the parts into which OpenBLAS cuts a sum over features.

    Of `depth` features each; of fewer than twice as many, two halves, the first rounded up.
    """
    ends, first = [], 0
    while first < n_features:
        left = n_features - first
        if left >= 2 * depth:
            left = depth
        elif left > depth:
            left = -(-(left // 2) // multiple) * multiple
        first += left
        ends.append(first)
    return np.array(ends)
