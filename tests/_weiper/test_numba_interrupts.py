"""numba is imported, and compiles, where no interrupt can leave either half done."""

import signal
import threading

import numpy as np
import pytest

from tests.interrupts import wait_for

numba = pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")


def sum_of_squares(values):
    total = 0.0
    for value in values:
        total += value * value
    return total


@pytest.fixture
def interrupt_soon():
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.005)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_an_interrupt_ends_the_wait_for_the_compiler_and_not_its_work(interrupt_soon):
    from skweiper._weiper.engines.numba_compilers import compiled_whole

    kernel = compiled_whole(numba.njit(sum_of_squares))
    with pytest.raises(KeyboardInterrupt):
        interrupt_soon()
        kernel(np.arange(3.0))
    assert wait_for(lambda: kernel.signatures)
    assert kernel(np.arange(3.0)) == 5.0


def test_kernels_compile_in_another_thread_than_the_main_one(monkeypatch):
    from skweiper._weiper.engines.numba_compilers import compiled_whole

    threads = []
    kernel = numba.njit(sum_of_squares)
    compile_for = kernel._compile_for_args

    def watched(*args, **kws):
        threads.append(threading.get_ident())
        return compile_for(*args, **kws)

    kernel._compile_for_args = watched
    compiled_whole(kernel)(np.arange(3.0))
    assert threads != [] and threading.get_ident() not in threads


def test_a_numba_without_the_private_name_compiles_as_it_does():
    from skweiper._weiper.engines.numba_compilers import compiled_whole

    kernel = object()
    assert compiled_whole(kernel) is kernel
