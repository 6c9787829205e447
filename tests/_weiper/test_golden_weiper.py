"""Agreement with the authors' own code (mgranz/weiper, commit 1c27a4f), given its perturbations."""

import ast
from pathlib import Path

import numpy as np
import pytest

from skweiper._weiper.density import bins_over, smooth, symmetric_kl
from skweiper._weiper.engines.numpy import NumpyEngine
from skweiper._weiper.perturbation import ExplicitBlock
from skweiper._weiper.statistics import MeanDensity
from skweiper.datasets import load_clinc150

SETS = ("cifar10", "cifar100", "imagenet_resnet50", "unit")


@pytest.fixture(scope="module")
def golden():
    path = Path(__file__).parents[1] / "data" / "golden_weiper_clinc150.npz"
    return dict(np.load(path, allow_pickle=False))


@pytest.fixture(scope="module")
def settings(golden):
    """(delta, n_bins, lambda_1, lambda_2, smoothing, smoothing_perturbed) of each set."""
    return ast.literal_eval(str(golden["hyperparameters"][0]))


@pytest.fixture(scope="module")
def measured(golden):
    data, engine = load_clinc150(), NumpyEngine()
    queries = np.concatenate([data.test[:100], data.test_oos[:100]]).astype(np.float32)
    train = data.train.astype(np.float32)
    block = ExplicitBlock(golden["perturbed_weight"], golden["perturbed_bias"][0])
    feature_bins = bins_over(golden["feature_range"], 100)
    logit_bins = bins_over(golden["logit_range"], 100)

    def counts_of(features):
        _, counts, sums = engine.measure(features, block, [logit_bins], ["msp"])
        return engine.histogram(features, feature_bins), counts[0], sums[0] / 4

    lows, highs = engine.logit_extremes(train, block)

    def mean_density(counts, n_values):
        return MeanDensity(100, n_values).add(len(counts), counts.sum(axis=0)).density

    feature_counts, logit_counts, _ = counts_of(train)
    query_features, query_logits, msp_w = counts_of(queries)
    return {
        "ranges": (train.min(), train.max(), lows.min(), highs.max()),
        "train_feature_density": mean_density(feature_counts, 256),
        "train_logit_density": mean_density(logit_counts, 600),
        "feature_density": query_features / 256,
        "logit_density": query_logits / 600,
        "msp_w": msp_w,
    }


def test_ranges(golden, measured):
    expected = np.concatenate([golden["feature_range"], golden["logit_range"]])
    np.testing.assert_allclose(measured["ranges"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["feature_density", "logit_density", "train_feature_density", "train_logit_density"]
)
def test_densities_to_one_count_in_ten_thousand(golden, measured, name):
    moved = np.abs(measured[name] - golden[name]).sum() / golden[name].sum() / 2
    assert moved <= 1e-4


def test_mean_msp(golden, measured):
    np.testing.assert_allclose(measured["msp_w"], golden["msp_w"], atol=1e-5)


def terms(densities, golden_set):
    _, _, smoothing, smoothing_perturbed = golden_set
    feature = symmetric_kl(
        densities["train_feature_density"].astype(np.float64),
        smooth(densities["feature_density"], smoothing),
        0.01,
    )
    logit = symmetric_kl(
        densities["train_logit_density"].astype(np.float64),
        smooth(densities["logit_density"], smoothing_perturbed),
        0.025,
    )
    return feature, logit


def score(densities, golden_set):
    lambda_1, lambda_2, *_ = golden_set
    feature, logit = terms(densities, golden_set)
    return -(feature + lambda_1 * logit - lambda_2 * densities["msp_w"])


@pytest.mark.parametrize("name", SETS)
def test_divergences_and_scores_given_the_densities(golden, settings, name):
    feature, logit = terms(golden, settings[name][2:])
    np.testing.assert_allclose(feature, golden[f"feature_divergence_{name}"], atol=1e-5)
    np.testing.assert_allclose(logit, golden[f"logit_divergence_{name}"], atol=1e-5)
    given = score(golden, settings[name][2:])
    np.testing.assert_allclose(given, golden[f"score_{name}"], atol=1e-5)


@pytest.mark.parametrize("name", SETS)
def test_scores_end_to_end(golden, settings, measured, name):
    found = score(measured, settings[name][2:])
    np.testing.assert_allclose(found, golden[f"score_{name}"], atol=1e-3)
