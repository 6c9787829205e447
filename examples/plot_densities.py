"""
Densities: what WeiPer+KLD compares
===================================

WeiPer+KLD compares how a sample's values are distributed with how the training samples' are,
twice: its features, and its perturbed logits. This is figure 3 of the `WeiPer paper
<https://arxiv.org/abs/2405.17164>`_, drawn from the bundled features.
"""

import matplotlib.pyplot as plt
import numpy as np

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.plotting import DensityDisplay

data = load_clinc150()
detector = WeiPerDetector(data.weight, data.bias, random_state=0).fit(data.train)

# %%
# The most and the least in-distribution of the out-of-scope queries, beside the mean over the
# training queries. The axis is logarithmic: most features are zero after a ReLU.
scores = detector.score_samples(data.test_oos)
rows = data.test_oos[[np.argmax(scores), np.argmin(scores)]]
DensityDisplay.from_estimator(detector, rows, ["highest score", "lowest score"])

# %%
# The score is made of three terms: both divergences, and the maximum softmax probability,
# averaged over the perturbed heads.
detector.score_components(rows)

# %%
# Each term by itself, of known and of unknown queries. On these features the averaged
# probability tells most; the divergences alone tell less.
known, unknown = (detector.score_components(X) for X in (data.test, data.test_oos))
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, term in zip(axes, known.columns, strict=True):
    bins = np.histogram_bin_edges(np.concatenate([known[term], unknown[term]]), 50)
    ax.hist(known[term], bins, density=True, alpha=0.6, label="known")
    ax.hist(unknown[term], bins, density=True, alpha=0.6, label="out of scope")
    ax.set(xlabel=term)
axes[0].set_ylabel("density")
axes[0].legend()
plt.show()
