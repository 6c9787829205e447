"""How long perturbations should be: WeiPer at several flip rates, on files and narrow layers.

    python benchmarks/bench_delta.py [FEATURES.npz ...] [--seeds 5] [--max-rows 5000]
        [--projections implicit explicit] [--widths 8 16 32 64 128] [--publish]

AUROC (%) of WeiPer+KLD and of the averaged MSP, mean and standard deviation over seeds, at each
flip rate and at the lengths of `NUMBERS`; the delta that was found; MSP for comparison. Without a
file, the bundled CLINC150 features. A file holds `train`, `test`, `weight`, `bias`, and OOD sets
named `test_oos`, `near_*`, `far_*`; at most `--max-rows` rows of each set are taken, chosen once.

The narrow layers are those of an MLPClassifier with one hidden layer of each width, which learns
seven of the digits of scikit-learn's `load_digits`; the others, another three for every seed, are
OOD. Every seed splits the data, initialises the network and perturbs its head anew.

Prints the tables and saves them as delta_NAME.md and .json. With --publish, those of the implicit
projection on all files go into docs/results as flip_rate_kld, flip_rate_msp and flip_rate_delta.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from bench_width import network
from dumps import ood_sets, problem_title, thinned
from reporting import machine, markdown_table, mean_and_spread, publish, save

from skweiper import WeiPerDetector
from skweiper.baselines import LogitDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc

NUMBERS = (0.0, 2.0)
FLIP_RATES = (0.05, 0.1, 0.15, 0.2, 0.3)
SETTINGS = {f"delta={delta:g}": {"delta": delta} for delta in NUMBERS} | {
    f"flip rate {rate:.0%}": {"delta": "auto", "flip_rate": rate} for rate in FLIP_RATES
}
METHODS = ("kld", "msp")


def aurocs(detector, test, ood):
    """AUROC (%) of WeiPer+KLD and of its averaged MSP, by method and name of the OOD set."""
    terms = {name: detector.score_components(rows) for name, rows in {"": test, **ood}.items()}

    def score(name, method):
        features, logits, msp = terms[name].to_numpy().T
        return msp if method == "msp" else msp - features - logits

    return {
        (method, name): 100 * auroc(score("", method), score(name, method))
        for method in METHODS
        for name in ood
    }


def runs_of(head, train, test, ood, projection, seed):
    """One row per setting, method and OOD set: AUROC and delta."""
    for name, setting in SETTINGS.items():
        detector = WeiPerDetector(*head, projection=projection, random_state=seed, **setting)
        found = aurocs(detector.fit(train), test, ood)
        for (method, dataset), value in found.items():
            yield (projection, method, name, dataset, seed, value, detector.delta_)
    plain = LogitDetector(*head, method="msp").fit(train)
    for dataset, rows in ood.items():
        value = 100 * auroc(*map(plain.score_samples, (test, rows)))
        yield (projection, "msp", "MSP", dataset, seed, value, np.nan)


COLUMNS = ["projection", "method", "setting", "dataset", "seed", "auroc", "delta"]


def spread(values):
    """Mean and standard deviation, as text; empty where there are none."""
    return "" if values.isna().all() else f"{values.mean():.2f} ± {values.std():.2f}"


def table(runs):
    """Methods and settings by OOD sets, with the delta of each setting."""
    rows = ["projection", "method", "setting"]
    cells, deltas = (
        runs.pivot_table(value, rows, "dataset", aggfunc=spread, sort=False)
        for value in ("auroc", "delta")
    )
    return pd.concat({"AUROC": cells, "delta": deltas.loc[:, ~deltas.T.duplicated()]}, axis=1)


def of_file(data, max_rows, seeds, projections):
    """All runs on one feature file."""
    random_state = np.random.RandomState(0)
    ood = {name: thinned(data[name], max_rows, random_state) for name in ood_sets(data)}
    train, test = (thinned(data[name], max_rows, random_state) for name in ("train", "test"))
    head = data["weight"], data["bias"]
    return [
        run
        for projection in projections
        for seed in range(seeds)
        for run in runs_of(head, train, test, ood, projection, seed)
    ]


def of_digits(widths, seeds, projections):
    """All runs on narrow layers; the width stands for the OOD set."""
    runs = []
    for width in widths:
        for seed in range(seeds):
            held_out = np.random.RandomState(seed).choice(10, 3, replace=False)
            head, train, test, ood = network(width, seed, held_out)
            for projection in projections:
                runs += runs_of(head, train, test, {str(width): ood}, projection, seed)
    return runs


def report(name, runs):
    """Print the table of some runs, and save it with all of them."""
    runs = pd.DataFrame(runs, columns=COLUMNS)
    flat = table(runs).reset_index()
    flat.columns = [" ".join(filter(None, column)) for column in flat.columns]
    print(f"{name}\n\n{markdown_table(flat.fillna(''))}\n", flush=True)
    folder = Path(__file__).parent / "results"
    save(folder, f"delta_{name}", machine(), {"AUROC (%)": flat.fillna(""), "runs": runs})


def published(runs, method):
    """Settings by OOD problems of the implicit projection, with the mean of the problems."""
    chosen = runs.query(f"projection == 'implicit' and method == '{method}'")
    table = chosen.pivot_table("auroc", "setting", "dataset", aggfunc=mean_and_spread, sort=False)
    means = chosen.pivot_table("auroc", "setting", "dataset").mean(axis=1)
    table["mean"] = means.map("{:.2f}".format)
    return table.reset_index()


def publish_files(runs):
    """The tables of the guide on tuning, from the runs on all files."""
    runs = pd.DataFrame(runs, columns=COLUMNS)
    for method in METHODS:
        publish(f"flip_rate_{method}", published(runs, method))
    learnt = runs[(runs.projection == "implicit") & runs.setting.str.startswith("flip rate")]
    lengths = learnt.pivot_table("delta", "setting", "dataset", aggfunc=mean_and_spread, sort=False)
    publish("flip_rate_delta", lengths.T.drop_duplicates().T.reset_index())


def titled(runs, stem):
    """The runs, their OOD sets named as in the guides."""
    place = COLUMNS.index("dataset")
    for run in runs:
        yield (*run[:place], problem_title(stem, run[place]), *run[place + 1 :])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=5000)
    parser.add_argument("--projections", nargs="+", default=["implicit", "explicit"])
    parser.add_argument("--widths", nargs="*", type=int, default=[8, 16, 32, 64, 128])
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    options = arguments.seeds, arguments.projections
    on_files = []
    for path in arguments.files:
        with np.load(path, allow_pickle=False) as data:
            runs = of_file(data, arguments.max_rows, *options)
        report(path.stem, runs)
        on_files += titled(runs, path.stem)
    if arguments.publish:
        publish_files(on_files)
    if not arguments.files:
        report("clinc150", of_file(load_clinc150(), arguments.max_rows, *options))
    if arguments.widths:
        report("digits", of_digits(arguments.widths, *options))


if __name__ == "__main__":
    main()
