"""Outliers among the training rows: what they cost, who warns of them, and the remedy."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skweiper import WeiPerDetector
from skweiper.metrics import auroc
from skweiper.model_selection import WeiPerDetectorCV, ablation

ROBUST = (0.0005, 0.9995)
ROW, COLUMN = 1234, 17
PROJECTIONS = ["implicit", "explicit"]


def detector_of(data, **options):
    options = {"n_repeats": 10, "random_state": 0, **options}
    return WeiPerDetector(data.weight, data.bias, **options)


def with_outlier(X, value):
    X = X.astype(np.float32)
    X[ROW, COLUMN] = value
    return X


def auroc_of(detector, data):
    return 100 * auroc(*map(detector.score_samples, (data.test, data.test_oos)))


def quietly(work, *arguments):
    """The result, and the warnings on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return work(*arguments), caught


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("value", [100.0, 1e10])
def test_value_range_restores_what_one_value_costs(projection, value, clinc150):
    """One of 960,000; at 100 the histograms blur, at 1e10 the score is MSP alone."""
    options = {"projection": projection, "delta": 2.0}
    detector = detector_of(clinc150, **options)
    clean = auroc_of(detector.fit(clinc150.train), clinc150)
    X = with_outlier(clinc150.train, value)
    spoiled, caught = quietly(detector.fit, X)
    assert [each.filename for each in caught] == [__file__]
    lost = abs(auroc_of(spoiled, clinc150) - clean)
    assert lost > 3.0 if value < 1e10 else both_divergences_are_constant(spoiled, clinc150)
    robust = detector_of(clinc150, value_range=ROBUST, **options).fit(X)
    assert auroc_of(robust, clinc150) == pytest.approx(clean, abs=0.5)
    removed = clone(robust).fit(np.delete(X, ROW, axis=0))
    assert auroc_of(robust, clinc150) == pytest.approx(auroc_of(removed, clinc150), abs=0.05)


def both_divergences_are_constant(detector, data):
    terms = detector.score_components(data.test[:300])
    return terms[["feature_divergence", "logit_divergence"]].std().max() < 1e-3


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_warning_names_row_value_and_remedy(projection, engine, clinc150):
    if engine == "numba":
        pytest.importorskip("numba")
    detector = detector_of(clinc150, projection=projection, engine=engine, n_repeats=2)
    message = (
        r"all training features but 1 of 960000 lie from 0 to 2\.848, in 3 of 100 bins, while "
        rf"row {ROW} reaches 100[.;].*Remove .* y == -1; or pass value_range=\(0\.0005, 0\.9995\)"
    )
    with pytest.warns(UserWarning, match=message):
        detector.fit(with_outlier(clinc150.train, 100))
    both = (
        rf"in 1 of 100 bins, while row {ROW} reaches 1e\+10; all perturbed training logits but "
        rf".* in 1 of 100 bins, while row {ROW} reaches -.*e\+\d+ and .*e\+\d+\."
    )
    with pytest.warns(UserWarning, match=both):
        detector.fit(with_outlier(clinc150.train, 1e10))


def test_rows_are_counted_with_the_known_outliers(clinc150):
    X, y = with_outlier(clinc150.train, 100), np.ones(3750)
    y[::2] = -1
    X[ROW + 1], X[ROW] = X[ROW], 1e9  # a known outlier, which is no matter
    with pytest.warns(UserWarning, match=rf"of 480000 lie .* while row {ROW + 1} reaches 100"):
        detector_of(clinc150, n_repeats=2).fit(X, y)
    y[ROW + 1] = -1
    detector_of(clinc150, n_repeats=2).fit(X, y)


def test_a_row_that_is_scaled_is_found_in_little_data(small):
    """It has 2 % of the values, more than the rare ones of which 99.9 % are the rest."""
    X = small["X"][:50].copy()
    X[7] *= 1000
    detector = WeiPerDetector(small["weight"], random_state=0)
    with pytest.warns(UserWarning, match="while row 7 reaches .*perturbed.* while row 7 reaches"):
        detector.fit(X)


def test_the_remedy_of_the_warning_silences_it(small):
    X = small["X"].copy()
    X[7] *= 1000
    _, (caught,) = quietly(WeiPerDetector(small["weight"], random_state=0).fit, X)
    remedy = eval(str(caught.message).split("value_range=")[1].split(")")[0] + ")")
    WeiPerDetector(small["weight"], value_range=remedy, random_state=0).fit(X)
    WeiPerDetector(small["weight"], random_state=0).fit(np.delete(X, 7, axis=0))


def test_other_methods_have_no_bins_to_be_stretched(clinc150):
    detector_of(clinc150, method="msp", n_repeats=2).fit(with_outlier(clinc150.train, 1e10))


def test_no_further_pass_is_made_where_nothing_is_found(clinc150, monkeypatch):
    """Two passes: one for the extremes, one for the counts."""
    from skweiper._support.rows import FeatureRows

    loaded = []

    def counted(self, rows, dtype=np.float32, load=FeatureRows.load):
        loaded.append(rows.stop - rows.start)
        return load(self, rows, dtype)

    monkeypatch.setattr(FeatureRows, "load", counted)
    detector = detector_of(clinc150, n_repeats=2, delta=2.0).fit(clinc150.train)
    assert sum(loaded) == 2 * 3750
    loaded.clear()
    quietly(detector.fit, with_outlier(clinc150.train, 100))
    assert sum(loaded) == 2 * 3750


