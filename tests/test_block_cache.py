"""The cache of drawn perturbations: kept between calls, never copied, dropped with its device."""

import copy
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.base import clone

from skweiper._support.rows import FeatureRows
from skweiper._support.threads import map_in_order
from skweiper._weiper.engines.arrays import ArrayEngine
from skweiper._weiper.passes import (
    BlockCache,
    PerturbedSpace,
    Request,
    chunk_slices,
    measured_chunks,
    value_ranges,
)
from skweiper._weiper.perturbation import Perturbation
from skweiper.detector import WeiPerDetector
from skweiper.head import check_head

ROWS = FeatureRows(np.random.RandomState(1).randn(30, 12).astype(np.float32))


class DeviceLostError(RuntimeError):
    """Stands for CUDA's error on a device that is gone."""


class HostDevice(ArrayEngine):
    """A device that is the host: streams do nothing, and its errors are ours to raise."""

    name = "host-device"
    n_threads = 2
    device_errors = (DeviceLostError,)

    def __init__(self, chunk_bytes=2000):
        super().__init__(np, lambda: 10**6)
        self.n_prepared, self.bytes_per_chunk = 0, chunk_bytes

    def working(self):
        return nullcontext()

    def map(self, work, items):
        return map_in_order(work, items, self.n_threads)

    def memory_budget(self):
        return 10**6

    def chunk_bytes(self):
        return self.bytes_per_chunk

    def prepare(self, block):
        self.n_prepared += 1
        return super().prepare(block)

    def gather(self, blocks, n_repeats):
        (block,) = blocks
        return self.prepare(block)


def make_space(engine):
    head = check_head(np.random.RandomState(0).randn(4, 12), None, 12)
    perturbation = Perturbation(head, "explicit", 2.0, 6, 3)
    return PerturbedSpace(perturbation, engine, BlockCache())


def measure(space, finish=lambda measured: measured.score_means[0]):
    chunks = measured_chunks(ROWS, space, Request(scores=("msp",)), finish)
    return np.concatenate([part for _, part in chunks])


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_of_a_cache_are_empty_and_the_original_keeps_its_blocks(copied):
    space = make_space(HostDevice())
    measure(space)
    assert space.cache.holds(space.perturbation, space.engine)
    assert not copied(space.cache).holds(space.perturbation, space.engine)
    assert space.cache.holds(space.perturbation, space.engine)


def test_blocks_are_prepared_once_and_kept_between_calls():
    space = make_space(HostDevice())
    np.testing.assert_array_equal(measure(space), measure(space))
    assert space.engine.n_prepared == 1


def test_the_cache_is_dropped_when_the_device_is_lost_and_filled_again():
    space = make_space(HostDevice())
    expected = measure(space)

    def lose_device(measured):
        raise DeviceLostError

    with pytest.raises(DeviceLostError):
        measure(space, lose_device)
    assert not space.cache.holds(space.perturbation, space.engine)
    np.testing.assert_array_equal(measure(space), expected)
    assert space.engine.n_prepared == 2


class OtherThread(BlockCache):
    """A cache that another thread fills, or drops, while it is asked whether it holds a block."""

    def __init__(self, interfere):
        super().__init__()
        self.interfere = interfere

    @property
    def _kept(self):
        value = self.value
        self.interfere(self)
        return value

    @_kept.setter
    def _kept(self, value):
        self.value = value


def test_a_cache_that_another_thread_fills_or_drops_gives_the_same_block():
    space = make_space(HostDevice())
    (expected,) = space.cache.blocks(space.perturbation, space.engine, 10**6)
    entry = space.perturbation, space.engine.name, expected
    for before, after in ((None, entry), (entry, None)):
        cache = OtherThread(lambda cache, after=after: setattr(cache, "value", after))
        cache.value = before
        (block,) = cache.blocks(space.perturbation, space.engine, 10**6)
        np.testing.assert_array_equal(block.weight, expected.weight)


def test_the_cache_survives_errors_that_are_not_the_device_s():
    space = make_space(HostDevice())
    with pytest.raises(ZeroDivisionError):
        measure(space, lambda measured: 1 // 0)
    assert space.cache.holds(space.perturbation, space.engine)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_of_a_fitted_detector_share_no_cache_and_score_the_same(copied):
    rng = np.random.RandomState(0)
    detector = WeiPerDetector(rng.randn(4, 12), projection="explicit", random_state=0)
    scores = detector.fit(ROWS.X).score_samples(ROWS.X)
    other = copied(detector)
    assert other._block_cache is not detector._block_cache
    np.testing.assert_array_equal(other.score_samples(ROWS.X), scores)


class CrampedDevice(HostDevice):
    """A device with room for a few rows at a time."""

    def load(self, source, rows):
        if rows.stop - rows.start > 3:
            raise MemoryError
        return super().load(source, rows)


class RoomlessDevice(HostDevice):
    def load(self, source, rows):
        raise MemoryError


def test_chunks_are_halved_until_they_fit_the_device():
    expected, cramped = make_space(HostDevice()), make_space(CrampedDevice(10**6))
    np.testing.assert_allclose(measure(cramped), measure(expected), rtol=1e-5)
    for ranges, others in zip(
        value_ranges(ROWS, cramped), value_ranges(ROWS, expected), strict=True
    ):
        np.testing.assert_allclose(ranges.as_array(), others.as_array(), rtol=1e-5)


def test_a_row_that_does_not_fit_the_device_is_an_error():
    space = make_space(RoomlessDevice())
    with pytest.raises(MemoryError):
        measure(space)


def test_the_sizes_chosen_first_stay_for_a_perturbation():
    space = make_space(HostDevice(chunk_bytes=2000))
    later = PerturbedSpace(space.perturbation, HostDevice(chunk_bytes=500), space.cache)
    assert chunk_slices(30, later) == chunk_slices(30, space)
    other = make_space(HostDevice()).perturbation
    fresh = PerturbedSpace(other, HostDevice(chunk_bytes=500), space.cache)
    assert len(chunk_slices(30, fresh)) > len(chunk_slices(30, space))


def test_repeats_in_blocks_score_as_whole_ones_on_a_device():
    whole, streamed = make_space(HostDevice()), make_space(HostDevice())
    streamed.largest_kept = whole.perturbation.nbytes // 2
    assert whole.fits and not streamed.fits
    np.testing.assert_allclose(measure(streamed), measure(whole), rtol=1e-6)
    assert streamed.engine.n_prepared > 1


def test_a_clone_has_no_cache():
    rng = np.random.RandomState(0)
    detector = WeiPerDetector(rng.randn(4, 12), random_state=0).fit(ROWS.X)
    assert "_block_cache" not in vars(clone(detector))
