"""Calls made by threads that no interrupt reaches, and handed over such that none can block it.

An interrupt, Ctrl-C's KeyboardInterrupt, is raised between any two steps of the main thread. The
locks of `threading` and `concurrent.futures` whose methods are written in Python may stay locked by
it, and whoever needs them next waits for ever: a thread that starts, one that ends, one that leaves
a result. Here only the interpreter's own locks and queues are used, whose methods are carried out
whole or not at all.
"""

from _thread import start_new_thread
from functools import partial
from queue import SimpleQueue
from threading import get_ident, main_thread


def is_main_thread():
    """Whether the caller's thread is the one in which interrupts are raised."""
    return get_ident() == main_thread().ident


class Workers:
    """Threads that make calls, in the order in which they are submitted.

    They start with the first calls, and end once a None is put into `calls`.

    Parameters
    ----------
    n_threads : int
    """

    def __init__(self, n_threads):
        self.calls = SimpleQueue()
        self._n_to_start = n_threads

    def submit(self, call):
        """Have a call made, and what becomes of it left in the queue that is returned."""
        if self._n_to_start > 0:
            start_new_thread(make_calls, (self.calls,))
            self._n_to_start -= 1  # after: rather a thread too many than one too few
        outcome = SimpleQueue()
        self.calls.put(partial(make, call, outcome))
        return outcome


def make_calls(calls):
    """Make all calls until a None, which is left for the next thread."""
    while (call := calls.get()) is not None:
        call()
        del call  # what it refers to would live until the next one comes
    calls.put(None)


def make(call, outcome):
    """Make a call, and leave what it returns and what it raises in a queue."""
    try:
        outcome.put((call(), None))
    except BaseException as error:
        outcome.put((None, error))


def result_in(outcome):
    """What a call returned, once it is made, or raise what it raised."""
    value, error = outcome.get()
    if error is None:
        return value
    try:
        raise error
    finally:
        del error  # its traceback holds this frame


def out_of_reach(work, *arguments):
    """`work(*arguments)`, which an interrupt cannot leave half done: it ends the wait only.

    Where the caller is in the main thread, another one makes the call.
    """
    if not is_main_thread():
        return work(*arguments)
    outcome = SimpleQueue()
    start_new_thread(make, (partial(work, *arguments), outcome))
    return result_in(outcome)
