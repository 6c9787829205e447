"""Scores agree with the method in double precision, written out, or with another precision."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skweiper._weiper.density import bins_over
from skweiper.shaping import FeatureShaper
from tests import reference
from tests.fuzz.estimators import DETECTORS, of_each, of_each_estimator, result
from tests.fuzz.oracles import Refusal, accepted, assert_same_bits, attempt
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import tame_problems
from tests.fuzz.references import (
    REFERENCES,
    kld_of_densities,
    n_near_edges,
    of_logits,
    perturbed_logits,
)

WEIPER = [subject for subject in DETECTORS if subject.name == "weiper"]
WITH_REFERENCE = [subject for subject in DETECTORS if type(subject.template) in REFERENCES]
LABELS_OF_HEAD = {"openmax": {"labels": "head"}}
FEW = 6
"""Rows that are scored in plain loops."""


def fitted(data, subject, problem, **more):
    """A fitted estimator with drawn parameters; None where they are refused."""
    drawn = data.draw(parameters(type(subject.template), at_once=True))
    estimator = subject.made(problem, drawn | more)
    labels = subject.labels_of(estimator, problem)
    is_refused = isinstance(attempt(estimator.fit, problem.X, labels), Refusal)
    return None if is_refused else estimator


@of_each(WITH_REFERENCE)
@given(data=st.data(), problem=tame_problems())
def test_agrees_with_the_reference(subject, data, problem):
    detector = fitted(data, subject, problem, **LABELS_OF_HEAD.get(subject.name, {}))
    if detector is None:
        return
    X, rows = (part.astype(np.float64) for part in (problem.X, problem.queries[:FEW]))
    expected = REFERENCES[type(detector)](detector, X, rows)
    found = accepted(detector.score_samples, problem.queries[:FEW])
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


@of_each(WEIPER)
@given(data=st.data(), problem=tame_problems())
def test_weiper_with_a_logit_score_is_its_mean(subject, data, problem):
    method = data.draw(st.sampled_from(["msp", "max_logit", "energy", "entropy", "gen"]))
    detector = fitted(data, subject, problem.of_dtype("float32"), method=method)
    rows = problem.queries[:FEW].astype(np.float32)
    logits = perturbed_logits(detector, rows.astype(np.float64))
    expected = [of_logits(method, row).mean() for row in logits]
    rounding = 1e-5 * max(1, np.abs(logits).max())
    np.testing.assert_allclose(detector.score_samples(rows), expected, atol=20 * rounding)


@of_each(WEIPER)
@given(data=st.data(), problem=tame_problems())
def test_weiper_kld(subject, data, problem):
    problem = problem.of_dtype("float32")
    detector = fitted(data, subject, problem, method="kld")
    rows = problem.queries[:FEW]
    logits = perturbed_logits(detector, rows.astype(np.float64))
    rounding = 1e-5 * np.abs(logits).max()
    densities = detector.densities(rows)
    values = (rows.astype(np.float64), 0.0, detector.feature_range_, densities.feature)
    of_logits_ = (logits.reshape(len(rows), -1), rounding, detector.logit_range_, densities.logit)
    for exact, error, value_range, found in (values, of_logits_):
        bins = bins_over(value_range, found.shape[1])
        for row, density in zip(exact, found, strict=True):
            expected = reference.density(row, bins.low, bins.high, bins.n_bins)
            moved = np.abs(density - expected).sum() * row.size
            assert moved <= 2 * n_near_edges(row, bins, error) + 1e-6
    terms = detector.score_components(rows)
    divergences = [
        kld_of_densities(detector, *pair) for pair in zip(*densities.values(), strict=True)
    ]
    msp = [of_logits("msp", row).mean() for row in logits]
    expected = np.column_stack([divergences, msp])
    np.testing.assert_allclose(terms, expected, rtol=1e-6, atol=2 * rounding + 1e-6)
    feature, logit, msp = terms.to_numpy().T
    total = -(feature + detector.lambda_1 * logit - detector.lambda_2 * msp)
    np.testing.assert_allclose(detector.score_samples(rows), total, rtol=1e-12, atol=1e-12)


@of_each_estimator
@given(data=st.data(), problem=tame_problems(["float32"], ["rectified"]))
def test_the_same_values_in_double_precision(subject, data, problem):
    single = fitted(data, subject, problem)
    if single is None:
        return
    double = problem.of_dtype("float64")
    other = subject.made(double, single.get_params(deep=False))
    accepted(other.fit, double.X, subject.labels_of(other, problem))
    found, expected = result(other, double.queries), result(single, problem.queries)
    if not isinstance(single, FeatureShaper):
        assert_same_bits(found, expected)
        return
    # Shapers compute in the precision of the features. Which of equal ones ASH keeps is open.
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-3, atol=1e-6)


@of_each_estimator
@given(problem=tame_problems(["float64"]), seed=st.integers(0, 9))
def test_rounding_the_features_hardly_matters(subject, problem, seed):
    results = []
    for each in (problem, problem.of_dtype("float32")):
        estimator = subject.made(each, subject.seed(seed))
        accepted(estimator.fit, each.X, subject.labels_of(estimator, problem))
        results.append(result(estimator, each.queries))
    double, single = results
    spread = max(np.ptp(double), np.abs(double).max(), 1.0)
    assert np.median(np.abs(double - single)) <= 1e-3 * spread
