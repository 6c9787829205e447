"""Real files of features for the command line, and a way to run it."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def run(*arguments):
    """Run a command in this process."""
    from skweiper.cli import main

    before = signal.getsignal(signal.SIGTERM)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(each) for each in arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return Outcome(code, out.getvalue(), err.getvalue())


def process(folder, *arguments, **options):
    """Start a command as a process in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "skweiper", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        text=True,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
    )


def in_process(folder, *arguments):
    """Run a command as a process in a folder."""
    started = process(folder, *arguments)
    out, err = started.communicate(timeout=120)
    return Outcome(started.returncode, out, err)


@pytest.fixture(scope="session")
def rows(clinc150):
    """Features by the name of their file."""
    return {
        "train": np.asarray(clinc150.train[::5], np.float32),
        "validation": np.asarray(clinc150.validation[:200], np.float32),
        "test": np.asarray(clinc150.test[:300], np.float32),
        "new": np.asarray(clinc150.test[300:350], np.float32),
        "tin": np.asarray(clinc150.test_oos[:200], np.float32),
        "mnist": np.asarray(clinc150.test_oos[200:300, ::-1], np.float32),
    }


@pytest.fixture(scope="session")
def dumps(rows, clinc150, tmp_path_factory):
    """A folder with a Parquet file of each, ids and labels in it, and a safetensors head."""
    for name in ("typer", "rich", "skops", "pyarrow", "safetensors"):
        pytest.importorskip(name)
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("dumps")
    for name, X in rows.items():
        table = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
        table.insert(0, "id", [f"{name}-{i}" for i in range(len(X))])
        if name == "train":
            table["label"] = clinc150.train_label[::5]
        table.to_parquet(folder / f"{name}.parquet", index=False)
    head = {"fc.weight": clinc150.weight, "fc.bias": clinc150.bias}
    head = {name: np.ascontiguousarray(array, np.float32) for name, array in head.items()}
    save_file(head, folder / "head.safetensors")
    return folder


@pytest.fixture
def folder(dumps, monkeypatch):
    """The same folder, as the current one."""
    monkeypatch.chdir(dumps)
    return dumps


@pytest.fixture(scope="session")
def model(dumps):
    """A fitted and calibrated model in the folder; its name."""
    with contextlib.chdir(dumps):
        fitted = run(
            *("fit", "train.parquet", "--head", "head.safetensors", "--seed", 0),
            *("--method", "msp", "--engine", "numpy", "-o", "msp.skops"),
        )
        assert fitted.code == 0, fitted.err
        assert run("calibrate", "msp.skops", "validation.parquet").code == 0
    return "msp.skops"
