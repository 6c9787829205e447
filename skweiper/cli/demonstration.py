"""The main job on real data: score intent queries, separate the ones no intent answers."""

import time

import pandas as pd

from skweiper.detector import WeiPerDetector
from skweiper.metrics import auroc, fpr_at_tpr

__all__ = ["detectors", "draw_demonstration", "measured", "warm_up"]

METHODS = ("msp", "max_logit", "energy")
LABELS = {"msp": "MSP", "max_logit": "MaxLogit", "energy": "Energy", "kld": "KLD"}


def plain(data, method):
    """The logit score itself: a single, unperturbed repeat."""
    return WeiPerDetector(data.weight, data.bias, method=method, n_repeats=1, delta=0.0)


def perturbed(data, method, seed):
    """The score in the WeiPer space, or KLD."""
    return WeiPerDetector(data.weight, data.bias, method=method, random_state=seed)


def detectors(data, seed):
    """Logit scores and their WeiPer versions by name."""
    table = {LABELS[method]: plain(data, method) for method in METHODS}
    return table | {
        f"WeiPer+{LABELS[s]}": perturbed(data, s, seed) for s in ("msp", "energy", "kld")
    }


def warm_up(data, seed):
    """Let the engine compile its loops, where it does; seconds. Later processes read them."""
    start = time.perf_counter()
    for name, detector in detectors(data, seed).items():
        if name.startswith("WeiPer"):
            detector.fit(data.train[:32]).score_samples(data.test[:32])
    return time.perf_counter() - start


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


def measured(data, seed):
    """A table of all detectors, and what to draw of each: scores and threshold."""
    rows, distributions = {}, {}
    for name, detector in detectors(data, seed).items():
        rows[name], distributions[name] = measure(detector, data)
    return pd.DataFrame(rows).T, distributions


def draw_demonstration(plt, distributions):
    """Score distributions side by side, by name."""
    from skweiper.plotting import ScoreDistributionDisplay

    figure, all_axes = plt.subplots(1, len(distributions), figsize=(11, 4), layout="constrained")
    for axes, (name, (scores_id, scores_ood, threshold)) in zip(
        all_axes, distributions.items(), strict=True
    ):
        ScoreDistributionDisplay.from_predictions(
            scores_id, scores_ood, threshold=threshold, ax=axes
        )
        axes.set_title(name)
    return figure
