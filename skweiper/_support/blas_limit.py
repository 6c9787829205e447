"""BLAS held to one thread, and given its threads back wherever an interrupt comes."""

import os
from collections.abc import Callable
from functools import wraps
from itertools import product
from threading import Lock
from typing import NamedTuple

from threadpoolctl import ThreadpoolController

from skweiper._support.tasks import out_of_reach

AFFIXES = tuple(product(("", "scipy_"), ("", "64_", "_64")))
"""Before and behind the names of OpenBLAS's functions, as its builds have them."""


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
    restores it, whichever threads they run in. An interrupt may come between any two steps: then to
    leave, once more too, completes it, and whoever enters before is inside the limit all the same.
    """

    def __init__(self):
        self._libraries = None
        self.begin()

    def begin(self):
        """Begin with nobody inside."""
        self._lock = Lock()
        self._inside = set()
        self._before = []

    def enter(self, holder):
        """Hold the limit.

        Parameters
        ----------
        holder : hashable
            Whoever leaves must pass the same.
        """
        with self._lock:
            if not self._inside:
                self._limit()
            self._inside.add(holder)

    def leave(self, holder):
        """Hold it no longer."""
        with self._lock:
            self._inside.discard(holder)
            if not self._inside:
                self._restore()

    def _limit(self):
        if self._libraries is None:
            # threadpoolctl is called back from C there, which would swallow an interrupt.
            self._libraries = out_of_reach(blas_libraries)
        for library in self._libraries:
            n_threads = library.get_num_threads() or 1
            if n_threads > 1:
                self._before.append((library, n_threads))
                library.set_num_threads(1)

    def _restore(self):
        for library, n_threads in self._before:
            library.set_num_threads(n_threads)
        self._before.clear()


OF_PROCESS = BlasLimit()
if hasattr(os, "register_at_fork"):
    # Nobody is inside in a child, even if it is forked while another thread is.
    os.register_at_fork(after_in_child=OF_PROCESS.begin)


def one_blas_thread(work):
    """Decorator of a function in which BLAS computes in the calling thread alone.

    A product that BLAS spreads over threads has other edges, and so other bits, than one that it
    does not; and a small product waits for threads that a busy system does not run. (No context
    manager: an interrupt that comes as it is entered would leave it for good.)
    """

    @wraps(work)
    def limited(*arguments):
        holder = object()
        try:
            try:
                OF_PROCESS.enter(holder)
                return work(*arguments)
            finally:
                OF_PROCESS.leave(holder)
        finally:  # again: an interrupt may have ended the first call before its first step
            OF_PROCESS.leave(holder)

    return limited
