"""Where a perturbation is computed: blocks kept between calls, never copied, lost with a device."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skweiper._support.memory import rows_within
from skweiper._support.rows import FeatureRows
from skweiper._weiper.engines.arrays import ArrayEngine
from skweiper._weiper.engines.contract import Plan, Request
from skweiper._weiper.execution import Execution, LastExecution
from skweiper._weiper.passes import over_chunks
from skweiper._weiper.perturbation import Perturbation
from skweiper._weiper.ranges import learn_ranges
from skweiper.detector import WeiPerDetector
from skweiper.head import check_head

ROWS = FeatureRows(np.random.RandomState(1).randn(30, 12).astype(np.float32))


class DeviceLostError(RuntimeError):
    """Stands for CUDA's error on a device that is gone."""


class HostDevice(ArrayEngine):
    """A device that is the host: streams do nothing, and its errors are ours to raise."""

    name = "host-device"
    keeps_logits = False
    device_errors = (DeviceLostError,)

    def __init__(self, chunk_bytes=2000, free_bytes=10**6):
        super().__init__(np, lambda: 10**6)
        self.n_prepared, self.bytes_per_chunk = 0, chunk_bytes
        self.free_bytes = free_bytes

    def fits(self, perturbation_bytes, is_kept):
        return is_kept or perturbation_bytes <= self.free_bytes // 2

    def streamed_bytes(self, perturbation_bytes):
        return self.free_bytes // 4

    def plan(self, perturbation_bytes):
        return Plan(2, self.bytes_per_chunk, 10**6, 10**6, 10**6)

    def chunk_rows(self, plan, n_rows, bytes_per_row, logits_per_row, most):
        return rows_within(plan.chunk_bytes, bytes_per_row, n_rows)

    def prepare(self, block):
        self.n_prepared += 1
        return super().prepare(block)


def perturbation():
    head = check_head(np.random.RandomState(0).randn(4, 12), None, 12)
    return Perturbation(head, "explicit", 2.0, 6, 3)


def make_execution(engine):
    return Execution(perturbation(), engine)


def mean_score(measured, engine):
    return measured.score_sums[0] / 6


def measure(execution, keep=mean_score):
    done = over_chunks(ROWS, execution, Request(scores=("msp",)), keep)
    return np.concatenate([part for _, part in done])


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_keep_no_execution_and_the_original_keeps_its_own(copied):
    last, drawn = LastExecution(), perturbation()
    execution = last.of(drawn, HostDevice())
    measure(execution)
    assert execution.holds_block()
    assert copied(last).execution is None
    assert last.of(drawn, HostDevice()) is execution


def test_blocks_are_prepared_once_and_kept_between_calls():
    execution = make_execution(HostDevice())
    np.testing.assert_array_equal(measure(execution), measure(execution))
    assert execution.engine.n_prepared == 1


def test_the_block_is_forgotten_when_the_device_is_lost_and_drawn_again():
    execution = make_execution(HostDevice())
    expected = measure(execution)

    def lose_device(measured, engine):
        raise DeviceLostError

    with pytest.raises(DeviceLostError):
        measure(execution, lose_device)
    assert not execution.holds_block()
    np.testing.assert_array_equal(measure(execution), expected)
    assert execution.engine.n_prepared == 2


def test_the_block_survives_errors_that_are_not_the_device_s():
    execution = make_execution(HostDevice())
    with pytest.raises(ZeroDivisionError):
        measure(execution, lambda measured, engine: 1 // 0)
    assert execution.holds_block()


class ForgottenMeanwhile(HostDevice):
    """A device whose block another thread forgets while it is asked whether it fits."""

    def fits(self, perturbation_bytes, is_kept):
        self.execution.forget()
        return super().fits(perturbation_bytes, is_kept)


def test_a_block_that_another_thread_forgets_is_the_same():
    engine = ForgottenMeanwhile()
    engine.execution = make_execution(engine)
    first, second = engine.execution.whole_block(), engine.execution.whole_block()
    np.testing.assert_array_equal(first.weight, second.weight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_of_a_fitted_detector_share_no_cache_and_score_the_same(copied):
    rng = np.random.RandomState(0)
    detector = WeiPerDetector(rng.randn(4, 12), projection="explicit", random_state=0)
    scores = detector.fit(ROWS.X).score_samples(ROWS.X)
    other = copied(detector)
    assert other._last_execution is not detector._last_execution
    np.testing.assert_array_equal(other.score_samples(ROWS.X), scores)


class CrampedDevice(HostDevice):
    """A device with room for a few rows at a time."""

    def load(self, rows, part, feature_bins=()):
        if part.stop - part.start > 3:
            raise MemoryError
        return super().load(rows, part, feature_bins)


class RoomlessDevice(HostDevice):
    def load(self, rows, part, feature_bins=()):
        raise MemoryError


@pytest.mark.parametrize("free_bytes", [10**6, 1000], ids=["kept", "streamed"])
def test_chunks_are_halved_until_they_fit_the_device(free_bytes):
    expected = make_execution(HostDevice())
    cramped = make_execution(CrampedDevice(10**6, free_bytes))
    np.testing.assert_allclose(measure(cramped), measure(expected), rtol=1e-5)
    both = (learn_ranges(ROWS, each, [(0.0, 1.0), (0.1, 0.9)]) for each in (cramped, expected))
    found, others = both
    assert found.extremes.n_zeros == others.extremes.n_zeros
    for one, other in zip(np.ravel(found.ranges), np.ravel(others.ranges), strict=True):
        np.testing.assert_allclose(one.as_array(), other.as_array(), rtol=1e-5)


@pytest.mark.parametrize("free_bytes", [10**6, 1000], ids=["kept", "streamed"])
def test_a_row_that_does_not_fit_the_device_is_an_error(free_bytes):
    with pytest.raises(MemoryError):
        measure(make_execution(RoomlessDevice(free_bytes=free_bytes)))


def test_the_sizes_chosen_first_stay_for_a_perturbation():
    last, drawn = LastExecution(), perturbation()
    first = last.of(drawn, HostDevice(chunk_bytes=2000)).parts(30)
    assert last.of(drawn, HostDevice(chunk_bytes=500)).parts(30) == first
    assert len(last.of(perturbation(), HostDevice(chunk_bytes=500)).parts(30)) > len(first)


def test_repeats_in_blocks_score_as_whole_ones_on_a_device():
    whole = make_execution(HostDevice())
    streamed = make_execution(HostDevice(free_bytes=whole.perturbation.nbytes))
    assert whole.whole_block() is not None
    assert streamed.whole_block() is None
    np.testing.assert_allclose(measure(streamed), measure(whole), rtol=1e-6)
    assert streamed.engine.n_prepared > 1


def test_a_block_that_runs_out_of_memory_is_streamed():
    class Deceived(HostDevice):
        def draw_whole(self, perturbation):
            raise MemoryError

    expected = measure(make_execution(HostDevice()))
    np.testing.assert_allclose(measure(make_execution(Deceived())), expected, rtol=1e-6)


def test_a_clone_has_no_execution():
    rng = np.random.RandomState(0)
    detector = WeiPerDetector(rng.randn(4, 12), random_state=0).fit(ROWS.X)
    assert "_last_execution" not in vars(clone(detector))
