"""Run the tests that touch arithmetic once per BLAS kernel and per numba target of this processor.

    python -m tests.kernels [--short]

NumPy's and SciPy's wheels bring their own OpenBLAS, which chooses its kernels by the processor;
each process here is told to take others. A kernel that the processor cannot run is left out, with
the reason. Prints a table of the kernels against the tests, and by how much the scores of saved
models differ from the processor's own. Exit status 1 where a test fails.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

CORE_TYPES = {  # as asked for, and the names under which OpenBLAS may report it
    "Prescott": ("Prescott", "Katmai"),
    "Nehalem": ("Nehalem",),
    "Sandybridge": ("Sandybridge",),
    "Haswell": ("Haswell",),
    "Zen": ("Zen", "Haswell"),
    "SkylakeX": ("SkylakeX",),
}
SHORT_CORE_TYPES = ("Prescott", "Haswell", "SkylakeX")
TESTS = [
    "tests/test_row_invariance.py",
    "tests/_support/test_row_products.py",
    "tests/_weiper/test_engines.py",
    "tests/_weiper/test_flips.py",
    "tests/_weiper/test_golden_weiper.py",
    "tests/baselines/test_actsub.py",
    "tests/baselines/test_kernel_pca.py",
    "tests/baselines/test_parity.py",
    "tests/baselines/test_parity_full.py",
    "tests/model_selection/test_weiper_cv.py",
    "tests/test_sklearn.py",
    "tests/baselines/test_estimators.py",
]
SHORT = "subset_invariance or row_ or golden or engines_agree or little_memory"

WHICH_KERNELS = """
import json, numpy, scipy.linalg
from threadpoolctl import threadpool_info
a = numpy.ones((64, 64), numpy.float32)
scipy.linalg.blas.dgemm(1.0, a @ a, a)
blas = [info for info in threadpool_info() if info["internal_api"] == "openblas"]
print(json.dumps([info.get("architecture") for info in blas]))
"""
FIT = """
import sys, joblib
from tests.kernels import models
joblib.dump(models(), sys.argv[1])
"""
SCORE = """
import sys, joblib, numpy
from skweiper.datasets import load_clinc150
rows = load_clinc150().test_oos
numpy.save(sys.argv[2], [model.score_samples(rows) for model in joblib.load(sys.argv[1])])
"""


class Setting(NamedTuple):
    """What one process is told to compute with."""

    name: str
    environment: dict
    reported: tuple = ()


class Outcome(NamedTuple):
    """What became of a setting: `summary` is pytest's last line, or why it was left out."""

    name: str
    ok: bool
    summary: str
    seconds: float
    difference: float


def settings(short):
    """Every BLAS kernel, and numba's generic target beside the processor's own."""
    names = SHORT_CORE_TYPES if short else CORE_TYPES
    blas = [Setting(n, {"OPENBLAS_CORETYPE": n}, CORE_TYPES[n]) for n in names]
    if not find_spec("numba"):
        return blas
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    return [*blas, Setting("numba generic", generic)]


def models():
    """A detector of each engine and of both projections, fitted on the bundled data."""
    from skweiper import WeiPerDetector
    from skweiper.datasets import load_clinc150

    data = load_clinc150()
    engines = ["numpy", "numba"] if find_spec("numba") else ["numpy"]
    return [
        WeiPerDetector(
            data.weight, data.bias, engine=engine, projection=projection, random_state=0
        ).fit(data.train[::4])
        for engine in engines
        for projection in ("implicit", "explicit")
    ]


def run(arguments, setting, **options):
    environment = {**os.environ, **setting.environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, **options)


def why_not(setting):
    """Why a setting cannot run here, or None."""
    found = run(["-c", WHICH_KERNELS], setting)
    if found.returncode:
        return f"left out: this processor cannot run it (exit status {found.returncode})"
    running = json.loads(found.stdout)
    if not setting.reported:
        return None
    if not running:
        return "left out: NumPy's BLAS is not OpenBLAS"
    others = sorted({name for name in running if name not in setting.reported})
    return f"left out: OpenBLAS runs {', '.join(others)} instead" if others else None


def largest_difference(setting, folder):
    """By how much the saved models' scores differ from the processor's own, of their spread."""
    import numpy as np

    run(["-c", SCORE, folder / "models", folder / "other.npy"], setting, check=True)
    here, there = np.load(folder / "scores.npy"), np.load(folder / "other.npy")
    return float((np.abs(here - there).max(axis=1) / np.ptp(here, axis=1)).max())


def outcome(setting, short, folder):
    reason = why_not(setting)
    if reason:
        return Outcome(setting.name, True, reason, 0.0, float("nan"))
    start = perf_counter()
    chosen = ["-k", SHORT] if short else []
    flags = ["-q", "--no-header", "-p", "no:cacheprovider", "-r", "f"]
    tested = run(["-m", "pytest", *flags, *chosen, *TESTS], setting)
    lines = tested.stdout.strip().splitlines() or [tested.stderr[-500:]]
    failed = [line for line in lines if line.startswith("FAILED")]
    summary = re.sub(r" in .*", "", lines[-1].strip("= "))
    return Outcome(
        setting.name,
        tested.returncode == 0,
        "\n    ".join([summary, *failed]),
        perf_counter() - start,
        largest_difference(setting, folder),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer kernels and tests")
    short = parser.parse_args().short
    with tempfile.TemporaryDirectory() as name:
        folder, own = Path(name), Setting("this processor's own", {})
        run(["-c", FIT, folder / "models"], own, check=True)
        run(["-c", SCORE, folder / "models", folder / "scores.npy"], own, check=True)
        outcomes = []
        for setting in settings(short):
            outcomes.append(outcome(setting, short, folder))
            name, _, summary, seconds, difference = outcomes[-1]
            print(f"{name:14} {seconds:4.0f} s  scores differ by {difference:.0e}  {summary}")
    sys.exit(0 if all(one.ok for one in outcomes) else 1)


if __name__ == "__main__":
    main()
