"""The main job on real data: score intent queries, separate the ones no intent answers.

Fits on the bundled CLINC150 features, prints AUROC, FPR@95 (the share of out-of-scope queries that
pass where 95 % of the others do) and seconds per score, and writes a picture of the score
distributions to demo/scores.png.
"""

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc, fpr_at_tpr
from skweiper.plotting import ScoreDistributionDisplay

METHODS = ("msp", "max_logit", "energy")
LABELS = {"msp": "MSP", "max_logit": "MaxLogit", "energy": "Energy", "kld": "KLD"}


def plain(data, method):
    """The logit score itself: a single, unperturbed repeat."""
    return WeiPerDetector(data.weight, data.bias, method=method, n_repeats=1, delta=0.0)


def perturbed(data, method):
    """The score in the WeiPer space, or KLD."""
    return WeiPerDetector(data.weight, data.bias, method=method, random_state=0)


def detectors(data):
    table = {LABELS[method]: plain(data, method) for method in METHODS}
    return table | {f"WeiPer+{LABELS[s]}": perturbed(data, s) for s in ("msp", "energy", "kld")}


def measure(detector, data):
    """Fit and calibrate on ID data, score ID and OOD test data."""
    start = time.perf_counter()
    detector.fit(data.train)
    scores_id, scores_ood = map(detector.score_samples, (data.test, data.test_oos))
    seconds = time.perf_counter() - start
    detector.calibrate(data.validation, tpr=0.95)
    # Of the conventions for FPR@95, the one that a threshold set on ID samples makes.
    fpr = fpr_at_tpr(scores_id, scores_ood, 0.95, convention="openood-id")
    row = {"AUROC": 100 * auroc(scores_id, scores_ood), "FPR@95": 100 * fpr, "seconds": seconds}
    return row, (scores_id, {"out-of-scope queries": scores_ood}, detector.offset_)


def draw(axes, name, scores_id, scores_ood, threshold):
    ScoreDistributionDisplay.from_predictions(scores_id, scores_ood, threshold=threshold, ax=axes)
    axes.set_title(name)


def warm_up(data):
    """Let the engine compile its loops, where it does: later processes read them from disk."""
    start = time.perf_counter()
    for name, detector in detectors(data).items():
        if name.startswith("WeiPer"):
            detector.fit(data.train[:32]).score_samples(data.test[:32])
    print(f"Engine ready after {time.perf_counter() - start:.1f} s (it compiles once)")


def main(folder=Path("demo")):
    data = load_clinc150()
    warm_up(data)
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
