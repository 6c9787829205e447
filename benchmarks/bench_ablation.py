"""Ablations of WeiPer+KLD on feature files: mean and standard deviation of AUROC (%) over seeds.

    python benchmarks/bench_ablation.py FEATURES.npz [...] [--max-rows 2000] [--seeds 10]
        [--studies terms delta ...] [--publish]

With --publish, all files go as one table into docs/results. A file holds `train`, `test`, `weight`,
`bias`, and OOD sets named `test_oos`, `near_*`, `far_*`.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from dumps import ood_sets, problem_title, thinned
from reporting import mean_and_spread, publish

from skweiper.model_selection import ablation
from skweiper.model_selection.ablation import STUDIES


def study(path, max_rows, n_seeds, names_of_studies):
    """AUROC (%) of every study, setting, seed and dataset, a row each."""
    random_state = np.random.RandomState(0)
    with np.load(path, allow_pickle=False) as data:
        names = ood_sets(data)
        ood = {name: thinned(data[name], max_rows, random_state) for name in names}
        train, test = (thinned(data[n], max_rows, random_state) for n in ("train", "test"))
        head = data["weight"], data["bias"]
        studies = {name: STUDIES[name] for name in names_of_studies}
        table = ablation(train, test, ood, *head, studies=studies, seeds=range(n_seeds))
    titles = table.dataset.map(lambda name: problem_title(path.stem, name))
    return table.assign(dataset=titles, auroc=100 * table.auroc)


def summary(runs):
    """Settings by datasets: mean and standard deviation over seeds; each setting once."""
    each = runs.drop_duplicates(["setting", "seed", "dataset"])
    return each.pivot_table("auroc", "setting", "dataset", aggfunc=mean_and_spread, sort=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--max-rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    runs = []
    for path in arguments.files:
        runs.append(study(path, arguments.max_rows, arguments.seeds, arguments.studies))
        print(summary(runs[-1]).to_string(), flush=True)
    if arguments.publish:
        publish("ablation", summary(pd.concat(runs)).reset_index())


if __name__ == "__main__":
    main()
