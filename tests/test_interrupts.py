"""After Ctrl-C, wherever it comes, the process goes on as if the call had not been made."""

import gc
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from skweiper import WeiPerDetector, WeiPerTransformer
from skweiper.baselines import RelationGraphDetector
from skweiper.model_selection import InlierOnly, WeiPerDetectorCV
from skweiper.shaping import ReAct
from tests.interrupts import interrupted_at, number_of_points

REPOSITORY = Path(__file__).parents[1]
N_POINTS = 15
WEIGHT = np.random.RandomState(0).standard_normal((5, 12))
DETECTOR = WeiPerDetector(WEIGHT, n_repeats=2, engine="numpy", random_state=0)
GRID = {"n_bins": [10, 20], "n_repeats": [2]}
ESTIMATORS = [
    DETECTOR,
    RelationGraphDetector(WEIGHT),
    WeiPerDetectorCV(WEIGHT, param_grid=GRID, cv=2, engine="numpy", random_state=0),
    InlierOnly(DETECTOR),
    WeiPerTransformer(WEIGHT, n_repeats=2, random_state=0),
    ReAct(),
]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_a_process_that_is_interrupted_300_times_goes_on_with_the_same_bits():
    command = [sys.executable, "-m", "tests.interrupted", "300", "180"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("300 interrupts")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_an_interrupted_fit_leaves_the_former_fit_or_the_new_one(estimator):
    """And the end of its traceback leaves the next fit alone.

    (The interpreter ignores, with a warning, interrupts that come as a generator is freed.)
    """
    rng = np.random.RandomState(1)
    y = np.where(np.arange(40) % 4, 1, -1)
    former, new = (scale * rng.standard_normal((40, 12)).astype(np.float32) for scale in (1, 2))
    estimator, held = clone(estimator), []

    def results():
        give = getattr(estimator, "score_samples", None) or estimator.transform
        return give(former[:5])

    after_former, after_new = (estimator.fit(X, y) and results() for X in (former, new))
    n_points = number_of_points(lambda: estimator.fit(new, y))
    first, last = range(1, N_POINTS), range(n_points - N_POINTS, n_points + 1)
    for point in [*first, *np.linspace(first[-1], last[0], N_POINTS).astype(int), *last]:
        estimator.fit(former, y)
        held.append(interrupted_at(point, lambda: estimator.fit(new, y)))
        found = results()
        assert np.array_equal(found, after_former) or np.array_equal(found, after_new)
    estimator.fit(new, y)
    del held
    gc.collect()
    np.testing.assert_array_equal(results(), after_new)
