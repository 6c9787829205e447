"""The engine on an NVIDIA GPU: CuPy, cuBLAS and one raw kernel per tile.

All host draws are uploaded, so that a seed means the same on every device. The device's memory
pool is never freed here: it belongs to the whole process.
"""

from collections import deque
from contextlib import contextmanager
from functools import cache
from queue import Empty, SimpleQueue

import numpy as np

from skweiper._support.memory import (
    DEVICE_PERTURBATION,
    GATHERED_BLOCK,
    N_STREAMS,
    STREAMED_BLOCK,
    device_shares,
    host_shares,
    memory_budget,
    rows_within,
)
from skweiper._support.rows import row_slices
from skweiper._support.tasks import Workers
from skweiper._support.threads import LONGEST_WAIT, map_on
from skweiper._support.validation import check_finite
from skweiper._weiper.engines.arrays import ArrayEngine
from skweiper._weiper.engines.contract import Measured, Plan
from skweiper._weiper.engines.cupy_launches import (
    DIGITS_BYTES,
    EMPTY,
    SAMPLES_TOGETHER,
    SCORE_NUMBERS,
    THREADS,
    VECTOR,
    WARP_LANES,
    bins_arguments,
    cells_bytes,
    fits_shared_memory,
    histogram_copies,
    is_known,
    kernel_names,
    kernel_source,
    lanes_per_repeat,
    launches_of,
    n_vectors,
)
from skweiper._weiper.perturbation import FLOAT32_BYTES, ExplicitBlock, ImplicitBlock
from skweiper.scores import GEN_GAMMA, GEN_TOP_CLASSES

PIECE_BYTES = 32 * 2**20
"""Page-locked memory per piece of an upload."""
CUBLAS_ALLOCATION_FAILED = 3
PRODUCT_ROWS = 128
"""Rows of a tile of cuBLAS's kernels: fewer leave a part of it idle."""
N_STAGERS = 8
"""Threads that fill page-locked memory: one core copies slower than the bus."""


@cache
def kernels(device_id):
    """The compiled kernels, by name, on one device."""
    import cupy

    module = cupy.RawModule(code=kernel_source(), options=("--std=c++17",))
    with cupy.cuda.Device(device_id):
        return {name: module.get_function(name) for name in kernel_names()}


@cache
def idle_streams(device_id):
    """Streams that wait for work; always the same, since CuPy's pool keeps memory by stream."""
    idle = SimpleQueue()
    for _ in range(N_STREAMS + 1):  # one more for the caller, who collects what is done
        idle.put(new_stream(device_id))
    return idle


def new_stream(device_id):
    """A stream, ordered with the default one on which the caller prepares and collects arrays."""
    import cupy

    with cupy.cuda.Device(device_id):
        return cupy.cuda.Stream(non_blocking=False)


@cache
def worker_threads(device_id):
    """Threads that launch work; the same ones always, since each has its own cuBLAS handle.

    A new thread would make a new one, and its end would wait for the whole device.
    """
    return Workers(N_STREAMS)


@cache
def stager_threads():
    """Threads that copy rows into page-locked memory."""
    return Workers(N_STAGERS)


def travelling_dtype(dtype):
    """The dtype that values travel in: their own, or float32 where that is shorter.

    Parameters
    ----------
    dtype : numpy.dtype
        Real; possibly of the other byte order.

    Returns
    -------
    numpy.dtype
    """
    is_wider = dtype.itemsize > FLOAT32_BYTES
    return np.dtype(np.float32) if is_wider else dtype.newbyteorder("=")


def pointer(array):
    """An array as an argument of a kernel; `None` is no memory."""
    return np.uintp(0) if array is None else array


class CublasOutOfMemoryError(MemoryError):
    """cuBLAS found no room for its workspace, which CuPy reports as any other failure of it."""


