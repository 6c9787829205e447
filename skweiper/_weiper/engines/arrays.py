"""The engine contract in plain array operations that NumPy and CuPy share.

On the GPU it is what the raw kernels are compared with, and what computes where they do not apply.
"""

import numpy as np

from skweiper._support.containers import as_host
from skweiper._support.memory import rows_within
from skweiper._support.rows import row_slices
from skweiper._weiper.density import smoothed_density, symmetric_kl
from skweiper._weiper.engines.contract import Engine, Measured, Unperturbed
from skweiper._weiper.engines.flips import flips_of
from skweiper._weiper.engines.numpy import implicit_logit_extremes
from skweiper._weiper.perturbation import FLOAT32_BYTES, ImplicitBlock
from skweiper.scores import logit_score

BYTES_PER_TILE_VALUE = 8 * FLOAT32_BYTES  # the value and the temporaries of binning and of scores


def for_each_tile(n_rows, tile_rows, work, out_of_memory):
    """Call `work` on consecutive slices of at most `tile_rows` rows, halved on `out_of_memory`.

    Parameters
    ----------
    n_rows, tile_rows : int
    work : callable
        From a slice of rows to nothing; called again on a part of the slice where it failed.
    out_of_memory : exception class or tuple of them
        Raised again where a single row does not fit.
    """
    first = 0
    while first < n_rows:
        part = slice(first, min(first + tile_rows, n_rows))
        try:
            work(part)
        except out_of_memory:
            if part.stop - part.start == 1:
                raise
            tile_rows = (part.stop - part.start) // 2
            continue
        first = part.stop


def bin_counts(values, bins, xp):
    """Histogram of each row of `values`, ndarray of shape (n_samples, bins.n_bins), int32."""
    n_samples, n_bins = values.shape[0], bins.n_bins
    values = values.reshape(n_samples, -1)
    position = xp.floor((values - np.float32(bins.low)) * np.float32(bins.scale))
    position = xp.clip(position, -1, n_bins)
    # One bin more on either side receives what lies outside; `high` itself is inside.
    inside_top = values <= np.float32(bins.high)
    position = xp.where(inside_top, xp.minimum(position, n_bins - 1), position)
    position = xp.where(xp.isnan(position), -1, position)
    first_cells = xp.arange(n_samples, dtype=np.int64)[:, None] * (n_bins + 2) + 1
    cells = position.astype(np.int64) + first_cells
    flat = xp.bincount(cells.ravel(), minlength=n_samples * (n_bins + 2))
    return flat.reshape(n_samples, n_bins + 2)[:, 1:-1].astype(np.int32)


def scaled_norms(features, xp):
    """Euclidean norm of each row; rows are scaled, by powers of two, before they are squared."""
    _, exponents = xp.frexp(xp.max(xp.abs(features), axis=1))
    scaled = xp.ldexp(features, -exponents[:, None])
    return xp.ldexp(xp.sqrt(xp.sum(scaled * scaled, axis=1)), exponents)


