"""Passes over the rows of a feature matrix: load a chunk, measure it, hand on what is asked.

Memory: a drawn perturbation is kept between calls if it fits four fifths of the budget. One that
does not is drawn again block by block, over as many rows at a time as their counts allow. Of what
the perturbation leaves, a quarter belongs to the chunks in flight, a quarter to the tiles of all
threads, a quarter to the counts that are summed over blocks or to the unperturbed logits that a fit
keeps for its second pass, and a quarter to the counts that a fit keeps of every row.
"""

from contextlib import nullcontext
from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from skweiper._support.memory import memory_budget, rows_within
from skweiper._support.progress import track
from skweiper._support.row_products import FEW_AT_ONCE, FEW_ROWS
from skweiper._support.rows import row_slices
from skweiper._support.threads import available_threads, map_in_order
from skweiper._weiper.engines.numpy import Unperturbed
from skweiper._weiper.perturbation import FLOAT32_BYTES
from skweiper._weiper.statistics import ValueRange, sum_of_counts

CHUNK_ROWS = 512
"""Rows per chunk at most: enough for the matrix products, little enough to balance threads."""
RANGE_ROWS = 2048
"""The same where little is done for each row, and threads would often meet."""
LEAST_LOGITS = 2**20
"""Perturbed logits of a chunk, below which starting threads costs more than they save."""
LEAST_PER_THREAD = 2**18
"""Bytes for the chunks of a thread: with fewer, there are too few rows in each to be worth it."""
BYTES_PER_FEATURE = 16  # float32 values, the source's own copy, a finite mask
BYTES_PER_LOGIT = 12
KEPT_SHARE = 0.8
"""Share of the host's budget that a drawn perturbation may take to be kept."""
STREAMED_SHARE = 1 / 16
"""Share of a block that is drawn again; the next one is drawn beside it."""
BYTES_PER_BIN = 64  # integer counts, and the float64 temporaries of the divergence
BYTES_PER_SUMMED_BIN = 8  # a chunk's integer counts, and those of one more block


class Request(NamedTuple):
    """What to measure on every sample.

    Attributes
    ----------
    feature_bins, logit_bins : tuple of Bins
        Histograms of the features and of the perturbed logits; one array of counts each.
    scores : tuple of str or callable
        Logit scores to average over the repeats.
    """

    feature_bins: tuple = ()
    logit_bins: tuple = ()
    scores: tuple = ()

    @property
    def n_bins(self):
        return sum(bins.n_bins for bins in self.feature_bins + self.logit_bins)


class Measured(NamedTuple):
    """The measurements of some rows.

    Attributes
    ----------
    feature_counts, logit_counts : list of ndarray of shape (n_samples, n_bins), int32
    score_means : ndarray of shape (n_scores, n_samples), float64
    """

    feature_counts: list
    logit_counts: list
    score_means: np.ndarray

    def take(self, rows):
        """The measurements of some of the rows."""
        rows = np.asarray(rows, like=self.score_means)
        return Measured(
            [counts[rows] for counts in self.feature_counts],
            [counts[rows] for counts in self.logit_counts],
            self.score_means[:, rows],
        )

    def count_sums(self):
        """Sums over the samples of every array of counts, features before logits, on the host."""
        return [sum_of_counts(counts) for counts in self.feature_counts + self.logit_counts]


