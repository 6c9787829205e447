"""Compiled loops that bin and score perturbed logits, for the engine in `numba`.

They run on one core and without the interpreter's lock. A row's result does not depend on the rows
beside it.

What makes the loops fast is that each is short, on contiguous data and free of calls, so that the
compiler turns it into vector instructions. Flags that would let the compiler assume that there is
no NaN or infinity are not set. What makes them quick to compile is that the arrays that they work
in are made, and cut to size, by NumPy.
"""

import numpy as np

from skweiper._support.rows import row_slices
from skweiper._weiper.engines.numba_compilers import (
    compiled,
    compiled_exact,
    compiled_sum,
    inlined,
    reinterpreted,
)

SIDE_BY_SIDE = 64
"""Samples whose histograms, and logits of a repeat, stay in cache together."""
AT_ONCE = 16384
"""Perturbed logits of all classes' repeats that are worked on at a time."""
FEWEST_REPEATS = 32
INTERLEAVED = 4

LOG2_E = np.float32(1.4426950408889634)
SMALLEST_EXPONENT = np.float32(-126.0)
ROUNDING = np.float32(1.5 * 2**23)
ONE = np.float32(1.0)
# Minimax polynomial of 2**x in relative error on [-1/2, 1/2].
E0 = np.float32(1.0000000716546726)
E1 = np.float32(0.6931469670643604)
E2 = np.float32(0.24022119723882715)
E3 = np.float32(0.05550713274152735)
E4 = np.float32(0.009675541332728865)
E5 = np.float32(0.001327647178060507)
MANTISSA_BITS = np.int32(23)
SIGN_BIT = np.int32(31)
MAGNITUDE = np.int32(2**31 - 1)
LOWEST_KEY = np.int32(-(2**31))
ONCE, NEVER = np.uint32(1), np.uint32(0)


@compiled_exact
def _exp2(x):
    """2**x for x <= 0, to 2e-7; zero (2**-126) below the normal range."""
    x = SMALLEST_EXPONENT if x < SMALLEST_EXPONENT else x
    # Rounded to an integer by adding a number so large that no place behind the point is left.
    shifted = np.float32(x + ROUNDING)
    f = x - (shifted - ROUNDING)
    power = np.float32(E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * E5)))))
    exponent = reinterpreted(shifted, np.int32) << MANTISSA_BITS
    return reinterpreted(np.int32(reinterpreted(power, np.int32) + exponent), np.float32)


@compiled_sum
def _sum_exp(values, largest):
    """Sum of exp(value - largest)."""
    total = np.float32(0.0)
    for j in range(values.shape[0]):
        total += _exp2((values[j] - largest) * LOG2_E)
    return total


@compiled_sum
def _add_exp(sums, values, largest):
    """Add exp(value - largest), entry by entry."""
    for j in range(sums.shape[0]):
        sums[j] += _exp2((values[j] - largest[j]) * LOG2_E)


@compiled_sum
def _sum_inverse(values):
    total = np.float32(0.0)
    for j in range(values.shape[0]):
        total += ONE / values[j]
    return total


@inlined
def _raise_to_both(largest, values, others):
    """Entry by entry, the largest of the three.

    Of two at a time, since a largest that may stay as it was would be written under a mask, which
    is slow without AVX-512.
    """
    for j in range(largest.shape[0]):
        value, other, known = values[j], others[j], largest[j]
        known = value if value > known else known
        largest[j] = other if other > known else known


@inlined
def _in_order(bits):
    """The bits of floats as integers in the order of the floats, and the other way round.

    A largest integer is found in vector registers. The bits are in order but for the negative
    floats, which are turned over.
    """
    return np.int32(bits ^ ((bits >> SIGN_BIT) & MAGNITUDE))


@inlined
def _scale_and_add(out, values, scale, shifts):
    """Write values * scale + shifts, and return the largest (any NaN may count as such)."""
    largest = LOWEST_KEY
    for j in range(out.shape[0]):
        value = np.float32(values[j] * scale + shifts[j])
        out[j] = value
        key = _in_order(reinterpreted(value, np.int32))
        largest = key if key > largest else largest
    return reinterpreted(_in_order(largest), np.float32)


@inlined
def _scale_and_shift(out, values, scale, shift):
    for j in range(out.shape[0]):
        out[j] = values[j] * scale + shift


