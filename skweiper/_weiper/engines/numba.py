"""The fast CPU engine: each perturbed logit is made, binned and scored while it is in cache.

The loops are in `numba_kernels`; the rows are spread over threads by `map_in_order`. numba's own
threads are not used: its default layer must not be entered from two threads at once.
"""

from functools import lru_cache
from itertools import accumulate

import numpy as np

from skweiper._support.row_products import write_products
from skweiper._support.rows import row_slices
from skweiper._weiper.density import with_floor
from skweiper._weiper.engines.contract import Measured
from skweiper._weiper.engines.numba_digits import count_digits, count_next_digits
from skweiper._weiper.engines.numba_divergence import divergences
from skweiper._weiper.engines.numba_flips import flip_rows
from skweiper._weiper.engines.numba_kernels import (
    count_rows,
    measure_over_classes,
    measure_over_repeats,
    measure_over_samples,
)
from skweiper._weiper.engines.numba_products import in_columns, products_with
from skweiper._weiper.engines.numpy import NumpyEngine, add_over_repeats
from skweiper._weiper.perturbation import ImplicitBlock

MOST_CLASSES_BY_REPEAT = 128
"""Up to here implicit loops run over the repeats of a class, above over the classes of a repeat."""
SMALLEST_EPSILON = 1e-300
TREATED_ALIKE = 16
"""Samples side by side, of any multiple of which the compiled loops treat each alike."""


