"""Scores that OpenOOD's own code gave, and what its code does differently on purpose or not."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from skweiper.shaping import ASH, SCALE, VRA, ReAct

DATA = Path(__file__).parent / "data"
LOGIT_SCORES = {"msp": "msp", "mls": "max_logit", "ebo": "energy", "gen": "gen"}
SHAPERS = {
    "react": ReAct(percentile=90),
    "ash_s": ASH("s", percentile=90),
    "ash_p": ASH("p", percentile=90),
    "ash_b": ASH("b", percentile=90),
    "scale": SCALE(percentile=85),
    "vra": VRA(percentile_low=10, percentile_high=90),
}


class Golden(NamedTuple):
    """Scores by method, and what is known of each method.

    Attributes
    ----------
    scores : dict of str to ndarray of shape (n_rows,)
    methods : dict of str to dict
        Hyperparameters, fitted values, quirks and `suggested_atol`.
    """

    scores: dict
    methods: dict

    @classmethod
    def load(cls, folder, name):
        """Read NAME.npz and the NAME.json beside it."""
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            scores = dict(file)
        return cls(scores, json.loads((folder / f"{name}.json").read_text())["methods"])

    def error(self, name, scores):
        """Largest difference over the rows whose result is defined."""
        difference = np.abs(scores - self.scores[name])
        # Of equal activations at ASH's cut, it is not defined which are kept.
        difference[self.methods[name].get("rows_with_a_tie_at_the_cut", [])] = 0
        return difference.max()

    def assert_agrees(self, name, scores):
        """Check scores against the golden ones, to three times OpenOOD's own rounding."""
        assert self.error(name, scores) <= self.methods[name]["suggested_atol"]


def openood_temperature(logits, labels):
    """Where OpenOOD's search for the temperature ends, far from the optimum.

    It takes one step of PyTorch's L-BFGS with max_iter=50 and a learning rate of 0.01. In one
    dimension that is a gradient step, then 49 secant steps, each a hundredth as long as it should
    be.
    """
    own = logits[np.arange(len(logits)), labels]

    def slope(temperature):
        expected = np.sum(softmax(logits / temperature, axis=1) * logits, axis=1)
        return np.mean(own - expected) / temperature**2

    learning_rate = 0.01
    before, slope_before = 1.5, slope(1.5)
    temperature = before - learning_rate * min(1, 1 / abs(slope_before)) * slope_before
    for _ in range(49):
        slope_here = slope(temperature)
        curvature = (slope_here - slope_before) / (temperature - before)
        before, slope_before = temperature, slope_here
        temperature -= learning_rate * slope_here / curvature
    return temperature
