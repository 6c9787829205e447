"""Fits on Dask collections are the fits in memory, whatever happens to the workers."""

import os
import pickle
import signal
import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.utils.fixes import parse_version

from skweiper import WeiPerDetector, distributed
from skweiper.baselines import (
    FDBDDetector,
    KLMatchingDetector,
    KNNDetector,
    MahalanobisDetector,
    NCIDetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    SHEDetector,
    ViMDetector,
)
from skweiper.model_selection import WeiPerDetectorCV

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")


@pytest.fixture(scope="module")
def cluster():
    """A client of a cluster of two processes."""
    from dask.distributed import Client, LocalCluster

    quick = {"distributed.comm.timeouts.connect": "3s", "distributed.comm.retry.count": 0}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        dask.config.set(quick),
        LocalCluster(**options, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def local():
    """Everything in this process."""
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(scope="module")
def X(clinc150):
    return np.asarray(clinc150.train[::5], np.float32)


@pytest.fixture(scope="module")
def y(clinc150):
    labels = clinc150.train_label[::5].astype(int)
    return np.where(np.arange(len(labels)) % 7 == 3, -1, labels)


@pytest.fixture(scope="module")
def weiper(clinc150):
    head = clinc150.weight, clinc150.bias
    return partial(WeiPerDetector, *head, n_repeats=5, engine="numpy", random_state=0)


def learnt(detector):
    """All that a WeiPerDetector learns, without rounding."""
    rule = detector.rule_
    arrays = [*rule.ranges, *(each.tolist() for each in rule.training)]
    return [detector.delta_, detector.offset_, *arrays]


PARAMETERS = (
    {},
    {"value_range": (0.001, 0.999)},
    {"projection": "explicit", "delta": 2.0, "n_bins": 30},
)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("with_outliers", [False, True])
def test_counts_and_threshold_are_those_in_memory(parameters, with_outliers, local, weiper, X, y):
    labels = y if with_outliers else None
    expected = learnt(weiper(**parameters).fit(X, labels))
    for chunks in ((100, -1), (311, 100), ((1, 700, 49), -1)):
        blocks = da.from_array(X, chunks=chunks)
        assert learnt(distributed.fit(weiper(**parameters), blocks, labels)) == expected


def test_a_threshold_from_a_sample_is_that_in_memory(local, weiper, X, monkeypatch):
    from skweiper._weiper import fitting

    monkeypatch.setattr(fitting, "rows_within", lambda budget, row_bytes, most: 120)
    expected = learnt(weiper().fit(X))
    found = distributed.fit(weiper(), da.from_array(X, chunks=(93, -1)))
    assert learnt(found) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_methods_and_types(dtype, local, weiper, X):
    X = X.astype(dtype)
    expected = weiper(method="energy").fit(X)
    found = distributed.fit(weiper(method="energy"), da.from_array(X, chunks=(200, -1)))
    assert found.offset_ == expected.offset_
    np.testing.assert_array_equal(found.score_samples(X), expected.score_samples(X))


DETECTORS = (
    MahalanobisDetector,
    partial(MahalanobisDetector, normalize=True),
    partial(MahalanobisDetector, labels="y"),
    RelativeMahalanobisDetector,
    ViMDetector,
    ResidualDetector,
    SHEDetector,
    partial(SHEDetector, labels="y"),
    KLMatchingDetector,
    partial(KLMatchingDetector, labels="y"),
    FDBDDetector,
    NCIDetector,
)


@pytest.mark.parametrize("make", DETECTORS, ids=str)
def test_sums_of_blocks_learn_what_all_rows_do(make, local, clinc150, X, y):
    head = clinc150.weight, clinc150.bias
    expected = make(*head).fit(X, y)
    found = distributed.fit(
        make(*head), da.from_array(X, chunks=(97, -1)), da.from_array(y, chunks=50)
    )
    assert found.offset_ == pytest.approx(expected.offset_, rel=1e-9)
    scores, known = (each.score_samples(clinc150.test[:50]) for each in (found, expected))
    np.testing.assert_allclose(scores, known, rtol=1e-9, atol=1e-9 * np.abs(known).max())


def test_blocks_sorted_by_class_are_no_single_class(local, clinc150, X, y):
    order = np.argsort(y, kind="stable")
    detector = SHEDetector(clinc150.weight, clinc150.bias, labels="y")
    expected = SHEDetector(clinc150.weight, clinc150.bias, labels="y").fit(X[order], y[order])
    found = distributed.fit(detector, da.from_array(X[order], chunks=(5, -1)), y[order])
    np.testing.assert_allclose(found.patterns_, expected.patterns_, rtol=1e-12)


def test_unknown_sizes_of_blocks_and_tables(local, weiper, X, y):
    kept = X[:, 0] > 0
    array = da.from_array(X, chunks=(100, -1))
    array = array[array[:, 0] > 0]
    assert np.isnan(array.chunks[0]).any()
    expected = weiper().fit(X[kept], y[kept])
    assert learnt(distributed.fit(weiper(), array, y[kept])) == learnt(expected)
    scores = distributed.score_samples(expected, array).compute()
    np.testing.assert_array_equal(scores, expected.score_samples(X[kept]))
    table = pd.DataFrame(X).add_prefix("f").assign(y=y).set_index(np.arange(len(X)) * 3)
    parts = dd.from_pandas(table, npartitions=5)
    parts = parts[parts.f0 > 0]
    features = [name for name in table if name != "y"]
    named = distributed.fit(weiper(), parts[features], parts.y)
    assert learnt(named) == learnt(expected)
    assert list(named.feature_names_in_) == features
    scores = distributed.score_samples(named, parts[features]).compute()
    assert list(scores.index) == list(table.index[kept])
    np.testing.assert_array_equal(scores, expected.score_samples(X[kept]))


def test_blocks_without_a_row_that_takes_part_are_left_out(local, weiper, X, y):
    y = np.where(np.arange(len(y)) < 250, -1, 1)
    found = distributed.fit(weiper(), da.from_array(X, chunks=(100, -1)), y)
    assert learnt(found) == learnt(weiper().fit(X[250:]))
    with pytest.raises(ValueError, match="all are labelled y == -1"):
        distributed.fit(weiper(), da.from_array(X), -np.ones(len(X), int))


def test_bad_values_are_named_by_block_and_row(local, weiper, X, clinc150):
    bad = X.copy()
    bad[345, 7] = np.nan
    blocks = da.from_array(bad, chunks=(100, -1))
    match = r"Block 3 of X \(rows 300 to 399\): .*NaN at row 345, column 7"
    for detector in (weiper(), weiper(delta=2.0, method="msp"), NCIDetector(clinc150.weight)):
        with pytest.raises(ValueError, match=match):
            distributed.fit(detector, blocks)
    with pytest.raises(ValueError, match="2 labels"):
        distributed.fit(weiper(), blocks, [1, 2])
    with pytest.warns(UserWarning, match="0 and 1"):
        distributed.fit(weiper(), da.from_array(X, chunks=(100, -1)), np.arange(len(X)) % 2)


def test_bad_values_to_score_are_named_by_block_and_row(local, weiper, X):
    bad = X.copy()
    bad[345, 7] = np.nan
    detector, match = weiper().fit(X), "Block 3 of X, .* from 0: .*NaN at row 45, column 7"
    with pytest.raises(ValueError, match=match):
        distributed.score_samples(detector, da.from_array(bad, chunks=(100, -1))).compute()
    parts = dd.from_pandas(pd.DataFrame(bad), chunksize=100)
    with pytest.raises(ValueError, match=match):
        distributed.score_samples(detector, parts).compute()


@pytest.mark.filterwarnings("error")
def test_classes_are_looked_at_as_in_memory(local, clinc150, X):
    head = clinc150.weight, clinc150.bias
    blocks = da.from_array(X, chunks=(100, -1))
    of_two = (np.arange(len(X)) % 2).astype(float)
    found = distributed.fit(MahalanobisDetector(*head, labels="y"), blocks, of_two)
    assert found.classes_.tolist() == [0, 1]
    of_two[123] = np.nan
    mixed = np.where(np.arange(len(X)) < 300, "a", of_two.astype(object))
    for bad, match in ((of_two, "Block 1 of y: .*missing value at row 23"), (mixed, "no order")):
        with pytest.raises(ValueError, match=match):
            distributed.fit(MahalanobisDetector(*head, labels="y"), blocks, bad)


def test_labels_of_several_types_mark_outliers_as_in_memory(local, weiper, X):
    y = np.array(["a", 1, -1, 2.5] * len(X), dtype=object)[: len(X)]
    expected = learnt(weiper().fit(X, y))
    assert learnt(distributed.fit(weiper(), da.from_array(X, chunks=(100, -1)), y)) == expected


def test_what_cannot_be_done_says_what_can(local, weiper, X, y):
    blocks = da.from_array(X, chunks=(100, -1))
    with pytest.raises(TypeError, match=r"KNNDetector learns from the rows.*subsample"):
        distributed.fit(KNNDetector(), blocks)
    for call in (distributed.fit, distributed.score_samples):
        with pytest.raises(TypeError, match=r"dask\.array"):
            call(weiper(), X)
    with pytest.raises(ValueError, match="other types"):
        table = pd.DataFrame(X[:9]).add_prefix("f").assign(name=pd.Categorical(["a"] * 9))
        distributed.fit(weiper(), dd.from_pandas(table, npartitions=1))
    rows, labels = distributed.subsample(blocks, 60, y=y, random_state=0)
    assert rows.shape == (60, X.shape[1]) and (labels != -1).all()
    places = [np.flatnonzero((row == X).all(axis=1))[0] for row in rows]
    assert places == sorted(set(places)) and list(y[places]) == list(labels)
    assert KNNDetector().fit(rows).score_samples(X[:5]).shape == (5,)
    with pytest.raises(ValueError, match="n_rows"):
        distributed.subsample(blocks, len(X) + 1)


def test_the_head_is_in_the_graph_once_and_perturbed_weights_never(weiper, X):
    detector = weiper(projection="explicit", delta=2.0, n_repeats=40).fit(X)
    sizes = []
    for n_blocks in (2, 20):
        blocks = da.zeros((1000, X.shape[1]), chunks=(1000 // n_blocks, -1), dtype=np.float32)
        graph = dict(distributed.score_samples(detector, blocks).__dask_graph__())
        sizes.append(len(pickle.dumps(graph)))
    assert sizes[1] - sizes[0] < detector.head_.matrix.nbytes / 10
    assert sizes[1] < 8 * detector.head_.matrix.nbytes < detector.perturbed_weight_.nbytes


def deadly(block, folder, deaths):
    """The block; whoever reads at one of these moments, counted over all processes, dies."""
    number = 0
    while True:
        try:
            os.close(os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            number += 1
    if number in deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def test_workers_that_are_killed_lose_nothing(cluster, weiper, X, tmp_path):
    expected = weiper().fit(X)
    folders = [tmp_path / name for name in ("fit", "score")]
    for folder in folders:
        folder.mkdir()
    blocks = da.from_array(X, chunks=(150, -1))  # 5 of them, read once in each of three passes
    fatal = {"dtype": X.dtype, "meta": X[:0]}
    deaths = blocks.map_blocks(deadly, str(folders[0]), (2, 13), **fatal)
    assert learnt(distributed.fit(weiper(), deaths)) == learnt(expected)
    assert len(os.listdir(folders[0])) > 15
    deaths = blocks.map_blocks(deadly, str(folders[1]), (2,), **fatal)
    scores = distributed.score_samples(expected, deaths).compute()
    np.testing.assert_array_equal(scores, expected.score_samples(X))
    assert len(os.listdir(folders[1])) >= 6


def test_on_a_cluster_errors_come_back_as_they_are(cluster, weiper, X):
    bad = X.copy()
    bad[345, 7] = np.inf
    with pytest.raises(ValueError, match=r"Block 3 of X .*infinity .* row 345"):
        distributed.fit(weiper(), da.from_array(bad, chunks=(100, -1)))


@pytest.mark.skipif(
    parse_version(joblib.__version__) < parse_version("1.4"),
    reason="before, joblib's Dask backend gave no results as they come",
)
def test_searches_run_on_the_cluster(cluster, weiper, X, clinc150):
    rows = np.concatenate([X[:200], clinc150.test_oos[:60].astype(np.float32)])
    labels = np.repeat([1, -1], [200, 60])
    head = clinc150.weight, clinc150.bias
    grid = {"lambda_1": [0.1, 2.5]}
    searches = (
        GridSearchCV(weiper(), grid, cv=StratifiedKFold(2)),
        WeiPerDetectorCV(
            *head, random_state=0, param_grid={**grid, "n_repeats": [5]}, cv=StratifiedKFold(2)
        ),
    )
    for search in searches:
        expected = search.fit(rows, labels).cv_results_["mean_test_score"]
        with joblib.parallel_config(backend="dask"):
            found = search.fit(rows, labels).cv_results_["mean_test_score"]
        np.testing.assert_array_equal(found, expected)


def test_without_dask_it_says_what_to_install(X):
    code = (
        "import sys; sys.modules['dask'] = None; import numpy, skweiper.distributed as d;"
        "from types import SimpleNamespace as N;"
        "X = N(map_blocks=0, to_delayed=lambda: [0], ndim=2, shape=(3, 2), "
        "dtype=numpy.dtype(float), chunks=((3,), (2,)));"
        "d.fit(d.NCIDetector(), X)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'skweiper[dask]'" in ended.stderr
