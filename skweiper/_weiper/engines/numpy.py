"""The default engine without numba: NumPy, in tiles that stay in cache."""

from contextlib import contextmanager, suppress
from copy import copy
from functools import cached_property
from queue import Empty, SimpleQueue

import numpy as np

from skweiper._support.memory import UNSHARED_TILES, memory_budget, rows_within
from skweiper._support.row_products import row_products, weights_together, write_products
from skweiper._support.rows import row_slices
from skweiper._weiper.density import smoothed_density, symmetric_kl
from skweiper._weiper.engines.contract import Engine, Measured, Unperturbed
from skweiper._weiper.engines.flips import flips_of
from skweiper._weiper.perturbation import FLOAT32_BYTES, ImplicitBlock
from skweiper.scores import logit_score

FLOAT32_INTEGERS = 2**24
"""Below this, single precision holds every integer."""
MOST_CLASSES_BY_CLASS = 32
"""Up to here a tile of cheap logits lies class by class: NumPy reduces a short last axis slowly."""
SMALLEST_SQUARE = 1e-24
"""Squared norms below it, as those that overflow, are computed again in double precision: squares
of their features lose digits, or vanish."""
TILE_BYTES = 2**21
"""Smaller tiles and their temporaries would fit the second-level cache, but threads would wait for
each other: each of NumPy's calls ends by asking for the interpreter's lock."""
ROWS_TOGETHER = 16
"""Rows of a tile of products come in multiples of these, as the compiled loops treat them alike."""
TILES_PER_THREAD = 6
"""A tile, three times its size to find its bins, and what a logit score needs."""


class Workspace:
    """The buffer of a tile and, from their first use, its two temporaries; reused by the tiles.

    Attributes
    ----------
    values, scratch : ndarray of shape (size,), float32
    cells : ndarray of shape (size,), intp
    """

    def __init__(self, size):
        self.values = np.empty(size, np.float32)

    @cached_property
    def scratch(self):
        return np.empty_like(self.values)

    @cached_property
    def cells(self):
        return np.empty(len(self.values), np.intp)


