"""`skweiper score` against the library's own calls, on dumps of two lengths.

    python benchmarks/bench_cli.py [--rows 200000] [--output benchmarks/results]

Both read the features from a file, score them and write the scores to Parquet, in turns and in one
process, so that imports and compiled code count for neither. "anonymous" is by how much memory
grows that is no page of a mapped file, at its highest (Linux only): with the command it does not
depend on the length of the dump.
"""

import argparse
import contextlib
import io
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from memory import PeakAnonymous
from reporting import machine, markdown_table, problem, save, seconds

from skweiper import WeiPerDetector
from skweiper.cli import SavedModel, load_model, main, save_model
from skweiper.io import load_features, save_scores

SHAPES = [(256, 10), (512, 100)]
CHUNK_ROWS = 20_000
N_TRAIN = 2_000


def write_parquet(path, n_rows, n_features):
    """Random features with an id for each row, in row groups."""
    rng = np.random.default_rng(1)
    names = [f"f{i}" for i in range(n_features)]
    with contextlib.ExitStack() as context:
        writer = None
        for first in range(0, n_rows, CHUNK_ROWS):
            n_here = min(CHUNK_ROWS, n_rows - first)
            columns = rng.standard_normal((n_features, n_here), dtype=np.float32)
            ids = pa.array([f"row-{first + i}" for i in range(n_here)])
            table = pa.table([ids, *columns], names=["id", *names])
            writer = writer or context.enter_context(pq.ParquetWriter(path, table.schema))
            writer.write_table(table)


def write_npy(path, n_rows, n_features):
    """Random float16 features."""
    rng = np.random.default_rng(1)
    shape = (n_rows, n_features)
    dump = np.lib.format.open_memmap(path, "w+", dtype=np.float16, shape=shape)
    for first in range(0, n_rows, CHUNK_ROWS):
        n_here = min(CHUNK_ROWS, n_rows - first)
        dump[first : first + n_here] = rng.standard_normal((n_here, n_features), dtype=np.float32)
    dump.flush()


FORMATS = {".parquet": write_parquet, ".npy": write_npy}


def by_command(model, dump, output):
    """What a shell runs."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["score", str(model), str(dump), "-o", str(output), "--json"])


def by_library(model, dump, output):
    """What a Python script does, all rows in one call."""
    detector, X = load_model(model).detector, load_features(dump)
    save_scores(output, detector.score_samples(X), getattr(X, "index", None))


def fitted_model(path, n_features, n_classes, has_names):
    """A model file of WeiPer+KLD."""
    features, weight, bias = problem(n_features, n_classes, N_TRAIN)
    if has_names:
        features = pd.DataFrame(features, columns=[f"f{i}" for i in range(n_features)])
    detector = WeiPerDetector(weight, bias, random_state=0)
    save_model(path, SavedModel(detector.fit(features), {}))


def grown(call):
    """MiB by which memory grows during a call."""
    with PeakAnonymous() as memory:
        call()
    return memory.growth


def measure(folder, ending, shape, n_rows):
    """A row of the table."""
    model, dump = folder / "model.skops", folder / f"dump{ending}"
    fitted_model(model, *shape, has_names=ending == ".parquet")
    FORMATS[ending](dump, n_rows, shape[0])
    outputs = [folder / f"{name}.parquet" for name in ("command", "library")]
    calls = [
        partial(call, model, dump, output)
        for call, output in zip((by_command, by_library), outputs, strict=True)
    ]
    times = seconds(*calls, fewest=3, most=7, at_least=3)
    memory = [grown(call) for call in calls]
    command, library = (pd.read_parquet(output).score.to_numpy() for output in outputs)
    assert np.array_equal(command, library)
    return {
        "format": ending,
        "n_features": shape[0],
        "n_classes": shape[1],
        "n_samples": n_rows,
        "dump_mib": dump.stat().st_size / 2**20,
        "command_s": times[0],
        "library_s": times[1],
        "command_over_library": times[0] / times[1],
        "command_anonymous_mib": memory[0],
        "library_anonymous_mib": memory[1],
    }


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def run():
    arguments = parsed()
    rows = []
    for ending in FORMATS:
        for shape in SHAPES:
            for n_rows in (arguments.rows // 4, arguments.rows):
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(measure(Path(folder), ending, shape, n_rows))
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    save(arguments.output, "cli", machine(), {"skweiper score": table})
    print(markdown_table(table))


if __name__ == "__main__":
    run()
