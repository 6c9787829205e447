"""What the benchmarks on feature files share: which rows and sets, and the authors' grid."""

import numpy as np

AUTHORS_GRID = {
    "delta": [1.8, 2.0, 2.2, 2.4],
    "n_bins": [60, 80, 100],
    "smoothing": [4, 8, 12, 20, 40],
    "smoothing_perturbed": [15, 25, 40],
    "lambda_1": [0.1, 1.0, 2.5, 4.0],
    "lambda_2": [0.1, 0.25, 1.0, 2.5, 5.0],
}


def grouped_sets(data):
    """Names of the OOD sets that their names put into a group, near or far."""
    return [name for name in data if name.startswith(("near_", "far_"))]


def ood_sets(data):
    """Names of all OOD sets of a file to test on."""
    grouped = grouped_sets(data)
    return [name for name in data if name == "test_oos" or name in grouped]


def thinned(rows, most, random_state):
    """At most `most` rows, a random choice."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(random_state.choice(len(rows), most, replace=False))]


TITLES = {
    "clinc150 test_oos": "CLINC150",
    "clinc150_features test_oos": "CLINC150",
    "clinc150_full test_oos": "CLINC150 full",
    "cifar10_resnet18 near_tinyimagenet": "CIFAR-10 near",
    "cifar10_resnet18 far_mnist": "CIFAR-10 far",
    "magika_filetypes near_text": "Magika near",
    "magika_filetypes far_binary": "Magika far",
}
"""How the guides call an OOD problem, by "FILE SET"."""


def problem_title(stem, dataset):
    """Name of an OOD problem in the guides; its file and set where they do not name it."""
    name = f"{stem} {dataset}"
    return TITLES.get(name, name)
