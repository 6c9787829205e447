"""Properties that every peer detector and shaper has."""

import ast
import inspect
import pickle
import re

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from sklearn import config_context
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from skweiper import baselines
from skweiper.baselines.base import HeadDetector
from skweiper.shaping import ASH, RAS, SCALE, VRA, ReAct
from tests.quick import quick

# Without its classes, temperature scaling takes a temperature that is given.
OPTIONS = {
    "TemperatureScalingDetector": {"temperature": 2.0},
    "KernelPCADetector": {"random_state": 0},
}
AT_DEFAULTS = [
    getattr(baselines, name)(**OPTIONS.get(name, {}))
    for name in baselines.__all__
    if name.endswith("Detector")
]
DETECTORS = [
    *AT_DEFAULTS,
    baselines.MahalanobisDetector(normalize=True),
    baselines.RelativeMahalanobisDetector(normalize=True),
]
SHAPERS = [ReAct(), VRA(), ASH("s"), ASH("p"), ASH("b"), SCALE(), RAS()]


def named(estimator):
    return repr(estimator)


@pytest.mark.filterwarnings("ignore:y holds 0 and 1 and no -1")  # the checks' own labels
@parametrize_with_checks([quick(clone(each)) for each in AT_DEFAULTS] + SHAPERS)
def test_sklearn_compatible(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [*DETECTORS, *SHAPERS[:3], SCALE(), RAS()], ids=named)
def test_documented_parameters_and_defaults_are_the_real_ones(estimator):
    documented = {p.name: p.type for p in ClassDoc(type(estimator))["Parameters"]}
    signature = inspect.signature(type(estimator)).parameters
    assert list(documented) == list(signature)
    for name, parameter in signature.items():
        stated = re.search(r"default=(.+)$", documented[name]).group(1)
        assert ast.literal_eval(stated) == parameter.default


@pytest.mark.parametrize("estimator", [*DETECTORS, *SHAPERS[:3], SCALE(), RAS()], ids=named)
def test_docstring_names_its_source(estimator):
    references = "".join(ClassDoc(type(estimator))["References"])
    assert "https://" in references or "skweiper.scores" in references


@pytest.fixture(scope="module")
def problem():
    """Rectified features of five classes, their head, and labels."""
    rng = np.random.RandomState(0)
    labels = rng.randint(5, size=200)
    centres = 3 * rng.rand(5, 16)
    X = np.maximum(centres[labels] + rng.randn(200, 16), 0).astype(np.float32)
    return X, labels, centres - centres.mean(axis=0), rng.randn(5)


def fitted(detector, problem, X=None, y=None):
    X = problem[0] if X is None else X
    if isinstance(detector, HeadDetector):
        detector = clone(detector).set_params(weight=problem[2], bias=problem[3])
    return clone(detector).fit(X, y)


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_known_outliers_take_no_part(detector, problem):
    X = problem[0]
    y = np.where(np.arange(len(X)) < 150, problem[1], -1)
    spoiled = X.copy()
    spoiled[150:] = 1e3
    with_outliers = fitted(detector, problem, spoiled, y)
    without = fitted(detector, problem, X[:150], y[:150])
    np.testing.assert_array_equal(with_outliers.score_samples(X), without.score_samples(X))
    assert with_outliers.offset_ == without.offset_


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_scores_do_not_depend_on_the_chunks(detector, problem):
    X, y = problem[:2]
    whole = fitted(detector, problem, y=y)
    with config_context(working_memory=0.02):
        chunked = fitted(detector, problem, y=y)
        scores = chunked.score_samples(X)
    np.testing.assert_allclose(scores, whole.score_samples(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_scoring_twice_and_after_pickling_gives_the_same_bits(detector, problem):
    detector = fitted(detector, problem, y=problem[1])
    scores = detector.score_samples(problem[0])
    np.testing.assert_array_equal(scores, detector.score_samples(problem[0]))
    restored = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(scores, restored.score_samples(problem[0]))


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_half_precision_is_exact(detector, problem):
    X = problem[0].astype(np.float16)
    detector = fitted(detector, problem, X, problem[1])
    np.testing.assert_array_equal(
        detector.score_samples(X), detector.score_samples(X.astype(np.float64))
    )


@pytest.mark.parametrize(
    "detector",
    [detector for detector in DETECTORS if "labels" in detector.get_params()],
    ids=named,
)
def test_labels_of_y_need_y_and_no_head(detector, problem):
    X, y = problem[:2]
    with pytest.raises(ValueError, match="pass y to fit"):
        clone(detector).set_params(labels="y").fit(X)
    scores = clone(detector).set_params(labels="y").fit(X, y).score_samples(X)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("variant", ["s", "p", "b"])
def test_ash_keeps_the_largest_share(variant, problem):
    X = np.abs(problem[0]) + 0.1 * np.random.RandomState(1).rand(*problem[0].shape)
    shaped = ASH(variant, percentile=75).fit_transform(X)
    assert ((shaped != 0).sum(axis=1) == 4).all()
    assert (X[shaped != 0].reshape(-1, 4).min(axis=1) >= np.sort(X, axis=1)[:, -4]).all()
    if variant == "b":
        np.testing.assert_allclose(shaped.sum(axis=1), X.sum(axis=1))


@pytest.mark.parametrize("shaper", SHAPERS[:-1], ids=named)
def test_shapers_leave_rows_of_zeros_and_their_input_alone(shaper, problem):
    X = problem[0].copy()
    X[0] = 0
    before = X.copy()
    shaped = clone(shaper).fit_transform(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(shaped[0], np.zeros(X.shape[1]))
    assert shaped.dtype == np.float32


@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.9, 0.999, 1])
def test_react_threshold_is_the_exact_quantile_in_any_chunks(share):
    X = np.random.RandomState(0).randn(101, 7).astype(np.float32)
    X[:50] = np.maximum(X[:50], 0)
    with config_context(working_memory=0.001):
        threshold = ReAct(percentile=100 * share).fit(X).threshold_
    np.testing.assert_allclose(threshold, np.quantile(X.astype(np.float64), share), rtol=1e-12)


def test_vra_zeroes_below_and_clips_above():
    X = np.arange(101, dtype=np.float64).reshape(-1, 1)
    shaped = VRA(percentile_low=10, percentile_high=90).fit_transform(X)
    np.testing.assert_array_equal(shaped[:10], 0)
    np.testing.assert_array_equal(shaped[10:91], X[10:91])
    np.testing.assert_array_equal(shaped[91:], 90)
