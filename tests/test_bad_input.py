"""Each mistake gets one error that names what came and what to do."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError

from skweiper import WeiPerDetector, WeiPerTransformer


@pytest.fixture
def fitted(small):
    return WeiPerDetector(small["weight"], small["bias"], n_repeats=3).fit(small["X"])


def replaced(X, value):
    X = X.astype(np.float64)
    X[17, 3] = value
    return X


def frame_with(column):
    """From features to a table of which one column is replaced."""

    def make(X):
        table = pd.DataFrame(X)
        table[3] = column(len(X))
        return table

    return make


BAD_X = {
    "nan": (lambda X: replaced(X, np.nan), ValueError, "NaN at row 17, column 3"),
    "inf": (lambda X: replaced(X, np.inf), ValueError, r"infinity \(inf\) at row 17, column 3"),
    "minus inf": (lambda X: replaced(X, -np.inf), ValueError, "row 17, column 3"),
    "too large": (lambda X: replaced(X, 1e300), ValueError, "too large for float32"),
    "no rows": (lambda X: X[:0], ValueError, "0 sample"),
    "no features": (lambda X: X[:, :0], ValueError, "0 feature|X has 0 features"),
    "sparse": (sp.csr_array, TypeError, "toarray"),
    "objects": (lambda X: np.full(X.shape, object()), TypeError, "X cannot be read .*: float"),
    "strings": (lambda X: np.full(X.shape, "a"), ValueError, "X cannot be read .*string"),
    "ragged": (lambda X: [*X.tolist(), [1.0]], ValueError, "X cannot be read .*inhomogeneous"),
    "1-D": (lambda X: X[0], ValueError, "Expected 2D array"),
    "Series": (lambda X: pd.Series(X[0]), ValueError, "2-dimensional|2D array"),
    "3-D": (lambda X: X[None], ValueError, "dim 3|3"),
    "masked": (lambda X: np.ma.masked_greater(X, 1), ValueError, r"masked values.*X\.filled"),
    "dates": (frame_with(lambda n: pd.date_range("2026", periods=n)), ValueError, "3: 'datetime"),
    "text column": (frame_with(lambda n: pd.Series(["a"] * n, dtype="string")), ValueError, "3: "),
    "missing value": (frame_with(lambda n: pd.array([None] * n, "Int64")), ValueError, "NaN"),
    "complex": (lambda X: X + 1j, ValueError, "Complex data not supported"),
}


@pytest.mark.parametrize("name", sorted(BAD_X))
@pytest.mark.parametrize("method", ["fit", "score_samples", "predict", "densities"])
def test_bad_features(fitted, small, name, method):
    make, error, message = BAD_X[name]
    with pytest.raises(error, match=message):
        getattr(fitted, method)(make(small["X"]))


@pytest.mark.parametrize("name", sorted(BAD_X))
def test_bad_features_for_the_transformer(small, name):
    make, error, message = BAD_X[name]
    with pytest.raises(error, match=message):
        WeiPerTransformer(small["weight"]).fit(make(small["X"]))


def test_the_row_named_counts_left_out_rows(small):
    X = replaced(small["X"], np.nan)
    y = np.r_[-np.ones(10), np.ones(50)]
    with pytest.raises(ValueError, match="row 17"):
        WeiPerDetector(small["weight"]).fit(X, y)


def test_logits_in_place_of_features(fitted, small):
    logits = small["X"] @ small["weight"].T
    with pytest.raises(ValueError, match="were logits passed"):
        fitted.score_samples(logits)
    with pytest.raises(ValueError, match="if it holds logits, pass weight=None"):
        WeiPerDetector(small["weight"]).fit(logits)


BAD_HEAD = {
    "nan weight": ({"weight": np.full((5, 12), np.nan)}, ValueError, "weight contains NaN"),
    "nan bias": ({"weight": np.ones((5, 12)), "bias": [np.nan] * 5}, ValueError, "bias contains"),
    "ragged": ({"weight": [[1.0] * 12, [1.0]]}, ValueError, "weight cannot be read .*inhomogen"),
    "flat weight": ({"weight": np.ones(12)}, ValueError, "weight must have shape"),
    "empty weight": ({"weight": np.ones((0, 12))}, ValueError, "weight must have shape"),
    "transposed": ({"weight": np.ones((12, 5))}, ValueError, "expects 5 features"),
    "huge weight": (
        {"weight": np.full((5, 12), 1e200)},
        ValueError,
        "weight .* too large .*1e.200",
    ),
    "long bias": ({"weight": np.ones((5, 12)), "bias": np.ones(6)}, ValueError, r"bias .*\(5,\)"),
    "only bias": ({"bias": np.ones(5)}, ValueError, "bias was given without weight"),
    "text": ({"weight": [["a"] * 12]}, TypeError, "weight must be a real numeric array"),
}


@pytest.mark.parametrize("name", sorted(BAD_HEAD))
def test_bad_heads(small, name):
    params, error, message = BAD_HEAD[name]
    with pytest.raises(error, match=message):
        WeiPerDetector(**params).fit(small["X"])


BAD_PARAMS = [
    ("method", "mps"), ("method", 3), ("projection", "both"), ("n_repeats", 0), ("n_repeats", 1.5),
    ("delta", -0.1), ("delta", np.nan), ("delta", "automatic"), ("delta", None),
    ("flip_rate", 0), ("flip_rate", 1), ("flip_rate", "auto"),
    ("n_bins", 1), ("n_bins", 10.0), ("smoothing", 0),
    ("smoothing_perturbed", 0), ("lambda_1", -1), ("lambda_2", -1), ("epsilon", 0),
    ("epsilon_perturbed", 0), ("contamination", 0), ("contamination", 0.51), ("device", "gpu"),
    ("engine", "torch"), ("random_state", "seed"), ("verbose", -1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_PARAMS)
def test_hyperparameters_out_of_range(small, name, value):
    detector = WeiPerDetector(small["weight"], **{name: value})
    with pytest.raises((ValueError, TypeError), match=f"'{name}' parameter of WeiPerDetector"):
        detector.fit(small["X"])


def test_all_rows_known_outliers(small):
    with pytest.raises(ValueError, match="All 60 rows are labelled y == -1"):
        WeiPerDetector(small["weight"]).fit(small["X"], -np.ones(60))


def test_labels_of_another_length(small):
    with pytest.raises(ValueError, match=r"y must have shape \(60,\)"):
        WeiPerDetector(small["weight"]).fit(small["X"], np.ones(59))


def test_labels_of_different_lengths(small):
    with pytest.raises(ValueError, match=r"y cannot be read as one label per row.*inhomogeneous"):
        WeiPerDetector(small["weight"]).fit(small["X"], [[1, 2], *[1] * 59])


def test_labels_as_text(small):
    labels = np.where(np.arange(60) < 6, "-1", "1")
    with pytest.raises(ValueError, match=r"text '-1'.*astype"):
        WeiPerDetector(small["weight"]).fit(small["X"], labels)


def test_class_names_and_missing_labels_are_inliers(small):
    labels = pd.Series(["card", "loan", None] * 20, dtype="string")
    detector = WeiPerDetector(small["weight"], n_repeats=3, random_state=0)
    expected = detector.fit(small["X"]).score_samples(small["X"])
    with pytest.warns(UserWarning, match="y holds missing values and no -1"):
        detector.fit(small["X"], labels)
    scores = detector.score_samples(small["X"])
    np.testing.assert_array_equal(scores, expected)


def test_a_masked_array_without_masked_values_is_plain(fitted, small):
    np.testing.assert_array_equal(
        fitted.score_samples(np.ma.asarray(small["X"])), fitted.score_samples(small["X"])
    )


def test_scoring_before_fit(small):
    with pytest.raises(NotFittedError, match="not fitted"):
        WeiPerDetector(small["weight"]).score_samples(small["X"])


@pytest.mark.parametrize("tpr", [0, 1.01, "all"])
def test_calibration_level_out_of_range(fitted, small, tpr):
    with pytest.raises((ValueError, TypeError), match="'tpr' parameter of calibrate"):
        fitted.calibrate(small["X"], tpr=tpr)


def test_densities_without_densities(small):
    detector = WeiPerDetector(small["weight"], method="msp", n_repeats=2).fit(small["X"])
    with pytest.raises(ValueError, match="densities need method='kld'"):
        detector.densities(small["X"])


def test_the_callers_arrays_are_left_alone(small):
    X, weight = small["X"].copy(), small["weight"].copy()
    X.setflags(write=False)
    weight.setflags(write=False)
    WeiPerDetector(weight, n_repeats=3).fit(X).predict(X)
    np.testing.assert_array_equal(X, small["X"])


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("projection", ["implicit", "explicit"])
@pytest.mark.parametrize("method", ["kld", "max_logit", "energy"])
def test_features_whose_logits_overflow(small, engine, projection, method):
    if engine == "numba":
        pytest.importorskip("numba")
    detector = WeiPerDetector(
        small["weight"], method=method, engine=engine, projection=projection, n_repeats=3
    ).fit(small["X"])
    with pytest.raises(ValueError, match=r"score of row 17 of X is .* overflow"):
        detector.score_samples(replaced(small["X"], 3e38))
    with pytest.raises(ValueError, match="overflow"):
        detector.fit(np.abs(small["X"]) * 1e38)


@pytest.mark.parametrize("method", ["kld", "msp"])
@pytest.mark.parametrize(
    "changed",
    [
        {"method": "energy"},
        {"method": "kld"},
        {"n_bins": 30},
        {"lambda_1": 9.0},
        {"lambda_2": 9.0},
        {"epsilon": 0.5},
        {"epsilon_perturbed": 0.5},
        {"smoothing": 9},
        {"smoothing_perturbed": 2},
        {"delta": 0.5},
        {"n_repeats": 7},
        {"projection": "explicit"},
    ],
    ids=str,
)
def test_what_a_fit_used_is_kept_with_it(small, method, changed):
    detector = WeiPerDetector(small["weight"], method=method, n_repeats=2, random_state=0)
    expected = detector.fit(small["X"]).score_samples(small["X"])
    detector.set_params(**changed)
    np.testing.assert_array_equal(detector.score_samples(small["X"]), expected)
    components = detector.score_components(small["X"])
    assert components.shape[1] == (3 if method == "kld" else 1)
    refitted = detector.fit(small["X"]).score_samples(small["X"])
    fresh = WeiPerDetector(small["weight"], method=method, n_repeats=2, random_state=0)
    fresh.set_params(**changed)
    np.testing.assert_array_equal(fresh.fit(small["X"]).score_samples(small["X"]), refitted)


def test_a_fit_forgets_the_densities_of_the_one_before(small):
    detector = WeiPerDetector(small["weight"], n_repeats=2).fit(small["X"])
    detector.set_params(method="msp").fit(small["X"])
    assert not hasattr(detector, "feature_density_")
    with pytest.raises(ValueError, match="densities need method='kld', got method='msp'"):
        detector.set_params(method="kld").densities(small["X"])