@inlined
def _shift(out, values, shift):
    for j in range(out.shape[0]):
        out[j] = values[j] + shift


@inlined
def _sum_softmax(sums, largest, values):
    """Sum over the first axis of exp(value - largest), and the largest, entry by entry."""
    last = values.shape[0] - 1
    for j in range(sums.shape[0]):
        largest[j], sums[j] = values[0, j], 0.0
    for c in range(0, last + 1, 2):
        _raise_to_both(largest, values[c], values[min(c + 1, last)])
    for c in range(last + 1):
        _add_exp(sums, values[c], largest)


@inlined
def _add_inverse(totals, values):
    for j in range(totals.shape[0]):
        totals[j] += ONE / values[j]


@inlined
def _find_bins(cells, values, low, high, scale, n_bins):
    """Bin of each value; `n_bins`, the overflow bin, for what is outside of [low, high]."""
    last, outside = np.float32(n_bins - 1), np.float32(n_bins)
    for j in range(values.shape[0]):
        value = values[j]
        position = (value - low) * scale
        position = position if position < last else last
        # Written so that NaN is outside.
        position = position if value >= low else outside
        position = position if value <= high else outside
        cells[j] = np.int32(position)


@inlined
def _count(histogram, cells):
    """Count into four histograms in turn, so that equal neighbours do not wait for each other."""
    full = cells.shape[0] // INTERLEAVED * INTERLEAVED
    for j in range(0, full, INTERLEAVED):
        histogram[0, cells[j]] += ONCE
        histogram[1, cells[j + 1]] += ONCE
        histogram[2, cells[j + 2]] += ONCE
        histogram[3, cells[j + 3]] += ONCE
    for j in range(full, cells.shape[0]):
        histogram[0, cells[j]] += ONCE


@compiled
def _count_all(histograms, cells, values, limits, sizes):
    """Count values into each of the requested histograms."""
    for k in range(sizes.shape[0]):
        _find_bins(cells, values, limits[k, 0], limits[k, 1], limits[k, 2], sizes[k])
        _count(histograms[k], cells)


@inlined
def _count_side_by_side(histogram, cells):
    """Count the cells of as many samples in turn, each into its own row of bins."""
    width = np.uint64(histogram.shape[0])
    for first in range(0, cells.shape[0], histogram.shape[0]):
        part = cells[first : first + histogram.shape[0]]
        for j in range(width):
            histogram[j, part[j]] += ONCE


@inlined
def _collect_side_by_side(counts, histograms, sizes):
    """Add each sample's histograms to its row of counts, leave out the overflow, and clear."""
    start = 0
    for k in range(sizes.shape[0]):
        for j in range(counts.shape[0]):
            total, part = counts[j, start : start + sizes[k]], histograms[k, j]
            for b in range(total.shape[0]):
                total[b] += np.int32(part[b])
                part[b] = NEVER
        start += sizes[k]


@compiled
def _collect(counts, histograms, sizes):
    """Add the interleaved histograms to one row of counts, leave out the overflow, and clear."""
    start = 0
    for k in range(sizes.shape[0]):
        parts, total = histograms[k], counts[start : start + sizes[k]]
        for b in range(total.shape[0]):
            total[b] += np.int32(parts[0, b] + parts[1, b] + parts[2, b] + parts[3, b])
            parts[0, b] = parts[1, b] = parts[2, b] = parts[3, b] = NEVER
        start += sizes[k]


@compiled
def _count_rows(counts, values, limits, sizes, histograms, cells):
    for n in range(values.shape[0]):
        _count_all(histograms, cells, values[n], limits, sizes)
        _collect(counts[n], histograms, sizes)


@compiled
def _over_classes(
    counts, msp_sums, logits, norms, offsets, limits, sizes, histograms, cells, values
):
    for n in range(norms.shape[0]):
        for i in range(offsets.shape[0]):
            largest = _scale_and_add(values, offsets[i], norms[n], logits[n])
            _count_all(histograms, cells, values, limits, sizes)
            if msp_sums.shape[0] > 0:
                msp_sums[n] += ONE / _sum_exp(values, largest)
        _collect(counts[n], histograms, sizes)


