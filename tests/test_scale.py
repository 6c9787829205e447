"""Features of any scale: the same scores where the head is scaled against them, or a refusal."""

import warnings

import numpy as np
import pytest

from skweiper import WeiPerDetector, WeiPerTransformer, all_detectors
from skweiper._weiper.engines.arrays import scaled_norms
from skweiper._weiper.engines.numpy import feature_norms
from skweiper.baselines import KNNDetector, NNGuideDetector, RelationGraphDetector
from skweiper.shaping import ASH, SCALE
from tests.quick import quick

SCALES = [2.0**-100, 2.0**-76, 2.0**63, 2.0**100]  # squares leave single precision beyond 2**+-63


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("method", ["kld", "msp"])
@pytest.mark.parametrize("scale", SCALES)
def test_the_perturbation_keeps_its_length_at_any_scale(engine, method, scale, small):
    if engine == "numba":
        pytest.importorskip("numba")
    X, weight = small["X"], small["weight"]
    options = {"method": method, "engine": engine, "n_repeats": 20, "random_state": 0}
    expected = WeiPerDetector(weight, small["bias"], **options).fit(X).score_samples(X)
    X = (X * scale).astype(np.float32)
    found = WeiPerDetector(weight / scale, small["bias"], **options).fit(X).score_samples(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_the_transformer_keeps_its_logits_at_any_scale(scale, small):
    X, weight = small["X"], small["weight"]
    options = {"n_repeats": 5, "random_state": 0}
    expected = WeiPerTransformer(weight, **options).fit_transform(X)
    found = WeiPerTransformer(weight / scale, **options).fit_transform(X * np.float32(scale))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norms", [feature_norms, lambda rows: scaled_norms(rows, np)])
def test_a_norm_does_not_depend_on_the_other_rows(norms):
    rows = np.random.RandomState(0).normal(size=(64, 300)).astype(np.float32)
    rows *= np.logspace(-36, 36, 64, dtype=np.float32)[:, None]
    rows[10] = 0
    together = norms(rows)
    np.testing.assert_array_equal(together, [norms(row[None])[0] for row in rows])
    np.testing.assert_allclose(together, np.linalg.norm(rows.astype(np.float64), axis=1), rtol=1e-5)


@pytest.mark.parametrize("projection", ["implicit", "explicit"])
def test_perturbed_logits_that_overflow_are_refused(projection, small):
    space = WeiPerTransformer(small["weight"], projection=projection, n_repeats=2)
    X = np.repeat(small["X"], 5, axis=0)
    space.fit(X)
    X[217] = 3e38
    with pytest.raises(ValueError, match="perturbed logits of row 217 of X overflow float32"):
        space.transform(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shaper", [ASH("s"), SCALE()], ids=str)
def test_shaped_features_that_overflow_are_refused(shaper, dtype, small):
    X = np.abs(small["X"]).astype(dtype)
    shaper.fit(X)
    X[17] *= dtype(np.finfo(dtype).max / 10)
    with pytest.raises(ValueError, match=f"shaped features of row 17 of X overflow {X.dtype}"):
        shaper.transform(X)


@pytest.mark.parametrize("value", [1e200, -1e300])
@pytest.mark.parametrize("entry", all_detectors(), ids=lambda entry: entry.name)
def test_values_too_large_to_be_squared_are_refused_where_they_are(entry, value, small):
    X = small["X"].astype(np.float64)
    y = (X @ small["weight"].T).argmax(axis=1)
    y[:2] = (y[:2] + 1) % 5
    detector = quick(entry.estimator())
    if entry.needs_head:
        detector.set_params(weight=small["weight"], bias=small["bias"])
    detector.fit(X, y)
    X[17, 3] = value
    for method in (detector.score_samples, lambda X: detector.fit(X, y)):
        with pytest.raises(ValueError, match=r"too large .* at row 17, column 3"):
            method(X)


@pytest.mark.filterwarnings("ignore:delta='auto' looks for the length")
@pytest.mark.parametrize("scale", [1e-300, 1e-23, 1e10, 1e30, 1e100, 1e139])
@pytest.mark.parametrize("entry", all_detectors(), ids=lambda entry: entry.name)
def test_no_scale_warns_of_arithmetic(entry, scale, small):
    X = small["X"].astype(np.float64)
    detector = quick(entry.estimator(**({"temperature": 1.0} if entry.needs_labels else {})))
    if entry.needs_head:
        detector.set_params(weight=small["weight"], bias=small["bias"])
    for fitted_on in (X, scale * X):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                scores = detector.fit(fitted_on).score_samples(scale * X)
        except ValueError as refusal:
            assert any(
                word in str(refusal) for word in ("overflow", "too large", "differ", "residual")
            )
        else:
            assert np.isfinite(scores).all()


def finite_or_refused(fit_and_score):
    """Check that scores are finite, or a ValueError says what overflows."""
    try:
        assert np.isfinite(fit_and_score()).all()
    except ValueError as refusal:
        words = ("overflow", "too large", "too small", "do not differ", "residual")
        assert any(word in str(refusal) for word in words), refusal


WITH_HEAD = [entry for entry in all_detectors() if entry.needs_head]


@pytest.mark.filterwarnings("ignore:delta='auto' looks for the length")
@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e-30, 1e30, 1e39, 1e100, 1e139, 1e300])
@pytest.mark.parametrize("entry", WITH_HEAD, ids=lambda entry: entry.name)
def test_no_scale_of_the_head_warns_of_arithmetic(entry, scale, small):
    X, weight, bias = small["X"], scale * small["weight"], small["bias"]
    detector = quick(entry.estimator(**({"temperature": 1.0} if entry.needs_labels else {})))
    for head in ({"weight": weight}, {"weight": weight, "bias": bias}):
        detector.set_params(**head)
        finite_or_refused(lambda: detector.fit(X).score_samples(X))


