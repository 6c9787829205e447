"""A process that is interrupted again and again while it fits and scores.

    python -m tests.interrupted 300 60

After each of 300 interrupts the detector must be as one of its fits left it and score with the bits
that it had before, and BLAS must have its threads back although the traceback is still held; in
the end every fit and score must have the bits of the first, and no thread may be left. Where the
process hangs, it prints where, and ends after 60 seconds. Exit status 0 where all is well.
"""

import faulthandler
import signal
import sys
from collections import Counter
from importlib.util import find_spec
from random import Random
from time import monotonic
from unittest.mock import patch

import numpy as np
from sklearn import set_config
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skweiper import EnsembleDetector, WeiPerDetector
from skweiper._support import memory, threads
from skweiper._weiper.engines import contract
from skweiper._weiper.engines.select import select_engine
from skweiper.baselines import KNNDetector, RelationGraphDetector, base
from skweiper.model_selection import WeiPerDetectorCV
from tests.interrupts import blas_threads, python_threads, wait_for

N_THREADS = 4
N_FEW = 12


def make_chunks_small():
    """Many chunks, blocks and threads for few rows, on a machine of however few cores."""
    set_config(working_memory=8)
    patch.object(threads, "n_cores", lambda: N_THREADS).start()
    patch.object(memory, "KEPT_PERTURBATION", 1 / 80).start()
    patch.multiple(
        contract, STREAMED_BLOCK=1 / 128, LEAST_LOGITS=2**12, LEAST_PER_THREAD=2**14
    ).start()
    patch.multiple(base, LEAST_VALUES=2**14, PEER_CHUNKS=1).start()


def detectors(weight):
    """(name, detector): both engines on a kept, a drawn and a streamed perturbation, and others."""
    for engine in ("numpy", "numba") if find_spec("numba") else ("numpy",):
        implicit = WeiPerDetector(weight, n_repeats=20, engine=engine, random_state=0)
        explicit = clone(implicit).set_params(projection="explicit", n_repeats=8)
        yield f"{engine}, implicit", implicit
        yield f"{engine}, explicit", explicit
        yield f"{engine}, streamed", clone(explicit).set_params(n_repeats=24)
    yield "KNN", KNNDetector(n_neighbors=5)
    yield "relation graph", RelationGraphDetector(weight)
    grid = {"n_bins": [20, 40], "delta": [1.0, 2.0], "n_repeats": [8]}
    yield "sweep", WeiPerDetectorCV(weight, param_grid=grid, cv=2, random_state=0)
    members = [("implicit", implicit), ("relation graph", RelationGraphDetector(weight))]
    yield "ensemble", EnsembleDetector(members, random_state=0, n_jobs=2)


class Subject:
    """A detector that is fitted on one set of rows or the other, and what it scores after each.

    Parameters
    ----------
    detector : estimator
    row_sets : two pairs (X, y)
    """

    def __init__(self, detector, row_sets):
        self.detector, self.row_sets = detector, row_sets
        self.whole = [detector.fit(X, y).score_samples(X) for X, y in row_sets]
        self.few = [detector.fit(X, y).score_samples(X[:N_FEW]) for X, y in row_sets]
        self.fitted_on = 1
        self.seconds = {work: self._seconds(work) for work in (self.refit, self.score)}

    def refit(self):
        """Fit on the other rows."""
        self.detector.fit(*self.row_sets[1 - self.fitted_on])
        self.fitted_on = 1 - self.fitted_on

    def score(self):
        self.detector.score_samples(self.row_sets[0][0])

    def check(self):
        """The detector is as a whole fit left it: by these rows or by the others."""
        for fitted_on in (self.fitted_on, 1 - self.fitted_on):
            few = self.row_sets[fitted_on][0][:N_FEW]
            if np.array_equal(self.detector.score_samples(few), self.few[fitted_on]):
                self.fitted_on = fitted_on
                return
        raise AssertionError(f"{self.detector} scores as after neither fit")

    def check_whole(self):
        for (X, y), expected in zip(self.row_sets, self.whole, strict=True):
            np.testing.assert_array_equal(self.detector.fit(X, y).score_samples(X), expected)

    def _seconds(self, work):
        start = monotonic()
        work()
        return monotonic() - start


def make_subjects():
    rng = np.random.default_rng(0)
    weight, y = rng.standard_normal((10, 128)), np.where(np.arange(200) % 10, 1, -1)
    rows = [scale * rng.standard_normal((200, 128)).astype(np.float32) for scale in (1, 2)]
    return {name: Subject(each, [(X, y) for X in rows]) for name, each in detectors(weight)}


def interrupt(work, seconds):
    """The KeyboardInterrupt raised so many seconds after the start of some work, if it came."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        work()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt as error:
        return error
    return None


def interrupt_the_import_of_numba():
    """Which takes several tenths of a second, and cannot be done twice."""
    if find_spec("numba"):
        assert interrupt(lambda: select_engine("numba"), 0.05), "not interrupted"
        assert select_engine("numba").name == "numba"


def main(times, seconds):
    faulthandler.dump_traceback_later(seconds, exit=True)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = lambda unraisable: None  # interrupts that came as something was freed
    make_chunks_small()
    threadpool_limits(2, user_api="blas")
    threadpool_limits(1, user_api="openmp")
    interrupt_the_import_of_numba()
    subjects, rng, came = make_subjects(), Random(1), Counter()
    before, n_threads = blas_threads(), python_threads()
    assert set(before) == {2}
    while came.total() < times:
        name = rng.choice(list(subjects))
        work = rng.choice(list(subjects[name].seconds))
        held = interrupt(work, rng.uniform(1e-5, subjects[name].seconds[work]))
        if held is None:
            continue
        came[name] += 1
        assert wait_for(lambda: blas_threads() == before), blas_threads()
        subjects[name].check()
        del held
    for subject in subjects.values():
        subject.check_whole()
    assert wait_for(lambda: python_threads() <= n_threads), python_threads()
    print(f"{came.total()} interrupts: {dict(came)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
