"""
Ablation: how many repeats, how far to perturb
==============================================

What do the number of repeats and the length of the perturbation do? ``ablation`` changes one at
a time, over several seeds, and computes what settings share only once.
"""

import matplotlib.pyplot as plt

from skweiper.datasets import load_clinc150
from skweiper.model_selection import ablation

data = load_clinc150()

# %%
# A study is a list of settings, each the hyperparameters that it changes from the default:
repeats = [1, 3, 10, 30, 100]
rates = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4]
studies = {
    "repeats": [{"n_repeats": r} for r in repeats],
    "flip rate": [{"flip_rate": rate} for rate in rates],
}
table = ablation(
    data.train[::4],
    data.test[::2],
    data.test_oos[::2],
    data.weight,
    data.bias,
    studies=studies,
    seeds=range(3),
)
summary = table.groupby(["study", "setting"], sort=False).auroc.agg(["mean", "std"])
summary.round(4)

# %%
# One repeat is a lottery; from some thirty on, more repeats change little. The flip rate has a
# broad optimum: it says how many perturbed heads change a prediction, and means the same on any
# layer, where a length does not.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, study, values in zip(axes, studies, [repeats, rates], strict=True):
    means = summary.loc[study]
    ax.errorbar(values, means["mean"], means["std"], marker="o", capsize=3)
    ax.set(xlabel=study)
axes[0].set(xscale="log", ylabel="AUROC, mean and spread over seeds")
plt.show()