@pytest.mark.parametrize("projection", ["implicit", "explicit", "random"])
@pytest.mark.parametrize(("scale", "delta"), [(1e39, 2.0), (1e30, 1e30), (1.0, 1e300)])
def test_a_perturbation_beyond_float32_is_refused(projection, scale, delta, small):
    head = scale * small["weight"], small["bias"]
    options = {"projection": projection, "delta": delta, "n_repeats": 2, "random_state": 0}
    if projection == "random" and delta < 1e38:  # the head takes no part in it
        assert np.isfinite(WeiPerTransformer(*head, **options).fit_transform(small["X"])).all()
        return
    with pytest.raises(ValueError, match="overflow float32"):
        WeiPerTransformer(*head, **options).fit_transform(small["X"])
    for method in ("kld", "msp"):
        with pytest.raises(ValueError, match="overflow"):
            WeiPerDetector(*head, method=method, **options).fit(small["X"])


@pytest.mark.parametrize(
    "detector", [KNNDetector(n_neighbors=3), NNGuideDetector(), RelationGraphDetector()]
)
def test_directions_keep_their_neighbours_up_to_the_limit(detector, small):
    X = small["X"].astype(np.float64)
    expected = detector.fit(X).score_samples(X)
    if isinstance(detector, KNNDetector):
        found = detector.fit(X * 1e139).score_samples(X * 1e139)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="too large to be squared"):
        detector.fit(X * 1e200)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_values_too_far_apart_for_bins_in_float32_are_refused(engine, small):
    if engine == "numba":
        pytest.importorskip("numba")
    far = small["X"] * np.float32(3e38 / np.abs(small["X"]).max())
    small_head, bias = 1e-38 * small["weight"], np.array([-3.4e38, 3.4e38, 0, 0, 0])
    for X, head, values in (
        (far, (small_head, None), "training features"),
        (small["X"], (small_head, bias), "perturbed training logits"),
    ):
        options = {"projection": "explicit", "delta": 1.0, "n_repeats": 2, "engine": engine}
        with pytest.raises(ValueError, match=f"The {values} reach from .* differences overflow"):
            WeiPerDetector(*head, **options).fit(X)
        assert np.isfinite(WeiPerDetector(*head, method="msp", **options).fit(X).offset_)
    halved = WeiPerDetector(small_head, None, **options).fit(far / 2)
    counts, _ = np.histogram(far, 100, halved.feature_range_ * 2)
    np.testing.assert_allclose(halved.feature_density_, counts / far.size, atol=1e-9)
