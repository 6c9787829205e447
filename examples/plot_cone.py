"""
The cone: what a perturbation does
==================================

A perturbed weight of a class is a projection of its own. In the plane of two logits the
perturbations form a cone about the class's axis, and each of them tells in-distribution (ID)
from out-of-distribution (OOD) samples better or worse than the weight itself does. This is
figure 1 of the `WeiPer paper <https://arxiv.org/abs/2405.17164>`_, drawn from the bundled
features.
"""

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.plotting import PerturbationDisplay

data = load_clinc150()
detector = WeiPerDetector(data.weight, data.bias, random_state=0).fit(data.train)

# %%
# Two intents out of 150, and the queries that belong to none. The grey lines are the
# perturbations of the first intent's weight, of the length that `fit` found:
pair = (112, 127)
print(f"delta_ = {detector.delta_:.2f}, intents: {', '.join(data.class_names[list(pair)])}")
display = PerturbationDisplay.from_estimator(detector, data.test, data.test_oos, classes=pair)

# %%
# The right panel counts the perturbed projections by their FPR@95, the share of out-of-scope
# queries that pass where 95 % of the intent's own queries do. One projection alone is a
# lottery. WeiPer does not pick one: it looks at all of them, and their mean varies little from
# seed to seed.
#
# A perturbation four times as long opens the cone, and leaves less of the intent in each
# projection:
longer = WeiPerDetector(data.weight, data.bias, delta=4 * detector.delta_, random_state=0)
display = PerturbationDisplay.from_estimator(
    longer.fit(data.train), data.test, data.test_oos, classes=pair
)
