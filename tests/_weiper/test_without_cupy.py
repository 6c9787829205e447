"""Fitted models are plain NumPy: they load and score where CuPy cannot be imported."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

from skweiper.detector import WeiPerDetector

LOAD_AND_SCORE = """
import sys

class RefuseCuPy:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cupy", "cupy_backends", "cupyx"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, RefuseCuPy())
try:
    import cupy
except ImportError:
    pass
else:
    sys.exit("CuPy was not blocked")

import joblib, numpy as np
model, features, scores = sys.argv[1:]
np.save(scores, joblib.load(model).score_samples(np.load(features)))
"""


def score_elsewhere(detector, X, folder):
    """Scores by a process of its own, which loads the fitted model and cannot import CuPy."""
    paths = [str(folder / name) for name in ("model.joblib", "X.npy", "scores.npy")]
    joblib.dump(detector, paths[0])
    np.save(paths[1], X)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", LOAD_AND_SCORE, *paths], check=True, env=env)
    return np.load(paths[2])


def make_detector(projection, **params):
    rng = np.random.RandomState(0)
    X = rng.randn(40, 12).astype(np.float32)
    detector = WeiPerDetector(rng.randn(5, 12), projection=projection, random_state=0, **params)
    return detector.fit(X), X


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_a_fitted_model_scores_the_same_where_cupy_is_blocked(projection, tmp_path):
    detector, X = make_detector(projection, engine="numpy")
    scores = detector.score_samples(X)
    np.testing.assert_array_equal(score_elsewhere(detector, X, tmp_path), scores)


def test_the_pickle_holds_no_drawn_perturbation():
    detector, _ = make_detector("explicit", n_repeats=400, engine="numpy")
    assert detector.perturbed_weight_.nbytes > 10 * len(pickle.dumps(detector))


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_fit_on_the_gpu_load_and_score_on_the_cpu(projection, cupy, tmp_path):
    detector, X = make_detector(projection)
    on_gpu = detector.fit(cupy.asarray(X)).score_samples(cupy.asarray(X))
    np.testing.assert_allclose(score_elsewhere(detector, X, tmp_path), on_gpu, rtol=1e-4)
