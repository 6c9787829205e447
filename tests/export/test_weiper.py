"""WeiPer as a graph: onnxruntime agrees with `score_samples` on the bundled data.

Logits are sums of products, which onnxruntime adds up in another order. A mean logit score then
differs in its last digits, and a count of "kld" by the values on the edge of a bin, to rounding.
"""

from functools import partial

import numpy as np
import pytest

from skweiper import WeiPerDetector
from skweiper._weiper.density import smoothed_density, symmetric_kl
from skweiper._weiper.statistics import ROUNDING
from skweiper.export import to_onnx
from skweiper.export.weiper import FEATURE_COUNTS, LOGIT_COUNTS
from skweiper.scores import energy, gen
from tests.onnx_graphs import run, run_with  # skips the module where onnx is missing

RELATIVE = 1e-5
EPSILON = np.finfo(np.float32).eps
"""Of a probability, which is at most one: what is left where the terms of a score cancel."""
PROJECTIONS = ("implicit", "explicit", "random")
METHODS = ("msp", "max_logit", "energy", "entropy", "gen")
PARTIALS = (partial(energy, temperature=2), partial(gen, gamma=0.2, top_classes=20))


@pytest.fixture(scope="module")
def queries(clinc150):
    rows = np.concatenate([clinc150.test[::8], clinc150.test_oos[::8]])
    return rows.astype(np.float32)


def fitted(data, **parameters):
    parameters = {"n_repeats": 20, "random_state": 0, **parameters}
    return WeiPerDetector(data.weight, data.bias, **parameters).fit(data.train[::4])


def perturbed_logits(detector, X):
    """In double precision, (n_samples, n_repeats * n_classes)."""
    perturbation, X = detector.perturbation_, X.astype(np.float64)
    (block,) = perturbation.blocks(perturbation.nbytes)
    if perturbation.projection == "implicit":
        unperturbed = X @ block.weight.T.astype(np.float64) + block.bias
        norms = np.linalg.norm(X, axis=1)[:, None, None]
        logits = unperturbed[:, None] + norms * block.offsets
    else:
        logits = np.einsum("nk,rck->nrc", X, block.weight, optimize=True) + block.bias
    return logits.reshape(len(X), -1)


@pytest.mark.parametrize("method", [*METHODS, *PARTIALS])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_mean_scores_agree(clinc150, queries, projection, method):
    detector = fitted(clinc150, projection=projection, method=method)
    found = run(to_onnx(detector), queries)["score"]
    # Scores that cross zero, as the energy does, have the rounding of the logits instead.
    rounding = EPSILON * np.abs(perturbed_logits(detector, queries)).max()
    expected = detector.score_samples(queries)
    np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=rounding)


@pytest.fixture(scope="module", params=PROJECTIONS)
def kld(request, clinc150, queries):
    detector = fitted(clinc150, projection=request.param, lambda_1=2.5, lambda_2=0.7)
    return detector, run_with(to_onnx(detector), queries, FEATURE_COUNTS, LOGIT_COUNTS)


def test_features_are_counted_exactly(kld, queries):
    detector, found = kld
    densities = detector.densities(queries).feature
    np.testing.assert_array_equal(found[FEATURE_COUNTS][:, :-1], np.rint(densities * 256))


def test_logits_are_counted_but_for_values_on_an_edge(kld, queries):
    """No more values are on the other side of an edge than lie on it, to rounding."""
    detector, found = kld
    logits = perturbed_logits(detector, queries)
    edges = detector.rule_.request.logit_bins[0].edges[:, None]
    # Rounding of the sums, and of the place of an edge, which is found in single precision too.
    near = ROUNDING * np.abs(logits).max()
    at_an_edge = np.stack([(np.abs(row - edges) <= near).sum(axis=1) for row in logits])
    counts = np.rint(detector.densities(queries).logit * logits.shape[1])
    # Values that cross the lowest edge are missing from all sums from there on.
    difference = np.abs(np.cumsum(found[LOGIT_COUNTS][:, :-1] - counts, axis=1))
    assert (difference <= at_an_edge[:, 1:] + at_an_edge[:, :1]).all()
    assert np.mean(found[LOGIT_COUNTS][:, :-1] != counts) < 0.01


def test_scores_agree_where_counts_do(kld, queries):
    detector, found = kld
    n_logits = detector.perturbation_.n_logits
    counts = np.rint(detector.densities(queries).logit * n_logits)
    is_same = (found[LOGIT_COUNTS][:, :-1] == counts).all(axis=1)
    assert is_same.mean() > 0.5
    expected = detector.score_samples(queries)
    score = found["score"][is_same]
    np.testing.assert_allclose(score, expected[is_same], rtol=RELATIVE, atol=EPSILON)


def test_every_score_is_that_of_the_counts_in_the_graph(kld, queries):
    detector, found = kld
    counts = found[LOGIT_COUNTS][:, :-1].astype(np.int32)
    smoothed = smoothed_density(counts, detector.perturbation_.n_logits, 15)
    terms = detector.score_components(queries)
    divergence = symmetric_kl(detector.logit_density_, smoothed, 0.025)
    expected = -(terms["feature_divergence"] + 2.5 * divergence - 0.7 * terms["msp"])
    np.testing.assert_allclose(found["score"], expected, rtol=RELATIVE, atol=EPSILON)


def test_logits_as_features_need_no_head(clinc150, queries):
    logits = queries @ clinc150.weight.T + clinc150.bias
    for method in ("msp", "entropy"):
        detector = WeiPerDetector(method=method, random_state=0, n_repeats=5).fit(logits)
        found = run(to_onnx(detector), logits)["score"]
        expected = detector.score_samples(logits)
        np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=4 * EPSILON)


def test_logits_as_features_have_the_divergences_too(clinc150, queries):
    logits = queries @ clinc150.weight.T + clinc150.bias
    detector = WeiPerDetector(random_state=0, n_repeats=5).fit(logits)
    found = run_with(to_onnx(detector), logits, LOGIT_COUNTS)
    counts = np.rint(detector.densities(logits).logit * 750)
    is_same = (found[LOGIT_COUNTS][:, :-1] == counts).all(axis=1)
    assert is_same.mean() > 0.5
    expected = detector.score_samples(logits)[is_same]
    np.testing.assert_allclose(found["score"][is_same], expected, rtol=RELATIVE, atol=EPSILON)


def test_parameters_changed_after_the_fit_change_nothing(clinc150, queries):
    detector = fitted(clinc150, method="msp")
    before = to_onnx(detector)
    detector.set_params(method="energy", n_repeats=3, projection="explicit")
    assert to_onnx(detector) == before


def test_an_explicit_graph_that_no_file_holds_is_refused(small):
    weight = np.ones((1000, 2048), np.float32)
    X = np.random.RandomState(0).normal(size=(2, 2048)).astype(np.float32)
    detector = WeiPerDetector(weight, method="msp", projection="explicit", n_repeats=1, delta=1)
    detector.fit(X)
    # As if there were so many repeats, without drawing them.
    vars(detector.rule_.perturbation)["n_repeats"] = 300
    with pytest.raises(ValueError, match=r"2\.29 GiB of constants.*projection='implicit'"):
        to_onnx(detector)
