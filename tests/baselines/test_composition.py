"""Shapers and DICE before the WeiPer space, and the options of SHE."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skweiper import WeiPerDetector, all_detectors
from skweiper.baselines import DICEDetector, LogitDetector, SHEDetector, dice_weight
from skweiper.scores import LOGIT_SCORES
from skweiper.shaping import ASH, RAS, SCALE, VRA, ReAct
from tests.quick import quick


@pytest.fixture(scope="module")
def problem():
    """Rectified features of five classes and their head."""
    rng = np.random.RandomState(0)
    labels = rng.randint(5, size=150)
    centres = 3 * rng.rand(5, 16)
    X = np.maximum(centres[labels] + rng.randn(150, 16), 0)
    return X, centres - centres.mean(axis=0), rng.randn(5)


@pytest.mark.parametrize("method", LOGIT_SCORES)
def test_weiper_without_perturbation_is_the_logit_score(problem, method):
    X, *head = problem
    weiper = WeiPerDetector(*head, method=method, delta=0, n_repeats=2, random_state=0).fit(X)
    plain = LogitDetector(*head, method=method).fit(X)
    np.testing.assert_allclose(weiper.score_samples(X), plain.score_samples(X), atol=1e-4)


@pytest.mark.parametrize("method", ["kld", "msp", "energy"])
def test_react_before_weiper(problem, method):
    X, *head = problem
    detector = WeiPerDetector(*head, method=method, n_repeats=5, random_state=0)
    pipeline = make_pipeline(ReAct(percentile=90), detector).fit(X)
    clipped = np.minimum(X, np.percentile(X.astype(np.float32), 90))
    alone = WeiPerDetector(*head, method=method, n_repeats=5, random_state=0).fit(clipped)
    np.testing.assert_allclose(pipeline.score_samples(X), alone.score_samples(clipped), atol=1e-5)


SHAPERS = [ReAct(), VRA(), ASH("s"), ASH("p"), ASH("b"), SCALE(), RAS()]


@pytest.mark.parametrize("shaper", SHAPERS, ids=str)
def test_shapers_stand_before_every_detector(problem, shaper):
    X, weight, bias = problem
    y = (X @ weight.T + bias).argmax(axis=1)
    for entry in all_detectors():
        head = {"weight": weight, "bias": bias} if entry.needs_head else {}
        scores = make_pipeline(shaper, quick(entry.estimator(**head))).fit(X, y).score_samples(X)
        assert scores.shape == (150,) and np.isfinite(scores).all()


def test_dice_detector_is_the_energy_of_the_sparse_weight(problem):
    X, weight, bias = problem
    sparse = dice_weight(weight, X, percentile=75)
    assert (sparse == 0).sum() == 60
    np.testing.assert_array_equal(sparse[sparse != 0], weight[sparse != 0])
    energy = LogitDetector(sparse, bias, method="energy").fit(X)
    dice = DICEDetector(weight, bias, percentile=75).fit(X)
    np.testing.assert_array_equal(energy.score_samples(X), dice.score_samples(X))


def test_dice_keeps_what_contributes_most_to_the_logits_of_the_mean(problem):
    X, weight, _ = problem
    contribution = weight * X.mean(axis=0)
    sparse = dice_weight(weight, X)
    assert contribution[sparse != 0].min() > contribution[sparse == 0].max()


def test_dice_leaves_known_outliers_out(problem):
    X, weight, _ = problem
    y = np.where(np.arange(len(X)) < 100, 0, -1)
    spoiled = np.where(y[:, None] == -1, 1e3, X)
    np.testing.assert_array_equal(dice_weight(weight, spoiled, y), dice_weight(weight, X[:100]))


def test_dice_before_weiper_without_perturbation_is_dice(problem):
    X, weight, bias = problem
    sparse = dice_weight(weight, X)
    weiper = WeiPerDetector(sparse, bias, method="energy", delta=0, n_repeats=1, random_state=0)
    dice = DICEDetector(weight, bias).fit(X)
    np.testing.assert_allclose(weiper.fit(X).score_samples(X), dice.score_samples(X), atol=1e-4)


@pytest.mark.parametrize(
    ("metric", "score"), [("inner_product", 25.0), ("cosine", 1.0), ("euclidean", 0.0)]
)
def test_she_at_a_pattern(metric, score):
    X = np.array([[4.0, 3.0], [3.0, 4.0]])
    detector = SHEDetector(metric=metric).fit(X)
    np.testing.assert_allclose(detector.score_samples(X), score)


def test_she_cosine_does_not_depend_on_length_and_is_zero_at_the_origin(problem):
    X, weight, _ = problem
    detector = SHEDetector(weight, metric="cosine").fit(X)
    np.testing.assert_allclose(detector.score_samples(7 * X), detector.score_samples(X))
    assert detector.score_samples(np.zeros((1, 16))) == 0
