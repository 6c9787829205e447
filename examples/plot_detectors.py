"""
Detectors compared on your features
===================================

No detector is best everywhere. ``recommend`` fits all of them on your features and compares: by
how well they find out-of-distribution (OOD) rows, how stable they are from one half of the
training rows to the other, and what they cost.
"""

import matplotlib.pyplot as plt

from skweiper import WeiPerDetector, recommend
from skweiper.baselines import (
    FDBDDetector,
    KNNDetector,
    LogitDetector,
    MahalanobisDetector,
    NECODetector,
    RelativeMahalanobisDetector,
    SHEDetector,
    ViMDetector,
)
from skweiper.datasets import load_clinc150

data = load_clinc150()
head = data.weight, data.bias

# %%
# Without ``detectors`` it is every detector of the library; here a choice:
detectors = {
    "MSP": LogitDetector(*head, method="msp"),
    "energy": LogitDetector(*head, method="energy"),
    "GEN": LogitDetector(*head, method="gen"),
    "WeiPer+KLD": WeiPerDetector(*head),
    "WeiPer+MSP": WeiPerDetector(*head, method="msp"),
    "k-NN": KNNDetector(),
    "ViM": ViMDetector(*head),
    "fDBD": FDBDDetector(*head),
    "NECO": NECODetector(*head),
    "SHE": SHEDetector(*head),
    "Mahalanobis++": MahalanobisDetector(*head, normalize=True),
    "relative Mahalanobis": RelativeMahalanobisDetector(*head),
}
table = recommend(
    data.train[::2],
    *head,
    {"out of scope": data.validation_oos},
    detectors=detectors,
    random_state=0,
)
table[["auroc", "fpr95", "stability"]].round(3)

# %%
# As a picture. What looks best on these rows is chosen by them: other OOD rows must say how
# good it is.
ordered = table.sort_values("auroc")
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.barh(ordered.index, ordered.auroc, color="lightgrey")
ax.scatter(ordered.fpr95, ordered.index, color="C3", zorder=3, label="FPR@95 (lower = better)")
ax.set(xlim=(0, 1), xlabel="AUROC (bars, higher = better)")
figure.legend(loc="outside upper center")
plt.show()
