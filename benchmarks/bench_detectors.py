"""Every detector of the library on feature files: AUROC and FPR@95.

    python benchmarks/bench_detectors.py [FEATURES.npz ...] [--defaults] [--seeds 5]
        [--max-rows 5000] [--publish]

Logit scores are taken of the logits and of the WeiPer space, as they are and with ReAct or DICE
before; the energy, which the other shapers were published with, also with these. Then every other
detector of the registry, and some of their options. With --defaults, every detector at its default
settings alone, with the worst regret (to the best detector of an OOD problem).

Without a file, the bundled CLINC150 features. A file holds `train`, `train_label`, `test`,
`weight`, `bias`, OOD sets named `test_oos`, `near_*`, `far_*`, and, for the temperature,
`validation` and `validation_label` if there are any. Detectors have their default parameters, and
learn classes from the head's predictions. WeiPer runs once per seed, with --defaults every detector
that draws. FPR@95 is `skweiper.metrics.fpr95`. Prints the tables of all files together, and saves
them, with the figures of every seed, as detectors.json and .md, or defaults.json and .md. With
--publish they go into docs/results as `detectors` and `gains`, or as `defaults`.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from dumps import ood_sets, problem_title
from reporting import machine, markdown_table, mean_and_spread, publish, save
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skweiper import WeiPerDetector, all_detectors
from skweiper._support.inner_estimators import seeds_of
from skweiper.baselines import LogitDetector, dice_weight
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc, fpr95
from skweiper.scores import LOGIT_SCORES
from skweiper.shaping import ASH, RAS, SCALE, VRA, ReAct

BY_SCORE = ("weiper", "logit")
SHAPERS = {
    "ReAct": ReAct(),
    "VRA": VRA(),
    "ASH-S": ASH("s"),
    "ASH-P": ASH("p"),
    "ASH-B": ASH("b"),
    "SCALE": SCALE(),
    "RAS": RAS(),
}
OPTIONS = {  # measured beside the default
    "she": [(f"she ({metric})", {"metric": metric}) for metric in ("cosine", "euclidean")],
    "kernel_pca": [("kernel_pca (cosine)", {"kernel": "cosine"})],
    "mahalanobis": [("mahalanobis (normalised)", {"normalize": True})],
    "relative_mahalanobis": [("relative_mahalanobis (normalised)", {"normalize": True})],
    "neco": [("neco (without the logit)", {"scale_by_max_logit": False})],
}
SCORES_AFTER = {  # what is measured after each shaper, "" for none
    **dict.fromkeys(["", "ReAct", "DICE"], tuple(LOGIT_SCORES)),
    **dict.fromkeys(["VRA", "ASH-S", "ASH-P", "ASH-B", "SCALE", "RAS"], ("energy",)),
}
KLD_AFTER = ("", "ReAct", "DICE", "RAS")


class Case(NamedTuple):
    """A detector to measure.

    Attributes
    ----------
    name, before : str
        What the table shows; `before` is a key of `SCORES_AFTER`.
    make : callable
        From a seed to an estimator that is not fitted.
    split : str
        Rows to fit on.
    is_repeated : bool
        Whether it is measured with every seed, or with the first alone.
    """

    name: str
    before: str
    make: object
    split: str = "train"
    is_repeated: bool = False


def with_shaping(data, before, detector):
    """An estimator of `detector(weight, bias)` with a shaper or DICE before it."""
    weight, bias = data["weight"], data["bias"]
    if before == "DICE":
        weight = dice_weight(weight, data["train"])
    estimator = detector(weight, bias)
    if before not in SHAPERS:
        return estimator
    return make_pipeline(clone(SHAPERS[before]), estimator)


def score_cases(data):
    """Every logit score of the logits and of the WeiPer space, and WeiPer+KLD."""
    for before, scores in SCORES_AFTER.items():
        for method in scores:
            plain = partial(LogitDetector, method=method)
            yield Case(method, before, lambda seed, p=plain, b=before: with_shaping(data, b, p))
        for method in (*scores, *(("kld",) if before in KLD_AFTER else ())):

            def make(seed, method=method, before=before):
                detector = partial(WeiPerDetector, method=method, random_state=seed)
                return with_shaping(data, before, detector)

            yield Case(f"WeiPer+{method}", before, make, is_repeated=True)


def seeded(estimator, seed):
    """A clone of an estimator, with the seed where it draws."""
    return clone(estimator).set_params(**dict.fromkeys(seeds_of(estimator), seed))


def peer_cases(data):
    """The registry's detectors that are no logit score."""
    for entry in all_detectors():
        if entry.name in BY_SCORE:
            continue
        for name, parameters in (*OPTIONS.get(entry.name, ()), (entry.name, {})):
            yield registered_case(entry, data, name, parameters)


def registered_case(entry, data, name, parameters):
    """A detector of the registry, with the head where it takes one."""
    head = {"weight": data["weight"], "bias": data["bias"]} if entry.needs_head else {}
    # On rows that the classifier has learnt, the best temperature is too low.
    held_out = entry.needs_labels and "validation" in data
    estimator = entry.estimator(**head, **parameters)
    split = "validation" if held_out else "train"
    return Case(name, "", partial(seeded, estimator), split=split)


