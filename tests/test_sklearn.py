"""What scikit-learn asks of its estimators, and what its users do with them."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skweiper import WeiPerDetector, WeiPerTransformer
from skweiper.detector import WeiPerDetector as DetectorClass

ESTIMATORS = [
    WeiPerDetector(),
    WeiPerDetector(method="msp"),
    WeiPerDetector(method="energy", projection="explicit", n_repeats=5),
    WeiPerTransformer(n_repeats=3),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.fixture
def detector(small):
    return WeiPerDetector(small["weight"], small["bias"], n_repeats=5, random_state=0)


@pytest.fixture
def labelled(small):
    rng = np.random.RandomState(1)
    X = np.concatenate([small["X"], 3 * rng.normal(size=(30, 12)).astype(np.float32)])
    return X, np.repeat([1, -1], [60, 30])


def test_clone_and_parameters(detector):
    copy = clone(detector.set_params(method="gen", delta=1.0))
    assert copy.get_params()["method"] == "gen"
    np.testing.assert_array_equal(copy.weight, detector.weight)
    assert "method='gen'" in repr(copy)
    assert "gen" in copy._repr_html_()


def test_score_is_the_auroc(detector, labelled):
    from sklearn.metrics import roc_auc_score

    X, y = labelled
    expected = roc_auc_score(y, detector.fit(X, y).score_samples(X))
    assert detector.score(X, y) == expected


def test_feature_names_are_checked(detector, small):
    frame = pd.DataFrame(small["X"]).add_prefix("f")
    detector.fit(frame)
    assert list(detector.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(
        detector.score_samples(frame), detector.fit(small["X"]).score_samples(small["X"])
    )
    with pytest.raises(ValueError, match="feature names should match"):
        detector.fit(frame).score_samples(frame[frame.columns[::-1]])


def test_a_pipeline_scores_as_its_steps(detector, small):
    pipeline = make_pipeline(StandardScaler(), detector).fit(small["X"])
    scaled = StandardScaler().fit_transform(small["X"])
    expected = clone(detector).fit(scaled).score_samples(scaled)
    np.testing.assert_allclose(pipeline.score_samples(small["X"]), expected, atol=1e-6)


class Counting(DetectorClass):
    """Records how many rows of each kind took part in fit."""

    def _fit(self, rows, labels):
        self.n_fitted_ = len(rows)
        self.fitted_labels_ = set(np.unique(labels))
        return super()._fit(rows, labels)


def test_grid_search_never_fits_on_known_outliers(small, labelled):
    X, y = labelled
    head = (small["weight"], small["bias"])
    grid = {"delta": [0.5, 2.0], "lambda_1": [0.1, 1.0]}
    search = GridSearchCV(
        Counting(*head, n_repeats=5, random_state=0),
        grid,
        scoring="roc_auc",
        cv=StratifiedKFold(3),
    ).fit(X, y)
    assert search.best_estimator_.n_fitted_ == 60
    assert search.best_estimator_.fitted_labels_ == {1}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_two_jobs_find_what_one_finds(detector, labelled):
    X, y = labelled
    grid = {"delta": [0.5, 2.0], "method": ["kld", "msp"]}

    def results(n_jobs):
        search = GridSearchCV(detector, grid, cv=StratifiedKFold(3), n_jobs=n_jobs).fit(X, y)
        return search.cv_results_["mean_test_score"]

    np.testing.assert_allclose(results(2), results(1), atol=1e-4)


def test_cross_val_score(detector, labelled):
    X, y = labelled
    scores = cross_val_score(detector, X, y, scoring="roc_auc", cv=StratifiedKFold(3))
    assert ((scores > 0.5) & (scores <= 1)).all()


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("options", [{"compress": 3}, {}])
def test_saved_models_score_the_same(detector, small, tmp_path, projection, options):
    detector.set_params(projection=projection).fit(small["X"])
    joblib.dump(detector, tmp_path / "model.joblib", **options)
    mmap_mode = None if options else "r"
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    np.testing.assert_array_equal(
        loaded.score_samples(small["X"]), detector.score_samples(small["X"])
    )


def test_a_saved_model_is_small(small):
    weight = np.random.RandomState(0).normal(size=(5, 12))
    detector = WeiPerDetector(weight, n_repeats=2000, projection="explicit").fit(small["X"])
    assert len(pickle.dumps(detector)) < 20_000


def test_another_major_version_warns(detector, small):
    state = detector.fit(small["X"]).__getstate__()
    state["_skweiper_version"] = "99.0.0"
    with pytest.warns(UserWarning, match=r"saved by skweiper 99\.0\.0"):
        WeiPerDetector().__setstate__(state)


def test_transformer_gives_the_space_that_the_detector_averages(detector, small):
    for projection in ("implicit", "explicit", "random"):
        space = WeiPerTransformer(
            small["weight"], small["bias"], projection=projection, n_repeats=5, random_state=0
        )
        logits = space.fit_transform(small["X"])
        assert logits.shape == (60, 25)
        mean_max = logits.reshape(60, 5, 5).max(axis=2).mean(axis=1)
        detector.set_params(projection=projection, method="max_logit").fit(small["X"])
        np.testing.assert_allclose(detector.score_samples(small["X"]), mean_max, rtol=1e-5)


def test_transformer_names_its_columns(small):
    space = WeiPerTransformer(small["weight"], n_repeats=2).set_output(transform="pandas")
    frame = space.fit_transform(pd.DataFrame(small["X"]).add_prefix("f"))
    assert list(frame.columns) == [f"weipertransformer{i}" for i in range(10)]
