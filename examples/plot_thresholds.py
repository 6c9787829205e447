"""
Thresholds and p-values
=======================

A score becomes a decision by a threshold that a share of in-distribution (ID) samples passes,
or by a p-value, whose guarantee holds for any detector and any number of calibration samples.
"""

import matplotlib.pyplot as plt
import numpy as np

from skweiper import WeiPerDetector
from skweiper.conformal import ood_discoveries
from skweiper.datasets import load_clinc150
from skweiper.plotting import ScoreDistributionDisplay

data = load_clinc150()
detector = WeiPerDetector(data.weight, data.bias, method="msp", random_state=0).fit(data.train)

# %%
# A threshold for each share of ID samples to accept. The higher the share, the more
# out-of-scope queries pass:
known, unknown = detector.score_samples(data.test), detector.score_samples(data.test_oos)
for tpr in (0.9, 0.95, 0.99):
    offset = detector.calibrate(data.validation, tpr=tpr).offset_
    print(
        f"tpr={tpr}: offset_ {offset:.3f}, accepted {np.mean(known >= offset):.1%} of the known "
        f"and {np.mean(unknown >= offset):.1%} of the unknown queries"
    )
display = ScoreDistributionDisplay.from_estimator(
    detector.calibrate(data.validation, tpr=0.95), data.test, {"out of scope": data.test_oos}
)

# %%
# Conformal p-values: those of ID samples are uniform, so that p <= 0.05 rejects one in twenty.
# Those of out-of-scope queries pile up near zero.
detector.calibrate_p_values(data.validation)
p_known, p_unknown = detector.p_value(data.test), detector.p_value(data.test_oos)
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
bins = np.linspace(0, 1, 21)
ax.hist(p_known, bins, density=True, alpha=0.6, label="known")
ax.hist(p_unknown, bins, density=True, alpha=0.6, label="out of scope")
ax.axhline(1, color="black", linestyle="--", label="uniform")
ax.set(xlabel="p-value", ylabel="density")
ax.legend()
plt.show()

# %%
# A batch of which a tenth is out of scope. Testing each query at 0.05 calls many known ones
# OOD; ``ood_discoveries`` bounds the share of mistakes among those called OOD, in expectation:
batch = np.concatenate([p_known[:900], p_unknown[:100]])
is_known = np.arange(len(batch)) < 900
for name, found in {"p <= 0.05": batch <= 0.05, "fdr=0.1": ood_discoveries(batch, 0.1)}.items():
    wrong = found[is_known].sum() / max(1, found.sum())
    print(f"{name}: {found.sum()} called OOD, {wrong:.0%} of them known")
