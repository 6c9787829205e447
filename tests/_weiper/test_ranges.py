"""The bins end at quantiles of all training values, exactly, whatever the memory and the engine."""

import numpy as np
import pytest
from sklearn import config_context

from skweiper import WeiPerDetector
from skweiper._support.rows import FeatureRows
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.execution import Execution
from skweiper._weiper.ranges import PUBLISHED, inner_ranks, learn_ranges
from skweiper._weiper.statistics import ROUNDING
from tests import reference

PAIRS = [(0.0, 1.0), (0.0005, 0.9995), (0.0, 0.9), (0.25, 1.0), (0.49, 0.5)]
PROJECTIONS = ["implicit", "explicit", "random"]
pytestmark = pytest.mark.filterwarnings("ignore:Outliers among the training rows")


@pytest.fixture(params=["numpy", "numba"])
def engine(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    return request.param


@pytest.fixture(scope="module")
def problem():
    """A head, and training rows after a ReLU of which one holds an outlier."""
    rng = np.random.RandomState(0)
    X = np.maximum(rng.standard_normal((700, 24)), 0).astype(np.float32)
    X[123, 4] = 1e10
    return {"weight": rng.standard_normal((9, 24)), "bias": rng.standard_normal(9), "X": X}


def detector_of(problem, projection, engine="auto", **options):
    options = {"n_repeats": 6, "random_state": 0, **options}
    head = problem["weight"], problem["bias"]
    return WeiPerDetector(*head, projection=projection, engine=engine, **options)


def perturbed_logits(detector, X):
    """All perturbed logits of a fitted detector, by the engine in NumPy."""
    engine = select_engine("numpy")
    (block,) = detector.perturbation_.blocks(2**30)
    return engine.perturbed_logits(X, engine.prepare(block))


def inner_quantiles(values, pair):
    """By NumPy's methods of the same meaning."""
    values = np.ravel(values).astype(np.float64)
    low, high = np.float64(pair)
    return [np.quantile(values, low, method="higher"), np.quantile(values, high, method="lower")]


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("pair", PAIRS[:-1])
def test_the_ranges_are_the_inner_quantiles(problem, projection, pair, engine):
    detector = detector_of(problem, projection, engine, value_range=pair).fit(problem["X"])
    np.testing.assert_array_equal(detector.feature_range_, inner_quantiles(problem["X"], pair))
    logits = perturbed_logits(detector, problem["X"])
    low, high = inner_quantiles(logits, pair)
    room = ROUNDING * max(abs(low), abs(high))
    np.testing.assert_allclose(detector.logit_range_, [low - room, high + room], rtol=3e-6)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_scores_are_those_of_the_reference(problem, projection, engine):
    """Counts, densities and scores, values beyond the ends in no bin, in plain loops."""
    X, pair = problem["X"][100:160], (0.02, 0.98)
    detector = detector_of(problem, projection, engine, n_bins=20, value_range=pair).fit(X)
    slow = reference.WeiPerKLD(20, 4, 15, 1, 1, (0.01, 0.025), pair)
    logits = perturbed_logits(detector, X)
    slow.fit(X.astype(np.float64), logits.astype(np.float64), ROUNDING)
    np.testing.assert_allclose(detector.feature_density_, slow.training[0], atol=1e-12)
    assert detector.feature_density_.sum() < 0.99
    moved = np.abs(detector.logit_density_ - slow.training[1]).sum() * logits.size / 2
    assert moved <= 2
    expected = [slow.score(z, v) for z, v in zip(X, logits, strict=True)]
    np.testing.assert_allclose(detector.score_samples(X), expected, atol=2e-3)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_the_memory_changes_nothing(problem, projection, engine):
    """Blocks that are drawn again, and digits of eight bits in place of sixteen, included."""
    learnt = []
    for mebibytes in (1024, 1, 0.02):
        options = {"n_repeats": 20, "value_range": (0.005, 0.995)}
        with config_context(working_memory=mebibytes):
            detector = detector_of(problem, projection, engine, **options)
            learnt.append(detector.fit(problem["X"][100:220]))
    for name in ("feature_range_", "logit_range_", "feature_density_", "logit_density_"):
        for other in learnt[1:]:
            np.testing.assert_array_equal(getattr(other, name), getattr(learnt[0], name))


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_several_ranges_of_one_pass_are_those_of_a_pass_each(problem, projection, engine):
    detector = detector_of(problem, projection, engine).fit(problem["X"][:50])
    execution = Execution(detector.perturbation_, select_engine(engine))
    rows = FeatureRows(problem["X"])
    together = learn_ranges(rows, execution, [*PAIRS, PAIRS[1]]).ranges
    for pair, found in zip([*PAIRS, PAIRS[1]], together, strict=True):
        assert found == learn_ranges(rows, execution, [pair]).ranges[0]


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_the_device_finds_the_same(problem, projection, cupy):
    X = problem["X"][100:140]
    detector = detector_of(problem, projection, n_repeats=2, value_range=(0.01, 0.98)).fit(X)
    expected = detector.feature_range_, detector.logit_range_
    detector.set_params(device="cuda").fit(X)
    np.testing.assert_array_equal(detector.feature_range_, expected[0])
    np.testing.assert_allclose(detector.logit_range_, expected[1], rtol=1e-4)


def test_quantiles_never_reach_towards_an_outlier():
    """Linear interpolation between the two largest of 700 * 24 values would."""
    n_values = 700 * 24
    low, high = inner_ranks((1e-5, 1 - 1e-5), n_values)
    assert (low, high) == (1, n_values - 2)
    assert inner_ranks(PUBLISHED, n_values) == (0, n_values - 1)
    assert inner_ranks((0.1, 0.9), 11) == (1, 9)
    assert inner_ranks((0.4, 0.45), 12) == (5, 5)  # none lies between


def test_known_outliers_set_no_range(problem):
    X, y = problem["X"], np.ones(700)
    y[123] = -1
    for pair in PAIRS:
        detector = detector_of(problem, "implicit", value_range=pair)
        expected = detector.fit(np.delete(X, 123, axis=0)).logit_range_
        np.testing.assert_array_equal(detector.fit(X, y).logit_range_, expected)


@pytest.mark.parametrize(
    "value_range",
    [(1, 0), (0.5, 0.5), (-0.1, 1), (0, 1.1), (0.1,), (0, 0.5, 1), (0, "1"), (np.nan, 1), ()],
)
@pytest.mark.parametrize("method", ["kld", "msp"])
def test_what_is_no_pair_of_quantiles_is_refused(problem, value_range, method):
    detector = detector_of(problem, "implicit", value_range=value_range, method=method)
    with pytest.raises(ValueError, match=r"value_range must be two quantiles .* 0 <= low < high"):
        detector.fit(problem["X"])


@pytest.mark.parametrize("value_range", [None, 0.9, "ab", np.array([0, 1])])
def test_what_is_no_tuple_is_refused(problem, value_range):
    with pytest.raises(ValueError, match="'value_range' parameter of WeiPerDetector must be"):
        detector_of(problem, "implicit", value_range=value_range).fit(problem["X"])
