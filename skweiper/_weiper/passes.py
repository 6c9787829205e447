"""Passes over rows: load a chunk, measure it, and hand on what is asked of it."""

from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np

from skweiper._support.memory import rows_within
from skweiper._support.progress import track
from skweiper._support.rows import row_slices
from skweiper._weiper.engines.contract import Measured, Unperturbed
from skweiper._weiper.perturbation import FLOAT32_BYTES

BYTES_PER_SUMMED_BIN = 8  # a chunk's integer counts, and those of one more block
BYTES_PER_SUMMED_SCORE = 16


class KnownLogits:
    """Unperturbed logits of the first rows, kept from one pass for the next.

    Parameters
    ----------
    n_rows, n_classes : int
    most_bytes : int
    """

    def __init__(self, n_rows, n_classes, most_bytes):
        n_kept = min(n_rows, most_bytes // (FLOAT32_BYTES * (n_classes + 1)))
        self.kept = Unperturbed(
            np.empty((n_kept, n_classes), np.float32), np.empty(n_kept, np.float32)
        )

    def keep(self, part, unperturbed):
        """Remember a chunk's, as far as there is room."""
        for kept, values in zip(self.kept, unperturbed, strict=True):
            room = kept[part]
            room[:] = values[: len(room)]

    def find(self, part):
        """A chunk's, or None where they are not known."""
        if part.stop > len(self.kept.norms):
            return None
        return Unperturbed(self.kept.logits[part], self.kept.norms[part])


class Pass(NamedTuple):
    """What the chunks of one pass over a block have in common.

    Attributes
    ----------
    rows : FeatureRows
    engine : Engine
    block : ImplicitBlock or ExplicitBlock
        Prepared.
    known : KnownLogits or None
    """

    rows: object
    engine: object
    block: object
    known: KnownLogits | None = None


def measure_chunk(on, request, keep, part):
    """Measure a slice of the rows, and give the measurements to `keep`.

    Parameters
    ----------
    on : Pass
    request : Request
    keep : callable(Measured, Engine)
        Turns the measurements of some rows into what is wanted of them.
    part : slice

    Returns
    -------
    list of (slice, what `keep` returned)
        One entry, or several where only fewer rows at once fit the device's memory.
    """
    engine = on.engine
    try:
        # What overflows gives scores that are not finite, which the detector reports.
        with engine.working(), np.errstate(over="ignore", invalid="ignore"):
            features, norms, counts = engine.load(on.rows, part, request.feature_bins)
            known = None if on.known is None else on.known.find(part)
            known = known or engine.unperturbed(features, on.block, norms)
            measured = engine.measure(features, on.block, request.logit_bins, request.scores, known)
            return [(part, keep(measured._replace(feature_counts=counts), engine))]
    except engine.out_of_memory:
        check_divisible(part)
    # Outside of the except block, whose traceback would keep what was allocated.
    return [done for half in halves(part) for done in measure_chunk(on, request, keep, half)]


def check_divisible(part):
    """Raise the error at hand again where there is no smaller slice to try."""
    if part.stop - part.start == 1:
        raise


def halves(part):
    """The two halves of a slice."""
    middle = (part.start + part.stop) // 2
    return slice(part.start, middle), slice(middle, part.stop)


def over_chunks(rows, execution, request, keep, known=None, verbose=0, description="samples"):
    """(slice, what `keep` made of its measurements) for consecutive slices of all rows, in order.

    Parameters
    ----------
    rows : FeatureRows
    execution : Execution
    request : Request
    keep : callable(Measured, Engine)
        Runs in the worker threads.
    known : KnownLogits or None
    verbose : int
    description : str
        Name of the pass, for the progress bar.

    Returns
    -------
    iterator
    """
    plan, block = execution.plan(), execution.whole_block()
    if block is None:
        return over_blocks(rows, execution, request, keep, verbose, description)
    parts = execution.parts(len(rows), request.n_bins, plan=plan)
    on = Pass(rows, execution.engine_within(plan), block, known)
    done = execution.map(partial(measure_chunk, on, request, keep), parts, plan)
    return chain.from_iterable(track(done, len(parts), description, verbose))


def over_blocks(rows, execution, request, keep, verbose, description):
    """`over_chunks` of a perturbation that is drawn again: sums of many chunks over its blocks."""
    parts = execution.parts(len(rows), request.n_bins)
    row_bytes = BYTES_PER_SUMMED_BIN * request.n_bins + BYTES_PER_SUMMED_SCORE * len(request.scores)
    rows_at_once = rows_within(execution.plan().sums_bytes, row_bytes, len(rows))
    parts_at_once = max(1, rows_at_once // (parts[0].stop - parts[0].start))
    stretches = [parts[i] for i in row_slices(len(parts), parts_at_once)]
    for stretch in track(stretches, len(stretches), description, verbose):
        sums = [None] * len(stretch)
        for block in execution.streamed_blocks():
            on = Pass(rows, execution.engine, block)
            add = partial(add_block, on, request, stretch, sums)
            for i, total in enumerate(execution.map(add, range(len(stretch)))):
                sums[i] = total
        finish = partial(kept_of, keep, execution.engine)
        yield from zip(stretch, execution.map(finish, sums), strict=True)


def add_block(on, request, parts, sums, i):
    """Sums of one chunk's measurements, those of a further block included.

    Parameters
    ----------
    on : Pass
    request : Request
    parts : list of slice
    sums : list of Measured or None
        Of the blocks before.
    i : int
        Which of the parts.
    """
    return summed_over(on, request, parts[i], sums[i])


def summed_over(on, request, part, so_far):
    """`add_block` of one slice; where it does not fit the device's memory, of its halves."""
    engine = on.engine
    scores_so_far = None if so_far is None else so_far.score_sums
    try:
        with engine.working(), np.errstate(over="ignore", invalid="ignore"):
            bins = request.feature_bins if so_far is None else ()
            features, _, feature_counts = engine.load(on.rows, part, bins)
            measured = engine.measure(
                features, on.block, request.logit_bins, request.scores, None, scores_so_far
            )
            if so_far is None:
                return measured._replace(feature_counts=feature_counts)
            for counts, more in zip(so_far.logit_counts, measured.logit_counts, strict=True):
                counts += more
            return so_far._replace(score_sums=measured.score_sums)
    except engine.out_of_memory:
        check_divisible(part)
    done = map(partial(summed_over, on, request), halves(part), halves_of(so_far, part))
    with engine.working():
        return concatenated(list(done), engine.xp)


def halves_of(measured, part):
    """The measurements of the two halves of a slice, or None twice."""
    if measured is None:
        return None, None
    return [
        measured.take(range(half.start - part.start, half.stop - part.start))
        for half in halves(part)
    ]


def kept_of(keep, engine, measured):
    """keep(measured, engine), computed where the engine does."""
    with engine.working(), np.errstate(over="ignore", invalid="ignore"):
        return keep(measured, engine)


def concatenated(parts, xp):
    """Measurements of consecutive rows as one."""

    def stacked(name):
        columns = zip(*(getattr(part, name) for part in parts), strict=True)
        return [xp.concatenate(counts) for counts in columns]

    score_sums = xp.concatenate([part.score_sums for part in parts], axis=1)
    return Measured(stacked("feature_counts"), stacked("logit_counts"), score_sums)
