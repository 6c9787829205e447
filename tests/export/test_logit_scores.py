"""Logit scores in a graph, held to `skweiper.scores`."""

from functools import partial

import numpy as np
import pytest

from skweiper import scores
from skweiper.export.logit_scores import SCORES, Logits, logit_score, name_and_options
from tests.onnx_graphs import evaluated  # skips the module where onnx is missing

METHODS = [
    *scores.LOGIT_SCORES,
    scores.energy,
    partial(scores.energy, temperature=0.5),
    partial(scores.gen, gamma=0.3, top_classes=4),
    partial(scores.gen, top_classes=1),
]
SHAPES = [(50, 12), (6, 5, 12), (4, 1)]


def score_of(method, dtype, n_classes):
    def build(graph, logits):
        return logit_score(graph, Logits(logits, dtype, n_classes), method)

    return build


@pytest.mark.parametrize("opset", [16, 18, 21])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_a_score_is_that_of_the_library(method, shape, opset):
    logits = np.random.RandomState(0).normal(scale=4, size=shape)
    found = evaluated(score_of(method, np.float64, shape[-1]), logits, opset)
    np.testing.assert_allclose(found, scores.logit_score(method)(logits), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_so_it_is_in_single_precision(method):
    logits = np.random.RandomState(0).normal(scale=2, size=(50, 12)).astype(np.float32)
    found = evaluated(score_of(method, np.float32, 12), logits)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scores.logit_score(method)(logits), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_large_logits_do_not_overflow(method):
    logits = np.array([[900.0, -900.0, 0.0], [5e4, 5e4, 5e4]])
    found = evaluated(score_of(method, np.float64, 3), logits)
    np.testing.assert_allclose(found, scores.logit_score(method)(logits), rtol=1e-9)


def test_every_score_of_the_library_has_its_part():
    assert SCORES.keys() == scores.LOGIT_SCORES.keys()


@pytest.mark.parametrize(
    "method",
    [
        lambda logits: logits.max(axis=-1),
        np.max,
        partial(np.max, axis=-1),
        partial(scores.gen, 0.1),
        partial(scores.msp, temperature=2),
    ],
)
def test_other_callables_are_refused(method):
    with pytest.raises(TypeError, match=r"cannot be exported: expected one of \['energy'"):
        name_and_options(method)