class BlockCache:
    """A drawn perturbation, ready for an engine, kept between calls.

    Pickling or copying it gives an empty one: the draws are rebuilt from their seed.
    """

    def __init__(self):
        self._kept = None
        self._first = None

    def __reduce__(self):
        return BlockCache, ()

    def clear(self):
        """Forget the blocks, as where their device is lost."""
        self._kept = self._first = None

    def engine_for(self, perturbation, engine):
        """The engine that first worked on this perturbation where `engine` does.

        Its sizes of tiles and chunks, taken from the memory that was free then, stay: scoring
        twice gives the same bits.
        """
        first = self._first
        if first is None or first[0] is not perturbation or first[1].name != engine.name:
            first = self._first = (perturbation, engine)
        return first[1]

    def holds(self, perturbation, engine):
        """Whether the blocks of this perturbation are kept for this engine."""
        return self._kept_block(perturbation, engine) is not None

    def _kept_block(self, perturbation, engine):
        kept = self._kept  # read once: another thread may clear or replace it
        is_same = kept is not None and kept[0] is perturbation and kept[1] == engine.name
        return kept[2] if is_same else None

    def blocks(self, perturbation, engine, budget):
        """The blocks of a perturbation as `engine` wants them; kept if they fit `budget` bytes."""
        block = self._kept_block(perturbation, engine)
        stays_on_device = block is not None and hasattr(engine, "gather")
        if perturbation.nbytes > budget and not stays_on_device:
            streamed = int(STREAMED_SHARE * min(budget, memory_budget()))
            return map(engine.prepare, perturbation.blocks(streamed))
        if block is None:
            block = _whole_block(perturbation, engine, budget)
            self._kept = perturbation, engine.name, block
        return [block]


