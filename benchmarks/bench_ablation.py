"""Ablations of WeiPer+KLD on feature files: mean and standard deviation of AUROC (%) over seeds.

    python benchmarks/bench_ablation.py FEATURES.npz [...] [--max-rows 2000] [--seeds 10]
        [--studies terms delta ...]

A file holds `train`, `test`, `weight`, `bias`, and OOD sets named `test_oos`, `near_*`, `far_*`.
"""

import argparse
from pathlib import Path

import numpy as np
from dumps import ood_sets, thinned

from skweiper.model_selection import ablation
from skweiper.model_selection.ablation import STUDIES


def study(path, max_rows, n_seeds, names_of_studies):
    """Table of settings by datasets, in percent."""
    random_state = np.random.RandomState(0)
    with np.load(path, allow_pickle=False) as data:
        names = ood_sets(data)
        ood = {name: thinned(data[name], max_rows, random_state) for name in names}
        train, test = (thinned(data[n], max_rows, random_state) for n in ("train", "test"))
        head = data["weight"], data["bias"]
        studies = {name: STUDIES[name] for name in names_of_studies}
        table = ablation(train, test, ood, *head, studies=studies, seeds=range(n_seeds))
    grouped = table.groupby(["study", "setting", "dataset"], sort=False).auroc
    return (100 * grouped.agg(["mean", "std"])).round(2).unstack()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--max-rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    arguments = parser.parse_args()
    for path in arguments.files:
        print(path.stem)
        table = study(path, arguments.max_rows, arguments.seeds, arguments.studies)
        print(table.to_string(), flush=True)


if __name__ == "__main__":
    main()
