"""Threads of our own over chunks of rows, and BLAS held to one thread meanwhile."""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import product
from typing import NamedTuple

from joblib import cpu_count
from sklearn import config_context, get_config
from threadpoolctl import ThreadpoolController

AFFIXES = tuple(product(("", "scipy_"), ("", "64_", "_64")))
"""Before and behind the names of OpenBLAS's functions, as its builds have them."""


def available_threads():
    """Threads that this call may use without oversubscribing the machine.

    One where the caller already runs in a thread of its own, or in a joblib or Dask worker that
    was given one core (they say so through OMP_NUM_THREADS).
    """
    if threading.current_thread() is not threading.main_thread():
        return 1
    granted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, min(n_cores(), int(granted))) if granted.isdigit() else n_cores()


@cache
def n_cores():
    """Cores of this process; asked for once, since it takes longer than to score a row."""
    return cpu_count()


class BlasLibrary(NamedTuple):
    """How many threads a BLAS library of this process may use."""

    get_num_threads: Callable
    set_num_threads: Callable


def blas_libraries():
    """The BLAS libraries that are loaded, list of `BlasLibrary`."""
    controllers = ThreadpoolController().lib_controllers
    return [_as_library(library) for library in controllers if library.user_api == "blas"]


def _as_library(controller):
    """OpenBLAS's own functions: threadpoolctl lets the first thread that asks set the number, and
    ignores all others, from its version 3.8 on."""
    if controller.internal_api == "openblas" and controller.threading_layer != "openmp":
        for before, behind in AFFIXES:
            names = [f"{before}openblas_{do}_num_threads{behind}" for do in ("get", "set")]
            if all(hasattr(controller.dynlib, name) for name in names):
                return BlasLibrary(*(getattr(controller.dynlib, name) for name in names))
    return BlasLibrary(controller.get_num_threads, controller.set_num_threads)


class BlasLimit:
    """Holds the process's BLAS libraries at one thread while anybody is inside.

    The number of threads belongs to the process: the first to come sets it, and the last to leave
    restores it, whichever threads they run in.
    """

    def __init__(self):
        self._libraries = blas_libraries()
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before = []

    def __enter__(self):
        with self._lock:
            if self._n_inside == 0:
                self._before = list(self._changeable())
                for library, _ in self._before:
                    library.set_num_threads(1)
            self._n_inside += 1

    def __exit__(self, *exception):
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                for library, n_threads in self._before:
                    library.set_num_threads(n_threads)

    def _changeable(self):
        """The libraries that now have several threads, and how many."""
        for library in self._libraries:
            n_threads = library.get_num_threads() or 1
            if n_threads > 1:
                yield library, n_threads


@cache
def blas_limit():
    """The limit of this process; made anew in a child that is forked while somebody is inside."""
    return BlasLimit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=blas_limit.cache_clear)


def one_blas_thread():
    """Context in which BLAS computes in the calling thread alone.

    A product that BLAS spreads over threads has other edges, and so other bits, than one that it
    does not; and a small product waits for threads that a busy system does not run.
    """
    return blas_limit()


def map_in_order(work, items, n_threads):
    """Iterator over `work(item)` for every item, in order, computed by `n_threads` threads.

    No more than `n_threads` + 1 results wait at any time, so memory does not grow with the number
    of items. Where there are several threads, BLAS has one in each of them.
    """
    if n_threads == 1 or len(items) == 1:
        return map(work, items)
    return _map_on_new_threads(work, items, n_threads)


def _map_on_new_threads(work, items, n_threads):
    with one_blas_thread(), ThreadPoolExecutor(n_threads) as pool:
        yield from map_on(pool, work, items, n_threads)


def map_on(pool, work, items, n_threads):
    """`map_in_order` on the threads of an executor, which may outlive the call."""
    waiting = deque()
    settings = get_config()  # scikit-learn keeps its settings, working_memory too, by thread

    def configured(item):
        with config_context(**settings):
            return work(item)

    try:
        for item in items:
            waiting.append(pool.submit(configured, item))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # What has begun may still read what the caller is about to free.
        wait([future for future in waiting if not future.cancel()])