@pytest.mark.parametrize("projection", [*PROJECTIONS, "random"])
@pytest.mark.parametrize("n_rows", [3, 30, 300, 3750])
def test_the_bundled_data_gives_no_alarm(projection, n_rows, clinc150):
    rows = np.random.RandomState(0).permutation(3750)[:n_rows]
    for n_bins in (2, 10, 11, 60, 100, 1000):
        detector_of(clinc150, projection=projection, n_repeats=2, n_bins=n_bins).fit(
            clinc150.train[rows]
        )


@pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.0005, 0.00005])
def test_a_sparse_layer_gives_no_alarm(share, clinc150):
    """Down to 48 features of 960,000 that are not zero: no row is unlike the others."""
    kept = np.random.RandomState(0).random_sample(clinc150.train.shape) < share
    detector_of(clinc150, n_repeats=2).fit(clinc150.train * kept)


def test_a_sweep_warns_once_and_names_the_splits(clinc150):
    inliers = with_outlier(clinc150.train, 1e10)[ROW - 100 : ROW + 50]
    X = np.concatenate([inliers, clinc150.validation_oos[:40].astype(np.float32)])
    y = np.repeat([1, -1], [150, 40])
    grid = {"n_repeats": [2], "n_bins": [60, 100], "delta": [1.0, 2.0]}
    folds = StratifiedKFold(3)
    search = WeiPerDetectorCV(
        clinc150.weight, clinc150.bias, param_grid=grid, cv=folds, random_state=0, refit=False
    )
    with_row = [i for i, (train, _) in enumerate(folds.split(X, y)) if 100 in train]
    _, (caught,) = quietly(search.fit, X, y)
    assert f"in the training folds of splits {with_row} stretch" in str(caught.message)
    assert "while row 100 reaches 1e+10" in str(caught.message)
    assert caught.filename == __file__
    _, caught = quietly(search.set_params(refit=True).fit, X, y)
    assert len(caught) == 2
    assert "among the training rows stretch" in str(caught[1].message)
    search.set_params(param_grid={**grid, "value_range": [(0.02, 0.98)]}).fit(X, y)


def test_an_ablation_warns_once(clinc150):
    X = with_outlier(clinc150.train, 1e10)[1200:1300]
    sets = clinc150.validation[:20], clinc150.validation_oos[:20]
    head = {"weight": clinc150.weight, "bias": clinc150.bias, "seeds": [0, 1]}
    studies = {"ranges": [{"value_range": (0.0, 0.98)}, {"value_range": (0.05, 0.95)}]}
    options = {"base": {"n_repeats": 2}, "studies": studies}
    table, (caught,) = quietly(lambda: ablation(X, *sets, **head, **options))
    assert "in X_train stretch" in str(caught.message) and "row 34 " in str(caught.message)
    assert table.setting.nunique() == 3


GRID = [
    {"value_range": [(0, 1), (0.01, 0.99), [0.0, 0.95]], "n_bins": [40, 60], "lambda_1": [0.1, 1]},
    {"value_range": [(0.01, 0.99)], "projection": ["explicit"], "smoothing": [1, 4]},
    {"method": ["msp"]},
]


def test_a_sweep_over_ranges_equals_grid_search(clinc150):
    """`value_range` in the grid, fixed for all candidates, and left open."""
    X = np.concatenate([clinc150.train[::40], clinc150.validation_oos[:40]])
    y, folds = np.repeat([1, -1], [94, 40]), StratifiedKFold(2, shuffle=True, random_state=0)
    grid = [{**each, "n_repeats": [2]} for each in GRID]
    slow = GridSearchCV(detector_of(clinc150), grid, cv=folds, scoring="roc_auc").fit(X, y)
    head = clinc150.weight, clinc150.bias
    fast = WeiPerDetectorCV(*head, param_grid=grid, cv=folds, random_state=0).fit(X, y)
    assert fast.cv_results_["params"] == slow.cv_results_["params"]
    assert fast.n_passes_ == 2
    for name in ("split0", "split1", "mean"):
        column = f"{name}_test_score"
        np.testing.assert_allclose(fast.cv_results_[column], slow.cv_results_[column], atol=1e-9)
    found, expected = (each.cv_results_["param_value_range"] for each in (fast, slow))
    assert found.compressed().tolist() == expected.compressed().tolist()
    assert np.array_equal(found.mask, expected.mask)
    by_range = fast.cv_results_["mean_test_score"][:12].reshape(4, 3)
    assert (np.ptp(by_range, axis=1) > 1e-6).all()
    np.testing.assert_array_equal(fast.score_samples(X), slow.best_estimator_.score_samples(X))


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc"])
def test_a_detector_with_a_range_in_a_sweep_is_itself(clinc150, scoring):
    X = np.concatenate([clinc150.train[::20], clinc150.validation_oos[:60]])
    y, folds = np.repeat([1, -1], [188, 60]), StratifiedKFold(2)
    detector = detector_of(clinc150, n_repeats=3, value_range=(0.01, 0.99))
    grid = {"lambda_1": [0.1, 1], "n_bins": [50]}
    slow = GridSearchCV(detector, grid, cv=folds, scoring=scoring).fit(X, y)
    fixed = {**grid, "n_repeats": [3], "value_range": [(0.01, 0.99)]}
    fast = WeiPerDetectorCV(
        clinc150.weight, clinc150.bias, param_grid=fixed, cv=folds, scoring=scoring, random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(
        fast.cv_results_["mean_test_score"], slow.cv_results_["mean_test_score"], atol=1e-9
    )


def test_a_sweep_refuses_what_is_no_pair(clinc150):
    search = WeiPerDetectorCV(
        clinc150.weight, clinc150.bias, param_grid={"value_range": [(0, 1), (1, 0)]}
    )
    with pytest.raises(ValueError, match="value_range must be two quantiles"):
        search.fit(clinc150.train[:50], np.resize([1, -1], 50))
