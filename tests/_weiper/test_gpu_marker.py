"""Tests marked `gpu` run where CuPy finds a device, and are skipped everywhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

A_TEST_FILE = """
import pytest

@pytest.mark.gpu
def test_on_the_device():
    assert False, "it ran"

def test_anywhere():
    pass
"""
CUPY_MODULES = {
    "missing": "raise ImportError('no CuPy')",
    "no device": "def is_available(): return False",
    "device": "def is_available(): return True",
}


def outcome(cupy, folder):
    """The last line of a pytest run of one marked and one unmarked test, with that CuPy."""
    shutil.copy(Path(__file__).parents[1] / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a GPU\n")
    (folder / "test_tiny.py").write_text(A_TEST_FILE)
    (folder / "cupy.py").write_text(CUPY_MODULES[cupy])
    paths = [str(folder), str(Path(__file__).parents[2])]
    # Other packages' pytest plugins may import CuPy, and take the stand-in for the whole of it.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_tiny.py"],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    return run.stdout.splitlines()[-1]


@pytest.mark.parametrize("cupy", ["missing", "no device"])
def test_marked_tests_are_skipped_without_a_device(cupy, tmp_path):
    assert outcome(cupy, tmp_path).startswith("1 passed, 1 skipped")


def test_marked_tests_run_with_a_device(tmp_path):
    assert outcome("device", tmp_path).startswith("1 failed, 1 passed")
