"""Time of one row at a time, as a web service asks: idle, and beside two busy processes.

    python benchmarks/bench_latency.py [--calls 1000] [--output benchmarks/results] [--publish]

Median and 99th percentile in microseconds, with the threads that the library chooses and with
OMP_NUM_THREADS 1 and 2, each in a process of its own; scikit-learn's IsolationForest beside it.
Prints and saves latency.json and latency.md. With --publish, the library's own choice of threads
goes into docs/results; measure it on a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from reporting import machine, markdown_table, problem, publish, save
from sklearn.ensemble import IsolationForest

from skweiper import WeiPerDetector

SHAPES = [(256, 7), (512, 10), (512, 100), (2048, 1000)]
THREADS = {"default": {}, "1": {"OMP_NUM_THREADS": "1"}, "2": {"OMP_NUM_THREADS": "2"}}
N_TRAIN = 300


def detectors(weight, bias):
    return {
        "WeiPer+KLD": WeiPerDetector(weight, bias, random_state=0),
        "WeiPer+MSP": WeiPerDetector(weight, bias, method="msp", random_state=0),
        "IsolationForest": IsolationForest(random_state=0),
    }


def latencies(n_calls):
    """Rows of the table, for the threads of this process."""
    rows = []
    for n_features, n_classes in SHAPES:
        features, weight, bias = problem(n_features, n_classes, N_TRAIN)
        for name, detector in detectors(weight, bias).items():
            detector.fit(features)
            n_timed = n_calls if name != "IsolationForest" else min(n_calls, 100)
            times = [call_seconds(detector, features, i) for i in range(n_timed)]
            rows.append(
                {
                    "n_features": n_features,
                    "n_classes": n_classes,
                    "detector": name,
                    "median_us": 1e6 * np.median(times[3:]),
                    "p99_us": 1e6 * np.quantile(times[3:], 0.99),
                }
            )
    return rows


def call_seconds(detector, features, i):
    row = features[i % N_TRAIN :][:1]
    start = perf_counter()
    detector.score_samples(row)
    return perf_counter() - start


@contextmanager
def busy_processes(n_processes):
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(n_processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measured(n_calls):
    """All rows: each setting of the threads in a process of its own."""
    for n_busy in (0, 2):
        for threads, setting in THREADS.items():
            environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
            command = [sys.executable, __file__, "--calls", str(n_calls), "--here"]
            with busy_processes(n_busy):
                child = subprocess.run(
                    command, env={**environment, **setting}, check=True, capture_output=True
                )
            for row in json.loads(child.stdout):
                yield {"busy": n_busy, "threads": threads, **row}


def beside_the_best(table):
    """How the library's own choice compares with the better of one thread and two."""
    keys = ["busy", "detector", "n_features", "n_classes"]
    wide = table.pivot_table(index=keys, columns="threads", values=["median_us", "p99_us"])
    ratios = {
        name: wide[name]["default"] / wide[name][["1", "2"]].min(axis=1)
        for name in ("median_us", "p99_us")
    }
    return pd.DataFrame(ratios).add_suffix("_over_best").reset_index()


def published(table):
    """Median and 99th percentile of each shape, as the guides show them."""
    own = table[table.threads == "default"]
    chosen = own.set_index(["n_features", "n_classes", "detector", "busy"])[["median_us", "p99_us"]]
    for shape in SHAPES:
        row = {"K": shape[0], "C": shape[1]}
        for detector, busy in (("WeiPer+KLD", 0), ("WeiPer+KLD", 2), ("IsolationForest", 0)):
            median, p99 = chosen.loc[(*shape, detector, busy)]
            row[f"{detector}, {'busy' if busy else 'idle'}"] = f"{median:,.0f} / {p99:,.0f}"
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--here", action="store_true", help="measure in this process, print JSON")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(latencies(arguments.calls)))
        return
    table = pd.DataFrame(measured(arguments.calls))
    tables = {"latency": table, "beside the best": beside_the_best(table)}
    save(arguments.output, "latency", machine(), tables)
    for name, part in tables.items():
        print(f"\n## {name}\n\n{markdown_table(part)}")
    if arguments.publish:
        publish("latency", pd.DataFrame(published(table)), machine())


if __name__ == "__main__":
    main()
