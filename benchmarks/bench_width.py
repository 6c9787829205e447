"""WeiPer on narrow and on wide penultimate layers: AUROC (%), mean and standard deviation.

    python benchmarks/bench_width.py [--widths 8 16 ...] [--seeds 5] [--publish]

An MLPClassifier with one hidden layer learns the digits 0 to 6 of scikit-learn's `load_digits`; 7
to 9 are OOD. Every seed splits the data, initialises the network and perturbs its head anew. With
--publish, the table goes into docs/results.
"""

import argparse

import numpy as np
import pandas as pd
from reporting import markdown_table, mean_and_spread, publish
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skweiper import WeiPerDetector
from skweiper.baselines import KNNDetector, LogitDetector
from skweiper.head import head_from_classifier, penultimate_features
from skweiper.metrics import auroc

DELTAS = (0.25, 0.5, 1.0, 2.0, "auto")


def network(width, seed, held_out=(7, 8, 9)):
    """A small network that never saw three of the digits.

    Returns
    -------
    head : (ndarray, ndarray)
    train, test, ood : ndarray of shape (n_samples, width)
        Penultimate features of ID rows, other ID rows and the held-out digits.
    """
    X, y = load_digits(return_X_y=True)
    X, is_ood = X / 16, np.isin(y, held_out)
    X_train, X_test, y_train, _ = train_test_split(
        X[~is_ood], y[~is_ood], test_size=0.4, random_state=seed
    )
    fitted = MLPClassifier((width,), max_iter=1000, random_state=seed).fit(X_train, y_train)
    features = [penultimate_features(fitted, rows) for rows in (X_train, X_test, X[is_ood])]
    return head_from_classifier(fitted), *features


def detectors(head, seed):
    """Plain scores, and WeiPer's at several lengths of the perturbation."""
    table = {"MSP": LogitDetector(*head, method="msp"), "KNN": KNNDetector()}
    for method in ("msp", "kld"):
        for delta in DELTAS:
            name = f"WeiPer+{method}, delta={delta}"
            table[name] = WeiPerDetector(*head, method=method, delta=delta, random_state=seed)
    return table


def aurocs(width, seed):
    """AUROC (%) by name of the detector, of one network."""
    head, train, test, ood = network(width, seed)
    return {
        name: 100 * auroc(*map(detector.fit(train).score_samples, (test, ood)))
        for name, detector in detectors(head, seed).items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", nargs="+", type=int, default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    columns = {}
    for width in arguments.widths:
        runs = pd.DataFrame([aurocs(width, seed) for seed in range(arguments.seeds)])
        columns[str(width)] = [mean_and_spread(runs[name], digits=1) for name in runs]
    table = pd.DataFrame(columns, index=runs.columns).reset_index(names="detector")
    print(markdown_table(table))
    if arguments.publish:
        publish("width", table)


if __name__ == "__main__":
    main()