class CupyEngine(ArrayEngine):
    """The methods of `NumpyEngine`, on CuPy arrays of one device.

    Parameters
    ----------
    device_id : int
        Number of the CUDA device.
    """

    keeps_logits = False

    def __init__(self, device_id=0):
        import cupy

        self.device_id = device_id
        self.name = f"cupy:{device_id}"
        self.device_errors = (
            cupy.cuda.runtime.CUDARuntimeError,
            cupy.cuda.driver.CUDADriverError,
            cupy.cuda.cublas.CUBLASError,
        )
        out_of_memory = (cupy.cuda.memory.OutOfMemoryError, CublasOutOfMemoryError)
        super().__init__(cupy, lambda: self.shares.tile, out_of_memory)
        # Once: cuBLAS rounds differently for another number of rows, and free memory varies.
        self.shares = device_shares(self.free_bytes())
        # What the caller computed on a stream of their own must be there before ours read it.
        with cupy.cuda.Device(device_id):
            cupy.cuda.get_current_stream().synchronize()

    def free_bytes(self):
        """Memory for new arrays: free on the device or in CuPy's pool, within the pool's limit."""
        with self.xp.cuda.Device(self.device_id):
            free, _ = self.xp.cuda.runtime.memGetInfo()
            pool = self.xp.get_default_memory_pool()
            free, limit = free + pool.free_bytes(), pool.get_limit()
            return max(0, min(free, limit - pool.used_bytes())) if limit else free

    def fits(self, perturbation_bytes, is_kept):
        """As the contract; what is kept no longer counts as free memory."""
        return is_kept or perturbation_bytes <= DEVICE_PERTURBATION * self.free_bytes()

    def streamed_bytes(self, perturbation_bytes):
        """As on the host, and a small part of what would be kept here, or was found not to fit."""
        kept_bytes = min(perturbation_bytes, DEVICE_PERTURBATION * self.free_bytes())
        return min(memory_budget(STREAMED_BLOCK), int(STREAMED_BLOCK * kept_bytes))

    def plan(self, perturbation_bytes):
        """Chunks by the device's memory; what is kept on the host, by its budget."""
        shares = host_shares(0)
        return Plan(
            N_STREAMS, self.shares.chunk, shares.sums, shares.sample, shares.tiles // N_STREAMS
        )

    def chunk_rows(self, plan, n_rows, bytes_per_row, logits_per_row, most):
        """As many rows as the device's memory holds."""
        return rows_within(plan.chunk_bytes, bytes_per_row, n_rows)

    def map(self, work, items, n_threads):
        """`work(item)` for every item, in order; one alone in the calling thread."""
        if len(items) == 1:
            return map(work, items)
        return map_on(worker_threads(self.device_id), work, items, n_threads)

    @contextmanager
    def working(self):
        """Compute on an idle stream, with results complete at the end.

        After an error, too: what is queued still writes to memory that is handed on otherwise.
        """
        streams = idle_streams(self.device_id)
        try:
            stream = streams.get(timeout=LONGEST_WAIT)
        except Empty:  # interrupts have lost them
            stream = new_stream(self.device_id)
        try:
            with self.xp.cuda.Device(self.device_id), stream:
                try:
                    yield
                finally:
                    stream.synchronize()
        finally:
            streams.put(stream)

    def _tile_rows(self, n_rows, values_per_row):
        """Whole tiles of cuBLAS's kernels, where there are several."""
        rows = super()._tile_rows(n_rows, values_per_row)
        return rows if rows == n_rows else rows - rows % PRODUCT_ROWS or rows

    def matmul(self, left, right):
        """The product of two matrices; a full device is an error of memory here, too."""
        try:
            return self.xp.matmul(left, right)
        except self.xp.cuda.cublas.CUBLASError as error:
            if error.status != CUBLAS_ALLOCATION_FAILED:
                raise
            raise CublasOutOfMemoryError(str(error)) from error

    def prepare(self, block):
        """A drawn block on the device, complete."""
        with self.xp.cuda.Device(self.device_id):
            if isinstance(block, ExplicitBlock):
                block = ExplicitBlock(self._moved(block.weight), block.bias)
            prepared = super().prepare(block)
            self.xp.cuda.get_current_stream().synchronize()
        return prepared

    def draw_whole(self, perturbation):
        """All repeats as one block on the device, drawn on the host some at a time."""
        with self.xp.cuda.Device(self.device_id):
            whole, first = None, 0
            for block in perturbation.blocks(memory_budget(GATHERED_BLOCK)):
                if isinstance(block, ImplicitBlock):
                    return self.prepare(block)
                if whole is None:
                    shape = (perturbation.n_repeats, *block.weight.shape[1:])
                    whole = self.xp.empty(shape, np.float32)
                self._set(whole[first : first + block.n_repeats], block.weight)
                first += block.n_repeats
            return self.prepare(ExplicitBlock(whole, block.bias))

    def _moved(self, weight):
        """On the device; CuPy itself would page-lock as much memory again, and keep it."""
        if isinstance(weight, self.xp.ndarray):
            return weight
        return self._set(self.xp.empty(weight.shape, weight.dtype), weight)

    def _set(self, target, values):
        """Copy drawn values, complete: they are freed before the next ones are drawn."""
        target.set(values)
        self.xp.cuda.get_current_stream().synchronize()
        return target

    def load(self, source, rows, feature_bins=()):
        """As the contract, with norms; the features are read once for them and the first bins."""
        raw = source.raw(rows) if source.is_on_device else self._uploaded(source, rows)
        features = self.xp.ascontiguousarray(raw, dtype=np.float32)
        fused = feature_bins[:1]
        if not all(fits_shared_memory(bins.n_bins, 1) for bins in fused):
            fused = ()
        norms, counts = self._examined(features, fused)
        if not self.xp.isfinite(norms).all():
            check_finite(features, source.raw(rows), source.row_numbers(rows))
        rest = self.counted(features, norms, feature_bins[len(fused) :])
        return rest._replace(counts=counts + rest.counts)

    def _examined(self, features, feature_bins):
        """Norms, and the histogram for at most one of the bins, as a list."""
        norms = self.xp.empty(features.shape[0], np.float32)
        if not feature_bins:
            self._examine("norms", features, None, None, norms)
            return norms, []
        (bins,) = feature_bins
        counts = self.xp.empty((features.shape[0], bins.n_bins), np.int32)
        self._examine("both", features, bins, counts, norms)
        return norms, [counts]

    def _examine(self, what, values, bins, counts, norms):
        n_samples, n_values = values.shape
        n_bins = 0 if bins is None else bins.n_bins
        copies = histogram_copies(n_bins, 1)
        sizes = map(np.int32, (n_values, copies))
        arguments = (values, *sizes, *bins_arguments(bins), *map(pointer, (counts, norms)))
        shared = copies * cells_bytes(n_bins, 1) if n_bins else 0
        self._run(f"examine_rows_{what}", n_samples, arguments, shared)

    def _uploaded(self, source, rows):
        """Rows through page-locked memory, in the shorter of their own dtype and float32.

        A piece is copied to the device while the next ones are staged.
        """
        stream, in_flight, raw = self.xp.cuda.get_current_stream(), deque(), None
        pieces = self._pieces(source, rows)
        staged_pieces = map_on(
            stager_threads(), lambda piece: self._staged(source.raw(piece)), pieces, N_STAGERS
        )
        for piece, staged in zip(pieces, staged_pieces, strict=True):
            if raw is None:
                raw = self.xp.empty((rows.stop - rows.start, staged.shape[1]), staged.dtype)
            raw[piece.start - rows.start : piece.stop - rows.start].set(staged, stream=stream)
            # Page-locked memory goes back to its pool once it is read, not before.
            in_flight.append((stream.record(), staged))
            if len(in_flight) > 2:
                in_flight.popleft()[0].synchronize()
        stream.synchronize()
        return raw

    def _pieces(self, source, rows):
        dtype = getattr(source.X, "dtype", np.dtype(np.float64))  # a frame has several
        bytes_per_row = source.n_features * dtype.itemsize
        n_rows = rows.stop - rows.start
        parts = row_slices(n_rows, rows_within(PIECE_BYTES, bytes_per_row, n_rows))
        return [slice(rows.start + part.start, rows.start + part.stop) for part in parts]

    def _staged(self, values):
        """Values in page-locked memory, as an array that keeps it."""
        dtype = travelling_dtype(values.dtype)
        with self.xp.cuda.Device(self.device_id):
            pinned = self.xp.cuda.alloc_pinned_memory(values.size * dtype.itemsize)
        staged = np.frombuffer(pinned, dtype, values.size).reshape(values.shape)
        with np.errstate(over="ignore"):  # found, with its place, by what loads the rows
            np.copyto(staged, values, casting="same_kind")
        return staged

    def histogram(self, values, bins):
        """Histogram of each row, cupy.ndarray of shape (n_samples, bins.n_bins), int32."""
        if not fits_shared_memory(bins.n_bins, 1):
            return super().histogram(values, bins)
        values = self.xp.ascontiguousarray(values, dtype=np.float32)
        counts = self.xp.empty((values.shape[0], bins.n_bins), np.int32)
        self._examine("counts", values, bins, counts, None)
        return counts

    def measure(self, features, block, logit_bins=(), scores=(), unperturbed=None, so_far=None):
        """Histograms and summed logit scores of the perturbed logits of each sample.

        As `NumpyEngine.measure`, with CuPy arrays; a callable score gets
        CuPy arrays too.
        """
        together = SAMPLES_TOGETHER if isinstance(block, ImplicitBlock) else 1
        if not all(fits_shared_memory(bins.n_bins, together) for bins in logit_bins):
            return super().measure(features, block, logit_bins, scores, unperturbed, so_far)
        counts, score_sums = self._empty_results(features.shape[0], logit_bins, scores)
        launches = launches_of(counts, score_sums, logit_bins, scores)
        others = [i for i, score in enumerate(scores) if not is_known(score)]
        unperturbed = unperturbed or self.unperturbed(features, block)
        if isinstance(block, ImplicitBlock):
            self._launch_implicit(unperturbed, block, launches)
            launches = []
        if launches or others:
            inputs = features, block, unperturbed
            self._measure_tiles(inputs, launches, scores, score_sums, others)
        return Measured([], counts, score_sums if so_far is None else score_sums + so_far)

    def _launch_implicit(self, unperturbed, block, launches):
        logits = self._whole_vectors(unperturbed.logits, EMPTY)
        offsets = self._whole_vectors(block.offsets, 0)
        for launch in launches:
            self._measure(
                "implicit", (logits, unperturbed.norms, offsets), block.offsets.shape, launch
            )

    def _whole_vectors(self, rows, filling):
        """Contiguous rows, filled up to whole vectors."""
        n_rows, width = rows.shape
        if width % VECTOR == 0:
            return self.xp.ascontiguousarray(rows)
        padded = self.xp.full((n_rows, VECTOR * n_vectors(width)), filling, np.float32)
        padded[:, :width] = rows
        return padded

    def _measure_tiles(self, inputs, launches, scores, score_sums, others):
        """What needs the perturbed logits in memory, tile by tile."""
        features, block, _ = inputs
        is_explicit = isinstance(block, ExplicitBlock)

        def work(part):
            # An explicit tile stays without its bias while the kernels, which add it, read it.
            tile = (
                self._products(features[part], block) if is_explicit else self._tile(*inputs, part)
            )
            for launch in launches:
                self._measure("stored", (tile, block.bias), tile.shape[1:], launch.of_rows(part))
            if others and is_explicit:
                tile += block.bias
            for i in others:
                self._sum_scores(score_sums[i : i + 1, part], tile, scores[i : i + 1])

        self._for_each_tile(features.shape[0], block.n_repeats * block.n_classes, work)

    def _measure(self, kind, arrays, shape, launch):
        """Run the implicit or a stored kernel on perturbed logits of (n_repeats, n_classes)."""
        n_repeats, n_classes = shape
        n_samples, n_bins = arrays[0].shape[0], 0 if launch.bins is None else launch.bins.n_bins
        together = SAMPLES_TOGETHER if kind == "implicit" else 1
        if launch.score == "gen":
            self._measure_gen(kind, arrays, shape, launch.sums)
            return
        lanes, copies = lanes_per_repeat(n_classes), histogram_copies(n_bins, together)
        number = SCORE_NUMBERS.get(launch.score, 0)
        arguments = (
            *arrays,
            *map(np.int32, (n_samples, n_repeats, n_classes, lanes, copies, number)),
            *bins_arguments(launch.bins),
            *map(pointer, (launch.counts, launch.sums)),
        )
        shared = copies * cells_bytes(n_bins, together) if n_bins else 0
        n_blocks = -(-n_samples // together)
        self._run(f"measure_{kind}_{launch.measure}", n_blocks, arguments, shared)

    def _measure_gen(self, kind, arrays, shape, sums):
        """The generalised entropy; each repeat takes a whole warp where classes are selected."""
        n_repeats, n_classes = shape
        selects = n_classes > GEN_TOP_CLASSES
        lanes = WARP_LANES if selects else lanes_per_repeat(n_classes)
        sizes = map(np.int32, (n_repeats, n_classes, lanes, GEN_TOP_CLASSES))
        arguments = (*arrays, *sizes, np.float32(GEN_GAMMA), sums)
        shared = DIGITS_BYTES if selects else 0
        self._run(f"measure_{kind}_gen", arrays[0].shape[0], arguments, shared)

    def _run(self, kernel, n_blocks, arguments, shared_bytes):
        kernels(self.device_id)[kernel]((n_blocks,), (THREADS,), arguments, shared_mem=shared_bytes)
