"""WeiPer+KLD at a published setting on your own OpenOOD features, beside the paper's figures.

    python benchmarks/reproduce_paper.py FOLDER --preset cifar10-resnet18 [--seeds 3]
        [--projection explicit] [--output RESULTS]

The folder holds files, or folders of parts, of any format that `skweiper.io` reads:

    head.*           weight and bias of the last layer, such as the checkpoint itself
    train.*          penultimate features of the training set
    test.*           of the ID test set
    near/NAME.*      of each near-OOD set, such as near/cifar100.npz and near/tin.npz
    far/NAME.*       of each far-OOD set

Prints AUROC and FPR@95 (%), as OpenOOD v1.5 defines both, of each set and each group, mean and
standard deviation over seeds of the perturbation, beside what the paper reports. Features are read
slice by slice; with the published, explicit projection ImageNet's 1.3 million training rows take
about an hour on two cores, with `--projection implicit` one to two minutes.
"""

import argparse
from pathlib import Path

import pandas as pd
from reporting import machine, markdown_table, save

from skweiper import PRESETS, WeiPerDetector
from skweiper.evaluation import ood_report
from skweiper.io import load_features, load_head

GROUPS = ("near", "far")
REPORTED = {
    "cifar10-resnet18": {"near": 90.54, "far": 93.12},
    "cifar100-resnet18": {"near": 81.37, "far": 79.01},
    "imagenet-resnet50": {"near": 80.05, "far": 95.54},
    "imagenet-vit-b16": {"near": 75.00, "far": 90.32},
}
"""AUROC (%) of WeiPer+KLD in the paper, means over OpenOOD's near and far sets: Granz, Heurich,
Landgraf, NeurIPS 2024, https://arxiv.org/abs/2405.17164."""


def only_path(folder, name):
    """The one file or folder of a name, whatever its ending."""
    found = [path for path in sorted(folder.glob(f"{name}*")) if path.name.split(".")[0] == name]
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise SystemExit(
            f"{folder} must hold one {name}.*, got {listed}. See --help for what it must hold."
        )
    return found[0]


def ood_sets(folder):
    """Features of each OOD set by name, and the names of each group."""
    groups = {
        group: {path.name.split(".")[0]: path for path in sorted((folder / group).glob("[!.]*"))}
        for group in GROUPS
    }
    groups = {group: paths for group, paths in groups.items() if paths}
    if not groups:
        raise SystemExit(f"{folder} holds no OOD set. Put features into near/ and far/.")
    features = {
        name: load_features(path) for paths in groups.values() for name, path in paths.items()
    }
    return features, {group: list(paths) for group, paths in groups.items()}


def figures(folder, settings, n_seeds):
    """AUROC and FPR@95 (%) of each set and group, a row for each of them and each seed."""
    train = load_features(only_path(folder, "train"))
    test = load_features(only_path(folder, "test"))
    head = load_head(only_path(folder, "head"), n_features=train.shape[1])
    sets, groups = ood_sets(folder)
    runs = []
    for seed in range(n_seeds):
        detector = WeiPerDetector(*head, **settings, random_state=seed).fit(train)
        scores = {name: detector.score_samples(X) for name, X in sets.items()}
        runs.append(ood_report(detector.score_samples(test), scores, groups).assign(seed=seed))
    table = pd.concat(runs, ignore_index=True)
    return table.assign(auroc=100 * table.auroc, fpr95=100 * table.fpr95)


def summary(runs, preset):
    """A row per group and per set: mean and standard deviation, and the paper's AUROC."""
    rows = []
    for (group, dataset), part in runs.groupby(["group", "dataset"], sort=False, dropna=False):
        is_group = part.level.iloc[0] == "group"
        rows.append(
            {
                "group": group,
                "set": "mean" if is_group else dataset,
                "AUROC": spread(part.auroc),
                "FPR@95": spread(part.fpr95),
                "AUROC in the paper": f"{REPORTED[preset][group]:.2f}" if is_group else "",
            }
        )
    return pd.DataFrame(rows)


def spread(values):
    """Mean, and the standard deviation where there are several."""
    return f"{values.mean():.2f}" + (f" ± {values.std():.2f}" if len(values) > 1 else "")


def main(arguments=None):
    """Print the table, and save it where asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", choices=list(PRESETS), required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--projection", choices=["explicit", "implicit"], default="explicit")
    parser.add_argument("--output", type=Path, help="folder for paper_PRESET.md and .json")
    given = parser.parse_args(arguments)
    settings = {**PRESETS[given.preset], "projection": given.projection}
    runs = figures(given.folder, settings, given.seeds)
    table = summary(runs, given.preset)
    print(markdown_table(table))
    if given.output:
        save(given.output, f"paper_{given.preset}", machine(), {"table": table, "runs": runs})


if __name__ == "__main__":
    main()
