"""Memory and time of WeiPerDetector on a dump of features that is larger than its memory budget.

    python benchmarks/bench_memory.py [--rows 1000000] [--output benchmarks/results] [--publish]

Writes random float16 features to a temporary file (1 GB by default), and fits and scores them in
a fresh process for each setting of scikit-learn's working_memory. "anonymous" is what the process
allocates: its resident set without the pages of the mapped file, which the system may take back at
any time; "resident" is all of it. Linux only. With --publish, the table goes into docs/results;
measure it on a machine that does nothing else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from memory import PeakAnonymous, status_mebibytes
from reporting import machine, markdown_table, publish, save, timed

N_FEATURES, N_CLASSES = 512, 100
CHUNK_ROWS = 20_000


def write_dump(path, n_rows):
    """Standard normal float16 features, written chunk by chunk."""
    rng = np.random.default_rng(0)
    shape = (n_rows, N_FEATURES)
    dump = np.lib.format.open_memmap(path, "w+", dtype=np.float16, shape=shape)
    for first in range(0, n_rows, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, n_rows - first)
        dump[first : first + rows] = rng.standard_normal((rows, N_FEATURES), dtype=np.float32)
    dump.flush()


def measure(path, working_memory):
    """Fit and score the whole dump; a row of the table."""
    from sklearn import config_context

    from skweiper import WeiPerDetector

    features = np.load(path, mmap_mode="r")
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((N_CLASSES, N_FEATURES)) * (2 / np.sqrt(N_FEATURES))
    detector = WeiPerDetector(weight, random_state=0)
    detector.fit(features[:100]).score_samples(features[:100])  # imports and compiled code
    row = {"working_memory_mib": working_memory}
    with config_context(working_memory=working_memory):
        for name, call in (("fit", detector.fit), ("score", detector.score_samples)):
            with PeakAnonymous() as memory:
                _, row[f"{name}_s"] = timed(partial(call, features))
            row[f"{name}_anonymous_mib"] = memory.growth
    return {**row, "resident_mib": status_mebibytes("VmHWM")}


def in_fresh_process(path, working_memory):
    """`measure` in a process of its own, whose peak no earlier setting has raised."""
    command = [sys.executable, __file__, "--measure", str(path), str(working_memory)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


PUBLISHED_COLUMNS = {
    "working_memory_mib": "working_memory, MiB",
    "fit_s": "fit, s",
    "fit_anonymous_mib": "fit: its own memory, MiB",
    "score_s": "score, s",
    "score_anonymous_mib": "score: its own memory, MiB",
    "resident_mib": "peak resident, MiB",
}


def published(table):
    """The table as the guides show it."""
    chosen = table[list(PUBLISHED_COLUMNS)].round(
        {name: 0 for name in PUBLISHED_COLUMNS if name.endswith("_mib")}
    )
    return chosen.rename(columns=PUBLISHED_COLUMNS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, working_memory = arguments.measure
        print(json.dumps(measure(path, int(working_memory))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        write_dump(path, arguments.rows)
        size = path.stat().st_size / 2**20
        table = pd.DataFrame([in_fresh_process(path, memory) for memory in (1024, 256, 64)])
    table.insert(0, "dump_mib", size)
    table.insert(0, "n_samples", arguments.rows)
    save(arguments.output, "memory", machine(), {"memory": table})
    print(markdown_table(table))
    if arguments.publish:
        publish("memory", published(table), machine())


if __name__ == "__main__":
    main()