@compiled
def _over_repeats(
    counts, msp_sums, logits, norms, offsets, limits, sizes, histograms, cells, flat, values, rows
):
    for n in range(norms.shape[0]):
        for c in range(offsets.shape[0]):
            _scale_and_shift(values[c], offsets[c], norms[n], logits[n, c])
        _count_all(histograms, cells, flat, limits, sizes)
        if msp_sums.shape[0] > 0:
            _sum_softmax(rows[0], rows[1], values)
            msp_sums[n] += _sum_inverse(rows[0])
        _collect(counts[n], histograms, sizes)


@compiled
def _over_samples(
    counts, msp_sums, bias, products, first, limits, sizes, histograms, cells, flat, values, rows
):
    for i in range(products.shape[0]):
        for c in range(products.shape[1]):
            _shift(values[c], products[i, c, first : first + values.shape[1]], bias[c])
        for k in range(sizes.shape[0]):
            _find_bins(cells, flat, limits[k, 0], limits[k, 1], limits[k, 2], sizes[k])
            _count_side_by_side(histograms[k], cells)
        if msp_sums.shape[0] > 0:
            _sum_softmax(rows[0], rows[1], values)
            _add_inverse(msp_sums, rows[0])
    _collect_side_by_side(counts, histograms, sizes)


def _empty_histograms(sizes, together):
    """For each of the requested, `together` histograms with an overflow bin at their end."""
    return np.zeros((len(sizes), together, sizes.max(initial=0) + 1), np.uint32)


def _buffers(shape):
    """Cells; values of this shape, flat and not; two rows of values."""
    flat = np.empty(shape[0] * shape[1], np.float32)
    cells = np.empty(len(flat), np.uint32)
    return cells, flat, flat.reshape(shape), np.empty((2, shape[-1]), np.float32)


def count_rows(counts, values, limits, sizes):
    """Add histograms of the rows of `values` to the rows of `counts`."""
    cells = np.empty(values.shape[1], np.uint32)
    histograms = _empty_histograms(sizes, INTERLEAVED)
    _count_rows(counts, values, limits, sizes, histograms, cells)


def measure_over_classes(counts, msp_sums, logits, norms, offsets, limits, sizes):
    """Bin and score `logits + norms * offsets`, repeat by repeat.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, sum of sizes), int32
        Added to.
    msp_sums : ndarray of shape (n_samples,) or (0,), float64
        Added to; empty where no maximum softmax probability is asked for.
    logits : ndarray of shape (n_samples, n_classes), float32
    norms : ndarray of shape (n_samples,), float32
    offsets : ndarray of shape (n_repeats, n_classes), float32
    limits : ndarray of shape (n_histograms, 3), float32
        Low, high, scale.
    sizes : ndarray of shape (n_histograms,), int64
    """
    histograms = _empty_histograms(sizes, INTERLEAVED)
    cells, values = np.empty(logits.shape[1], np.uint32), np.empty(logits.shape[1], np.float32)
    data = counts, msp_sums, logits, norms, offsets
    _over_classes(*data, limits, sizes, histograms, cells, values)


def measure_over_repeats(counts, msp_sums, logits, norms, offsets, limits, sizes):
    """As `measure_over_classes`, with offsets of shape (n_classes, n_repeats)."""
    n_classes, n_repeats = offsets.shape
    histograms = _empty_histograms(sizes, INTERLEAVED)
    for span in row_slices(n_repeats, max(FEWEST_REPEATS, AT_ONCE // n_classes)):
        part = np.ascontiguousarray(offsets[:, span])
        data = counts, msp_sums, logits, norms, part
        _over_repeats(*data, limits, sizes, histograms, *_buffers(part.shape))


def measure_over_samples(counts, msp_sums, bias, products, limits, sizes):
    """Bin and score products + bias, some samples side by side.

    Parameters as in `measure_over_classes`, and

    bias : ndarray of shape (n_classes,), float32
    products : ndarray of shape (n_repeats, n_classes, n_samples), float32
    """
    n_classes, n_samples = products.shape[1:]
    for rows in row_slices(n_samples, SIDE_BY_SIDE):
        width = rows.stop - rows.start
        histograms = _empty_histograms(sizes, width)
        data = counts[rows], msp_sums[rows], bias, products, rows.start
        _over_samples(*data, limits, sizes, histograms, *_buffers((n_classes, width)))
