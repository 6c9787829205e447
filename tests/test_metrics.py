"""Metrics against definitions, hand-worked values and OpenOOD's own figures."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.covariance import EllipticEnvelope
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

from skweiper import scores as logit_scores
from skweiper.datasets import load_clinc150
from skweiper.evaluation import evaluate, ood_report
from skweiper.metrics import (
    CONVENTIONS,
    METRICS,
    OODScorer,
    aupr_in,
    aupr_in_scorer,
    aupr_out,
    aupr_out_scorer,
    auroc,
    auroc_of_rows,
    auroc_scorer,
    fpr95_scorer,
    fpr_at_tpr,
)
from skweiper.model_selection import InlierOnly

GOLDEN = Path(__file__).parent / "data" / "golden_openood_clinc150.json"


@pytest.fixture
def two_samples():
    rng = np.random.RandomState(0)
    return rng.normal(1, 1, 203), rng.normal(0, 1, 117)


@pytest.mark.parametrize(
    ("method", "score"),
    [
        ("msp", logit_scores.msp),
        ("mls", logit_scores.max_logit),
        ("ebo", logit_scores.energy),
        ("gen", logit_scores.gen),
    ],
)
def test_auroc_and_id_positive_fpr_agree_with_openood(method, score):
    golden = json.loads(GOLDEN.read_text())["methods"][method]
    data = load_clinc150()

    def of(features):
        return score(features.astype(np.float32) @ data.weight.T + data.bias)

    scores_id, scores_ood = of(data.test), of(data.test_oos)
    assert auroc(scores_id, scores_ood) == pytest.approx(golden["auroc"]["oos"], abs=5e-6)
    fpr = fpr_at_tpr(scores_id, scores_ood, convention="openood-id")
    assert fpr == pytest.approx(golden["fpr95"]["oos"], abs=1e-3)


def test_auroc_is_the_share_of_pairs_in_order_ties_one_half():
    scores_id, scores_ood = np.array([3, 1, 2.0]), np.array([1, 0.0, 2.5, 1])
    difference = scores_id[:, None] - scores_ood
    expected = np.mean((difference > 0) + 0.5 * (difference == 0))
    assert auroc(scores_id, scores_ood) == pytest.approx(expected)


def test_swapping_and_negating_swaps_aupr_and_keeps_auroc(two_samples):
    scores_id, scores_ood = two_samples
    assert auroc(scores_id, scores_ood) == pytest.approx(auroc(-scores_ood, -scores_id))
    assert aupr_in(scores_id, scores_ood) == pytest.approx(aupr_out(-scores_ood, -scores_id))


@pytest.mark.parametrize("metric", METRICS.values())
def test_metrics_depend_on_ranks_only(metric, two_samples):
    scores_id, scores_ood = two_samples
    assert metric(np.exp(scores_id), np.exp(scores_ood)) == metric(scores_id, scores_ood)


def test_perfect_and_inverted_scores():
    low, high = np.arange(10.0), np.arange(10.0) + 20
    assert [metric(high, low) for metric in METRICS.values()] == pytest.approx([1, 1, 1, 0])
    assert auroc(low, high) == 0
    assert all(fpr_at_tpr(low, high, convention=name) == 1 for name in CONVENTIONS)


def test_fpr_by_hand_in_each_convention():
    scores_id, scores_ood = [1, 4, 5, 6, 7], [0, 2, 2, 3]
    # OOD positive: three of four OOD samples are at most 2, and so is one of five ID samples.
    assert fpr_at_tpr(scores_id, scores_ood, 0.75) == 0.2
    assert fpr_at_tpr(scores_id, scores_ood, 0.75, convention="pytorch-ood") == 0.2
    # ID positive: to accept 0.85 * 5 = 4.25 ID samples takes all five, from 1 on; rounded down,
    # the four from 4 on are enough.
    assert fpr_at_tpr(scores_id, scores_ood, 0.85, convention="openood-id") == 0.75
    assert fpr_at_tpr(scores_id, scores_ood, 0.85, convention="vim") == 0.0


def test_fpr_without_ties_is_the_smallest_over_all_thresholds(two_samples):
    scores_id, scores_ood = two_samples
    rejecting = [t for t in scores_ood if np.mean(scores_ood <= t) >= 0.95]
    ood_positive = min(np.mean(scores_id <= t) for t in rejecting)
    accepting = [t for t in scores_id if np.mean(scores_id >= t) >= 0.95]
    id_positive = min(np.mean(scores_ood >= t) for t in accepting)
    assert fpr_at_tpr(scores_id, scores_ood) == pytest.approx(ood_positive)
    assert fpr_at_tpr(scores_id, scores_ood, convention="pytorch-ood") == fpr_at_tpr(
        scores_id, scores_ood
    )
    assert fpr_at_tpr(scores_id, scores_ood, convention="openood-id") == pytest.approx(id_positive)


def test_ood_conventions_differ_on_tied_scores_in_a_row():
    # Equal steps at every threshold: scikit-learn's curve keeps only the two ends.
    tied = np.arange(4.0)
    assert fpr_at_tpr(tied, tied, 0.5) == 1.0
    assert fpr_at_tpr(tied, tied, 0.5, convention="pytorch-ood") == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [1.0]), "scores_id must be a non-empty"),
        ((["a"], [1.0]), "scores_id must be a non-empty one-dimensional array of finite numbers"),
        (([1.0], [None]), "scores_ood must be .* 1 not finite"),
        ((np.ma.masked_less([1.0, 2.0], 1.5), [1.0]), "scores_id is a masked array with 1 masked"),
        (([1.0], [np.nan]), "scores_ood must be a non-empty .* 1 not finite"),
        (([1.0], [[1.0]]), r"scores_ood .* got shape \(1, 1\)"),
        (([1.0], [1.0], "a"), r"tpr must be in \(0, 1\], got 'a'"),
        (([1.0], [1.0], 0), r"tpr must be in \(0, 1\], got 0"),
    ],
)
def test_bad_scores_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fpr_at_tpr(*arguments)


def test_unknown_convention_is_refused():
    with pytest.raises(ValueError, match=r"convention must be one of .* got 'mine'"):
        fpr_at_tpr([1.0], [0.0], convention="mine")


class FirstColumn(BaseEstimator):
    """Detector whose score is the first feature."""

    def fit(self, X, y=None):
        return self

    def score_samples(self, X):
        return X[:, 0]


def labelled(two_samples):
    scores_id, scores_ood = two_samples
    y = np.repeat([7, -1], [len(scores_id), len(scores_ood)])
    return np.concatenate(two_samples)[:, None], y


def test_scorers_give_the_metrics_higher_better(two_samples):
    X, y = labelled(two_samples)
    scorers = [auroc_scorer, aupr_in_scorer, aupr_out_scorer, fpr95_scorer]
    found = [scorer(FirstColumn(), X, y) for scorer in scorers]
    expected = [metric(*two_samples) for metric in METRICS.values()]
    assert found == [*expected[:3], -expected[3]]


def test_scorers_serve_scikit_learn(two_samples):
    X, y = labelled(two_samples)
    fold = np.arange(len(y)) % 2
    scorer = OODScorer(partial(fpr_at_tpr, tpr=0.9), greater_is_better=False)
    found = cross_val_score(EllipticEnvelope(), X, y, cv=PredefinedSplit(fold), scoring=scorer)
    assert len(found) == 2
    assert np.all((found >= -1) & (found <= 0))


def test_scorers_serve_searches_and_several_metrics_at_once(two_samples):
    X, y = labelled(two_samples)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scoring = {"auroc": auroc_scorer, "fpr95": fpr95_scorer}
    detector = InlierOnly(EllipticEnvelope(random_state=0))
    found = cross_validate(detector, X, y, cv=folds, scoring=scoring)
    search = GridSearchCV(
        detector, {"estimator__contamination": [0.1]}, cv=folds, scoring=scoring, refit="fpr95"
    ).fit(X, y)
    for name in scoring:
        mean = search.cv_results_[f"mean_test_{name}"][0]
        assert mean == pytest.approx(found[f"test_{name}"].mean())
    for number, (train, test) in enumerate(folds.split(X, y)):
        fitted = EllipticEnvelope(random_state=0).fit(X[train[y[train] != -1]])
        scores, is_id = fitted.score_samples(X[test]), y[test] != -1
        expected = auroc(scores[is_id], scores[~is_id])
        assert found["test_auroc"][number] == pytest.approx(expected)


def test_scorer_refuses_one_kind_and_unknown_direction(two_samples):
    X, y = labelled(two_samples)
    with pytest.raises(ValueError, match="got 203 ID and 0 OOD"):
        auroc_scorer(FirstColumn(), X[y != -1], y[y != -1])
    with pytest.raises(ValueError, match=r"one label per row of X, got shape \(319,\) for 320"):
        auroc_scorer(FirstColumn(), X, y[1:])
    with pytest.raises(TypeError, match=r"BaseEstimator has no score_samples"):
        auroc_scorer(BaseEstimator(), X, y)


@pytest.fixture
def three_sets(two_samples):
    rng = np.random.RandomState(1)
    near, far, other = two_samples[1], rng.normal(-3, 1, 40), rng.normal(-2, 1, 50)
    return two_samples[0], {"a": near, "b": far, "c": other}


def test_report_rows_are_metrics_and_unweighted_group_means(three_sets):
    scores_id, ood = three_sets
    report = ood_report(scores_id, ood, {"near": ["a"], "far": ["b", "c"]})
    by_name = report[report.level == "dataset"].set_index("dataset")
    assert by_name.group.to_dict() == {"a": "near", "b": "far", "c": "far"}
    for name, metric in METRICS.items():
        for dataset, scores in ood.items():
            assert by_name.loc[dataset, name] == metric(scores_id, scores)
        means = report[report.level == "group"].set_index("group")[name]
        assert means["far"] == pytest.approx(by_name.loc[["b", "c"], name].mean())
    assert report[report.level == "group"].n_ood.tolist() == [117, 90]


def test_full_spectrum_counts_shifted_samples_as_id(three_sets):
    scores_id, ood = three_sets
    shifted = scores_id[:50] - 1
    report = ood_report(scores_id, ood, scores_covariate_shifted=shifted)
    full = report[report.spectrum == "full"].reset_index(drop=True)
    pooled = ood_report(np.concatenate([scores_id, shifted]), ood)
    assert full.drop(columns="spectrum").equals(pooled.drop(columns="spectrum"))
    assert report[report.spectrum == "standard"].equals(ood_report(scores_id, ood))


def test_several_shifted_sets_are_pooled(three_sets):
    scores_id, ood = three_sets
    shifted = {"blur": scores_id[:50] - 1, "snow": scores_id[50:70] - 2}
    pooled = np.concatenate(list(shifted.values()))
    report = ood_report(scores_id, ood, scores_covariate_shifted=shifted)
    assert report.equals(ood_report(scores_id, ood, scores_covariate_shifted=pooled))
    features = {name: scores[:, None] for name, scores in shifted.items()}
    X_ood = {name: scores[:, None] for name, scores in ood.items()}
    found = evaluate(FirstColumn(), scores_id[:, None], X_ood, covariate_shifted=features)
    assert found.equals(report)
    with pytest.raises(ValueError, match=r"scores_covariate_shifted\['blur'\] must be"):
        ood_report(scores_id, ood, scores_covariate_shifted={"blur": [np.nan]})


def test_bootstrap_intervals_are_reproducible_and_hold_the_estimate(three_sets):
    report = ood_report(*three_sets, n_boot=100, random_state=3)
    assert report.equals(ood_report(*three_sets, n_boot=100, random_state=3))
    for name in ("auroc", "aupr_in", "aupr_out"):
        assert (report[f"{name}_low"] <= report[name]).all()
        assert (report[f"{name}_high"] >= report[name]).all()
    wide = report.auroc_high - report.auroc_low
    narrow = ood_report(*three_sets, n_boot=100, random_state=3, confidence=0.5)
    assert (narrow.auroc_high - narrow.auroc_low < wide).all()


def test_bootstrap_interval_is_as_wide_as_the_standard_error_says():
    rng = np.random.RandomState(0)
    samples = [(rng.normal(1, 1, 200), rng.normal(0, 1, 200)) for _ in range(100)]
    spread = np.std([auroc(*pair) for pair in samples])
    row = ood_report(samples[0][0], {"a": samples[0][1]}, n_boot=200, random_state=0).iloc[0]
    assert (row.auroc_high - row.auroc_low) / (2 * 1.96) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": {"near": ["z"]}}, r"unknown \['z'\]"),
        ({"groups": {"near": ["a"], "far": ["a"]}}, "each in one"),
        ({"groups": {"near": []}}, "at least one"),
        ({"n_boot": -1}, "n_boot must be an int >= 0, got -1"),
        ({"confidence": 1.0}, "confidence must be in"),
    ],
)
def test_report_refuses_bad_options(three_sets, options, message):
    with pytest.raises(ValueError, match=message):
        ood_report(*three_sets, **options)


def test_report_refuses_bare_scores(three_sets):
    with pytest.raises(ValueError, match="scores_ood must be a dict"):
        ood_report(three_sets[0], three_sets[1]["a"])


def test_evaluate_is_the_report_of_the_scores(three_sets):
    scores_id, ood = three_sets
    features = {name: scores[:, None] for name, scores in ood.items()}
    shifted = scores_id[:50] - 1
    found = evaluate(
        FirstColumn(), scores_id[:, None], features, covariate_shifted=shifted[:, None]
    )
    assert found.equals(ood_report(scores_id, ood, scores_covariate_shifted=shifted))


@pytest.mark.parametrize("is_id", [[1, 1, -1], [1, 1, 0], [True, False]])
def test_labels_in_the_place_of_a_mask_are_refused(is_id):
    with pytest.raises(ValueError, match=r"is_id must be boolean.*y != -1"):
        auroc_of_rows(np.array([[2.0, 3.0, 1.0]]), np.array(is_id))
