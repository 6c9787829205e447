"""Interrupts at every point of some work, one after the other."""

import gc
import sys
from itertools import count
from time import monotonic, sleep

from threadpoolctl import threadpool_info

LONGEST_WAIT = 5.0


def interrupted_at(point, work):
    """Raise KeyboardInterrupt in some work of this thread, and return it; None if it ended before.

    Parameters
    ----------
    point : int
        Which of the points, from 1 on: the interpreter looks for signals where a function written
        in Python begins and where one written in C returns. (And at the end of each turn of a loop,
        which cannot be had here.)
    work : callable()
    """
    seen = 0

    def watch(frame, event, argument):
        nonlocal seen
        seen += event in ("call", "c_return")
        if seen == point:
            sys.setprofile(None)
            raise KeyboardInterrupt

    is_collecting = gc.isenabled()
    gc.disable()  # an interrupt in somebody's gc callback would be theirs, and only be reported
    sys.setprofile(watch)
    try:
        work()
    except KeyboardInterrupt as error:
        return error
    finally:
        sys.setprofile(None)
        if is_collecting:
            gc.enable()
    return None


def number_of_points(work):
    """At how many points the work may be interrupted."""
    seen = 0

    def watch(frame, event, argument):
        nonlocal seen
        seen += event in ("call", "c_return")

    sys.setprofile(watch)
    work()
    sys.setprofile(None)
    return seen


def interrupts(work):
    """Yield the KeyboardInterrupt at each point of some work, which begins anew each time."""
    for point in count(1):
        error = interrupted_at(point, work)
        if error is None:
            return
        yield error


def blas_threads():
    """Threads of each BLAS library."""
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


def python_threads():
    """Threads that run or wait in Python, those that `threading` does not know included."""
    return len(sys._current_frames())


def wait_for(condition):
    """What was running, at most a chunk in each thread, may take a moment to end."""
    latest = monotonic() + LONGEST_WAIT
    while not condition():
        if monotonic() > latest:
            return False
        sleep(0.001)
    return True
