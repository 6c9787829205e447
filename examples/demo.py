"""The main job on real data: score intent queries, separate the ones no intent answers.

Fits on the bundled CLINC150 features, prints AUROC, FPR@95 and seconds per score, and writes a
picture of the score distributions to demo/scores.png.
"""

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150

SCORES = ("msp", "max_logit", "energy")
LABELS = {"msp": "MSP", "max_logit": "MaxLogit", "energy": "Energy", "kld": "KLD"}


def plain(data, score):
    """The logit score itself: a single, unperturbed repeat."""
    return WeiPerDetector(data.weight, data.bias, score=score, n_repeats=1, delta=0.0)


def perturbed(data, score):
    """The score in the WeiPer space."""
    return WeiPerDetector(data.weight, data.bias, score=score, delta=1.8, random_state=0)


def detectors(data):
    table = {LABELS[score]: plain(data, score) for score in SCORES}
    return table | {f"WeiPer+{LABELS[s]}": perturbed(data, s) for s in ("msp", "energy", "kld")}


def measure(detector, data):
    """Fit and calibrate on ID data, score ID and OOD test data."""
    start = time.perf_counter()
    detector.fit(data.train)
    scores_id, scores_ood = map(detector.score_samples, (data.test, data.test_oos))
    seconds = time.perf_counter() - start
    detector.calibrate(data.validation, tpr=0.95)
    labels = np.repeat([1, -1], [len(scores_id), len(scores_ood)])
    auroc = roc_auc_score(labels, np.concatenate([scores_id, scores_ood]))
    # FPR@95: share of OOD accepted at the threshold that accepts 95 % of ID.
    threshold = np.quantile(scores_id, 0.05, method="lower")
    fpr = np.mean(scores_ood >= threshold)
    row = {"AUROC": 100 * auroc, "FPR@95": 100 * fpr, "seconds": seconds}
    return row, (scores_id, scores_ood, detector.offset_)


def draw(axes, name, scores_id, scores_ood, threshold):
    bins = np.histogram_bin_edges(np.concatenate([scores_id, scores_ood]), 60)
    axes.hist(scores_id, bins, density=True, alpha=0.6, label="ID: test queries")
    axes.hist(scores_ood, bins, density=True, alpha=0.6, label="OOD: out-of-scope queries")
    axes.axvline(threshold, color="black", linestyle="--", label="threshold, TPR 95 %")
    axes.set(title=name, xlabel="score (higher = in-distribution)", ylabel="density")
    axes.legend()


def main(folder=Path("demo")):
    data = load_clinc150()
    rows, distributions = {}, {}
    for name, detector in detectors(data).items():
        rows[name], distributions[name] = measure(detector, data)
    table = pd.DataFrame(rows).T
    print(f"CLINC150: {len(data.test)} ID queries, {len(data.test_oos)} out-of-scope queries")
    print(table.round({"AUROC": 2, "FPR@95": 1, "seconds": 2}).to_string())

    best = table["AUROC"][table.index.str.startswith("WeiPer")].idxmax()
    figure, both = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axes, name in zip(both, ("MSP", best), strict=True):
        draw(axes, name, *distributions[name])
    folder.mkdir(exist_ok=True)
    picture = folder / "scores.png"
    figure.savefig(picture, dpi=120)
    print(f"Score distributions of MSP and {best}: {picture}")


if __name__ == "__main__":
    main()
