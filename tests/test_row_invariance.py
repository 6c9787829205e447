"""The score of a row is the same bits whatever rows stand beside it, and however it is computed."""

import os
import subprocess
import sys
from importlib.util import find_spec

import joblib
import numpy as np
import pytest
from sklearn import config_context
from threadpoolctl import threadpool_limits

from skweiper import WeiPerDetector, WeiPerTransformer, all_detectors, baselines
from skweiper.scores import LOGIT_SCORES
from skweiper.shaping import ASH, RAS, SCALE, VRA, ReAct
from tests.quick import quick

N_TRAIN = 400
N_QUERIES = 90
ENGINES = ["numpy", "numba"] if find_spec("numba") else ["numpy"]
METHODS = ["kld", *LOGIT_SCORES]


def named(case):
    return " ".join(getattr(part, "__name__", str(part)) for part in case)


@pytest.fixture(scope="module")
def data(clinc150):
    rng = np.random.RandomState(0)
    train = clinc150.train[rng.permutation(len(clinc150.train))[:N_TRAIN]].astype(np.float32)
    pool = np.concatenate([clinc150.test[::40], clinc150.test_oos[::25]]).astype(np.float32)
    return train, pool[rng.permutation(len(pool))[:N_QUERIES]]


def head_of(data):
    """The head of the first classes: fewer classes than features, and an odd number of them.

    Its logits are raised: those of rows of other classes are negative, of which some would warn.
    """
    return {"weight": data.weight[:37], "bias": data.bias[:37] + 10}


