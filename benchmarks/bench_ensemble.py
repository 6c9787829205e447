"""Which detectors make the best ensemble: every single one, pair and triple, on several problems.

    python benchmarks/bench_ensemble.py FOLDER [--seeds 3] [--max-rows 5000]

FOLDER holds feature files as `bench_detectors.py` takes them; digits with three classes held out
and networks of 32 and 128 features are added. Every detector is fitted once per problem and seed
on four fifths of the training rows; the ensembles are then put together from its scores by the
functions that `EnsembleDetector` calls. The members are chosen by the mean AUROC and by the worst
regret (to the best single detector of a problem) on half of the problems, and reported on the
other half. The default ensemble's time to score is compared with the sum of its members', all in
turns. Prints and saves ensemble.json and ensemble.md.

    python benchmarks/bench_ensemble.py --cost

measures that time alone, on the bundled data.
"""

import argparse
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from bench_detectors import load
from bench_width import network
from reporting import machine, markdown_table, save, seconds

from skweiper import WeiPerDetector
from skweiper.baselines import (
    ActSubDetector,
    KNNDetector,
    LogitDetector,
    MahalanobisDetector,
    RelativeMahalanobisDetector,
    ViMDetector,
)
from skweiper.datasets import load_clinc150
from skweiper.ensemble import COMBINATIONS, EnsembleDetector, Standard
from skweiper.metrics import auroc

HOLDOUT = 0.2
CHOSEN_ON = ("clinc150_features test_oos", "cifar10_resnet18 near_tinyimagenet")
CHOSEN_ON += ("magika_filetypes far_binary", "digits 32")
"""Half of the problems; the others only report."""


def candidates(weight, bias, seed):
    """Detectors that may be members, by name."""
    head = weight, bias
    return {
        "WeiPer+KLD": WeiPerDetector(*head, random_state=seed),
        "WeiPer+MSP": WeiPerDetector(*head, method="msp", random_state=seed),
        "GEN": LogitDetector(*head, method="gen"),
        "Mahalanobis++": MahalanobisDetector(*head, normalize=True),
        "Relative Mahalanobis": RelativeMahalanobisDetector(*head),
        "ViM": ViMDetector(*head),
        "ActSub": ActSubDetector(*head),
        "k-NN": KNNDetector(),
    }


def problems(folder, most, seed):
    """Yield (name, data, OOD sets) of every file and of the digits."""
    for path in sorted(folder.glob("*.npz")):
        if not path.stem.startswith("golden"):
            yield (path.stem, *load(path, most))
    for width in (32, 128):
        (weight, bias), train, test, ood = network(width, seed)
        data = {"train": train, "test": test, "weight": weight, "bias": bias}
        yield f"digits {width}", data, {"ood": ood}


def scores_of(detector, data, ood, held_out):
    """A fitted detector's scores of the held-out rows, the test rows and each OOD set."""
    detector.fit(data["train"][~held_out])
    sets = [data["train"][held_out], data["test"], *ood.values()]
    return [detector.score_samples(rows) for rows in sets]


def together(scores, combine):
    """Scores of the test rows and of each OOD set by some members, put together.

    Parameters
    ----------
    scores : list of lists
        For each member, as `scores_of` gives them.
    combine : str
    """
    standardise, put_together = COMBINATIONS[combine]
    standards = [Standard.of(of_member[0]) for of_member in scores]
    return [
        put_together(
            [standardise(s, standard) for s, standard in zip(of_set, standards, strict=True)],
            axis=0,
        )
        for of_set in zip(*(of_member[1:] for of_member in scores), strict=True)
    ]


def ensembles(scores):
    """Yield (members, combine, scores of the sets) of every single, pair and triple."""
    for name, of_member in scores.items():
        yield name, "", of_member[1:]
    for size in (2, 3):
        for names in combinations(scores, size):
            for combine in COMBINATIONS:
                joint = together([scores[name] for name in names], combine)
                yield " + ".join(names), combine, joint


def measured(folder, most, seed):
    """AUROC (%) of every ensemble on every problem, a dictionary each."""
    for name, data, ood in problems(folder, most, seed):
        held_out = np.random.RandomState(seed).random_sample(len(data["train"])) < HOLDOUT
        scores = {}
        for member, detector in candidates(data["weight"], data["bias"], seed).items():
            try:
                scores[member] = scores_of(detector, data, ood, held_out)
            except ValueError as error:
                print(f"{name}: {member} is left out: {error}", flush=True)
        for members, combine, (id_scores, *ood_scores) in ensembles(scores):
            for ood_name, each in zip(ood, ood_scores, strict=True):
                yield {
                    "members": members,
                    "combine": combine,
                    "seed": seed,
                    "problem": f"{name} {ood_name}".replace(" ood", ""),
                    "auroc": 100 * auroc(id_scores, each),
                }


def summary(figures):
    """A row per ensemble: AUROC per problem, and mean and worst regret of both halves."""
    table = figures.pivot_table("auroc", index=["members", "combine"], columns="problem")
    singles = table[table.index.get_level_values("combine") == ""]
    regret = singles.max() - table
    chosen = [problem for problem in table if problem in CHOSEN_ON]
    others = [problem for problem in table if problem not in CHOSEN_ON]
    for half, names in (("chosen on", chosen), ("reported on", others), ("all", list(table))):
        table[f"mean, {half}"] = table[names].mean(axis=1)
        table[f"worst regret, {half}"] = regret[names].max(axis=1)
    return table.reset_index().sort_values("mean, chosen on", ascending=False)


def cost():
    """Milliseconds to score the bundled test rows: the default ensemble, and its members."""
    data = load_clinc150()
    ensemble = EnsembleDetector(weight=data.weight, bias=data.bias, random_state=0).fit(data.train)
    detectors = {"ensemble": ensemble, **ensemble.named_detectors_}
    calls = [partial(detector.score_samples, data.test) for detector in detectors.values()]
    times = 1e3 * seconds(*calls, at_least=1.0, fewest=15, most=60)
    table = pd.DataFrame({"detector": list(detectors), "ms": times})
    ratio = times[0] / times[1:].sum()
    return pd.concat(
        [table, pd.DataFrame({"detector": ["ensemble / sum of its members"], "ms": [ratio]})]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--cost", action="store_true", help="time to score, and nothing else")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-rows", type=int, default=5000, help="of each set, train included")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    costs = cost()
    print(machine(), markdown_table(costs), sep="\n")
    if arguments.cost:
        return
    if arguments.folder is None:
        parser.error("a folder of feature files is needed, or --cost")
    rows = [
        row
        for seed in range(arguments.seeds)
        for row in measured(arguments.folder, arguments.max_rows, seed)
    ]
    table = summary(pd.DataFrame(rows))
    save(arguments.output, "ensemble", machine(), {"ensembles": table, "cost": costs})
    print(markdown_table(table.round(2)))


if __name__ == "__main__":
    main()
