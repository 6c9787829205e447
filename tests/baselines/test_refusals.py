"""Input that a peer detector cannot learn from is refused by name; input that is scarce is not."""

import tracemalloc

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone

from skweiper import baselines
from skweiper.baselines import (
    DICEDetector,
    KLMatchingDetector,
    KNNDetector,
    MahalanobisDetector,
    NNGuideDetector,
    OpenMaxDetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    SHEDetector,
    TemperatureScalingDetector,
    ViMDetector,
)
from skweiper.baselines.base import HeadDetector

DETECTORS = [getattr(baselines, name)() for name in baselines.__all__ if name.endswith("Detector")]
DETECTORS += [
    MahalanobisDetector(normalize=True),
    RelativeMahalanobisDetector(normalize=True),
]
HEAD_DETECTORS = [detector for detector in DETECTORS if isinstance(detector, HeadDetector)]
BY_CLASS = [MahalanobisDetector(), RelativeMahalanobisDetector(), KLMatchingDetector()]


def named(estimator):
    return type(estimator).__name__


@pytest.fixture(scope="module")
def problem():
    """Features of four classes, their labels, and a head that tells them apart."""
    rng = np.random.RandomState(0)
    y = np.arange(120) % 4
    centres = 5 * np.eye(4, 8)
    return centres[y] + rng.randn(120, 8), y, centres, rng.randn(4)


@pytest.mark.parametrize("detector", HEAD_DETECTORS, ids=named)
@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"weight": np.ones((4, 7))}, r"X has 8 features, but weight has shape \(4, 7\)"),
        ({"weight": np.ones((8, 4))}, r"pass weight\.T"),
        ({"weight": np.full((4, 8), np.nan)}, "weight contains NaN or infinity"),
        ({"weight": np.ones((4, 8)), "bias": np.ones(3)}, r"bias must have shape \(4,\)"),
        ({"bias": np.ones(8)}, "bias was given without weight"),
    ],
    ids=["width", "transposed", "nan", "bias", "bias alone"],
)
def test_head_that_does_not_fit(detector, head, message, problem):
    with pytest.raises(ValueError, match=message):
        clone(detector).set_params(**head).fit(problem[0], problem[1])


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_values_that_are_not_finite(detector, value, name, problem):
    X = problem[0].copy()
    X[3, 2] = value
    message = f"{name}.* at row 3, column 2"
    with pytest.raises(ValueError, match=message):
        with_head(detector, problem).fit(X, problem[1])
    fitted = with_head(detector, problem).fit(*problem[:2])
    with pytest.raises(ValueError, match=message):
        fitted.score_samples(X)


def with_head(detector, problem):
    detector = clone(detector)
    if isinstance(detector, HeadDetector):
        detector.set_params(weight=problem[2], bias=problem[3])
    return detector


@pytest.mark.parametrize(
    "detector",
    [SHEDetector(labels="y"), OpenMaxDetector(labels="y"), TemperatureScalingDetector()],
    ids=named,
)
@pytest.mark.parametrize("spoil", [lambda y: y + 1, lambda y: y + 0.5, lambda y: y - 2, str])
def test_labels_outside_the_heads_classes(detector, spoil, problem):
    y = np.array([spoil(label) for label in problem[1]])
    y = y[y != -1] if y.dtype.kind == "i" else y
    X = problem[0][: len(y)]
    with pytest.raises(ValueError, match=r"class numbers 0\.\.3, the rows of weight"):
        with_head(detector, problem).fit(X, y)


@pytest.mark.parametrize(
    ("detector", "remedy"),
    [
        (SHEDetector(labels="y"), "labels='head'"),
        (OpenMaxDetector(labels="y"), "labels='head'"),
        (TemperatureScalingDetector(), "set temperature"),
    ],
    ids=lambda value: named(value) if hasattr(value, "fit") else value,
)
def test_labels_that_are_no_classes_have_a_remedy_that_exists(detector, remedy, problem):
    X = problem[0]
    with pytest.raises(
        ValueError, match=rf"one class only \(1\) of 4.*inlier labels, or .*{remedy}"
    ):
        with_head(detector, problem).fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match=rf"class numbers 0\.\.3.*or .*{remedy}"):
        with_head(detector, problem).fit(X, np.repeat(["a", "b"], [1, len(X) - 1]))