def measure(case, data, ood, seed):
    """Figures of one case and one seed: a dictionary per OOD dataset."""
    fitted = case.make(seed).fit(data[case.split], data[f"{case.split}_label"])
    scores_id = fitted.score_samples(data["test"])
    for name, rows in ood.items():
        scores_ood = fitted.score_samples(rows)
        yield {
            "detector": case.name,
            "before": case.before,
            "seed": seed,
            "dataset": name,
            "auroc": 100 * auroc(scores_id, scores_ood),
            "fpr95": 100 * fpr95(scores_id, scores_ood),
        }


def figures_of(files, most, n_seeds, cases):
    """Figures of all cases on all files, a row per case, seed and OOD problem."""
    rows = []
    for path in files:
        data, ood = load(path, most)
        stem = "clinc150" if path is None else path.stem
        for case in cases(data):
            print(stem, case.before, case.name, file=sys.stderr, flush=True)
            for seed in range(n_seeds if case.is_repeated else 1):
                for row in measure(case, data, ood, seed):
                    rows.append({**row, "dataset": problem_title(stem, row["dataset"])})
    return pd.DataFrame(rows)


def all_cases(data):
    """Logit scores, shaped and in the WeiPer space or not, and the other detectors."""
    return [*score_cases(data), *peer_cases(data)]


def means(figures, metric, index):
    """Means over the seeds: DataFrame of cases by OOD problems, in the order of the figures."""
    return figures.pivot_table(metric, index=index, columns="dataset", sort=False)


def problem_table(figures, index):
    """AUROC / FPR@95 of every OOD problem and their mean, the best mean AUROC first."""
    aurocs, fprs = (
        means(figures, metric, index).assign(mean=lambda table: table.mean(axis=1))
        for metric in ("auroc", "fpr95")
    )
    table = aurocs.round(1).astype(str) + " / " + fprs.round(1).astype(str)
    return table.loc[aurocs["mean"].sort_values(ascending=False, kind="stable").index]


def default_table(figures):
    """`problem_table` with the worst regret, to the best detector of a problem."""
    aurocs = means(figures, "auroc", "detector")
    regret = (aurocs.max() - aurocs).max(axis=1)
    return problem_table(figures, "detector").assign(
        **{"worst regret": regret.map("{:.1f}".format)}
    )


def gain(plain, weiper):
    """A score of the logits, the same in the WeiPer space, and the gain, as text."""
    return f"{plain:.2f} → {mean_and_spread(weiper)} ({weiper.mean() - plain:+.2f})"


def gains(figures):
    """AUROC of logit scores and in the WeiPer space, per method, shaping and OOD problem."""
    by_case = figures.groupby(["detector", "before", "dataset"], sort=False).auroc
    rows = []
    for before, scores in SCORES_AFTER.items():
        for method in scores:
            row = {"method": method, "before": before}
            for dataset in figures.dataset.unique():
                place = before, dataset
                plain = by_case.get_group((method, *place)).iloc[0]
                row[dataset] = gain(plain, by_case.get_group((f"WeiPer+{method}", *place)))
            rows.append(row)
    return pd.DataFrame(rows)


def chosen_rows(n_rows, most, labels=None):
    """Positions of at most `most` rows, a random choice, of equal shares of the classes."""
    if n_rows <= most:
        return np.arange(n_rows)
    chosen, _ = train_test_split(
        np.arange(n_rows), train_size=most, stratify=labels, random_state=0
    )
    return np.sort(chosen)


def load(path, most):
    """Arrays of a file, or of the bundled data, and its OOD datasets."""
    if path is None:
        data = dict(load_clinc150())
    else:
        with np.load(path, allow_pickle=False) as file:
            data = dict(file)
    kept = chosen_rows(len(data["train"]), most, data["train_label"])
    data["train"], data["train_label"] = data["train"][kept], data["train_label"][kept]
    names = ood_sets(data)
    for name in ["test", *names]:
        data[name] = data[name][chosen_rows(len(data[name]), most)]
    return data, {name: data[name] for name in names}


def default_cases(data):
    """Every detector of the registry at its defaults; of the logit scores, MSP, energy and GEN."""
    head = {"weight": data["weight"], "bias": data["bias"]}
    for method in ("msp", "energy", "gen"):
        yield Case(method, "", lambda seed, m=method: LogitDetector(**head, method=m))
    for entry in all_detectors():
        if entry.name != "logit":
            case = registered_case(entry, data, entry.name, {})
            yield case._replace(is_repeated=bool(seeds_of(case.make(0))))


def tables_of(figures, is_default):
    """What is shown of the figures, by the names of the published tables."""
    if is_default:
        return {"defaults": default_table(figures).reset_index()}
    table = problem_table(figures, ["detector", "before"]).reset_index()
    return {"detectors": table, "gains": gains(figures)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("files", nargs="*", type=Path, default=[None])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=5000, help="of each set, train included")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--defaults", action="store_true", help="default settings alone")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    arguments = parser.parse_args()
    cases = default_cases if arguments.defaults else all_cases
    figures = figures_of(arguments.files, arguments.max_rows, arguments.seeds, cases)
    tables = tables_of(figures, arguments.defaults)
    saved = {**tables, "figures": figures}
    save(arguments.output, "defaults" if arguments.defaults else "detectors", machine(), saved)
    for name, table in tables.items():
        print(f"## {name}\n\n{markdown_table(table)}\n")
        if arguments.publish:
            publish(name, table)


if __name__ == "__main__":
    main()
