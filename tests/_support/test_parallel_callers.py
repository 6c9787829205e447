"""The engines inside callers that already run in threads or processes of their own."""

import copy
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from threadpoolctl import threadpool_info

from skweiper import WeiPerDetector
from skweiper._support import threads
from skweiper._support.threads import available_threads


@pytest.fixture(scope="module", params=["numpy", "numba"])
def fitted(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    rng = np.random.RandomState(0)
    X = rng.standard_normal((1500, 24)).astype(np.float32)
    weight = rng.standard_normal((9, 24))
    detector = WeiPerDetector(weight, n_repeats=20, engine=request.param, random_state=0).fit(X)
    return detector, X, detector.score_samples(X)


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_jobs_score_the_same(fitted, backend):
    detector, X, expected = fitted
    with parallel_config(backend=backend, n_jobs=2):
        results = Parallel()(delayed(detector.score_samples)(X) for _ in range(4))
    for scores in results:
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_joblib_jobs_fit_the_same(fitted):
    detector, X, expected = fitted
    with parallel_config(backend="threading", n_jobs=2):
        refitted = Parallel()(delayed(clone(detector).fit)(X) for _ in range(4))
    for one in refitted:
        np.testing.assert_allclose(one.score_samples(X), expected, rtol=1e-6)


def test_threads_that_share_a_detector_score_the_same(fitted):
    detector, X, expected = fitted
    detector = copy.deepcopy(detector)  # which keeps no drawn perturbation
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: detector.score_samples(X), range(8)):
            np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_caller_in_a_thread_gets_no_further_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(available_threads).result() == 1


@pytest.mark.parametrize(("granted", "most"), [("1", 1), ("2,1", 2), ("", os.cpu_count())])
def test_the_number_of_threads_granted_to_a_worker_is_kept(monkeypatch, granted, most):
    monkeypatch.setenv("OMP_NUM_THREADS", granted)
    assert 1 <= available_threads() <= most


def test_blas_gets_its_threads_back(fitted):
    detector, X, _ = fitted
    before = blas_threads()
    detector.score_samples(X)
    assert blas_threads() == before


def test_our_threads_end_with_the_call(fitted):
    detector, X, _ = fitted
    before = threading.active_count()
    detector.score_samples(X)
    assert threading.active_count() == before


def test_a_few_rows_start_no_thread(fitted, monkeypatch):
    detector, X, expected = fitted
    monkeypatch.setattr(threads, "Workers", None)
    np.testing.assert_allclose(detector.score_samples(X[:20]), expected[:20], rtol=1e-6)
