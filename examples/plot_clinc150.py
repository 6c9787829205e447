"""
Queries that a chat bot has no intent for
=========================================

The bundled CLINC150 features come from a text classifier of 150 intents. A thousand real user
queries belong to none of them. How well are they found by the softmax probability, and how well
by WeiPer?
"""

import pandas as pd

from skweiper import WeiPerDetector
from skweiper.baselines import LogitDetector
from skweiper.datasets import load_clinc150
from skweiper.evaluation import compare
from skweiper.plotting import OODRocDisplay, ScoreDistributionDisplay

data = load_clinc150()
head = data.weight, data.bias

# %%
# Detectors by name, fitted on the same training features, tested on the same queries:
detectors = {
    "MSP": LogitDetector(*head, method="msp"),
    "WeiPer+MSP": WeiPerDetector(*head, method="msp", random_state=0),
    "WeiPer+KLD": WeiPerDetector(*head, random_state=0),
}
table = compare(detectors, data.train, data.test, {"out of scope": data.test_oos})
table.query("level == 'dataset'")[["detector", "auroc", "fpr95"]].round(3)

# %%
# The scores, with a threshold that 95 % of held-out queries pass:
detector = detectors["WeiPer+MSP"].fit(data.train).calibrate(data.validation, tpr=0.95)
display = ScoreDistributionDisplay.from_estimator(
    detector, data.test, {"out of scope": data.test_oos}
)

# %%
# The ROC curve, with OpenOOD's FPR@95 marked:
display = OODRocDisplay.from_estimator(detector, data.test, {"out of scope": data.test_oos})

# %%
# Which intents do the unknown queries that pass look like?
passed = data.test_oos[detector.predict(data.test_oos) == 1]
taken_for = (passed @ data.weight.T + data.bias).argmax(axis=1)
pd.Series(data.class_names[taken_for]).value_counts().head(5)
