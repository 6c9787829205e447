"""Where a perturbation is computed: its blocks kept or drawn again, its rows in chunks."""

import numpy as np

from skweiper._support.rows import row_slices
from skweiper._weiper.engines.select import engine_named

CHUNK_ROWS = 512
"""Rows per chunk at most: enough for the matrix products, little enough to balance threads."""
BYTES_PER_FEATURE = 16  # float32 values, the source's own copy, a finite mask
BYTES_PER_LOGIT = 12
BYTES_PER_BIN = 64  # integer counts, and the float64 temporaries of the divergence


class Execution:
    """One perturbation on one engine.

    A perturbation that fits its share of the memory is drawn once and kept between calls; a
    larger one is drawn again, block by block, in every pass.

    Parameters
    ----------
    perturbation : Perturbation
    engine : Engine
        Its sizes of tiles and chunks, taken from the memory that was free when it was made, stay:
        scoring twice gives the same bits.
    """

    def __init__(self, perturbation, engine):
        self.perturbation = perturbation
        self.first_engine = self._last_engine = engine
        self._kept_block = None

    def __reduce__(self):
        # Where it is loaded, an engine of the same name computes, and draws anew from the seed.
        return execution_on, (self.perturbation, self.first_engine.name)

    @property
    def engine(self):
        """The engine, its tiles within what this call may use of the memory."""
        return self.engine_within(self.plan())

    def engine_within(self, plan):
        """The engine, its tiles within what a plan's threads may use of the memory."""
        engine = self._last_engine = self._last_engine.within(plan.tile_bytes)
        return engine

    def plan(self):
        """How much of a pass may be in memory at once, as the memory is now."""
        return self.first_engine.plan(self.perturbation.nbytes)

    def turned_into(self, perturbation):
        """The execution of a perturbation of which this one has the `directions()`.

        A kept block is taken along, and not drawn again; this execution is of no more use.
        """
        engine, block = self.first_engine, self._kept_block
        other = Execution(perturbation, engine)
        self.forget()
        if block is not None and (perturbation.projection == "implicit" or engine.xp is np):
            with engine.working():
                other._kept_block = perturbation.lengthened(block)
        return other

    def holds_block(self):
        """Whether a drawn perturbation is kept."""
        return self._kept_block is not None

    def forget(self):
        """Forget the kept block, as where its device is lost."""
        self._kept_block = None

    def whole_block(self):
        """All repeats as one block; None where they do not fit and come as `streamed_blocks`."""
        block = self._kept_block  # read once: another thread may replace or forget it
        if not self.first_engine.fits(self.perturbation.nbytes, block is not None):
            return None
        if block is None:
            try:
                block = self._kept_block = self.first_engine.draw_whole(self.perturbation)
            except self.first_engine.out_of_memory:  # what was free may be gone by now
                return None
        return block

    def streamed_blocks(self):
        """Yield all repeats, drawn again, some at a time."""
        most = self.first_engine.streamed_bytes(self.perturbation.nbytes)
        return map(self.first_engine.prepare, self.perturbation.blocks(most))

    def blocks(self):
        """The whole block alone, or the streamed ones."""
        block = self.whole_block()
        return self.streamed_blocks() if block is None else [block]

    def parts(self, n_rows, n_bins=0, most=CHUNK_ROWS, plan=None, more_bytes=0):
        """Slices of rows whose chunks, one per thread, fit their share of the memory.

        With `more_bytes` per row beyond its features, logits and bins.
        """
        head = self.perturbation.head
        bytes_per_row = (
            BYTES_PER_FEATURE * head.n_features
            + BYTES_PER_LOGIT * head.n_classes
            + BYTES_PER_BIN * n_bins
            + more_bytes
        )
        n_logits = self.perturbation.n_logits
        engine, plan = self.first_engine, plan or self.plan()
        return row_slices(n_rows, engine.chunk_rows(plan, n_rows, bytes_per_row, n_logits, most))

    def map(self, work, items, plan=None):
        """`work(item)` for every item, in order, by threads or streams."""
        engine, plan = self.first_engine, plan or self.plan()
        done = engine.map(work, items, plan.n_threads)
        return self._until_lost(done) if engine.device_errors else done

    def _until_lost(self, done):
        try:
            yield from done
        except self.first_engine.device_errors:
            self.forget()
            raise


def execution_on(perturbation, engine_name):
    """A perturbation on an engine of this process.

    Parameters
    ----------
    perturbation : Perturbation
    engine_name : str

    Returns
    -------
    Execution
    """
    return Execution(perturbation, engine_named(engine_name))


class LastExecution:
    """The execution of the last call, used again for the same perturbation and engine.

    Pickling or copying it gives an empty one: draws are rebuilt from their seed.

    Parameters
    ----------
    execution : Execution or None
    """

    def __init__(self, execution=None):
        self.execution = execution

    def __reduce__(self):
        return LastExecution, ()

    def of(self, perturbation, engine):
        """The execution of a perturbation on an engine of this name.

        Parameters
        ----------
        perturbation : Perturbation
        engine : Engine

        Returns
        -------
        Execution
        """
        last = self.execution  # read once: another thread may replace it
        is_same = last is not None and last.perturbation is perturbation
        if not (is_same and last.first_engine.name == engine.name):
            last = self.execution = Execution(perturbation, engine)
        return last
