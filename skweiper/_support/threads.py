"""Threads of our own over chunks of rows."""

import os
from collections import deque
from functools import cache, partial
from threading import get_ident
from time import monotonic, sleep

from joblib import cpu_count
from sklearn import config_context, get_config

from skweiper._support.blas_limit import one_blas_thread
from skweiper._support.tasks import Workers, is_main_thread, result_in

LONGEST_WAIT = 5.0
"""Seconds that a caller who stops waits for what still runs: a chunk takes a fraction of one."""


def available_threads():
    """Threads that this call may use without oversubscribing the machine.

    One where the caller already runs in a thread of its own, or in a joblib or Dask worker that
    was given one core (they say so through OMP_NUM_THREADS).
    """
    if not is_main_thread():
        return 1
    granted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, min(n_cores(), int(granted))) if granted.isdigit() else n_cores()


@cache
def n_cores():
    """Cores of this process; asked for once, since it takes longer than to score a row."""
    return cpu_count()


def map_in_order(work, items, n_threads):
    """Iterator over `work(item)` for every item, in order, computed by `n_threads` threads.

    No more than `n_threads` + 1 results wait at any time, so memory does not grow with the number
    of items. Where there are several threads, BLAS has one in each of them.
    """
    if n_threads == 1 or len(items) == 1:
        return map(work, items)
    return _map_on_new_threads(work, items, n_threads)


def _map_on_new_threads(work, items, n_threads):
    workers = Workers(n_threads)
    try:
        yield from map_on(workers, one_blas_thread(work), items, n_threads)
    finally:
        workers.calls.put(None)  # the first step, which no interrupt can keep from being taken


def map_on(workers, work, items, n_threads):
    """`map_in_order` on the threads of `Workers`, which may outlive the call.

    Whoever stops before the last item, by an error or an interrupt, ends it: what has not begun is
    left out, and what has begun, which may still read what the caller is about to free, is waited
    for. Where the interrupt came between two results, that is once its traceback is forgotten.
    """
    outcomes, running, is_over = deque(), set(), False
    settings = get_config()  # scikit-learn keeps its settings, working_memory too, by thread

    def configured(item):
        running.add(get_ident())
        try:
            if not is_over:
                with config_context(**settings):
                    return work(item)
        finally:
            running.discard(get_ident())

    try:
        for item in items:
            outcomes.append(workers.submit(partial(configured, item)))
            if len(outcomes) > n_threads:
                yield result_in(outcomes.popleft())
        while outcomes:
            yield result_in(outcomes.popleft())
    finally:
        is_over = True
        _wait_until_empty(running)


def _wait_until_empty(running):
    """Wait for the calls that run, within reason; by no lock, which an interrupt might leave."""
    latest = monotonic() + LONGEST_WAIT
    while running and monotonic() < latest:
        sleep(0.001)
