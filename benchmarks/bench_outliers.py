"""What one outlier among the training rows costs, and what `value_range` costs and restores.

    python benchmarks/bench_outliers.py [--seeds 3]

One feature of one training row of the bundled data, in which the largest is 2.8, is set to a value.
AUROC (%) of test against out-of-scope rows, mean and standard deviation over seeds; then the
seconds of a fit on all training rows.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from reporting import markdown_table, seconds

from skweiper import WeiPerDetector
from skweiper.baselines import MahalanobisDetector, ResidualDetector, ViMDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc

VALUES = (None, 100.0, 1e4, 1e7, 1e10)
RANGES = ((0, 1), (0.0005, 0.9995))
ROW, COLUMN = 1234, 17


def with_outlier(X, value):
    X = X.astype(np.float32)
    if value is not None:
        X[ROW, COLUMN] = value
    return X


def detectors(data, seed):
    """Name and unfitted detector of every row of the table."""
    table = {}
    for projection in ("implicit", "explicit"):
        for value_range in RANGES:
            table[f"WeiPer+KLD {projection}, value_range={value_range}"] = WeiPerDetector(
                data.weight,
                data.bias,
                projection=projection,
                value_range=value_range,
                random_state=seed,
            )
    for cls in (MahalanobisDetector, ViMDetector, ResidualDetector):
        table[cls.__name__] = cls(data.weight, data.bias)
    return table


def auroc_of(detector, data, value):
    """AUROC (%), and whether the fit warned; NaN where it refused the rows."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            detector.fit(with_outlier(data.train, value))
        except ValueError:
            return np.nan, bool(caught)
    return 100 * auroc(*map(detector.score_samples, (data.test, data.test_oos))), bool(caught)


def cell(found):
    """Mean and spread over the seeds; a star where the fit warned."""
    aurocs, warned = zip(*found, strict=True)
    star = " *" if all(warned) else ""
    if np.isnan(aurocs).any():
        return f"refused{star}"
    spread = f" ± {np.std(aurocs):.2f}" if np.std(aurocs) else ""
    return f"{np.mean(aurocs):.2f}{spread}{star}"


def outlier_table(data, n_seeds):
    names = list(detectors(data, 0))
    records = []
    for name in names:
        record = {"detector": name}
        for value in VALUES:
            found = [auroc_of(detectors(data, s)[name], data, value) for s in range(n_seeds)]
            record["clean" if value is None else f"{value:g}"] = cell(found)
        records.append(record)
        print(record, flush=True)
    return pd.DataFrame(records)


def fit_table(data):
    """Seconds of a fit, by value_range; they take turns."""
    records = []
    for projection in ("implicit", "explicit"):
        fits = [
            WeiPerDetector(
                data.weight,
                data.bias,
                projection=projection,
                delta=2.0,
                value_range=value_range,
                random_state=0,
            )
            for value_range in RANGES
        ]
        times = seconds(*(lambda detector=each: detector.fit(data.train) for each in fits))
        ratio = float(times[1] / times[0])
        records.append([projection, *map(float, times), ratio])
    return pd.DataFrame(records, columns=["projection", *map(str, RANGES), "ratio"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    data, options = load_clinc150(), parser.parse_args()
    print(markdown_table(outlier_table(data, options.seeds)))
    print(markdown_table(fit_table(data)))


if __name__ == "__main__":
    main()
