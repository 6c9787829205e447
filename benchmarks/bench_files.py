"""Time and memory of WeiPerDetector on one dump in several formats, within a small working memory.

    python benchmarks/bench_files.py [--rows 200000] [--working-memory 64] [--output DIR]
        [--publish]

Writes the same random float32 features (200,000 x 512, 391 MiB) in each format, and fits and scores
each file in a fresh process, twice: the better time counts. "anonymous" is what the process
allocates, without the pages of mapped files, which the system may take back. Linux only; needs
pyarrow, h5py and zarr. With --publish, the memory goes into docs/results.
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
from memory import PeakAnonymous
from reporting import machine, markdown_table, publish, save, timed

N_FEATURES, N_CLASSES = 512, 10
GROUP_ROWS = 8192


def write_files(folder, X):
    """One file per format; {description: path}."""
    import h5py
    import pyarrow as pa
    import zarr
    from pyarrow import feather, parquet

    wide = pa.table({f"f{i}": column for i, column in enumerate(X.T.copy())})
    lists = pa.table({"z": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), N_FEATURES)})
    np.save(folder / "x.npy", X)
    np.savez(folder / "x.npz", features=X)
    parquet.write_table(wide, folder / "wide.parquet", row_group_size=GROUP_ROWS)
    parquet.write_table(lists, folder / "lists.parquet", row_group_size=GROUP_ROWS)
    feather.write_feather(wide, folder / "x.feather", chunksize=GROUP_ROWS)
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("features", data=X, chunks=(GROUP_ROWS, N_FEATURES), compression="lzf")
    zarr.create_array(folder / "x.zarr", data=X, chunks=(GROUP_ROWS, N_FEATURES))
    return {
        ".npy, mapped": "x.npy",
        ".npz": "x.npz",
        "Parquet, a column per feature": "wide.parquet",
        "Parquet, a column of lists": "lists.parquet",
        "Feather": "x.feather",
        "HDF5 in chunks, LZF": "x.h5",
        "Zarr, zstd": "x.zarr",
    }


def measure(path, working_memory):
    """Fit and score the whole file; a row of the table."""
    from sklearn import config_context

    from skweiper import WeiPerDetector
    from skweiper.io import load_features

    rng = np.random.default_rng(1)
    few = rng.standard_normal((100, N_FEATURES), dtype=np.float32)
    detector = WeiPerDetector(rng.standard_normal((N_CLASSES, N_FEATURES)), random_state=0)
    detector.fit(few).score_samples(few)  # imports and compiled code
    row = {}
    with config_context(working_memory=working_memory):
        with PeakAnonymous() as memory:
            features, row["open_s"] = timed(partial(load_features, path))
            _, row["fit_s"] = timed(partial(detector.fit, features))
            _, row["score_s"] = timed(partial(detector.score_samples, features))
        row["anonymous_mib"] = memory.growth
    return row


def in_fresh_process(path, working_memory):
    """`measure` in a process of its own: the better of two times, the larger of two peaks."""
    command = [sys.executable, __file__, "--measure", str(path), str(working_memory)]
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(2)
    ]
    best = {name: min(row[name] for row in found) for name in found[0]}
    return best | {"anonymous_mib": max(row["anonymous_mib"] for row in found)}


def memory_table(table):
    """Growth of the process's own memory, as the guides show it."""
    return pd.DataFrame({"format": table.format, "MiB": table.anonymous_mib.round().astype(int)})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--working-memory", type=int, default=64)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, working_memory = arguments.measure
        print(json.dumps(measure(path, int(working_memory))))
        return
    rng = np.random.default_rng(0)
    X = rng.standard_normal((arguments.rows, N_FEATURES), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), X)
        rows = [
            {"format": name, **in_fresh_process(Path(folder) / file, arguments.working_memory)}
            for name, file in files.items()
        ]
    table = pd.DataFrame(rows)
    save(arguments.output, "files", machine(), {"files": table})
    print(markdown_table(table))
    if arguments.publish:
        publish("file_memory", memory_table(table))


if __name__ == "__main__":
    main()
