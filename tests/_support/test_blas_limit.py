"""BLAS has one thread inside and what it had outside, whoever asks and whatever comes between."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skweiper._support.blas_limit import BlasLimit, blas_libraries, one_blas_thread
from tests.interrupts import blas_threads, interrupted_at, interrupts


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("needs a BLAS with several threads")
        yield


@one_blas_thread
def threads_inside():
    return blas_threads()


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_blas_has_one_thread_inside_and_what_it_had_outside():
    assert set(threads_inside()) == {1}
    assert set(one_blas_thread(threads_inside)()) == {1}
    assert set(blas_threads()) == {2}
    with pytest.raises(ZeroDivisionError):
        one_blas_thread(lambda: 1 / 0)()
    assert set(blas_threads()) == {2}


def test_the_limit_holds_in_threads_other_than_the_first_that_asked():
    """As with threadpoolctl 3.8 itself."""
    threads_inside()
    assert set(in_a_thread(threads_inside)) == {1}
    assert set(blas_threads()) == {2}


def test_it_lasts_until_the_last_has_left():
    limit = BlasLimit()
    limit.enter("first")
    in_a_thread(lambda: limit.enter("second"))
    limit.leave("first")
    assert set(blas_threads()) == {1}
    in_a_thread(lambda: limit.leave("second"))
    assert set(blas_threads()) == {2}


def test_to_leave_twice_does_no_harm():
    limit = BlasLimit()
    limit.enter("first")
    limit.enter("second")
    limit.leave("first")
    limit.leave("first")
    assert set(blas_threads()) == {1}
    limit.leave("second")
    limit.leave("second")
    assert set(blas_threads()) == {2}


def test_an_interrupt_at_any_point_leaves_blas_its_threads():
    matrix, n_interrupts = np.eye(3), 0
    multiply = one_blas_thread(np.matmul)
    for held in interrupts(lambda: multiply(matrix, matrix)):
        assert set(blas_threads()) == {2}
        n_interrupts += held is not None
    assert n_interrupts > 10
    assert set(threads_inside()) == {1}


@pytest.mark.parametrize("point", [1, 2, 3, 4, 5, 6, 7, 8])
def test_who_enters_after_an_interrupt_is_inside_the_limit(point):
    """Whichever steps of entering or leaving the interrupt left out."""
    limit = BlasLimit()
    limit.enter("any")
    limit.leave("any")
    for step in (limit.enter, limit.leave):
        interrupted_at(point, lambda step=step: step("interrupted"))
        limit.enter("other")
        limit.leave("interrupted")
        assert set(blas_threads()) == {1}
        limit.leave("other")
        assert set(blas_threads()) == {2}


def test_the_libraries_are_looked_for_again_where_an_interrupt_came():
    limit, found = BlasLimit(), len(blas_libraries())
    for point in (5, 10, 20, 40):
        interrupted_at(point, lambda: limit.enter("interrupted"))
        limit.leave("interrupted")
    limit.enter("other")
    assert blas_threads() == [1] * found
    limit.leave("other")


def test_a_library_that_tells_no_number_is_left_alone(monkeypatch):
    mute = SimpleNamespace(get_num_threads=lambda: None, set_num_threads=lambda n: 1 / 0)
    monkeypatch.setattr("skweiper._support.blas_limit.blas_libraries", lambda: [mute])
    limit = BlasLimit()
    limit.enter("any")
    limit.leave("any")
