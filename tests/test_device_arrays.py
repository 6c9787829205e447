"""Arrays and labels on a GPU, where scores, labels and features are taken that no kernel reads."""

import re
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweiper import (
    EnsembleDetector,
    conformal,
    evaluation,
    metrics,
    model_selection,
    monitoring,
    recommendation,
    shaping,
)
from skweiper._support.containers import as_host, is_device_array
from skweiper._support.rows import FeatureRows, row_slices
from skweiper.baselines import (
    DICEDetector,
    FDBDDetector,
    GradNormDetector,
    KLMatchingDetector,
    LogitDetector,
    MahalanobisDetector,
    NCIDetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    SHEDetector,
    TemperatureScalingDetector,
    ViMDetector,
    base,
)
from skweiper.detector import WeiPerDetector
from skweiper.metrics import OODScorer
from skweiper.registry import all_detectors
from skweiper.scores import LOGIT_SCORES
from skweiper.transformer import WeiPerTransformer

N_FEATURES, N_CLASSES = 4, 3
PUBLIC = ("conformal", "evaluation", "metrics", "model_selection", "monitoring")


def features(n_samples, seed=0):
    return np.random.RandomState(seed).randn(n_samples, N_FEATURES).astype(np.float32)


def labels(n_id, n_ood):
    return np.repeat([1, -1], [n_id, n_ood])


def head():
    rng = np.random.RandomState(9)
    return rng.randn(N_CLASSES, N_FEATURES), rng.randn(N_CLASSES)


def scores(n_samples, seed=0):
    return np.random.RandomState(seed).randn(n_samples)


class ScoresWhereXLives:
    """A detector of another library, whose scores are of the kind of X."""

    def __init__(self, sign=1):
        self.sign = sign

    def get_params(self, deep=True):
        return {"sign": self.sign}

    def set_params(self, **params):
        return self

    def fit(self, X, y=None):
        self.width_ = X.shape[1]
        return self

    def score_samples(self, X):
        return self.sign * X.sum(axis=1)


def of_metric(name):
    return lambda to: getattr(metrics, name)(to(scores(9)), to(scores(7, 1) - 1))


def of_scorer(scorer):
    return lambda to: scorer(ScoresWhereXLives(), to(features(12)), to(labels(7, 5)))


def of_split(to, **options):
    folds = model_selection.OODSplit(2, **options)
    groups = np.array([0, 0, 0, 0, 5, 5, 7, 7])
    return list(folds.split(to(features(8)), to(labels(4, 4)), to(groups)))


def of_inlier_only(to):
    X, y = to(features(9)), to(labels(6, 3))
    wrapped = model_selection.InlierOnly(ScoresWhereXLives()).fit(X, y)
    on_host = model_selection.InlierOnly(StandardScaler()).fit(features(9), y)
    return [wrapped.score(X, y), on_host.estimator_.mean_]


