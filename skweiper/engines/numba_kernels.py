"""Compiled loops that bin and score perturbed logits, of the engine in `skweiper.engines.numba`.

They run on one core and without the interpreter's lock.

What makes the loops fast is that each is short, on contiguous data and free of calls, so that the
compiler turns it into vector instructions. Flags that would let the compiler assume that there is
no NaN or infinity are not set.
"""

import numpy as np

from skweiper.engines.numba_compilers import compiled, compiled_exact, compiled_sum

SIDE_BY_SIDE = 64
"""Samples whose histograms, and logits of a repeat, stay in cache together."""
SEGMENT = 4096
"""Perturbed logits that are worked on at a time; they stay in the first-level cache."""
LARGE_SEGMENT = 4 * SEGMENT
"""As many classes' repeats: longer loops make up for the second-level cache."""
LANES = 128
LAST_LANES = 16
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


@compiled_exact
def _exp2(x):
    """2**x for x <= 0, to 2e-7; zero (2**-126) below the normal range."""
    x = SMALLEST_EXPONENT if x < SMALLEST_EXPONENT else x
    # Rounded to an integer by adding a number so large that no place behind the point is left.
    shifted = np.float32(x + ROUNDING)
    f = x - (shifted - ROUNDING)
    power = np.float32(E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * E5)))))
    exponent = np.int32(shifted.view(np.int32) << np.int32(23))
    return np.int32(power.view(np.int32) + exponent).view(np.float32)


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


@compiled
def _raise_to(largest, values):
    """Entry by entry, the larger of both."""
    for j in range(largest.shape[0]):
        value, known = values[j], largest[j]
        largest[j] = value if value > known else known


@compiled
def _largest(values, lanes):
    """Largest value, kept in independent lanes since a single maximum would be a chain."""
    lanes[:] = -np.inf
    for first in range(0, values.shape[0], LANES):
        part = values[first : first + LANES]
        _raise_to(lanes[: part.shape[0]], part)
    width = LANES
    while width > LAST_LANES:
        width //= 2
        _raise_to(lanes[:width], lanes[width : 2 * width])
    largest = lanes[0]
    for j in range(1, LAST_LANES):
        largest = lanes[j] if lanes[j] > largest else largest
    return largest


@compiled
def _scale_and_shift(out, values, scale, shift):
    for j in range(out.shape[0]):
        out[j] = values[j] * scale + shift


@compiled
def _scale_and_add(out, values, scale, shifts):
    for j in range(out.shape[0]):
        out[j] = values[j] * scale + shifts[j]


@compiled
def _shift(out, values, shift):
    for j in range(out.shape[0]):
        out[j] = values[j] + shift


@compiled
def _sum_softmax(sums, largest, values):
    """Sum over the first axis of exp(value - largest), and the largest, entry by entry."""
    largest[:] = -np.inf
    sums[:] = 0.0
    for c in range(values.shape[0]):
        _raise_to(largest, values[c])
    for c in range(values.shape[0]):
        _add_exp(sums, values[c], largest)


@compiled
def _add_inverse(totals, values):
    for j in range(totals.shape[0]):
        totals[j] += ONE / values[j]


@compiled
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


@compiled
def _count(histogram, cells):
    """Count into four histograms in turn, so that equal neighbours do not wait for each other."""
    full = cells.shape[0] // INTERLEAVED * INTERLEAVED
    for j in range(0, full, INTERLEAVED):
        histogram[np.uint64(0), np.uint64(cells[j])] += np.uint32(1)
        histogram[np.uint64(1), np.uint64(cells[j + 1])] += np.uint32(1)
        histogram[np.uint64(2), np.uint64(cells[j + 2])] += np.uint32(1)
        histogram[np.uint64(3), np.uint64(cells[j + 3])] += np.uint32(1)
    for j in range(full, cells.shape[0]):
        histogram[np.uint64(0), np.uint64(cells[j])] += np.uint32(1)


@compiled
def _count_all(histograms, cells, values, limits, sizes):
    """Count values into each of the requested histograms."""
    for k in range(sizes.shape[0]):
        low, high, scale = limits[k, 0], limits[k, 1], limits[k, 2]
        for first in range(0, values.shape[0], cells.shape[0]):
            part = values[first : first + cells.shape[0]]
            found = cells[: part.shape[0]]
            _find_bins(found, part, low, high, scale, sizes[k])
            _count(histograms[k], found)


@compiled
def _count_side_by_side(histogram, cells, width, stride):
    """Count the cells of `width` samples in turn, each into its own `stride` bins."""
    for first in range(0, cells.shape[0], width):
        part = cells[first : first + width]
        for j in range(width):
            histogram[np.uint64(j * stride) + np.uint64(part[j])] += np.uint32(1)