class NumpyEngine(Engine):
    """Histograms, ranges and averaged logit scores of perturbed logits, in NumPy.

    All methods take float32 C-contiguous features of shape (n_samples, n_features). Several threads
    may call them on rows of their own at the same time.
    """

    name = "numpy"
    product_bytes = 2**21
    """Bytes of a tile that is a matrix product."""

    def __init__(self):
        self._idle_workspaces = SimpleQueue()
        self._bytes_per_thread = memory_budget(UNSHARED_TILES)

    def within(self, bytes_per_thread):
        if bytes_per_thread == self._bytes_per_thread:
            return self
        engine = copy(self)
        engine._bytes_per_thread = bytes_per_thread
        return engine

    @contextmanager
    def workspace(self, size):
        """A workspace of at least `size` values, for one thread.

        Kept for the next chunk: the system hands out new memory page by page, which would cost as
        much as the work.
        """
        workspace = Workspace(0)
        with suppress(Empty):
            workspace = self._idle_workspaces.get_nowait()
        if len(workspace.values) < size:
            workspace = Workspace(size)
        yield workspace
        self._idle_workspaces.put(workspace)

    def prepare(self, block):
        """A drawn block in the form that suits this engine; called once per block."""
        if is_class_by_class(block):
            return ImplicitBlock(block.weight, block.bias, np.asfortranarray(block.offsets))
        return block

    def histogram(self, values, bins):
        counts = np.zeros((values.shape[0], bins.n_bins), np.int32)
        most = self._tile_bytes(TILE_BYTES)
        rows = rows_within(most, FLOAT32_BYTES * values.shape[1], values.shape[0])
        with self.workspace(rows * values.shape[1]) as workspace:
            for part in row_slices(values.shape[0], rows):
                add_histogram(counts[part], values[part], bins, workspace)
        return counts

    def unperturbed(self, features, block, norms=None):
        if not isinstance(block, ImplicitBlock):
            return None
        norms = feature_norms(features) if norms is None else norms
        return Unperturbed(self._unperturbed_logits(features, block), norms)

    def _unperturbed_logits(self, features, block):
        return block_logits(features, block)

    def logit_extremes(self, features, block, unperturbed=None):
        if isinstance(block, ImplicitBlock):
            return implicit_logit_extremes(unperturbed or self.unperturbed(features, block), block)
        lows = np.full(len(features), np.inf, np.float32)
        highs = -lows
        for rows, tile, _ in self._tiles(features, block):
            by_row = tile.reshape(len(tile), -1)
            np.minimum(lows[rows], by_row.min(axis=1), out=lows[rows])
            np.maximum(highs[rows], by_row.max(axis=1), out=highs[rows])
        return lows, highs

    def logit_tiles(self, features, block, unperturbed=None):
        for _, tile, workspace in self._tiles(features, block, unperturbed):
            yield workspace.values[: tile.size]

    def measure(self, features, block, logit_bins=(), scores=(), unperturbed=None, so_far=None):
        n_samples = features.shape[0]
        counts = [np.zeros((n_samples, bins.n_bins), np.int32) for bins in logit_bins]
        score_sums = np.zeros((len(scores), n_samples)) if so_far is None else so_far.copy()
        for rows, tile, workspace in self._tiles(features, block, unperturbed):
            for total, bins in zip(counts, logit_bins, strict=True):
                add_histogram(total[rows], tile, bins, workspace)
            for total, score in zip(score_sums, scores, strict=True):
                add_over_repeats(total[rows], score, tile, workspace)
        return Measured([], counts, score_sums)

    def flips(self, features, block, gains, predicted, lengths):
        found = np.empty((len(gains), block.n_repeats), np.float32)
        rows, repeats = self._tile_shape(len(gains), block)
        for part in row_slices(len(gains), rows):
            for span in row_slices(block.n_repeats, repeats):
                slopes = slopes_of(features[part], block, span, lengths)
                found[part, span] = flips_of(slopes, gains[part], predicted[part], np)
        return found

    def divergence(self, counts, n_values, window, training_density, epsilon):
        return symmetric_kl(training_density, smoothed_density(counts, n_values, window), epsilon)

    def perturbed_logits(self, features, block):
        logits = np.empty((features.shape[0], block.n_repeats, block.n_classes), np.float32)
        self._writer(features, block)(logits, slice(None), slice(None))
        return logits

    def _writer(self, features, block, unperturbed=None):
        """A function (out, rows, repeats) that writes those perturbed logits into `out`."""
        if isinstance(block, ImplicitBlock):
            return sums_writer(unperturbed or self.unperturbed(features, block), block)
        return products_writer(features, block)

    def _tile_bytes(self, wanted):
        """Bytes of a tile: as many as wanted, less where memory is scarce."""
        return min(wanted, self._bytes_per_thread // TILES_PER_THREAD)

    def _tile_shape(self, n_samples, block):
        """Rows and repeats of a tile, one row of one repeat at least.

        About `TILE_BYTES` of an implicit block, `product_bytes` of an explicit one.
        """
        class_bytes = FLOAT32_BYTES * block.n_classes
        if isinstance(block, ImplicitBlock):
            most = self._tile_bytes(TILE_BYTES)
            repeats = max(2, rows_within(most, class_bytes, block.n_repeats))
            return rows_within(most, class_bytes * repeats, n_samples), repeats
        most, together = self._tile_bytes(self.product_bytes), weights_together(block.n_classes)
        rows = multiple_of(ROWS_TOGETHER, rows_within(most, class_bytes * together, n_samples))
        return rows, multiple_of(together, rows_within(most, class_bytes * rows, block.n_repeats))

    def _tiles(self, features, block, unperturbed=None):
        """Yield (row slice, perturbed logits, workspace); a tile is overwritten by the next.

        A tile is some rows of some repeats: all repeats where they are cheap to make, and all
        rows where each repeat is a matrix product, so that a weight is read once.
        """
        n_samples = features.shape[0]
        rows, repeats = self._tile_shape(n_samples, block)
        write = self._writer(features, block, unperturbed)
        spans = spans_of_several(block.n_repeats, repeats)
        largest = max(span.stop - span.start for span in spans)
        with self.workspace(rows * largest * block.n_classes) as workspace:
            for part in row_slices(n_samples, rows):
                for span in spans:
                    shape = (part.stop - part.start, span.stop - span.start, block.n_classes)
                    tile = shaped_tile(workspace.values, shape, is_class_by_class(block))
                    write(tile, part, span)
                    yield part, tile, workspace


def multiple_of(number, most):
    """The largest multiple of a number that is at most `most`, and once the number at least."""
    return max(1, most // number) * number


def is_class_by_class(block):
    """Whether the logits of one class lie together in a tile, or those of one repeat."""
    is_narrow = isinstance(block, ImplicitBlock) and block.n_classes <= MOST_CLASSES_BY_CLASS
    return is_narrow and block.n_repeats > 1


def spans_of_several(n_repeats, most):
    """Consecutive slices of `most` repeats; one that would be left alone goes with the last.

    The classes of a single repeat of a single row, where they lie apart, NumPy adds up in another
    order than those of several.
    """
    spans = row_slices(n_repeats, most)
    if len(spans) > 1 and spans[-1].stop - spans[-1].start == 1:
        spans[-2:] = [slice(spans[-2].start, n_repeats)]
    return spans


def shaped_tile(buffer, shape, class_by_class):
    """The start of a buffer as (rows, repeats, classes), in one of two orders in memory."""
    values = buffer[: np.prod(shape)]
    if not class_by_class:
        return values.reshape(shape)
    rows, repeats, classes = shape
    return values.reshape(classes, rows, repeats).transpose(1, 2, 0)


def like(buffer, values):
    """The start of a buffer with the shape and the order in memory of `values`."""
    axes = np.argsort([-stride for stride in values.strides], kind="stable")
    in_memory = buffer[: values.size].reshape([values.shape[axis] for axis in axes])
    return in_memory.transpose(np.argsort(axes))


def feature_norms(features):
    """Euclidean norm of each row, ndarray of shape (n_samples,), float32."""
    squares = np.einsum("ij,ij->i", features, features)
    norms = np.sqrt(squares)
    if not (squares.min() > SMALLEST_SQUARE and squares.max() < np.inf):
        # Decided row by row, so that no row's norm depends on the others.
        lossy = np.flatnonzero(~((squares > SMALLEST_SQUARE) & (squares < np.inf)))
        exact = features[lossy].astype(np.float64)
        with np.errstate(over="ignore"):  # a norm beyond float32 is reported with its score
            norms[lossy] = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    return norms


def block_logits(features, block):
    """Unperturbed logits of an implicit block, ndarray of shape (n_samples, n_classes)."""
    if block.weight is None:
        return features
    logits = row_products(features, block.weight)
    logits += block.bias
    return logits


def sums_writer(unperturbed, block):
    """Writer of the perturbed logits of an implicit block, logits + norm * offsets."""
    logits, norms = unperturbed

    def write(out, rows, repeats):
        np.multiply(norms[rows, None, None], block.offsets[repeats], out=out)
        out += logits[rows, None, :]

    return write


def products_writer(features, block):
    """Writer of the perturbed logits of an explicit block, a matrix product."""

    def write(out, rows, repeats):
        write_products(features[rows], block.weight[repeats], out.transpose(1, 0, 2))
        out += block.bias

    return write


def slopes_of(features, block, repeats, lengths):
    """How logits move with delta, for some repeats of a directions' block, as `Engine.flips` says.

    Returns
    -------
    ndarray of shape (n_repeats, n_classes), or with n_samples before them
    """
    if isinstance(block, ImplicitBlock):
        return block.offsets[repeats]
    weight = block.weight[repeats]
    slopes = np.empty((len(features), *weight.shape[:2]), np.float32)
    write_products(features, weight, slopes.transpose(1, 0, 2))
    slopes *= lengths
    return slopes


def implicit_logit_extremes(unperturbed, block):
    """Closed form: for each class only the extreme offsets can give an extreme logit."""
    logits, norms = unperturbed.logits, unperturbed.norms[:, None]
    lows = np.min(logits + norms * np.min(block.offsets, axis=0), axis=1)
    highs = np.max(logits + norms * np.max(block.offsets, axis=0), axis=1)
    return lows, highs


def add_over_repeats(total, score, tile, workspace):
    """Add a logit score of each repeat of each row of a tile to `total`, float64, one by one.

    In the order of the repeats, so that the sum does not depend on how they are cut into tiles.
    """
    if isinstance(score, str) and score == "msp":
        per_repeat = msp_in_place(tile, like(workspace.scratch, tile))
    else:
        per_repeat = logit_score(score)(tile)
    running = np.empty((len(total), tile.shape[1] + 1))
    running[:, 0], running[:, 1:] = total, per_repeat
    total[:] = np.add.accumulate(running, axis=1)[:, -1]


def msp_in_place(logits, out):
    """`skweiper.scores.msp`, its temporary given."""
    np.subtract(logits, np.max(logits, axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    return 1.0 / np.sum(out, axis=-1)


def add_histogram(counts, values, bins, workspace):
    """Add the histogram of each row of `values` to the rows of `counts`."""
    n_samples, n_bins = counts.shape
    for part in row_slices(n_samples, rows_within(FLOAT32_INTEGERS, n_bins + 2, n_samples)):
        found = find_cells(values[part], bins, workspace)
        flat = np.bincount(found, minlength=(part.stop - part.start) * (n_bins + 2))
        counts[part] += flat.reshape(-1, n_bins + 2)[:, 1:-1].astype(np.int32)


def find_cells(values, bins, workspace):
    """For each value, in any order, row * (n_bins + 2) + 1 + bin.

    One bin more on either side receives what lies outside the range.
    """
    n_samples, n_bins = values.shape[0], bins.n_bins
    position = like(workspace.scratch, values)
    np.subtract(values, np.float32(bins.low), out=position)
    position *= np.float32(bins.scale)
    np.floor(position, out=position)
    np.clip(position, -1, n_bins, out=position)
    if not np.max(position) < n_bins:  # `high` itself is inside, and so is what rounds up to it
        np.nan_to_num(position, copy=False, nan=-1)
        inside_top = values <= np.float32(bins.high)
        np.minimum(position, n_bins - 1, out=position, where=inside_top)
    first_cells = np.arange(n_samples, dtype=np.float32) * (n_bins + 2) + 1
    position += first_cells.reshape(-1, *(1,) * (values.ndim - 1))
    cells = workspace.cells[: values.size]
    cells[:] = workspace.scratch[: values.size]
    return cells
