"""Fit and score from files that are larger than the working memory: what the process grows by."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.dump_files import package

N_ROWS, N_FEATURES = 128 * 1024, 256
FILE_MIB = N_ROWS * N_FEATURES * 4 // 2**20
WORKING_MEMORY = 16
ROWS_AT_ONCE = 4096
GIVEN_BACK = {"MALLOC_ARENA_MAX": "1", "MIMALLOC_PURGE_DELAY": "0"}
"""What is freed goes back to the system at once: how much of it allocators keep, by thread, differs
by 40 MiB between equal processes."""

FIT_AND_SCORE = """
import sys
import numpy as np
from sklearn import set_config
from skweiper import WeiPerDetector
from skweiper.io import open_features

def mebibytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))

path, working_memory, few = sys.argv[1], float(sys.argv[2]), sys.argv[3]
set_config(working_memory=working_memory)
head = np.random.RandomState(0).normal(size=(10, 256))
detector = WeiPerDetector(head, n_repeats=20, random_state=0)
detector.fit(open_features(few)).score_samples(open_features(few))  # imports and compiles
before = mebibytes("VmRSS")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
dump = open_features(path)
scores = detector.fit(dump).score_samples(dump)
assert scores.shape == (len(dump),)
print(dump.shape[0], mebibytes("VmHWM") - before)
"""


def chunks(n_rows):
    chunk = np.random.RandomState(1).normal(size=(ROWS_AT_ONCE, N_FEATURES)).astype(np.float32)
    for first in range(0, n_rows, ROWS_AT_ONCE):
        yield first, chunk


def write_parquet(path, n_rows):
    parquet, pyarrow = package("pyarrow.parquet"), package("pyarrow")
    schema = pyarrow.schema([(f"f{i}", pyarrow.float32()) for i in range(N_FEATURES)])
    with parquet.ParquetWriter(path, schema, use_dictionary=False, compression="none") as file:
        for _, chunk in chunks(n_rows):
            file.write_table(pyarrow.table(list(chunk.T.copy()), schema=schema))


def write_hdf5(path, n_rows):
    with package("h5py").File(path, "w") as file:
        stored = file.create_dataset("features", (n_rows, N_FEATURES), "f4", chunks=(4096, 64))
        for first, chunk in chunks(n_rows):
            stored[first : first + ROWS_AT_ONCE] = chunk


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("ending", "write"), [("parquet", write_parquet), ("h5", write_hdf5)])
def test_the_process_grows_by_little_more_than_the_working_memory(ending, write, tmp_path):
    path, few = tmp_path / f"x.{ending}", tmp_path / f"few.{ending}"
    write(path, N_ROWS)
    write(few, ROWS_AT_ONCE)
    arguments = [str(path), str(WORKING_MEMORY), str(few)]
    command = [sys.executable, "-c", FIT_AND_SCORE, *arguments]
    environment = {**os.environ, **GIVEN_BACK}
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout
    n_rows, growth = map(float, found.split())
    assert n_rows == N_ROWS and FILE_MIB == 128
    assert growth < 0.75 * FILE_MIB