@compiled
def _collect_side_by_side(counts, histograms, stride, sizes):
    """Add each sample's histograms to its row of counts, leave out the overflow, and clear."""
    start = 0
    for k in range(sizes.shape[0]):
        for j in range(counts.shape[0]):
            part = histograms[k, j * stride : j * stride + sizes[k]]
            for b in range(part.shape[0]):
                counts[j, start + b] += np.int32(part[b])
        start += sizes[k]
    histograms[:] = 0


@compiled
def _collect(counts, histograms, sizes):
    """Add the interleaved histograms to one row of counts, leave out the overflow, and clear."""
    start = 0
    for k in range(sizes.shape[0]):
        total = counts[start : start + sizes[k]]
        for i in range(INTERLEAVED):
            part = histograms[k, i]
            for b in range(total.shape[0]):
                total[b] += np.int32(part[b])
        start += sizes[k]
    histograms[:] = 0


@compiled
def _largest_size(sizes):
    largest_size = 0
    for size in sizes:
        largest_size = max(largest_size, size)
    return largest_size


@compiled
def _workspace(limits, sizes):
    histograms = np.zeros((sizes.shape[0], INTERLEAVED, _largest_size(sizes) + 1), np.uint32)
    return histograms, np.empty(SEGMENT, np.uint32)


@compiled
def count_rows(counts, values, limits, sizes):
    """Add histograms of the rows of `values` to the rows of `counts`."""
    histograms, cells = _workspace(limits, sizes)
    for n in range(values.shape[0]):
        _count_all(histograms, cells, values[n], limits, sizes)
        _collect(counts[n], histograms, sizes)


@compiled
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
    histograms, cells = _workspace(limits, sizes)
    values, lanes = np.empty(offsets.shape[1], np.float32), np.empty(LANES, np.float32)
    for n in range(norms.shape[0]):
        for i in range(offsets.shape[0]):
            _scale_and_add(values, offsets[i], norms[n], logits[n])
            _count_all(histograms, cells, values, limits, sizes)
            if msp_sums.shape[0] > 0:
                msp_sums[n] += ONE / _sum_exp(values, _largest(values, lanes))
        _collect(counts[n], histograms, sizes)


@compiled
def measure_over_repeats(counts, msp_sums, logits, norms, offsets, limits, sizes):
    """As `measure_over_classes`, with offsets of shape (n_classes, n_repeats)."""
    n_classes, n_repeats = offsets.shape
    at_once = min(n_repeats, max(16, LARGE_SEGMENT // n_classes))
    histograms, cells = _workspace(limits, sizes)
    buffer = np.empty(n_classes * at_once, np.float32)
    largest, sums = np.empty(at_once, np.float32), np.empty(at_once, np.float32)
    for n in range(norms.shape[0]):
        for first in range(0, n_repeats, at_once):
            width = min(at_once, n_repeats - first)
            values = buffer[: n_classes * width].reshape((n_classes, width))
            for c in range(n_classes):
                part = offsets[c, first : first + width]
                _scale_and_shift(values[c], part, norms[n], logits[n, c])
            _count_all(histograms, cells, buffer[: n_classes * width], limits, sizes)
            if msp_sums.shape[0] > 0:
                _sum_softmax(sums[:width], largest[:width], values)
                msp_sums[n] += _sum_inverse(sums[:width])
        _collect(counts[n], histograms, sizes)


@compiled
def measure_over_samples(counts, msp_sums, bias, products, limits, sizes):
    """Bin and score products + bias, some samples side by side.

    Parameters as in `measure_over_classes`, and

    bias : ndarray of shape (n_classes,), float32
    products : ndarray of shape (n_repeats, n_classes, n_samples), float32
    """
    n_repeats, n_classes, n_samples = products.shape
    stride = _largest_size(sizes) + 1
    histograms = np.zeros((sizes.shape[0], SIDE_BY_SIDE * stride), np.uint32)
    buffer = np.empty(n_classes * SIDE_BY_SIDE, np.float32)
    cells = np.empty(n_classes * SIDE_BY_SIDE, np.uint32)
    all_largest, all_sums = np.empty(SIDE_BY_SIDE, np.float32), np.empty(SIDE_BY_SIDE, np.float32)
    for first in range(0, n_samples, SIDE_BY_SIDE):
        width = min(SIDE_BY_SIDE, n_samples - first)
        flat, found = buffer[: n_classes * width], cells[: n_classes * width]
        values, largest, sums = (
            flat.reshape((n_classes, width)),
            all_largest[:width],
            all_sums[:width],
        )
        for i in range(n_repeats):
            for c in range(n_classes):
                _shift(values[c], products[i, c, first : first + width], bias[c])
            for k in range(sizes.shape[0]):
                _find_bins(found, flat, limits[k, 0], limits[k, 1], limits[k, 2], sizes[k])
                _count_side_by_side(histograms[k], found, width, stride)
            if msp_sums.shape[0] > 0:
                _sum_softmax(sums, largest, values)
                _add_inverse(msp_sums[first : first + width], sums)
        _collect_side_by_side(counts[first : first + width], histograms, stride, sizes)
