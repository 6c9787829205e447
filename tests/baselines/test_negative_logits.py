"""Scores that a negative logit turns round say so; a constant on all logits mends them."""

import numpy as np
import pytest

from skweiper.baselines import NECODetector, NNGuideDetector, OpenMaxDetector, ViMDetector

TURNED = [NECODetector, NNGuideDetector, OpenMaxDetector, ViMDetector]


@pytest.mark.parametrize("estimator", TURNED)
def test_logits_that_turn_the_order_round_are_said(estimator, clinc150):
    head, X = (clinc150.weight, clinc150.bias.astype(float) - 100), clinc150.train[::5]
    with pytest.warns(UserWarning, match=r"(?i)constant to the head's bias") as caught:
        estimator(*head).fit(X)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("estimator", TURNED)
def test_logits_as_they_are_need_no_word(estimator, clinc150):
    detector = estimator(clinc150.weight, clinc150.bias).fit(clinc150.train[::5])
    assert np.isfinite(detector.score_samples(clinc150.test_oos)).all()
