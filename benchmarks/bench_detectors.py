"""Every detector of the library on one dataset: AUROC, FPR@95, time and peak memory.

    python benchmarks/bench_detectors.py [FEATURES.npz ...] [--seeds 5] [--max-rows 5000]
    python benchmarks/bench_detectors.py FEATURES.npz ... --defaults [--publish]

With --defaults, all files in one table: every detector of the registry at its default settings,
with the mean over the OOD problems and the worst regret, saved as defaults.md and .json. With
--publish, the table goes into docs/results too, without times.

Without a file, the bundled CLINC150 features. A file holds `train`, `train_label`, `test`,
`weight`, `bias`, OOD sets named `test_oos`, `near_*`, `far_*`, and, for the temperature,
`validation` and `validation_label` if there are any. Prints the tables and saves them, with the
figures of every seed, as detectors_NAME.md and .json.

Logit scores are taken of the logits and of the WeiPer space, as they are and with ReAct or DICE
before; the energy, which the other shapers were published with, also with these. Detectors have
their default parameters, and learn classes from the head's predictions. FPR@95 is
`skweiper.metrics.fpr95`. Every detector runs once per seed, whether it draws or not; times are the
shortest of these runs. Peak memory is the growth of the process's resident set during fit and
scoring together (Linux; elsewhere empty).
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from dumps import ood_sets, problem_title
from memory import peak_mebibytes
from reporting import machine, markdown_table, mean_and_spread, publish, save, timed
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skweiper import WeiPerDetector, all_detectors
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
    """

    name: str
    before: str
    make: object
    split: str = "train"


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

            yield Case(f"WeiPer+{method}", before, make)


def seeded(estimator, seed):
    """A clone of an estimator, with the seed where it draws."""
    draws = "random_state" in estimator.get_params()
    return clone(estimator).set_params(**({"random_state": seed} if draws else {}))


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
    make = partial(seeded, entry.estimator(**head, **parameters))
    return Case(name, "", make, split="validation" if held_out else "train")


def measure(case, data, ood, seed):
    """Figures of one case and one seed: a dictionary per OOD dataset."""
    X, y = data[case.split], data[f"{case.split}_label"]
    fitted, fit_seconds = timed(lambda: case.make(seed).fit(X, y))
    scores_id, id_seconds = timed(lambda: fitted.score_samples(data["test"]))
    for name, rows in ood.items():
        scores_ood, ood_seconds = timed(lambda rows=rows: fitted.score_samples(rows))
        yield {
            "detector": case.name,
            "before": case.before,
            "seed": seed,
            "dataset": name,
            "auroc": 100 * auroc(scores_id, scores_ood),
            "fpr95": 100 * fpr95(scores_id, scores_ood),
            "fit_s": fit_seconds,
            "score_us": 1e6 * (id_seconds + ood_seconds) / (len(scores_id) + len(rows)),
        }


def peak_of(case, data):
    """MiB that fit and scoring take beside their input and output."""
    X, y = data[case.split], data[f"{case.split}_label"]
    return peak_mebibytes(lambda: case.make(0).fit(X, y).score_samples(data["test"]))


def study(data, ood, n_seeds):
    """Figures of all cases, as a DataFrame with a row per case, seed and dataset."""
    WeiPerDetector(data["weight"], data["bias"]).fit(data["train"][:50])  # compiles
    rows = []
    for case in [*score_cases(data), *peer_cases(data)]:
        peak = peak_of(case, data)
        for seed in range(n_seeds):
            rows += [{**row, "peak_mib": peak} for row in measure(case, data, ood, seed)]
    return pd.DataFrame(rows)


def summary(figures):
    """A row per detector, best mean AUROC first."""
    rows = []
    for (before, name), case in figures.groupby(["before", "detector"], sort=False):
        row = {"detector": name, "before": before or "-", "mean": case.auroc.mean()}
        for dataset, part in case.groupby("dataset", sort=False):
            row[f"AUROC {dataset}"] = mean_and_spread(part.auroc)
            row[f"FPR@95 {dataset}"] = mean_and_spread(part.fpr95)
        row["fit s"] = f"{case.fit_s.min():.3f}"
        row["score µs/row"] = f"{case.score_us.min():.1f}"
        peak = case.peak_mib.iloc[0]
        row["peak MiB"] = "" if pd.isna(peak) else f"{peak:.0f}"
        rows.append(row)
    return pd.DataFrame(rows).sort_values("mean", ascending=False).drop(columns="mean")