@pytest.mark.parametrize("detector", [SHEDetector(), OpenMaxDetector()], ids=named)
def test_labels_in_another_order_than_the_heads_rows(detector, problem):
    X, y = problem[:2]
    weight = problem[2]
    with pytest.raises(ValueError, match="another class than y for all 120 rows"):
        clone(detector).set_params(weight=5 * weight, labels="y").fit(5 * X, (y + 1) % 4)


@pytest.mark.parametrize("detector", BY_CLASS, ids=named)
def test_any_labels_make_classes(detector, problem):
    X, y = problem[:2]
    names = np.array(["a", "b", "c", "d"])[y]
    detector = with_head(detector, problem).set_params(labels="y")
    by_name, by_number = clone(detector).fit(X, names), clone(detector).fit(X, y)
    assert by_name.classes_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(by_name.score_samples(X), by_number.score_samples(X))


@pytest.mark.parametrize("detector", [*BY_CLASS, SHEDetector(), OpenMaxDetector()], ids=named)
def test_classes_without_a_training_row(detector, problem):
    X, y = problem[:2]
    detector = with_head(detector, problem)
    predicted = (X @ problem[2].T + problem[3]).argmax(axis=1)
    present = predicted < 3
    detector.fit(X[present], y[present])
    assert np.isfinite(detector.score_samples(X)).all()
    if hasattr(detector, "classes_"):
        np.testing.assert_array_equal(detector.classes_, [0, 1, 2])


@pytest.mark.parametrize(
    "detector", [MahalanobisDetector(), RelativeMahalanobisDetector()], ids=named
)
@pytest.mark.parametrize("n_copies", [1, 3])
def test_covariance_of_rows_that_do_not_differ(detector, n_copies, problem):
    X = np.repeat(problem[0][:4], n_copies, axis=0)
    y = np.repeat(np.arange(4), n_copies)
    with pytest.raises(ValueError, match="do not differ within any class"):
        clone(detector).set_params(labels="y").fit(X, y)


@pytest.mark.parametrize("detector", [ResidualDetector(), ViMDetector()], ids=named)
def test_subspace_of_too_few_rows(detector, problem):
    detector = with_head(detector, problem).set_params(n_components=4)
    with pytest.raises(ValueError, match=r"n_samples=4.* span 4 dimensions"):
        detector.fit(problem[0][:4])
    assert np.isfinite(detector.fit(problem[0][:5]).score_samples(problem[0])).all()
    with pytest.raises(ValueError, match="less than n_features=8"):
        detector.set_params(n_components=8).fit(problem[0])


@pytest.mark.parametrize("detector", [KNNDetector(), NNGuideDetector()], ids=named)
def test_fewer_rows_than_neighbours_are_all_neighbours(detector, problem):
    X = problem[0]
    few = clone(detector).fit(X[:20])
    all_of_them = clone(detector).set_params(n_neighbors=20).fit(X[:20])
    np.testing.assert_array_equal(few.score_samples(X), all_of_them.score_samples(X))


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_memory_is_bounded_by_the_setting(detector):
    n_samples, n_classes = 1500, 120
    rng = np.random.RandomState(0)
    weight = rng.randn(n_classes, 8)
    X = rng.randn(n_samples, 8)
    y = (X @ weight.T).argmax(axis=1)
    y[::10] = 0  # a head without a mistake has no best temperature
    detector = clone(detector)
    if isinstance(detector, HeadDetector):
        detector.set_params(weight=weight)
    if "n_random_features" in detector.get_params():
        # Fitted state, which grows with their square whatever the rows are.
        detector.set_params(n_random_features=64)
    detector.fit(X, y).score_samples(X)  # probes the kernels
    # All rows by all rows are 9 MiB in single precision, rows by classes by features 11 in double.
    with config_context(working_memory=2):
        tracemalloc.start()
        try:
            detector.fit(X, y).score_samples(X)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 6 * 2**20


def test_dice_without_a_weight_has_nothing_to_drop(problem):
    with pytest.raises(ValueError, match="dice_weight needs the weight"):
        baselines.dice_weight(None, problem[0])
    with pytest.raises(ValueError, match="percentile"):
        DICEDetector(problem[2], percentile=100).fit(problem[0])
