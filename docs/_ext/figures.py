"""The figures of the guides, drawn from the bundled features each time that the site is built."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.plotting import DensityDisplay, PerturbationDisplay, ScoreDistributionDisplay

WIDE = (9, 3.6)


def fitted(data, **parameters):
    """WeiPer on the training rows."""
    return WeiPerDetector(data.weight, data.bias, random_state=0, **parameters).fit(data.train)


def scores(data):
    """Scores of known and unknown queries, and the threshold."""
    detector = fitted(data, method="msp").calibrate(data.validation, tpr=0.95)
    figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    out_of_scope = {"out of scope (OOD)": data.test_oos}
    ScoreDistributionDisplay.from_estimator(detector, data.test, out_of_scope, ax=axes)
    return figure


def cone(data):
    """Perturbed projections of one class, and what each tells apart (the paper's figure 1)."""
    figure, axes = plt.subplots(1, 2, figsize=WIDE, layout="constrained")
    PerturbationDisplay.from_estimator(fitted(data), data.test, data.test_oos, (112, 127), ax=axes)
    return figure


def densities(data):
    """Densities of a known and an unknown query (the paper's figure 3)."""
    rows = np.stack([data.test[0], data.test_oos[0]])
    figure, axes = plt.subplots(1, 2, figsize=WIDE, layout="constrained")
    DensityDisplay.from_estimator(fitted(data), rows, ["known intent", "out of scope"], ax=axes)
    return figure


def projections(data):
    """One query's perturbed logits of one class, by either projection, over many repeats."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    z, weight, bias = data.test[0].astype(float), data.weight[3].astype(float), data.bias[3]
    delta, n_repeats = 0.9, 4000
    directions = np.random.default_rng(0).standard_normal((n_repeats, len(z)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    drawn = (weight + delta * np.linalg.norm(weight) * directions) @ z + bias
    axes.hist(drawn, 60, density=True, color="lightgrey", label="explicit: directions drawn")
    shape = (len(z) - 1) / 2
    coordinate = 2 * np.random.default_rng(1).beta(shape, shape, n_repeats) - 1
    moved = weight @ z + bias + delta * np.linalg.norm(weight) * np.linalg.norm(z) * coordinate
    axes.hist(moved, 60, density=True, histtype="step", color="C3", label="implicit: one number")
    axes.axvline(weight @ z + bias, color="black", linestyle="--", label="the logit itself")
    axes.set(xlabel="perturbed logit of one query and class", ylabel="density")
    axes.legend()
    return figure


def flips(data):
    """Share of predictions that perturbed heads change, by the length of the perturbation."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    rates = np.array([0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
    lengths = [fitted(data, method="msp", flip_rate=rate).delta_ for rate in rates]
    axes.plot(lengths, rates, marker="o")
    chosen = lengths[3]
    axes.plot([0, chosen, chosen], [0.1, 0.1, 0], color="C3", linestyle="--")
    axes.annotate(
        f"default: 10 %, delta_ = {chosen:.2f}", (chosen, 0.1), (chosen + 0.15, 0.06), color="C3"
    )
    axes.set(xlabel="delta", ylabel="flip rate", xlim=(0, None), ylim=(0, None))
    return figure


FIGURES = (scores, cone, densities, projections, flips)


def draw_all(folder):
    """Write every figure that is missing, or older than this file."""
    folder.mkdir(exist_ok=True)
    plt.switch_backend("Agg")
    plt.rcParams["svg.hashsalt"] = "skweiper"
    paths = {figure: folder / f"{figure.__name__}.svg" for figure in FIGURES}
    written = Path(__file__).stat().st_mtime
    missing = [f for f, p in paths.items() if not p.exists() or p.stat().st_mtime < written]
    data = load_clinc150() if missing else None
    for figure in missing:
        drawn = figure(data)
        drawn.savefig(paths[figure], metadata={"Date": None})
        plt.close(drawn)
