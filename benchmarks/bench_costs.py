"""What every detector costs: seconds to fit, microseconds to score a row, and memory.

    python benchmarks/bench_costs.py [FEATURES.npz] [--max-rows 5000] [--publish]

Every detector of the registry at its default settings, on the bundled CLINC150 features or on a
file as `bench_detectors.py` takes it. Times are the shortest of three calls. Peak memory is the
growth of the process's resident set during fit and scoring together (Linux; elsewhere empty).
Prints and saves costs.json and costs.md. With --publish, the table goes into docs/results; measure
it on a machine that does nothing else.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from bench_detectors import default_cases, load
from memory import peak_mebibytes
from reporting import machine, markdown_table, publish, save, seconds

from skweiper import WeiPerDetector


def fit_and_score(case, data):
    """Fit a detector and score the test rows."""
    X, y = data[case.split], data[f"{case.split}_label"]
    return case.make(0).fit(X, y).score_samples(data["test"])


def cost(case, data):
    """A row of the table."""
    X, y = data[case.split], data[f"{case.split}_label"]
    peak = peak_mebibytes(partial(fit_and_score, case, data))
    (fit_seconds,) = seconds(lambda: case.make(0).fit(X, y), fewest=3, most=3)
    fitted = case.make(0).fit(X, y)
    (score_seconds,) = seconds(partial(fitted.score_samples, data["test"]), fewest=3, most=3)
    return {
        "detector": case.name,
        "fit s": float(fit_seconds),
        "score µs/row": float(1e6 * score_seconds / len(data["test"])),
        "peak MiB": np.nan if peak is None else round(peak),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--max-rows", type=int, default=5000, help="of each set, train included")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    arguments = parser.parse_args()
    data, _ = load(arguments.file, arguments.max_rows)
    WeiPerDetector(data["weight"], data["bias"]).fit(data["train"][:50])  # compiles
    table = pd.DataFrame([cost(case, data) for case in default_cases(data)])
    save(arguments.output, "costs", machine(), {"costs": table})
    print(machine(), markdown_table(table), sep="\n\n")
    if arguments.publish:
        publish("costs", table, machine())


if __name__ == "__main__":
    main()