class ArrayEngine(Engine):
    """The methods of `NumpyEngine` for any array library like NumPy.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    tile_bytes : callable
        Without arguments: bytes that a tile of perturbed logits and its temporaries may take.
    out_of_memory : exception class or tuple of them
    """

    name = "arrays"

    def __init__(self, xp, tile_bytes, out_of_memory=MemoryError):
        self.xp = xp
        self.tile_bytes = tile_bytes
        self.out_of_memory = out_of_memory

    def prepare(self, block):
        """A drawn block, moved to where this engine computes."""
        if isinstance(block, ImplicitBlock):
            weight = None if block.weight is None else self.xp.asarray(block.weight)
            return ImplicitBlock(
                weight, self.xp.asarray(block.bias), self.xp.asarray(block.offsets)
            )
        return type(block)(self.xp.asarray(block.weight), self.xp.asarray(block.bias))

    def load(self, source, rows, feature_bins=()):
        """As the contract, on the host."""
        return self.counted(self.xp.asarray(source.load(rows)), None, feature_bins)

    def to_host(self, array):
        """An array of this engine as a NumPy array."""
        return as_host(array)

    def matmul(self, left, right):
        """The product of two matrices."""
        return self.xp.matmul(left, right)

    def histogram(self, values, bins):
        """Histogram of each row, ndarray of shape (n_samples, bins.n_bins), int32."""
        counts = self.xp.zeros((values.shape[0], bins.n_bins), np.int32)

        def work(part):
            counts[part] = bin_counts(values[part], bins, self.xp)

        self._for_each_tile(values.shape[0], values.shape[1], work)
        return counts

    def unperturbed(self, features, block, norms=None):
        """Unperturbed logits and norms of an implicit block, else None."""
        if not isinstance(block, ImplicitBlock):
            return None
        norms = scaled_norms(features, self.xp) if norms is None else norms
        return Unperturbed(self._unperturbed_logits(features, block), norms)

    def _unperturbed_logits(self, features, block):
        if block.weight is None:
            return features
        return self.matmul(features, block.weight.T) + block.bias

    def logit_extremes(self, features, block, unperturbed=None):
        """Smallest and largest perturbed logit of each sample: two arrays of shape (n_samples,)."""
        if isinstance(block, ImplicitBlock):
            return implicit_logit_extremes(unperturbed or self.unperturbed(features, block), block)
        lows, highs = (self.xp.empty(features.shape[0], np.float32) for _ in range(2))

        def work(part):
            tile = self._tile(features, block, None, part)
            lows[part], highs[part] = tile.min(axis=(1, 2)), tile.max(axis=(1, 2))

        self._for_each_tile(features.shape[0], block.n_repeats * block.n_classes, work)
        return lows, highs

    def logit_tiles(self, features, block, unperturbed=None):
        """As the contract; where a tile does not fit the memory, the caller's rows are too many."""
        unperturbed = unperturbed or self.unperturbed(features, block)
        n_samples, n_logits = features.shape[0], block.n_repeats * block.n_classes
        for part in row_slices(n_samples, self._tile_rows(n_samples, n_logits)):
            yield self._tile(features, block, unperturbed, part).reshape(-1)

    def measure(self, features, block, logit_bins=(), scores=(), unperturbed=None, so_far=None):
        """Histograms and summed logit scores of the perturbed logits of each sample.

        As `NumpyEngine.measure`; a callable score gets arrays of `xp`.
        """
        counts, score_sums = self._empty_results(features.shape[0], logit_bins, scores)
        unperturbed = unperturbed or self.unperturbed(features, block)

        def work(part):
            tile = self._tile(features, block, unperturbed, part)
            for total, bins in zip(counts, logit_bins, strict=True):
                total[part] = bin_counts(tile, bins, self.xp)
            self._sum_scores(score_sums[:, part], tile, scores)

        self._for_each_tile(features.shape[0], block.n_repeats * block.n_classes, work)
        return Measured([], counts, score_sums if so_far is None else score_sums + so_far)

    def flips(self, features, block, gains, predicted, lengths):
        """As the contract."""
        found = self.xp.empty((gains.shape[0], block.n_repeats), np.float32)

        def work(part):
            if isinstance(block, ImplicitBlock):
                slopes = block.offsets
            else:
                slopes = self._products(features[part], block) * lengths
            found[part] = flips_of(slopes, gains[part], predicted[part], self.xp)

        self._for_each_tile(gains.shape[0], block.n_repeats * block.n_classes, work)
        return found

    def divergence(self, counts, n_values, window, training_density, epsilon):
        """As `NumpyEngine.divergence`."""
        return symmetric_kl(training_density, smoothed_density(counts, n_values, window), epsilon)

    def perturbed_logits(self, features, block):
        """The perturbed logits, ndarray of shape (n_samples, n_repeats, n_classes), float32."""
        return self._tile(features, block, self.unperturbed(features, block), slice(None))

    def _empty_results(self, n_samples, logit_bins, scores):
        counts = [self.xp.zeros((n_samples, bins.n_bins), np.int32) for bins in logit_bins]
        return counts, self.xp.zeros((len(scores), n_samples), np.float64)

    def _sum_scores(self, score_sums, tile, scores):
        for total, score in zip(score_sums, scores, strict=True):
            total[:] = self.xp.sum(logit_score(score)(tile), axis=1, dtype=np.float64)

    def _for_each_tile(self, n_rows, values_per_row, work):
        for_each_tile(n_rows, self._tile_rows(n_rows, values_per_row), work, self.out_of_memory)

    def _tile_rows(self, n_rows, values_per_row):
        return rows_within(self.tile_bytes(), BYTES_PER_TILE_VALUE * values_per_row, n_rows)

    def _tile(self, features, block, unperturbed, rows):
        """Perturbed logits of some rows, (n_samples, n_repeats, n_classes)."""
        if isinstance(block, ImplicitBlock):
            tile = unperturbed.norms[rows, None, None] * block.offsets
            tile += unperturbed.logits[rows, None, :]
            return tile
        tile = self._products(features[rows], block)
        tile += block.bias
        return tile

    def _products(self, features, block):
        """Explicit perturbed logits less their bias, (n_samples, n_repeats, n_classes)."""
        directions = block.weight.reshape(-1, block.weight.shape[2])
        shape = (features.shape[0], block.n_repeats, block.n_classes)
        return self.matmul(features, directions.T).reshape(shape)
