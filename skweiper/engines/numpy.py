"""The reference engine, and the default without numba: NumPy, in tiles that stay in cache."""

from typing import NamedTuple

import numpy as np

from skweiper.chunks import row_slices, rows_within
from skweiper.perturbation import ImplicitBlock
from skweiper.scores import logit_score

FLOAT32_BYTES = 4
TILE_BYTES = 2**19
"""A tile of perturbed logits, its two temporaries and the weights fit the second-level cache."""
PRODUCT_BYTES = 2**21
"""A tile of a matrix product is larger: it costs little to read it back beside the product."""


class Measurement(NamedTuple):
    """What an engine measures on some rows of perturbed logits.

    Attributes
    ----------
    counts : list of ndarray of shape (n_samples, n_bins), int32
        For each of the requested bins, the histogram of each sample's perturbed logits.
    score_sums : ndarray of shape (n_scores, n_samples), float64
        Sum over the repeats of each requested logit score.
    """

    counts: list
    score_sums: np.ndarray


class NumpyEngine:
    """Histograms, ranges and averaged logit scores of perturbed logits, in NumPy.

    All methods take float32 C-contiguous features of shape (n_samples, n_features) and are free of
    state, so several threads may call them on rows of their own at the same time.
    """

    name = "numpy"
    xp = np

    def prepare(self, block):
        """A drawn block in the form that suits this engine; called once per block."""
        return block

    def load(self, source, rows):
        """A slice of the rows of `FeatureRows` as finite float32 features, not to be written."""
        return source.load(rows)

    def to_host(self, array):
        """An array of this engine as a NumPy array."""
        return array

    def histogram(self, values, bins):
        """Histogram of each row.

        Parameters
        ----------
        values : ndarray of shape (n_samples, n_values), float32
        bins : Bins

        Returns
        -------
        ndarray of shape (n_samples, bins.n_bins), int32
            Values outside the bins are counted nowhere.
        """
        counts = np.zeros((values.shape[0], bins.n_bins), np.int32)
        rows = rows_within(TILE_BYTES, FLOAT32_BYTES * values.shape[1], values.shape[0])
        for first in range(0, values.shape[0], rows):
            part = slice(first, first + rows)
            add_histogram(counts[part], values[part], bins)
        return counts

    def logit_range(self, features, block):
        """Smallest and largest perturbed logit over all samples and repeats of the block.

        Returns
        -------
        (float, float)
        """
        if isinstance(block, ImplicitBlock):
            return implicit_logit_range(features, block)
        low, high = np.inf, -np.inf
        for _, tile in self._tiles(features, block):
            low, high = min(low, float(tile.min())), max(high, float(tile.max()))
        return low, high

    def measure(self, features, block, logit_bins=(), scores=()):
        """Histograms and summed logit scores of the perturbed logits of each sample.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
        block : ImplicitBlock or ExplicitBlock
        logit_bins : sequence of Bins
        scores : sequence of str or callable
            Logit scores as `skweiper.scores.logit_score` takes them.

        Returns
        -------
        Measurement
        """
        n_samples = features.shape[0]
        counts = [np.zeros((n_samples, bins.n_bins), np.int32) for bins in logit_bins]
        score_sums = np.zeros((len(scores), n_samples))
        for rows, tile in self._tiles(features, block):
            for total, bins in zip(counts, logit_bins, strict=True):
                add_histogram(total[rows], tile.reshape(tile.shape[0], -1), bins)
            for total, score in zip(score_sums, scores, strict=True):
                total[rows] += np.sum(logit_score(score)(tile), axis=1, dtype=np.float64)
        return Measurement(counts, score_sums)

    def perturbed_logits(self, features, block):
        """The perturbed logits themselves.

        Returns
        -------
        ndarray of shape (n_samples, block.n_repeats, block.n_classes), float32
        """
        logits = np.empty((features.shape[0], block.n_repeats, block.n_classes), np.float32)
        write_perturbed_logits(logits, features, block)
        return logits

    def _tiles(self, features, block, with_bias=True):
        """Yield (row slice, perturbed logits) tile by tile; a tile is overwritten by the next.

        A tile is some rows of some repeats: all repeats where they are cheap to make, and all
        rows where each repeat is a matrix product, so that a weight is read once.
        """
        n_samples = features.shape[0]
        rows, repeats = tile_shape(n_samples, block)
        buffer = np.empty(rows * repeats * block.n_classes, np.float32)
        for part in row_slices(n_samples, rows):
            for span in row_slices(block.n_repeats, repeats):
                shape = (part.stop - part.start, span.stop - span.start, block.n_classes)
                tile = buffer[: np.prod(shape)].reshape(shape)
                write_perturbed_logits(tile, features[part], block.take(span), with_bias)
                yield part, tile


def tile_shape(n_samples, block):
    """Rows and repeats of a tile of at most `TILE_BYTES`, one row of one repeat at least."""
    class_bytes = FLOAT32_BYTES * block.n_classes
    if isinstance(block, ImplicitBlock):
        repeats = rows_within(TILE_BYTES, class_bytes, block.n_repeats)
        return rows_within(TILE_BYTES, class_bytes * repeats, n_samples), repeats
    rows = rows_within(PRODUCT_BYTES, class_bytes, n_samples)
    return rows, rows_within(PRODUCT_BYTES, class_bytes * rows, block.n_repeats)


def feature_norms(features):
    """Euclidean norm of each row, ndarray of shape (n_samples,)."""
    return np.sqrt(np.einsum("ij,ij->i", features, features))


def block_logits(features, block):
    """Unperturbed logits of an implicit block, ndarray of shape (n_samples, n_classes)."""
    if block.weight is None:
        return features
    logits = features @ block.weight.T
    logits += block.bias
    return logits


def write_perturbed_logits(out, features, block, with_bias=True):
    """Write the perturbed logits into `out`, of shape (n_samples, n_repeats, n_classes)."""
    if isinstance(block, ImplicitBlock):
        np.multiply(feature_norms(features)[:, None, None], block.offsets, out=out)
        out += block_logits(features, block)[:, None, :]
    else:
        directions = block.weight.reshape(-1, block.weight.shape[2])
        np.matmul(features, directions.T, out=out.reshape(out.shape[0], -1))
        if with_bias:
            out += block.bias


def implicit_logit_range(features, block):
    """Closed form: for each class only the extreme offsets can give an extreme logit."""
    logits = block_logits(features, block)
    norms = feature_norms(features)[:, None]
    low = np.min(logits + norms * np.min(block.offsets, axis=0))
    high = np.max(logits + norms * np.max(block.offsets, axis=0))
    return float(low), float(high)


def add_histogram(counts, values, bins):
    """Add the histogram of each row of `values` to the rows of `counts`."""
    n_samples, n_bins = counts.shape
    position = values - np.float32(bins.low)
    position *= np.float32(bins.scale)
    # One bin more on either side receives what lies outside the range; `high` itself is inside.
    inside_top = values <= np.float32(bins.high)
    np.floor(position, out=position)
    np.clip(position, -1, n_bins, out=position)
    np.minimum(position, n_bins - 1, out=position, where=inside_top)
    cell = position.astype(np.int32)
    cell += np.int32(1) + np.arange(n_samples, dtype=np.int32)[:, None] * np.int32(n_bins + 2)
    flat = np.bincount(cell.ravel(), minlength=n_samples * (n_bins + 2))
    counts += flat.reshape(n_samples, n_bins + 2)[:, 1:-1].astype(np.int32)