def assert_rows_do_not_meet(score, rows):
    """`score` gives each row the same bits alone, among others, in any order, and many times."""
    whole, rng = score(rows), np.random.RandomState(1)
    for row in (0, 1, N_QUERIES // 2, N_QUERIES - 1):
        np.testing.assert_array_equal(score(rows[row : row + 1]), whole[row : row + 1])
    for size in (2, 3, 7, 15, 16, 17, 31, 40, 63):
        chosen = rng.permutation(N_QUERIES)[:size]
        np.testing.assert_array_equal(score(rows[chosen]), whole[chosen])
    order = rng.permutation(N_QUERIES)
    np.testing.assert_array_equal(score(rows[order]), whole[order])
    copies = score(np.repeat(rows[5:6], N_QUERIES, axis=0))
    np.testing.assert_array_equal(copies, np.repeat(whole[5:6], N_QUERIES, axis=0))
    return whole


def assert_settings_do_not_matter(score, rows, monkeypatch):
    """`score` gives the same bits within little memory, and with one thread or two."""
    whole = score(rows)
    for mebibytes in (0.25, 1, 8, 64):
        with config_context(working_memory=mebibytes):
            np.testing.assert_array_equal(score(rows), whole)
    for n_threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
        np.testing.assert_array_equal(score(rows), whole)
        with threadpool_limits(int(n_threads)):
            np.testing.assert_array_equal(score(rows), whole)


def fitted(entry, clinc150, train):
    parameters = head_of(clinc150) if entry.needs_head else {}
    if entry.needs_labels:
        parameters["temperature"] = 2.0
    return quick(entry.estimator(**parameters)).fit(train)


@pytest.mark.parametrize("entry", all_detectors(), ids=lambda entry: entry.name)
def test_every_detector_of_the_registry(entry, clinc150, data, monkeypatch):
    train, rows = data
    detector = fitted(entry, clinc150, train)
    assert_rows_do_not_meet(detector.score_samples, rows)
    assert_settings_do_not_matter(detector.score_samples, rows, monkeypatch)


SHAPERS = [ReAct(), VRA(), ASH("s"), ASH("p"), ASH("b"), SCALE(), RAS()]


@pytest.mark.parametrize("shaper", SHAPERS, ids=str)
def test_every_shaper(shaper, data, monkeypatch):
    train, rows = data
    shaper.fit(train)
    assert_rows_do_not_meet(shaper.transform, rows)
    assert_settings_do_not_matter(shaper.transform, rows, monkeypatch)


@pytest.mark.parametrize("name", ["MahalanobisDetector", "RelativeMahalanobisDetector"])
def test_normalised_distances(name, clinc150, data, monkeypatch):
    train, rows = data
    detector = getattr(baselines, name)(**head_of(clinc150), normalize=True).fit(train)
    assert_rows_do_not_meet(detector.score_samples, rows)
    assert_settings_do_not_matter(detector.score_samples, rows, monkeypatch)


def mean_square(logits):
    return (logits**2).mean(axis=-1)


WEIPER = [
    (engine, method, n_classes)
    for engine in ENGINES
    for method in (*METHODS, mean_square)
    for n_classes in (1, 10, 150)
]


@pytest.mark.parametrize("case", WEIPER, ids=named)
def test_weiper_with_the_implicit_projection(case, clinc150, data, monkeypatch):
    engine, method, n_classes = case
    train, rows = data
    head = clinc150.weight[:n_classes], clinc150.bias[:n_classes]
    for n_repeats in (1, 13):
        detector = WeiPerDetector(
            *head, method=method, engine=engine, n_repeats=n_repeats, random_state=0
        )
        detector.fit(train)
        assert_rows_do_not_meet(detector.score_samples, rows)
        assert_settings_do_not_matter(detector.score_samples, rows, monkeypatch)


@pytest.mark.parametrize("projection", ["explicit", "random"])
@pytest.mark.parametrize("n_classes", [1, 10, 150])
@pytest.mark.parametrize("method", ["kld", "msp", "energy"])
@pytest.mark.parametrize("engine", ENGINES)
def test_drawn_directions(engine, method, n_classes, projection, clinc150, data, monkeypatch):
    train, rows = data
    head = clinc150.weight[:n_classes], clinc150.bias[:n_classes]
    parameters = {"method": method, "engine": engine, "n_repeats": 13, "random_state": 0}
    detector = WeiPerDetector(*head, projection=projection, **parameters).fit(train)
    whole = assert_rows_do_not_meet(detector.score_samples, rows)
    assert_settings_do_not_matter(detector.score_samples, rows, monkeypatch)
    many = detector.score_samples(np.concatenate([rows] * 7))
    np.testing.assert_array_equal(many, np.tile(whole, 7))


@pytest.mark.parametrize("projection", ["implicit", "explicit", "random"])
def test_the_transformer(projection, clinc150, data, monkeypatch):
    train, rows = data
    space = WeiPerTransformer(**head_of(clinc150), projection=projection, n_repeats=7)
    space.set_params(random_state=0).fit(train)
    assert_rows_do_not_meet(space.transform, rows)
    assert_settings_do_not_matter(space.transform, rows, monkeypatch)


@pytest.mark.parametrize("engine", ENGINES)
def test_fit_counts_the_same_in_one_pass_or_in_several(engine, clinc150, data):
    train, _ = data
    learnt = []
    for mebibytes in (1024, 1, 0.25):
        detector = WeiPerDetector(**head_of(clinc150), engine=engine, random_state=0)
        with config_context(working_memory=mebibytes):
            detector.fit(train)
        learnt.append(detector)
    for name in ("feature_range_", "logit_range_", "feature_density_", "logit_density_"):
        for other in learnt[1:]:
            np.testing.assert_array_equal(getattr(other, name), getattr(learnt[0], name))


def test_p_values_and_labels_alone_are_those_of_a_batch(clinc150, data):
    train, rows = data
    detector = WeiPerDetector(**head_of(clinc150), random_state=0).fit(train[:200])
    detector.calibrate(train[200:], tpr=0.95).calibrate_p_values(train[200:])
    p_values, labels = detector.p_value(rows), detector.predict(rows)
    alone = [(detector.p_value(row[None])[0], detector.predict(row[None])[0]) for row in rows]
    np.testing.assert_array_equal(alone, np.transpose([p_values, labels]))
    accepted = sum(detector.predict(row[None])[0] == 1 for row in train[200:])
    assert accepted == 190


SCORE_IN_A_PROCESS = """
import sys, joblib, numpy as np
model, rows, scores = sys.argv[1:]
np.save(scores, [detector.score_samples(np.load(rows)) for detector in joblib.load(model)])
"""


@pytest.mark.parametrize("n_threads", ["1", "2"])
def test_processes_with_one_thread_or_two_score_the_same(n_threads, clinc150, data, tmp_path):
    train, rows = data
    models = [fitted(entry, clinc150, train) for entry in all_detectors()]
    joblib.dump(models, tmp_path / "models.joblib")
    np.save(tmp_path / "rows.npy", rows)
    paths = [tmp_path / name for name in ("models.joblib", "rows.npy", "scores.npy")]
    command = [sys.executable, "-c", SCORE_IN_A_PROCESS, *map(str, paths)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": n_threads})
    here = [model.score_samples(rows) for model in models]
    np.testing.assert_array_equal(np.load(paths[-1]), here)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("n_classes", [1, 2, 37])
def test_the_rows_that_set_the_range_stay_inside_it(n_classes, projection, engine, clinc150, data):
    train, _ = data
    head = clinc150.weight[:n_classes], clinc150.bias[:n_classes]
    for n_repeats in (1, 20):
        detector = WeiPerDetector(
            *head, projection=projection, engine=engine, n_repeats=n_repeats, random_state=0
        ).fit(train)
        for rows in (train, train[::-1], train[:50]):
            inside = detector.densities(rows).logit.sum(axis=1)
            np.testing.assert_allclose(inside, 1, rtol=1e-12)
        other = "numpy" if engine == "numba" else ENGINES[-1]
        inside = detector.set_params(engine=other).densities(train).logit.sum(axis=1)
        np.testing.assert_allclose(inside, 1, rtol=1e-12)