def _whole_block(perturbation, engine, budget):
    """All repeats as one block, drawn on the host within its own budget."""
    if not hasattr(engine, "gather"):
        return engine.prepare(next(perturbation.blocks(budget)))
    return engine.gather(perturbation.blocks(memory_budget() // 4), perturbation.n_repeats)


class KnownLogits:
    """Unperturbed logits of the first rows of a source, kept from one pass for the next.

    Parameters
    ----------
    source : FeatureRows
    n_classes : int
    most_bytes : int
    """

    def __init__(self, source, n_classes, most_bytes):
        self.source = source
        n_rows = min(len(source), most_bytes // (FLOAT32_BYTES * (n_classes + 1)))
        self.kept = Unperturbed(
            np.empty((n_rows, n_classes), np.float32), np.empty(n_rows, np.float32)
        )

    def keep(self, rows, unperturbed):
        """Remember a chunk's, as far as there is room."""
        for kept, values in zip(self.kept, unperturbed, strict=True):
            room = kept[rows]
            room[:] = values[: len(room)]

    def find(self, source, rows):
        """A chunk's, or None where they are not known."""
        if source is not self.source or rows.stop > len(self.kept.norms):
            return None
        return Unperturbed(self.kept.logits[rows], self.kept.norms[rows])


class PerturbedSpace:
    """A perturbation as an engine computes it.

    Parameters
    ----------
    perturbation : Perturbation
    engine : Engine
    cache : BlockCache
    """

    def __init__(self, perturbation, engine, cache):
        self.perturbation = perturbation
        self.engine = cache.engine_for(perturbation, engine)
        self.cache = cache
        self.largest_kept = (
            engine.memory_budget() // 2 if self.on_device else int(KEPT_SHARE * memory_budget())
        )
        self.known_logits = None
        if not self.on_device:
            worth_it = self.quarter_of_spare // LEAST_PER_THREAD
            self.n_threads = max(1, min(available_threads(), worth_it))
            self.engine = self.engine.within(self.quarter_of_spare // self.n_threads)

    @property
    def fits(self):
        """Whether all repeats fit their share of the memory budget at once."""
        if self.on_device and self.cache.holds(self.perturbation, self.engine):
            return True  # what is kept no longer counts as free memory
        return self.perturbation.nbytes <= self.largest_kept

    @property
    def quarter_of_spare(self):
        """A quarter of the host memory, in bytes, that the perturbation leaves."""
        if self.on_device:
            return memory_budget() // 8
        streamed = int(3 * STREAMED_SHARE * memory_budget())  # two blocks, and what draws them
        taken = self.perturbation.nbytes if self.fits else streamed
        return (memory_budget() - taken) // 4

    @property
    def on_device(self):
        return hasattr(self.engine, "working")

    def working(self):
        """Where the calling thread computes on the engine's arrays; complete at the end."""
        return self.engine.working() if self.on_device else nullcontext()

    def halving(self, work, rows, join):
        """work(rows); where a device runs out of memory, its halves' results, joined."""
        try:
            return work(rows)
        except self.out_of_memory:
            if rows.stop - rows.start == 1:
                raise
        # Outside of the except block, whose traceback would keep what was allocated.
        middle = (rows.start + rows.stop) // 2
        halves = slice(rows.start, middle), slice(middle, rows.stop)
        return join([self.halving(work, half, join) for half in halves])

    @property
    def out_of_memory(self):
        return self.engine.out_of_memory if self.on_device else ()

    def map(self, work, items):
        """`map_in_order`; on a device, each call on a stream of its own."""
        if not self.on_device:
            yield from map_in_order(partial(_overflowing, work), items, self.n_threads)
            return

        def streamed(item):
            with self.working():
                return work(item)

        try:
            yield from self.engine.map(streamed, items)
        except self.engine.device_errors:
            self.cache.clear()
            raise

    @property
    def logits_per_sample(self):
        return self.perturbation.n_repeats * self.perturbation.head.n_classes

    def blocks(self):
        """The drawn blocks: one that is kept, or several to be drawn again for every pass.

        The memory that was free may be gone by now; then one becomes several, and `fits` false.
        """
        try:
            return self.cache.blocks(self.perturbation, self.engine, self.largest_kept)
        except self.out_of_memory:
            self.largest_kept = self.perturbation.nbytes - 1
        return self.cache.blocks(self.perturbation, self.engine, self.largest_kept)


def _overflowing(work, item):
    """work(item); what overflows gives scores that are not finite, which the detector reports."""
    with np.errstate(over="ignore", invalid="ignore"):
        return work(item)


def _chunk_bytes_per_row(space, n_bins):
    head = space.perturbation.head
    return (
        BYTES_PER_FEATURE * head.n_features
        + BYTES_PER_LOGIT * head.n_classes
        + BYTES_PER_BIN * n_bins
    )


def chunk_slices(n_rows, space, n_bins=0, most=CHUNK_ROWS):
    """Slices of rows whose chunks, one per thread, fit a quarter of the spare memory."""
    if space.on_device:
        chunk_bytes, row_bytes = space.engine.chunk_bytes(), _chunk_bytes_per_row(space, n_bins)
        return row_slices(n_rows, rows_within(chunk_bytes, row_bytes, n_rows))
    if n_rows <= FEW_ROWS and space.perturbation.projection != "implicit":
        most = FEW_AT_ONCE
    budget = space.quarter_of_spare // space.n_threads
    worth_a_thread = -(-LEAST_LOGITS // space.logits_per_sample)
    fair_share = max(-(-n_rows // space.n_threads), worth_a_thread)
    row_bytes = _chunk_bytes_per_row(space, n_bins)
    return row_slices(n_rows, rows_within(budget, row_bytes, min(most, fair_share)))


def value_ranges(source, space, verbose=0):
    """Ranges of all features and of all perturbed logits.

    Parameters
    ----------
    source : FeatureRows
    space : PerturbedSpace
    verbose : int

    Returns
    -------
    feature_range, logit_range : ValueRange
    """
    slices = chunk_slices(len(source), space, most=RANGE_ROWS)
    feature_range, logit_range = ValueRange(), ValueRange()
    if space.perturbation.projection == "implicit" and not space.on_device:
        n_classes = space.perturbation.head.n_classes
        space.known_logits = KnownLogits(source, n_classes, space.quarter_of_spare)
    for block in space.blocks():

        def ranges_of(rows, block=block):
            features = space.engine.load(source, rows)
            logits = ValueRange(*_logit_range(features, block, rows, space))
            return ValueRange(float(features.min()), float(features.max())), logits

        def chunk_ranges(rows, ranges_of=ranges_of):
            return space.halving(ranges_of, rows, _merge_ranges)

        results = space.map(chunk_ranges, slices)
        for features, logits in track(results, len(slices), "ranges", verbose):
            feature_range = feature_range.merge(features)
            logit_range = logit_range.merge(logits)
    return feature_range, logit_range


def _logit_range(features, block, rows, space):
    """Range of a chunk's perturbed logits; the unperturbed ones are kept for the next pass."""
    unperturbed = space.engine.unperturbed(features, block)
    if space.known_logits is not None:
        space.known_logits.keep(rows, unperturbed)
    return space.engine.logit_range(features, block, unperturbed)


def _merge_ranges(pairs):
    """Ranges of features and of logits over several chunks."""
    return tuple(reduce(ValueRange.merge, ranges) for ranges in zip(*pairs, strict=True))


def measured_chunks(source, space, request, finish, verbose=0, description="samples"):
    """Yield (rows, finish(measured)) for consecutive slices of all rows, in order.

    Parameters
    ----------
    source : FeatureRows
    space : PerturbedSpace
    request : Request
    finish : callable
        From `Measured` to what the caller wants to keep of a chunk; runs in the worker threads.
    verbose : int
    description : str
        Name of the pass, for the progress bar.
    """
    space.blocks()  # before asking whether they fit
    if space.fits:
        yield from _measure_by_chunk(source, space, request, finish, verbose, description)
    else:
        yield from _measure_by_block(source, space, request, finish, verbose, description)


def _measure_chunk(source, rows, space, block, request, so_far=None):
    """Measurements of one chunk in one block; its score sums, not yet means, from `so_far` on."""
    engine = space.engine

    def measure(part):
        features = engine.load(source, part)
        feature_counts = [engine.histogram(features, bins) for bins in request.feature_bins]
        known = None if space.known_logits is None else space.known_logits.find(source, part)
        known_sums = (
            None if so_far is None else so_far[:, part.start - rows.start :][:, : len(features)]
        )
        measurement = engine.measure(
            features, block, request.logit_bins, request.scores, known, known_sums
        )
        return Measured(feature_counts, measurement.counts, measurement.score_sums)

    return space.halving(measure, rows, lambda parts: _concatenate(parts, engine.xp))


def _measure_by_chunk(source, space, request, finish, verbose, description):
    """One block holds all repeats: each chunk is measured and finished in one go."""
    slices = chunk_slices(len(source), space, request.n_bins)
    (block,) = space.blocks()

    def work(rows):
        sums = _measure_chunk(source, rows, space, block, request)
        means = sums.score_means / space.perturbation.n_repeats
        return rows, finish(sums._replace(score_means=means))

    results = space.map(work, slices)
    yield from track(results, len(slices), description, verbose)


def _measure_by_block(source, space, request, finish, verbose, description):
    """The repeats come block by block: counts of many chunks are summed over the blocks."""
    slices = chunk_slices(len(source), space, request.n_bins)
    bytes_per_row = BYTES_PER_SUMMED_BIN * request.n_bins + 16 * len(request.scores)
    rows_at_once = rows_within(space.quarter_of_spare, bytes_per_row, len(source))
    slices_at_once = max(1, rows_at_once // (slices[0].stop - slices[0].start))
    stretches = [slices[i] for i in row_slices(len(slices), slices_at_once)]

    def finish_means(sums):
        means = sums.score_means / space.perturbation.n_repeats
        return finish(sums._replace(score_means=means))

    for stretch in track(stretches, len(stretches), description, verbose):
        sums = _sums_over_blocks(source, stretch, space, request)
        yield from zip(stretch, space.map(finish_means, sums), strict=True)


def _sums_over_blocks(source, slices, space, request):
    """Measurements of each slice of rows, summed over all blocks of repeats."""
    sums = [None] * len(slices)
    for block in space.blocks():

        def add(i, block=block):
            known = sums[i]
            so_far = None if known is None else known.score_means
            part = _measure_chunk(source, slices[i], space, block, request, so_far)
            sums[i] = part if known is None else _add_repeats(known, part)

        for _ in space.map(add, range(len(slices))):
            pass
    return sums


def _concatenate(parts, xp):
    """Measurements of consecutive rows as one."""

    def stacked(name):
        columns = zip(*(getattr(part, name) for part in parts), strict=True)
        return [xp.concatenate(counts) for counts in columns]

    score_means = xp.concatenate([part.score_means for part in parts], axis=1)
    return Measured(stacked("feature_counts"), stacked("logit_counts"), score_means)


def _add_repeats(total, part):
    """Add further repeats' counts, whose score sums go on from the total's.

    The features' counts are the same in every block.
    """
    for counts, more in zip(total.logit_counts, part.logit_counts, strict=True):
        counts += more
    return total._replace(score_means=part.score_means)
