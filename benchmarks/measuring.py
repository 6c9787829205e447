"""Time and peak memory of a call, and tables in Markdown."""

import ctypes
import gc
import os
import platform
from pathlib import Path
from time import perf_counter

import numpy as np

MEBIBYTE = 2**20


def timed(call):
    """The result of a call, and the seconds it took."""
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def _resident(field):
    """VmRSS (now) or VmHWM (peak) of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def peak_mebibytes(call):
    """Growth of the resident set at its highest during the call; None but on Linux."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # or freed memory would hide what is taken
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    except OSError:
        return None
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def markdown_table(table):
    """A GitHub table of a DataFrame of strings."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.to_numpy(dtype=str)]
    return "\n".join(lines)


def machine():
    """What the figures were measured on."""
    return {
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