def gains(figures):
    """AUROC in the WeiPer space less that of the logits, per method, shaping and dataset."""
    mean = figures.groupby(["detector", "before", "dataset"], sort=False).auroc
    rows = []
    for before, scores in SCORES_AFTER.items():
        for method in scores:
            for dataset in figures.dataset.unique():
                plain = mean.get_group((method, before, dataset)).iloc[0]
                weiper = mean.get_group((f"WeiPer+{method}", before, dataset))
                rows.append(
                    {
                        "method": method,
                        "before": before or "-",
                        "dataset": dataset,
                        "logits": f"{plain:.2f}",
                        "WeiPer": mean_and_spread(weiper),
                        "gain": f"{weiper.mean() - plain:+.2f}",
                        "seeds that gain": f"{(weiper > plain).sum()}/{len(weiper)}",
                    }
                )
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


def report(name, figures, n_seeds, directory):
    """Print and save the tables of one dataset."""
    tables = f"## {name}\n\n{machine()}, {n_seeds} seeds\n\n{markdown_table(summary(figures))}\n"
    tables += f"\n### Gain in the WeiPer space\n\n{markdown_table(gains(figures))}\n"
    print(tables, flush=True)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"detectors_{name}.md").write_text(tables, encoding="utf-8")
    content = {"machine": machine(), "figures": figures.to_dict("records")}
    (directory / f"detectors_{name}.json").write_text(json.dumps(content, indent=1))


def default_cases(data):
    """Every detector of the registry at its defaults; of the logit scores, MSP, energy and GEN."""
    head = {"weight": data["weight"], "bias": data["bias"]}
    for method in ("msp", "energy", "gen"):
        yield Case(method, "", lambda seed, m=method: LogitDetector(**head, method=m))
    for entry in all_detectors():
        if entry.name != "logit":
            yield registered_case(entry, data, entry.name, {})


def default_figures(files, most, n_seeds):
    """Figures of all detectors at their defaults on all files, a dictionary each."""
    for path in files:
        data, ood = load(path, most)
        name = "clinc150" if path is None else path.stem
        WeiPerDetector(data["weight"], data["bias"]).fit(data["train"][:50])  # compiles
        for case in default_cases(data):
            print(name, case.name, file=sys.stderr, flush=True)
            draws = "random_state" in case.make(0).get_params()
            for seed in range(n_seeds if draws else 1):
                for row in measure(case, data, ood, seed):
                    yield {**row, "dataset": problem_title(name, row["dataset"])}


def default_table(figures):
    """A row per detector, best mean AUROC first: figures per OOD problem, their mean, the worst
    regret (to the best detector of a problem), and times."""
    mean = figures.pivot_table("auroc", index="detector", columns="dataset", sort=False)
    fpr = figures.pivot_table("fpr95", index="detector", columns="dataset", sort=False)
    regret = (mean.max() - mean).max(axis=1)
    mean["mean"], fpr["mean"] = mean.mean(axis=1), fpr.mean(axis=1)
    table = mean.round(1).astype(str) + " / " + fpr.round(1).astype(str)
    table["worst regret"] = regret.round(1)
    seconds = figures.groupby("detector", sort=False)
    table["fit s"] = seconds.fit_s.max().round(2)
    table["score µs/row"] = seconds.score_us.max().round(0)
    return table.loc[mean["mean"].sort_values(ascending=False).index].reset_index()


def report_defaults(files, most, n_seeds, directory, is_published):
    """Print and save the table of all detectors at their defaults on all files."""
    figures = pd.DataFrame(default_figures(files, most, n_seeds))
    tables = {"AUROC / FPR@95": default_table(figures), "figures": figures}
    save(directory, "defaults", machine(), tables)
    if is_published:
        publish("defaults", tables["AUROC / FPR@95"].drop(columns=["fit s", "score µs/row"]))
    print(f"{machine()}\n\n{markdown_table(tables['AUROC / FPR@95'])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=5000, help="of each set, train included")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--defaults", action="store_true", help="one table, at default settings")
    parser.add_argument("--publish", action="store_true", help="into the guides (with --defaults)")
    arguments = parser.parse_args()
    if arguments.defaults:
        files = arguments.files or [None]
        given = arguments.max_rows, arguments.seeds, arguments.output, arguments.publish
        report_defaults(files, *given)
        return
    for path in arguments.files or [None]:
        data, ood = load(path, arguments.max_rows)
        name = "clinc150" if path is None else path.stem
        report(name, study(data, ood, arguments.seeds), arguments.seeds, arguments.output)


if __name__ == "__main__":
    main()