def of_search(to):
    y = to(np.tile([1, 1, -1], 8))
    groups, grid = to(np.tile([0, 0, 1], 8) + np.arange(24) // 12 * 2), {"delta": [0.5, 1.0]}
    cv = model_selection.OODSplit(2)
    search = model_selection.WeiPerDetectorCV(
        *map(to, head()), param_grid={**grid, "method": ["msp"], "n_repeats": [3]}, cv=cv
    )
    return (
        search.set_params(random_state=0)
        .fit(to(features(24)), y, groups)
        .cv_results_["mean_test_score"]
    )


def of_ablation(to):
    parts = to(features(12)), to(features(5, 1)), {"far": to(2 * features(6, 2))}
    table = model_selection.ablation(
        *parts,
        *map(to, head()),
        base={"method": "msp", "n_repeats": 3},
        studies={"delta": [{"delta": 0.5}]},
        seeds=[0],
    )
    return table["auroc"]


def of_monitor(to):
    detector = LogitDetector(*map(to, head())).fit(to(features(20)))
    monitor = monitoring.StreamMonitor(detector.calibrate_p_values(to(features(20, 1))))
    return [monitor.update(to(features(6, 2))), monitor.update_scores(to(scores(5, 3)))]


def of_martingale(to):
    martingale = monitoring.ExchangeabilityMartingale(to(scores(20)))
    return martingale.update(to(scores(6, 1)))


def of_comparison(to):
    detectors = {"sums": ScoresWhereXLives(), "msp": LogitDetector(*map(to, head()))}
    sets = to(features(9)), to(features(8, 1)), {"far": to(2 * features(7, 2))}
    table = evaluation.compare(detectors, *sets, y_train=to(labels(8, 1)))
    return table.drop(columns=["fit_seconds", "score_seconds"])


CASES = {
    **{f"metrics.{name}": of_metric(name) for name in (*metrics.METRICS, "fpr_at_tpr")},
    **{
        f"metrics.{name}_scorer": of_scorer(getattr(metrics, f"{name}_scorer"))
        for name in metrics.METRICS
    },
    "metrics.OODScorer": of_scorer(OODScorer(partial(metrics.fpr_at_tpr, tpr=0.5))),
    "metrics.auroc_of_rows": lambda to: metrics.auroc_of_rows(
        to(scores(24).reshape(3, 8)), to(np.arange(8) % 3 > 0)
    ),
    "metrics.scores_of": lambda to: metrics.scores_of(ScoresWhereXLives(), to(features(5))),
    "conformal.conformal_p_values": lambda to: conformal.conformal_p_values(
        to(scores(9)), to(scores(5, 1))
    ),
    "conformal.ood_discoveries": lambda to: conformal.ood_discoveries(
        to(np.array([0.01, 0.5, 0.02, 0.9]))
    ),
    "evaluation.ood_report": lambda to: evaluation.ood_report(
        to(scores(9)), {"far": to(scores(7, 1) - 1)}, scores_covariate_shifted=to(scores(5, 2))
    ),
    "evaluation.evaluate": lambda to: evaluation.evaluate(
        ScoresWhereXLives(), to(features(9)), {"far": to(features(7, 1))}, n_boot=3, random_state=0
    ),
    "evaluation.compare": of_comparison,
    "model_selection.InlierOnly": of_inlier_only,
    "model_selection.OODSplit": of_split,
    "model_selection.WeiPerDetectorCV": of_search,
    "model_selection.ablation": of_ablation,
    "model_selection.as_inlier_labels": lambda to: model_selection.as_inlier_labels(
        to(np.array([0, 1, 1])), "pyod"
    ),
    "model_selection.synthetic_outliers": lambda to: model_selection.synthetic_outliers(
        to(features(30)), *map(to, head()), random_state=0
    ),
    "model_selection.train_validation_split_for_ood": (
        lambda to: model_selection.train_validation_split_for_ood(
            to(features(5)), to(features(3, 1)), {"far": to(features(4, 2))}
        )
    ),
    "monitoring.ExchangeabilityMartingale": of_martingale,
    "monitoring.StreamMonitor": of_monitor,
}
"""What takes arrays of users: its name, and a call with arrays that `to` puts somewhere."""


def assert_same(got, expected):
    """Equal to rounding, whatever the results are made of; on the host or a device."""
    if isinstance(expected, list | tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, pd.DataFrame):
        assert_frame_equal(got, expected, rtol=1e-5)
    else:
        np.testing.assert_allclose(as_host(got), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_arrays_on_a_device_give_what_arrays_on_the_host_give(cupy, name):
    assert_same(CASES[name](cupy.asarray), CASES[name](np.asarray))


def test_every_public_name_that_takes_arrays_is_among_them():
    modules = {name: import_module(f"skweiper.{name}") for name in PUBLIC}
    public = {
        f"{name}.{each}"
        for name, module in modules.items()
        for each in module.__all__
        if callable(getattr(module, each))
    }
    assert public == set(CASES)


def test_made_and_stacked_features_stay_where_the_training_rows_live(cupy):
    X, other = features(8), features(4, 1)
    made = model_selection.synthetic_outliers(cupy.asarray(X), random_state=0)
    assert type(made) is cupy.ndarray and made.dtype == np.float32
    split = model_selection.train_validation_split_for_ood
    assert type(split(cupy.asarray(X), other, {"made": made})[0]) is cupy.ndarray
    assert type(split(X, cupy.asarray(other), made)[0]) is np.ndarray


SHAPERS = {
    "ReAct": shaping.ReAct(),
    "VRA": shaping.VRA(),
    "ASH-s": shaping.ASH("s"),
    "ASH-p": shaping.ASH("p"),
    "ASH-b": shaping.ASH("b"),
    "SCALE": shaping.SCALE(),
    "RAS": shaping.RAS(),
}


def test_every_shaper_is_among_them():
    public = set(shaping.__all__) - {"FeatureShaper"}
    assert {name.partition("-")[0] for name in SHAPERS} == public


@pytest.mark.parametrize("name", SHAPERS)
@pytest.mark.parametrize("dtype", ["f2", "f8", "i4"])
def test_shapers_shape_where_the_features_live(cupy, name, dtype, monkeypatch):
    X = np.maximum(np.round(8 * np.random.RandomState(0).randn(30, 12)), 0).astype(dtype)
    X[3], y = 0, labels(25, 5)
    on_host, on_device = SHAPERS[name], cupy.asarray(X)
    expected = on_host.fit(X, y).transform(X)
    copied = []
    monkeypatch.setattr(FeatureRows, "load_copied", lambda *args: copied.append(args))
    shaper = SHAPERS[name].fit(on_device, cupy.asarray(y))
    shaped = shaper.transform(on_device)
    assert type(shaped) is cupy.ndarray and shaped.dtype == expected.dtype and not copied
    np.testing.assert_allclose(shaped.get(), expected, rtol=1e-6 if dtype == "f2" else 1e-12)
    fitted = [value for key, value in vars(shaper).items() if key.endswith("_")]
    assert not any(map(is_device_array, fitted))
    np.testing.assert_array_equal(as_host(shaper.transform(X)), expected)


def test_shapers_name_bad_values_of_a_device_by_their_place(cupy):
    X = features(9)
    X[5, 2] = np.nan
    with pytest.raises(ValueError, match="NaN at row 5, column 2"):
        shaping.ReAct().fit(cupy.asarray(X))
    huge = np.full((3, N_FEATURES), 1e38, np.float32)
    shaper = shaping.ASH("b").fit(cupy.asarray(features(9)))
    with pytest.raises(ValueError, match="row 0 of X overflow"):
        shaper.transform(cupy.asarray(huge))


def test_shapers_give_tables_where_they_are_asked_to(cupy):
    X = features(9)
    shaper = shaping.ReAct().set_output(transform="pandas").fit(cupy.asarray(X))
    table = shaper.transform(cupy.asarray(X))
    assert isinstance(table, pd.DataFrame)
    np.testing.assert_array_equal(table, shaper.transform(X))


def places_in_the_docs():
    """(place of fit, place of scoring) of every component in the table of docs/gpu.md."""
    text = Path(__file__).parents[1].joinpath("docs", "gpu.md").read_text(encoding="utf-8")
    table = text.partition("| Component |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {name: row[1:] for row in rows for name in re.findall(r"`(\w+)`", row[0])}


def all_components():
    shapers = {type(shaper).__name__: shaper for shaper in SHAPERS.values()}
    detectors = {entry.estimator.__name__: entry.estimator() for entry in all_detectors()}
    search = model_selection.WeiPerDetectorCV(param_grid={"delta": [0.5]}, cv=2)
    others = {"WeiPerDetectorCV": search, "WeiPerTransformer": WeiPerTransformer()}
    return {**shapers, **detectors, **others}


def test_the_docs_say_of_every_component_where_it_computes():
    assert set(places_in_the_docs()) == set(all_components())


@pytest.mark.parametrize("name", sorted(set(all_components()) - {"EnsembleDetector"}))
def test_it_computes_where_the_docs_say(cupy, name, monkeypatch):
    X, (weight, bias) = features(40), head()
    y = (X @ weight.T + bias).argmax(axis=1)
    y[::4], y[::7] = (y[::4] + 1) % N_CLASSES, -1
    component, copied = all_components()[name], []
    given = {"weight": weight, "bias": bias, "n_repeats": 3, "random_state": 0}
    component = component.set_params(
        **{key: value for key, value in given.items() if key in component.get_params()}
    )
    copy = FeatureRows.load_copied
    monkeypatch.setattr(
        FeatureRows, "load_copied", lambda *args, **kw: copied.append(1) or copy(*args, **kw)
    )
    found, on_device = [], cupy.asarray(X)
    fitted = clone(component).fit(X, y)
    expected = scored(fitted, X)
    for use in (lambda: component.fit(on_device, y), lambda: scored(fitted, on_device)):
        copied.clear()
        try:
            result = use()
            found.append("CPU" if copied else "GPU")
        except TypeError as error:
            assert "X.get()" in str(error)
            found.append("`TypeError`")
    assert found == places_in_the_docs()[name]
    if "`TypeError`" not in found:
        np.testing.assert_allclose(as_host(result), expected, rtol=1e-4, atol=1e-6)


def scored(component, X):
    use = getattr(component, "score_samples", None) or component.transform
    return use(X)


VARIANTS = [
    *(LogitDetector(method=method, temperature=2.0) for method in LOGIT_SCORES),
    LogitDetector(method=lambda logits: np.max(logits, axis=-1)),
    TemperatureScalingDetector(temperature=3.0),
    GradNormDetector(),
    DICEDetector(percentile=50),
    KLMatchingDetector(labels="y"),
    *(SHEDetector(metric=metric) for metric in ("inner_product", "cosine", "euclidean")),
    FDBDDetector(),
    NCIDetector(),
    *(MahalanobisDetector(normalize=normalize) for normalize in (False, True)),
    RelativeMahalanobisDetector(labels="y"),
    ResidualDetector(),
    ViMDetector(n_components=1),
]


def test_the_variants_are_all_peers_that_compute_on_the_device():
    places = places_in_the_docs()
    peers = {
        name
        for name, component in all_components().items()
        if isinstance(component, base.PeerDetector) and places[name] == ["GPU", "GPU"]
    }
    assert {type(detector).__name__ for detector in VARIANTS} == peers


@pytest.mark.parametrize("detector", VARIANTS)
def test_closed_forms_learn_the_same_on_the_device(cupy, detector, monkeypatch):
    """Also from chunks, and with rows that belong to no class."""
    X, (weight, bias) = features(60), head()
    y = np.arange(60) % N_CLASSES
    y[::9] = -1
    detector = clone(detector).set_params(weight=weight, bias=bias)
    expected = vars(clone(detector).fit(X, y))
    monkeypatch.setattr(base, "chunk_slices", lambda n_rows, *sizes: row_slices(n_rows, 17))
    found = vars(detector.fit(cupy.asarray(X), cupy.asarray(y)))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert not is_device_array(found[name])
        if isinstance(value, np.ndarray | float):
            np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("detector", VARIANTS)
def test_closed_forms_score_on_the_device_in_double_precision(cupy, detector, monkeypatch):
    X, (weight, bias) = features(60), head()
    X[7] = 0
    weight[2] = weight[1]  # a boundary of two classes of one weight has no place
    y = np.arange(60) % N_CLASSES
    detector = clone(detector).set_params(weight=weight, bias=bias).fit(X, y)
    expected = detector.score_samples(X)
    on_device = cupy.asarray(X)
    monkeypatch.setattr(FeatureRows, "load_copied", None)
    monkeypatch.setattr(base, "chunk_slices", lambda n_rows, *args: row_slices(n_rows, 25))
    scores = detector.score_samples(on_device)
    assert type(scores) is np.ndarray
    np.testing.assert_allclose(scores, expected, rtol=1e-10, atol=1e-12)
    X[41, 2] = np.inf
    with pytest.raises(ValueError, match=r"infinity.*row 41, column 2"):
        detector.score_samples(cupy.asarray(X))
    large = np.where(np.isinf(X), 1e150, X.astype(np.float64))
    with pytest.raises(ValueError, match=r"1e\+150.*row 41, column 2"):
        detector.score_samples(cupy.asarray(large))


def test_a_pipeline_of_a_shaper_and_a_detector_stays_on_the_device(cupy):
    weight, bias = head()
    seen = []

    def score(logits):
        seen.append(type(logits))
        return logits.max(axis=-1)

    detector = WeiPerDetector(weight, bias, method=score, n_repeats=3, random_state=0)
    pipeline = make_pipeline(shaping.ReAct(), detector)
    X = features(20)
    scored = pipeline.fit(cupy.asarray(X)).score_samples(cupy.asarray(X))
    assert set(seen) == {cupy.ndarray} and type(scored) is np.ndarray
    np.testing.assert_allclose(scored, pipeline.fit(X).score_samples(X), rtol=1e-4)


def test_work_is_done_on_the_device_of_x_where_another_is_the_current_one(cupy, request):
    if request.node.callspec.params["cupy"] != "emulated":
        pytest.skip("needs a second device")
    y = np.where(np.arange(30) % 6, 1, -1)
    with cupy.cuda.Device(1):
        X, weight = cupy.asarray(features(30)), cupy.asarray(head()[0])
    with pytest.raises(AssertionError, match="another device"):
        X[3:]
    for shaper in (*SHAPERS.values(), model_selection.InlierOnly(ScoresWhereXLives())):
        shaper.fit(X, y)
    shaped = shaping.RAS().fit(X, y).transform(X)
    made = model_selection.synthetic_outliers(X, weight, random_state=0)
    stacked = model_selection.train_validation_split_for_ood(X, features(4), made)[0]
    elsewhere = cupy.asarray(features(4))
    moved = model_selection.train_validation_split_for_ood(X, elsewhere, made)[0]
    assert [array.device.id for array in (shaped, made, stacked, moved)] == [1, 1, 1, 1]
    for device in ("auto", "cuda"):
        detector = WeiPerDetector(weight, n_repeats=3, device=device).fit(X, y)
        assert np.isfinite(detector.score_samples(X)).all()
    for detector in VARIANTS:
        if not detector.__sklearn_tags__().target_tags.required:
            detector = clone(detector).set_params(weight=weight).fit(X, y)
            assert detector.score_samples(X).shape == (30,)


def test_an_ensemble_takes_members_of_other_libraries_on_a_device(cupy, monkeypatch):
    """Which get copies in host memory; a pipeline of this library's parts stays on the device."""
    X, (weight, bias) = features(60), head()
    shaped = make_pipeline(shaping.ReAct(), LogitDetector(weight, bias))
    members = [
        ("forest", IsolationForest(n_estimators=5, random_state=0)),
        ("scaled", make_pipeline(StandardScaler(), MahalanobisDetector(weight, bias))),
        ("shaped", shaped),
    ]
    ensemble = EnsembleDetector(members, random_state=0)
    expected = clone(ensemble).fit(X).score_samples(X)
    seen, transform = [], shaping.ReAct.transform
    monkeypatch.setattr(
        shaping.ReAct, "transform", lambda self, X: seen.append(X) or transform(self, X)
    )
    found = ensemble.fit(cupy.asarray(X)).score_samples(cupy.asarray(X))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert seen and all(map(is_device_array, seen))


def test_a_recommendation_takes_scores_on_a_device(cupy, monkeypatch):
    X, (weight, bias) = features(60), head()
    score = LogitDetector.score_samples
    monkeypatch.setattr(
        LogitDetector, "score_samples", lambda self, X: cupy.asarray(score(self, X))
    )
    detectors = {"msp": LogitDetector(weight, bias)}
    options = {"detectors": detectors, "random_state": 0, "X_ood": {"far": features(20, 1)}}
    found = recommendation.recommend(X, weight, bias, **options)
    monkeypatch.setattr(LogitDetector, "score_samples", score)
    expected = recommendation.recommend(X, weight, bias, **options)
    assert_frame_equal(found[["auroc", "stability"]], expected[["auroc", "stability"]])
