"""Work in other threads: in order, with its errors, and never waited for in vain."""

import gc
import signal
import sys
import threading
import weakref
from contextlib import closing
from time import monotonic, sleep

import numpy as np
import pytest
from sklearn import config_context, get_config
from threadpoolctl import threadpool_limits

from skweiper._support import threads
from skweiper._support.tasks import Workers, out_of_reach
from skweiper._support.threads import map_in_order, map_on
from tests.interrupts import (
    blas_threads,
    interrupted_at,
    interrupts,
    python_threads,
    wait_for,
)

ITEMS, EXPECTED = range(6), [0, 1, 4, 9, 16, 25]


def square(item):
    return item * item


def ended(before):
    return wait_for(lambda: python_threads() <= before)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 20])
def test_results_come_in_order(n_threads):
    def late(item):
        sleep(0.002 * (item % 3 == 0))
        return square(item)

    assert list(map_in_order(late, ITEMS, n_threads)) == EXPECTED
    assert list(map_in_order(late, [], n_threads)) == []


def test_few_results_wait_at_any_time():
    begun = []
    done = map_in_order(begun.append, range(50), 2)
    next(done)
    sleep(0.05)
    assert len(begun) <= 1 + 2 + 1
    done.close()


def test_an_error_comes_in_its_place_and_ends_the_rest():
    before, begun = python_threads(), []

    def work(item):
        begun.append(item)
        if item == 3:
            raise ZeroDivisionError(item)
        return square(item)

    done = map_in_order(work, range(100), 2)
    assert [next(done) for _ in range(3)] == EXPECTED[:3]
    with pytest.raises(ZeroDivisionError, match="3"):
        next(done)
    assert len(begun) < 10
    assert ended(before)


def test_what_runs_has_ended_when_the_generator_is_closed():
    running = []

    def work(item):
        running.append(item)
        sleep(0.02)
        running.remove(item)

    with closing(map_in_order(work, ITEMS, 3)) as done:
        next(done)
    assert running == []


def test_what_does_not_end_is_waited_for_within_reason(monkeypatch):
    monkeypatch.setattr(threads, "LONGEST_WAIT", 0.05)
    before, hold, start = python_threads(), threading.Event(), monotonic()

    def work(item):
        if item:
            hold.wait(20)

    with closing(map_in_order(work, ITEMS, 3)) as done:
        next(done)
    assert monotonic() - start < 5
    hold.set()
    assert ended(before)


def test_results_are_not_kept_once_they_are_handed_out():
    done = map_in_order(lambda item: np.empty(item + 1), ITEMS, 2)
    references = [weakref.ref(next(done)) for _ in range(3)]
    assert [reference() for reference in references] == [None] * 3
    done.close()


def test_an_error_keeps_nothing_alive():
    class Large:
        pass

    def work(item):
        large = Large()
        references.append(weakref.ref(large))
        raise ZeroDivisionError(item)

    references = []
    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError):
            list(map_in_order(work, range(2), 2))
        assert wait_for(lambda: references[0]() is None)
    finally:
        gc.enable()


def test_threads_have_the_settings_of_the_caller():
    def working_memory(item):
        return get_config()["working_memory"]

    with config_context(working_memory=17):
        assert list(map_in_order(working_memory, ITEMS, 2)) == [17] * len(ITEMS)


def squares(n_threads):
    """Lists keep what they iterate over in their frame, and so does a traceback."""
    return [item + square(1) for item in map_in_order(square, ITEMS, n_threads)]


@pytest.mark.parametrize("n_threads", [2, 3])
def test_an_interrupt_at_any_point_ends_the_work_and_nothing_else(n_threads):
    """In the caller's own code between two results, too; with the traceback held."""
    before, n_interrupts = python_threads(), 0
    with threadpool_limits(2, user_api="blas"):
        blas = blas_threads()
        while held := interrupted_at(n_interrupts + 1, lambda: squares(n_threads)):
            n_interrupts += 1
            assert wait_for(lambda: blas_threads() == blas)
            assert list(map_in_order(square, ITEMS, n_threads)) == EXPECTED
            assert blas_threads() == blas
            del held
            assert ended(before)
    assert n_interrupts > 50


def test_threads_that_last_serve_after_an_interrupt_at_any_point():
    workers, before = Workers(2), python_threads()
    for held in interrupts(lambda: list(map_on(workers, square, ITEMS, 2))):
        assert held is not None
        assert list(map_on(workers, square, ITEMS, 2)) == EXPECTED
        assert python_threads() <= before + 5
    workers.calls.put(None)
    assert ended(before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_out_of_reach_the_wait_is_interrupted_and_not_the_work():
    done = []

    def work(seconds):
        sleep(seconds)
        done.append(threading.get_ident())
        return "done"

    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            out_of_reach(work, 0.1)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert wait_for(lambda: done)
    assert done[0] != threading.get_ident()
    assert out_of_reach(work, 0) == "done"
    with pytest.raises(ZeroDivisionError):
        out_of_reach(lambda: 1 / 0)


def test_nothing_is_written_to_standard_error(capfd):
    for held in interrupts(lambda: list(map_in_order(square, range(3), 2))):
        assert held is not None
    sys.stderr.flush()
    assert capfd.readouterr().err == ""
