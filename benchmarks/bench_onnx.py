"""Time of exported detectors in onnxruntime, beside the library's own.

    python benchmarks/bench_onnx.py [--calls 300] [--rows 1000] [--output benchmarks/results]
        [--publish]

One row at a time, median and 99th percentile in microseconds; and many rows, the shortest time per
row, which onnxruntime gets in batches of 64, as the guide advises. Both take the threads that they
choose. Prints and saves onnx.json and onnx.md. With --publish, the times go into docs/results;
measure them on a machine that does nothing else.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from reporting import machine, markdown_table, problem, publish, save, seconds, timed

from skweiper import WeiPerDetector
from skweiper.baselines import MahalanobisDetector, ViMDetector
from skweiper.export import to_onnx

SHAPES = [(256, 7), (512, 10), (512, 100), (2048, 1000)]
N_TRAIN = 3000
BATCH = 64
MEBIBYTE = 2**20


def detectors(weight, bias):
    return {
        "WeiPer+KLD": WeiPerDetector(weight, bias, random_state=0),
        "WeiPer+MSP": WeiPerDetector(weight, bias, method="msp", random_state=0),
        "Mahalanobis++": MahalanobisDetector(weight, bias, normalize=True),
        "ViM": ViMDetector(weight, bias),
    }


def scorer(model):
    """A function from features to scores, by onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return lambda features: session.run(["score"], {"features": features})[0]


def in_batches(score, features):
    """Scores of all rows, `BATCH` at a time."""
    parts = [score(features[first : first + BATCH]) for first in range(0, len(features), BATCH)]
    return np.concatenate(parts)


def microseconds(score, features, n_calls):
    """Median and 99th percentile of calls with one row each."""
    rows = [features[i % len(features) :][:1] for i in range(n_calls + 3)]
    times = [timed(lambda row=row: score(row))[1] for row in rows][3:]
    return 1e6 * np.median(times), 1e6 * np.quantile(times, 0.99)


def measured(n_calls, n_rows):
    """Rows of the table."""
    for n_features, n_classes in SHAPES:
        features, weight, bias = problem(n_features, n_classes, N_TRAIN)
        many = np.resize(features, (n_rows, n_features))
        for name, detector in detectors(weight, bias).items():
            model = to_onnx(detector.fit(features))
            exported, own = scorer(model), detector.score_samples
            ways = (exported, own)
            one = [microseconds(way, features, n_calls) for way in ways]
            all_rows = seconds(partial(in_batches, exported, many), partial(own, many))
            yield {
                "n_features": n_features,
                "n_classes": n_classes,
                "detector": name,
                "one_row_onnx_us": one[0][0],
                "p99_onnx_us": one[0][1],
                "one_row_library_us": one[1][0],
                "p99_library_us": one[1][1],
                "per_row_onnx_us": 1e6 / n_rows * all_rows[0],
                "per_row_library_us": 1e6 / n_rows * all_rows[1],
                "model_mib": model.ByteSize() / MEBIBYTE,
                "largest_difference": np.abs(in_batches(exported, many) - own(many)).max(),
            }


PUBLISHED_COLUMNS = {
    "n_features": "K",
    "n_classes": "C",
    "detector": "detector",
    "one_row_onnx_us": "one row, onnxruntime",
    "one_row_library_us": "one row, library",
    "per_row_onnx_us": "in batches, onnxruntime",
    "per_row_library_us": "many rows, library",
}


def published(table):
    """Medians and times per row, as the guides show them."""
    return table[list(PUBLISHED_COLUMNS)].rename(columns=PUBLISHED_COLUMNS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    arguments = parser.parse_args()
    table = pd.DataFrame(measured(arguments.calls, arguments.rows))
    measured_on = {**machine(), "onnxruntime": onnxruntime.__version__}
    save(arguments.output, "onnx", measured_on, {"onnx": table})
    print(measured_on, markdown_table(table), sep="\n\n")
    if arguments.publish:
        publish("onnx", published(table), measured_on)


if __name__ == "__main__":
    main()
