"""What tuning on synthetic outliers loses against tuning on real OOD validation data.

Every candidate of the authors' grid, with flip rates in the place of its deltas, is scored on
validation ID rows against real and against synthetic OOD rows, and on test rows. Printed is the
test AUROC (%) of the candidate that each kind of validation data chooses, of the default, and of
the best candidate there is: mean and standard deviation over seeds (of the perturbations, the rows
and the synthetic outliers); and what is gained against the choice by real OOD data of the source
tested on, and against the default. With --publish, both tables go into docs/results.

    python benchmarks/bench_synthetic_tuning.py FEATURES.npz [...] [--max-train 5000] [--seeds 3]
        [--publish]

A file holds `train`, `test`, `weight`, `bias`, and either `validation`, `validation_oos` and
`test_oos`, or OOD sets named `near_*` and `far_*`, of which one half validates and one tests.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from dumps import AUTHORS_GRID, grouped_sets, problem_title, thinned
from reporting import markdown_table, mean_and_spread, publish

from skweiper import WeiPerDetector
from skweiper.model_selection import WeiPerDetectorCV, synthetic_outliers
from skweiper.model_selection.synthetic import SYNTHETIC_METHODS

GRID = {**AUTHORS_GRID, "delta": ["auto"], "flip_rate": [0.05, 0.1, 0.2, 0.3]}


def load(path):
    """(train, validation ID, {name: validation OOD}, test ID, {name: test OOD}, weight, bias)."""
    with np.load(path, allow_pickle=False) as file:
        data = dict(file)
    head = data["weight"], data["bias"]
    if "validation_oos" in data:
        ood = {"test_oos": data["validation_oos"]}, {"test_oos": data["test_oos"]}
        return data["train"], data["validation"], ood[0], data["test"], ood[1], *head
    names = grouped_sets(data)
    halves = [{name: data[name][half::2] for name in names} for half in (0, 1)]
    test = data["test"]
    return data["train"], test[::2], halves[0], test[1::2], halves[1], *head


def validation_sets(val_id, val_ood, weight, bias, random_state):
    """OOD rows to choose by: real ones of each source, and those of each synthetic method."""
    made = {
        method: synthetic_outliers(val_id, weight, bias, method=method, random_state=random_state)
        for method in SYNTHETIC_METHODS
    }
    return {**{f"real {name}": rows for name, rows in val_ood.items()}, **made}


def chosen_by(path, max_train, max_rows, n_repeats, seed):
    """Test AUROC of the candidate that each kind of validation data chooses, by test set."""
    random_state = np.random.RandomState(seed)
    train, val_id, val_ood, test_id, test_ood, weight, bias = load(path)
    train = thinned(train, max_train, random_state)
    val_id, test_id = (thinned(rows, max_rows, random_state) for rows in (val_id, test_id))
    val_ood = {name: thinned(rows, max_rows, random_state) for name, rows in val_ood.items()}
    choices = validation_sets(val_id, val_ood, weight, bias, random_state)
    sets = {name: (val_id, rows) for name, rows in choices.items()}
    for name, rows in test_ood.items():
        sets[f"test {name}"] = (test_id, thinned(rows, max_rows, random_state))
    results = sweep(train, sets, weight, bias, n_repeats, seed)
    chosen = comparison(results, list(choices), [f"test {name}" for name in test_ood])
    return chosen.rename(columns=lambda name: name.removeprefix("test "))


def sweep(train, sets, weight, bias, n_repeats, seed):
    """AUROC of every candidate on every set: DataFrame of candidates by sets."""
    X, y, cv = [train], [np.ones(len(train), int)], []
    first = len(train)
    for id_rows, ood_rows in sets.values():
        X += [id_rows, ood_rows]
        y += [np.repeat([1, -1], [len(id_rows), len(ood_rows)])]
        cv.append((np.arange(len(train)), np.arange(first, first + len(y[-1]))))
        first += len(y[-1])
    search = WeiPerDetectorCV(
        weight,
        bias,
        param_grid={**GRID, "n_repeats": [n_repeats]},
        cv=cv,
        refit=False,
        random_state=seed,
    ).fit(np.concatenate(X).astype(np.float32), np.concatenate(y))
    columns = {
        name: search.cv_results_[f"split{number}_test_score"] for number, name in enumerate(sets)
    }
    return pd.DataFrame(columns).join(pd.DataFrame(search.cv_results_["params"]))


def comparison(results, choices, test_sets):
    """One row per way to choose, one column per test set."""
    default = WeiPerDetector().get_params()
    is_default = np.all([results[name] == default[name] for name in GRID], axis=0)
    rows = {"default": np.flatnonzero(is_default)[0]}
    rows |= {name: results[name].argmax() for name in choices}
    table = pd.DataFrame({name: results[test_sets].iloc[row] for name, row in rows.items()}).T
    table.loc["best candidate"] = results[test_sets].max()
    return 100 * table


DEFAULT, OWN = "default, no choice", "real OOD data, of the source tested on"
OTHER, BEST = "real OOD data, of the other source", "best candidate on test"
ORDER = [DEFAULT, OWN, OTHER, *(f"`{method}`" for method in SYNTHETIC_METHODS), BEST]


def way_to_choose(choice, dataset):
    """How the guides call a choice by some validation data, of a test set."""
    if choice.startswith("real "):
        return OWN if choice == f"real {dataset}" else OTHER
    return {"default": DEFAULT, "best candidate": BEST}.get(choice, f"`{choice}`")


def runs_of(path, seeds, *sizes):
    """Yield a dictionary for each seed, test set and way to choose."""
    for seed in range(seeds):
        print(path.stem, seed, file=sys.stderr, flush=True)
        table = chosen_by(path, *sizes, seed)
        for dataset, column in table.items():
            for choice, value in column.items():
                yield {
                    "chosen by": way_to_choose(choice, dataset),
                    "problem": problem_title(path.stem, dataset),
                    "seed": seed,
                    "auroc": value,
                }


def shown(runs):
    """Ways to choose by OOD problems: AUROC, and what is gained."""
    layout = {"index": "chosen by", "columns": "problem", "sort": False}
    aurocs = runs.pivot_table("auroc", aggfunc=mean_and_spread, **layout).reindex(ORDER)
    means = runs.pivot_table("auroc", **layout).reindex(ORDER)
    against = [(means - means.loc[base]).map("{:+.2f}".format) for base in (OWN, DEFAULT)]
    gains = (against[0] + ", " + against[1]).where(means.notna(), "")
    return aurocs.fillna("").reset_index(), gains.drop([DEFAULT, OWN, BEST]).reset_index()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--max-train", type=int, default=5000)
    parser.add_argument("--max-rows", type=int, default=2000)
    parser.add_argument("--n-repeats", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--publish", action="store_true", help="into the guides")
    arguments = parser.parse_args()
    sizes = arguments.max_train, arguments.max_rows, arguments.n_repeats
    runs = [run for path in arguments.files for run in runs_of(path, arguments.seeds, *sizes)]
    tables = shown(pd.DataFrame(runs))
    for name, table in zip(("synthetic_tuning", "synthetic_tuning_gains"), tables, strict=True):
        print(f"## {name}\n\n{markdown_table(table)}\n", flush=True)
        if arguments.publish:
            publish(name, table)


if __name__ == "__main__":
    main()
