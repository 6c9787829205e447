"""The fast CPU engine: each perturbed logit is made, binned and scored while it is in cache.

The loops are in `skweiper.engines.numba_kernels`; the rows are spread over threads by
`skweiper.chunks.map_in_order`. numba's own threads are not used: its default layer must not be
entered from two threads at once.
"""

import numpy as np

from skweiper.chunks import row_slices
from skweiper.density import with_floor
from skweiper.engines.numba_divergence import divergences
from skweiper.engines.numba_kernels import (
    count_rows,
    measure_over_classes,
    measure_over_repeats,
    measure_over_samples,
)
from skweiper.engines.numpy import Measurement, NumpyEngine, sum_over_repeats
from skweiper.perturbation import ImplicitBlock

FEW_CLASSES = 128
"""Up to here implicit loops run over the repeats of a class, above over the classes of a repeat."""
SMALLEST_EPSILON = 1e-300


class NumbaEngine(NumpyEngine):
    """`NumpyEngine` with compiled loops; the maximum softmax probability is computed in them."""

    name = "numba"
    product_bytes = 2**22

    def histogram(self, values, bins):
        limits, sizes = _bins_table([bins])
        counts = np.zeros((values.shape[0], bins.n_bins), np.int32)
        count_rows(counts, values, limits, sizes)
        return counts

    def divergence(self, counts, n_values, window, training_density, epsilon):
        if epsilon < SMALLEST_EPSILON:  # the compiled logarithm takes normal numbers only
            return super().divergence(counts, n_values, window, training_density, epsilon)
        result, training = np.empty(len(counts)), with_floor(training_density, epsilon)
        divergences(result, counts, n_values, window, training, float(epsilon))
        return result

    def measure(self, features, block, logit_bins=(), scores=(), unperturbed=None):
        n_samples, fuses_msp = features.shape[0], "msp" in scores
        limits, sizes = _bins_table(logit_bins)
        counts = np.zeros((n_samples, sizes.sum()), np.int32)
        msp_sums = np.zeros(n_samples if fuses_msp else 0)
        targets = counts, msp_sums, limits, sizes
        others = [score for score in scores if score != "msp"]
        measure = self._measure_sums if isinstance(block, ImplicitBlock) else self._measure_products
        other_sums = iter(measure(features, block, targets, others, unperturbed))
        sums = [msp_sums if score == "msp" else next(other_sums) for score in scores]
        score_sums = np.array(sums).reshape(len(scores), n_samples)
        return Measurement(_split(counts, sizes), score_sums)

    def _measure_sums(self, features, block, targets, scores, unperturbed):
        """Fill the targets from an implicit block; return the sums of the further scores."""
        counts, msp_sums, limits, sizes = targets
        unperturbed = unperturbed or self.unperturbed(features, block)
        if len(sizes) or len(msp_sums):
            _measure_implicit(counts, msp_sums, *unperturbed, block.offsets, limits, sizes)
        if not scores:
            return np.zeros((0, len(features)))
        return super().measure(features, block, (), scores, unperturbed).score_sums

    def _measure_products(self, features, block, targets, scores, _):
        """The same from an explicit block, in one pass over the tiles of the product."""
        counts, msp_sums, limits, sizes = targets
        score_sums = np.zeros((len(scores), len(features)))
        for rows, products, workspace in self._product_tiles(features, block):
            if len(sizes) or len(msp_sums):
                parts = counts[rows], msp_sums[rows]
                measure_over_samples(*parts, block.bias, products, limits, sizes)
            if scores:
                products += block.bias[:, None]
            for total, score in zip(score_sums, scores, strict=True):
                total[rows] += sum_over_repeats(score, products.transpose(2, 0, 1), workspace)
        return score_sums

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
                    out = products.reshape(-1, shape[2])
                    np.matmul(weight.reshape(len(out), -1), features[part].T, out=out)
                    yield part, products, workspace


def _measure_implicit(counts, msp_sums, logits, norms, offsets, limits, sizes):
    """Choose the loop order by the number of classes."""
    if offsets.shape[1] > FEW_CLASSES:
        measure_over_classes(counts, msp_sums, logits, norms, offsets, limits, sizes)
        return
    by_class = np.ascontiguousarray(offsets.T)
    measure_over_repeats(counts, msp_sums, logits, norms, by_class, limits, sizes)


def _bins_table(logit_bins):
    """Limits in single precision and numbers of bins, as the kernels take them."""
    limits = np.array([(bins.low, bins.high, bins.scale) for bins in logit_bins], np.float32)
    sizes = np.array([bins.n_bins for bins in logit_bins], np.int64)
    return limits.reshape(-1, 3), sizes


def _split(counts, sizes):
    """One array of counts for each of the requested histograms."""
    return np.split(counts, np.cumsum(sizes)[:-1], axis=1) if len(sizes) else []