class NumbaEngine(NumpyEngine):
    """`NumpyEngine` with compiled loops; the maximum softmax probability is computed in them."""

    name = "numba"
    product_bytes = 2**22

    def prepare(self, block):
        """A drawn block, its arrays in the order in which the loops read them."""
        if not isinstance(block, ImplicitBlock):
            return block
        weight = None if block.weight is None else in_columns(block.weight)
        by_class = block.n_classes <= MOST_CLASSES_BY_REPEAT
        offsets = np.asfortranarray(block.offsets) if by_class else block.offsets
        return ImplicitBlock(weight, block.bias, offsets)

    def _unperturbed_logits(self, features, block):
        if block.weight is None:
            return features
        logits = products_with(features, block.weight)
        logits = np.ascontiguousarray(logits[:, : block.n_classes])
        logits += block.bias
        return logits

    def histogram(self, values, bins):
        limits, sizes = _bins_table((bins,))
        counts = np.zeros((values.shape[0], bins.n_bins), np.int32)
        count_rows(counts, values, limits, sizes)
        return counts

    def digit_counts(self, values, search):
        counts = np.zeros((len(search.distinct), 2**search.digit_bits), np.int64)
        bits, shift = values.reshape(-1).view(np.uint32), np.uint32(search.n_bits_behind)
        if search.n_bits == 0:
            count_digits(counts[0], bits, shift)
            return counts
        for table, prefix in zip(counts, search.distinct, strict=True):
            count_next_digits(table, bits, np.uint32(prefix), shift, np.uint32(search.digit_bits))
        return counts

    def divergence(self, counts, n_values, window, training_density, epsilon):
        if epsilon < SMALLEST_EPSILON:  # the compiled logarithm takes normal numbers only
            return super().divergence(counts, n_values, window, training_density, epsilon)
        result, epsilon = np.empty(len(counts)), float(epsilon)
        training = _raised(training_density.tobytes(), epsilon)
        divergences(result, counts, n_values, window, *training, epsilon)
        return result

    def flips(self, features, block, gains, predicted, lengths):
        if not isinstance(block, ImplicitBlock):
            return super().flips(features, block, gains, predicted, lengths)
        found = np.zeros((len(gains), block.n_repeats), np.float32)
        flip_rows(found, gains, predicted, np.ascontiguousarray(block.offsets.T))
        return found

    def measure(self, features, block, logit_bins=(), scores=(), unperturbed=None, so_far=None):
        n_samples = features.shape[0]
        score_sums = np.zeros((len(scores), n_samples)) if so_far is None else so_far.copy()
        if not isinstance(block, ImplicitBlock) and n_samples % TREATED_ALIKE:
            return self._measure_padded(features, block, logit_bins, scores, score_sums)
        limits, sizes = _bins_table(tuple(logit_bins))
        counts = np.zeros((n_samples, sizes.sum()), np.int32)
        fused = [i for i, score in enumerate(scores) if isinstance(score, str) and score == "msp"]
        msp_sums = score_sums[fused[0]] if fused else np.empty(0)
        others = [i for i in range(len(scores)) if i not in fused]
        rest, rest_sums = [scores[i] for i in others], score_sums[others]
        if not isinstance(block, ImplicitBlock):
            targets = counts, msp_sums, limits, sizes
            self._measure_products(features, block, targets, rest, rest_sums)
        else:
            unperturbed = unperturbed or self.unperturbed(features, block)
            measure_implicit, offsets = implicit_kernel(block.offsets)
            measure_implicit(counts, msp_sums, *unperturbed, offsets, limits, sizes)
            if rest:
                measured = super().measure(features, block, (), rest, unperturbed, rest_sums)
                rest_sums = measured.score_sums
        score_sums[others], score_sums[fused] = rest_sums, msp_sums if fused else 0.0
        return Measured([], _split(counts, sizes), score_sums)

    def _measure_padded(self, features, block, logit_bins, scores, score_sums):
        """`measure` with rows of zeros behind: vectors and what is left of them round otherwise."""
        n_samples, missing = len(features), -len(features) % TREATED_ALIKE
        padded = np.pad(features, ((0, missing), (0, 0)))
        so_far = np.pad(score_sums, ((0, 0), (0, missing)))
        measured = self.measure(padded, block, logit_bins, scores, None, so_far)
        counts = [each[:n_samples] for each in measured.logit_counts]
        return Measured([], counts, measured.score_sums[:, :n_samples])

    def _measure_products(self, features, block, targets, scores, score_sums):
        """Add an explicit block's to the targets, in one pass over the tiles of the product."""
        counts, msp_sums, limits, sizes = targets
        for rows, products, workspace in self._product_tiles(features, block):
            if len(sizes) or len(msp_sums):
                parts = counts[rows], msp_sums[rows]
                measure_over_samples(*parts, block.bias, products, limits, sizes)
            if scores:
                products += block.bias[:, None]
            for total, score in zip(score_sums, scores, strict=True):
                add_over_repeats(total[rows], score, products.transpose(2, 0, 1), workspace)

    def _product_tiles(self, features, block):
        """Yield (row slice, products, workspace), products (n_repeats, n_classes, n_samples)."""
        n_samples = features.shape[0]
        rows, repeats = self._tile_shape(n_samples, block)
        with self.workspace(rows * repeats * block.n_classes) as workspace:
            for part in row_slices(n_samples, rows):
                for span in row_slices(block.n_repeats, repeats):
                    weight = block.weight[span]
                    shape = *weight.shape[:2], part.stop - part.start
                    products = workspace.values[: np.prod(shape)].reshape(shape)
                    write_products(features[part], weight, products.transpose(0, 2, 1))
                    yield part, products, workspace


def implicit_kernel(offsets):
    """The loop order for so many classes, and the offsets as it reads them."""
    if offsets.shape[1] > MOST_CLASSES_BY_REPEAT:
        return measure_over_classes, offsets
    return measure_over_repeats, np.ascontiguousarray(offsets.T)


@lru_cache(maxsize=64)
def _bins_table(logit_bins):
    """Limits in single precision and numbers of bins, as the kernels take them."""
    limits = np.array([(bins.low, bins.high, bins.scale) for bins in logit_bins], np.float32)
    sizes = np.array([bins.n_bins for bins in logit_bins], np.int64)
    return limits.reshape(-1, 3), sizes


@lru_cache(maxsize=64)
def _raised(density, epsilon):
    """A training density, as bytes, raised by epsilon and normalised; and its logarithm."""
    raised = with_floor(np.frombuffer(density), epsilon)
    return raised, np.log(raised)


def _split(counts, sizes):
    """One array of counts for each of the requested histograms."""
    ends = accumulate(sizes.tolist())
    return [counts[:, end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]
