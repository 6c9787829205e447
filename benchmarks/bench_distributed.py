"""Fit and score on a Dask cluster of one and of two processes, and what travels.

    python benchmarks/bench_distributed.py [--rows 200000] [--output benchmarks/results] [--publish]

Blocks are drawn by the workers, each anew in every pass, as files would be read. Tasks and bytes
are counted: those of the graph, and of what a block's task returns to be merged. With --publish,
the table goes into docs/results; measure it on a machine that does nothing else.
"""

import argparse
import os
import pickle
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster
from reporting import machine, markdown_table, problem, publish, save, timed

from skweiper import WeiPerDetector, distributed
from skweiper._support.rows import FeatureRows
from skweiper._weiper.engines.select import select_engine
from skweiper._weiper.execution import Execution
from skweiper._weiper.fitting import measured_rows
from skweiper._weiper.ranges import training_extremes
from skweiper.baselines import MahalanobisDetector

N_FEATURES, N_CLASSES = 512, 100
BLOCK_ROWS = 10_000


def drawn(block_info=None):
    """Random features of a block."""
    (first, last), _ = block_info[None]["array-location"]
    rng = np.random.default_rng(first)
    return rng.standard_normal((last - first, N_FEATURES), dtype=np.float32)


def dump(n_rows):
    """A Dask array whose blocks are drawn where they are needed."""
    sizes = (BLOCK_ROWS,) * (n_rows // BLOCK_ROWS)
    return da.map_blocks(drawn, chunks=(sizes, (N_FEATURES,)), dtype=np.float32)


def detectors():
    """Detectors by name, not yet fitted."""
    _, weight, bias = problem(N_FEATURES, N_CLASSES, 1)
    return {
        "WeiPer+KLD": WeiPerDetector(weight, bias, random_state=0),
        "Mahalanobis": MahalanobisDetector(weight, bias),
    }


def measure(n_workers, n_rows):
    """Rows of the table for one size of the cluster."""
    options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        for number, address in enumerate(client.scheduler_info()["workers"]):
            client.run(os.sched_setaffinity, 0, {number}, workers=[address])  # a core each
        distributed.fit(detectors()["WeiPer+KLD"], dump(2 * BLOCK_ROWS * n_workers))  # compiles
        for name, detector in detectors().items():
            X = dump(n_rows)
            fit_s = timed(lambda detector=detector, X=X: distributed.fit(detector, X))[1]
            scores = distributed.score_samples(detector, X)
            score_s = timed(scores.compute)[1]
            graph = dict(scores.__dask_graph__())
            yield {
                "detector": name,
                "workers": n_workers,
                "rows": n_rows,
                "fit_s": fit_s,
                "score_s": score_s,
                "graph_kib": len(pickle.dumps(graph)) / 1024,
                "tasks_to_score": len(graph),
            }


def sums_of_block(detector, X):
    """Bytes that a task of each pass of WeiPer+KLD returns."""
    execution, rows = Execution(detector.perturbation_, select_engine()), FeatureRows(X)
    measured = measured_rows(rows, (), execution, detector.rule_.request)
    return [len(pickle.dumps(each)) for each in (training_extremes(rows, execution), measured.sums)]


def moments_of_block():
    """Bytes of the sums of classes, and of the scatter, of the Mahalanobis detector."""
    return [8 * N_CLASSES * N_FEATURES, 8 * N_FEATURES * N_FEATURES]


def travelling(n_rows=2 * BLOCK_ROWS):
    """Bytes of the detector, and of what one block's task returns in each pass of a fit."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, N_FEATURES), dtype=np.float32)
    for name, detector in detectors().items():
        detector.fit(X)
        row = {"detector": name, "detector_kib": len(pickle.dumps(detector)) / 1024}
        sums = sums_of_block(detector, X) if name == "WeiPer+KLD" else moments_of_block()
        row |= {f"pass_{i}_bytes": n_bytes for i, n_bytes in enumerate(sums, 1)}
        yield row


def published(workers, per_block):
    """Times by the number of workers, and what travels, as the guides show them."""
    times = workers.pivot_table(["fit_s", "score_s"], "detector", "workers", sort=False)
    sizes = per_block.set_index("detector")
    columns = {
        f"{name}, {n} worker{'s' * (n > 1)}": times[f"{name}_s"][n].map("{:.1f} s".format)
        for name in ("fit", "score")
        for n in (1, 2)
    }
    columns["detector travels"] = sizes.detector_kib.map("{:,.0f} KiB".format)
    for i in (1, 2):
        columns[f"a block returns, pass {i}"] = sizes[f"pass_{i}_bytes"].map("{:,} bytes".format)
    return pd.DataFrame(columns).reset_index(names="detector")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    return parser.parse_args()


def run():
    arguments = parsed()
    rows = [row for n in (1, 2) for row in measure(n, arguments.rows)]
    tables = {"workers": pd.DataFrame(rows), "per block": pd.DataFrame(travelling())}
    save(arguments.output, "distributed", machine(), tables)
    for title, table in tables.items():
        print(f"{title}\n{markdown_table(table)}\n", flush=True)
    if arguments.publish:
        publish("distributed", published(*tables.values()), machine())


if __name__ == "__main__":
    run()
