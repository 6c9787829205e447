"""Nanoseconds per value of each compiled loop, on one core, its values in cache.

    python benchmarks/bench_kernels.py [--output benchmarks/results]

Prints and saves kernels.json and kernels.md. A loop runs many times within one compiled function,
so that its call costs nothing; the shortest of many such runs counts, the loops taking turns.
NUMBA_CPU_NAME=haswell, or generic, compiles for another processor; the table names it.
"""

import argparse
from functools import partial
from pathlib import Path

import numba
import numpy as np
import pandas as pd
from reporting import machine, markdown_table, save, seconds

from skweiper._weiper.engines import numba_divergence, numba_kernels

N_VALUES = 1000
N_BINS = 100
N_REPEATS = 100
TURNS = 500
LOGITS = {10: 512, 100: 64, 128: 64, 129: 64, 300: 16, 1000: 8}
"""Rows to time whole kernels on, by the number of classes."""


def whole(loop, **liberties):
    """A loop as a function of its own, also where it is meant to be copied into its caller."""
    options = {**loop.targetoptions, "inline": "never", **liberties}
    options.pop("nopython", None)
    return numba.njit(**options)(loop.py_func)


def filling(loop):
    """Compiled function that runs a loop `TURNS` times; it fills one of its arrays."""
    loop = whole(loop)

    @numba.njit(nogil=True, error_model="numpy")
    def run(changing, nothing, *arguments):
        for _ in range(TURNS):
            changing[0] += nothing  # the compiler must not find that each turn does the same
            loop(*arguments)

    return run


def summing(loop, **liberties):
    """The same of a loop that returns a number."""
    loop = whole(loop, **liberties)

    @numba.njit(nogil=True, error_model="numpy")
    def run(changing, nothing, *arguments):
        total = 0.0
        for _ in range(TURNS):
            changing[0] += nothing
            total += loop(*arguments)
        return total

    return run


def loop_cases():
    """By name: a loop in its compiled caller, the array to change, and the loop's arguments."""
    rng, kernels = np.random.default_rng(0), numba_kernels
    values, shifts = rng.standard_normal((2, N_VALUES), dtype=np.float32)
    limits = np.float32(-4), np.float32(4), np.float32(N_BINS / 8)
    out, largest = np.empty_like(values), np.full_like(values, 4)
    cells = ((values + 4) / 8 * N_BINS).astype(np.uint32)
    histograms = np.zeros((2, 4, N_BINS + 1), np.uint32)
    scale_and_add = summing(kernels._scale_and_add), values, out, values, limits[1], shifts
    by_repeat = filling(kernels._raise_to_both), values, largest, values, shifts
    return {
        "scale, add and find the largest": scale_and_add,
        "scale and shift": (filling(kernels._scale_and_shift), values, out, values, *limits[:2]),
        "raise to the larger of two": by_repeat,
        "sum of exponentials": (summing(kernels._sum_exp), values, values, limits[1]),
        "add exponentials": (filling(kernels._add_exp), values, out, values, largest),
        "sum of inverses": (summing(kernels._sum_inverse), largest, largest),
        "find bins": (filling(kernels._find_bins), values, cells.copy(), values, *limits, N_BINS),
        "count": (filling(kernels._count), histograms[1, 0], histograms[0], cells),
    }


def bin_cases():
    """As `loop_cases`, of the loops over the bins of one row; per bin."""
    counts = np.random.default_rng(0).poisson(10, N_BINS).astype(np.int32)
    histograms, sizes = np.zeros((1, 4, N_BINS + 1), np.uint32), np.array([N_BINS])
    density = np.full(N_BINS, 1 / N_BINS)
    sums, training = np.zeros(N_BINS + 15), density.copy()
    collect, divergence = numba_kernels._collect, numba_divergence
    sum_freely = partial(summing, fastmath=divergence._divergences.targetoptions["fastmath"])
    smoothed = sum_freely(divergence._smooth_with_floor), sums, density, sums, 1e-5, 0.01
    logarithms = training, np.log(training)
    compared = sum_freely(divergence._symmetric_kl), density, density, 1.0, *logarithms
    return {
        "collect four histograms": (filling(collect), counts, counts, histograms, sizes),
        "sum up": (filling(divergence._sum_up), counts, sums, counts, 7),
        "smooth": smoothed,
        "divergence": compared,
    }


def loop_call(run, changing, *arguments):
    """A call without arguments, compiled beforehand."""
    nothing = changing.dtype.type(0)
    run(changing, nothing, *arguments)
    return lambda: run(changing, nothing, *arguments)


def loop_rows():
    """Nanoseconds of each loop per value, or per bin."""
    for cases, length in ((loop_cases(), N_VALUES), (bin_cases(), N_BINS)):
        times = seconds(*(loop_call(*case) for case in cases.values()), fewest=200, most=200)
        for name, time in zip(cases, times, strict=True):
            yield {"loop": name, "length": length, "ns_per_value": 1e9 * time / TURNS / length}


def measure_call(n_classes):
    """Call of the kernel that bins and scores all perturbed logits of some rows."""
    rng, n_samples = np.random.default_rng(0), LOGITS[n_classes]
    logits = 2 * rng.standard_normal((n_samples, n_classes), dtype=np.float32)
    offsets = rng.standard_normal((N_REPEATS, n_classes), dtype=np.float32)
    limits = np.array([[-9, 9, N_BINS / 18]], np.float32)
    targets = np.zeros((n_samples, N_BINS), np.int32), np.zeros(n_samples)
    data = logits, np.ones(n_samples, np.float32)
    kernel = numba_kernels.measure_over_classes
    if n_classes <= 128:
        kernel, offsets = numba_kernels.measure_over_repeats, np.ascontiguousarray(offsets.T)
    kernel(*targets, *data, offsets, limits, np.array([N_BINS]))
    return lambda: kernel(*targets, *data, offsets, limits, np.array([N_BINS]))


def measure_rows():
    """Nanoseconds per perturbed logit of the whole kernel, by the number of classes."""
    times = seconds(*map(measure_call, LOGITS), fewest=100, most=100)
    for (n_classes, n_samples), time in zip(LOGITS.items(), times, strict=True):
        per_logit = 1e9 * time / (n_samples * n_classes * N_REPEATS)
        yield {"n_classes": n_classes, "n_repeats": N_REPEATS, "ns_per_logit": per_logit}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    tables = {"loops": pd.DataFrame(loop_rows()), "rows": pd.DataFrame(measure_rows())}
    save(arguments.output, "kernels", machine(), tables)
    print(machine())
    for name, table in tables.items():
        print(f"\n## {name}\n\n{markdown_table(table)}")


if __name__ == "__main__":
    main()
