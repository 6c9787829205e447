"""Time and memory of WeiPerDetector on the CPU, beside the matrix product and other detectors.

    python benchmarks/bench_cpu.py [--quick] [--output benchmarks/results]

Prints and saves cpu.json, cpu.md and growth.png. All figures of a table come from one run. Peak
memory is the process's own resident set at its highest during the call, less what was resident
before it (Linux; elsewhere empty). Features are standard normal, the head random.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from skweiper import WeiPerDetector

SHAPES = {(512, 10): 20_000, (512, 100): 4000, (2048, 1000): 1024}  # and rows to time
EXPLICIT_ROWS = {(512, 10): 8000, (512, 100): 2048, (2048, 1000): 1024}
N_REPEATS = 100
DEFAULT_MEMORY, LARGE_MEMORY = 1024, 4096  # mebibytes
MEBIBYTE = 2**20
ENGINES = ["numpy", "numba"] if find_spec("numba") else ["numpy"]


def problem(n_features, n_classes, n_samples):
    """Features, weight and bias of a typical scale: logits of standard deviation about two."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    weight = rng.standard_normal((n_classes, n_features)) * (2 / np.sqrt(n_features))
    return features, weight, rng.standard_normal(n_classes)


def resident(field):
    """VmRSS (now) or VmHWM (peak) of this process in bytes; None where /proc has none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def forget_peak():
    """Let VmHWM start again from what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_mebibytes(call):
    """Growth of the resident set at its highest during the call; None if it cannot be told."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # or freed memory would hide what is taken
        ctypes.CDLL(None).malloc_trim(0)
    can_tell = forget_peak()
    before = resident("VmRSS")
    call()
    return (resident("VmHWM") - before) / MEBIBYTE if can_tell else None


def seconds(*calls, at_least=0.4, most=5):
    """Shortest time of each call; they take turns, so that all meet the same machine.

    Repeated until all together took `at_least` seconds each, but no more than `most` times.
    """
    times = []
    while len(times) < most and np.sum(times) < at_least * len(calls):
        times.append([_timed(call) for call in calls])
    return np.min(times, axis=0)


def _timed(call):
    start = perf_counter()
    call()
    return perf_counter() - start


def bare_product(features, n_classes):
    """Call that multiplies features with all perturbed weights, BLAS using its own threads."""
    n_samples, n_features = features.shape
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((N_REPEATS, n_classes, n_features), dtype=np.float32)
    together = max(1, min(N_REPEATS, 2000 // n_classes))
    out = np.empty((n_samples, together * n_classes), np.float32)

    def multiply():
        for first in range(0, N_REPEATS, together):
            part = weight[first : first + together].reshape(-1, n_features)
            np.matmul(features, part.T, out=out[:, : len(part)])

    return multiply


def measure_detector(features, weight, bias, engine, projection):
    """Seconds to fit, to score and of the bare product, MiB to fit and to score."""
    detector = WeiPerDetector(weight, bias, engine=engine, projection=projection, random_state=0)
    detector.fit(features[:16]).score_samples(features[:16])  # compiled, threads started
    detector._block_cache.clear()
    fit_memory = peak_mebibytes(lambda: detector.fit(features))
    score_memory = peak_mebibytes(lambda: detector.score_samples(features))
    (fit,) = seconds(lambda: detector.fit(features))
    score, product_alone = seconds(
        lambda: detector.score_samples(features),
        bare_product(features, weight.shape[0]),
        at_least=1.5,
        most=9,
    )
    return fit, score, product_alone, fit_memory, score_memory


def detector_row(shape, engine, projection, working_memory):
    n_features, n_classes = shape
    rows = SHAPES if projection == "implicit" else EXPLICIT_ROWS
    features, weight, bias = problem(*shape, rows[shape])
    n_samples = len(features)
    with config_context(working_memory=working_memory):
        fit, score, bare, *memory = measure_detector(features, weight, bias, engine, projection)
    return {
        "n_features": n_features,
        "n_classes": n_classes,
        "engine": engine,
        "projection": projection,
        "working_memory": working_memory,
        "n_samples": n_samples,
        "fit_us": 1e6 * fit / n_samples,
        "score_us": 1e6 * score / n_samples,
        "product_us": 1e6 * bare / n_samples,
        "score_over_product": score / bare,
        "ns_per_logit": 1e9 * score / (n_samples * N_REPEATS * n_classes),
        "fit_peak_mib": memory[0],
        "score_peak_mib": memory[1],
    }


def shape_rows(shape):
    """All engines and projections of one shape, each beside the bare product."""
    n_features, n_classes = shape
    perturbed_bytes = 4 * N_REPEATS * n_classes * n_features
    rows = []
    for projection, engine in product(["implicit", "explicit"], ENGINES):
        memories = [DEFAULT_MEMORY]
        if projection == "explicit" and 2 * perturbed_bytes > DEFAULT_MEMORY * MEBIBYTE:
            memories.append(LARGE_MEMORY)
        for working_memory in memories:
            row = detector_row(shape, engine, projection, working_memory)
            rows.append(row)
            print({name: _rounded(value) for name, value in row.items()}, flush=True)
    return rows


def _rounded(value):
    return float(f"{value:.3g}") if isinstance(value, float) else value


def other_detectors():
    """What a user would otherwise pick, with scikit-learn's own way of using both cores."""
    return {
        "IsolationForest": IsolationForest(random_state=0, n_jobs=-1),
        "LocalOutlierFactor": LocalOutlierFactor(novelty=True, n_jobs=-1),
        "k-NN (k=50)": NearestNeighbors(n_neighbors=50, n_jobs=-1),
    }


def other_rows(n_features, n_samples=4000):
    features, _, _ = problem(n_features, 2, n_samples)
    rows = []
    for name, detector in other_detectors().items():
        score = getattr(detector, "score_samples", None) or detector.kneighbors
        (fit,) = seconds(lambda d=detector: d.fit(features), most=2)
        (per_score,) = seconds(lambda s=score: s(features), most=2)
        rows.append(
            {
                "detector": name,
                "n_features": n_features,
                "n_samples": n_samples,
                "fit_us": 1e6 * fit / n_samples,
                "score_us": 1e6 * per_score / n_samples,
            }
        )
    return rows


GROWTH = {
    "n_samples": [250, 1000, 4000, 16_000],
    "n_repeats": [10, 30, 100, 300],
    "n_classes": [3, 10, 30, 100, 300, 1000],
    "n_features": [32, 128, 512, 2048],
}
GROWTH_BASE = {"n_samples": 1000, "n_repeats": 100, "n_classes": 100, "n_features": 512}


def growth_rows(engine, projection):
    """Seconds to score all rows, as one of the four sizes grows."""
    rows = []
    for name, values in GROWTH.items():
        for value in values:
            sizes = {**GROWTH_BASE, name: value}
            features, weight, bias = problem(
                sizes["n_features"], sizes["n_classes"], sizes["n_samples"]
            )
            detector = WeiPerDetector(
                weight,
                bias,
                n_repeats=sizes["n_repeats"],
                engine=engine,
                projection=projection,
                random_state=0,
            ).fit(features[:16])
            (elapsed,) = seconds(
                lambda d=detector, f=features: d.score_samples(f), at_least=0.1, most=3
            )
            rows.append(
                {
                    "engine": engine,
                    "projection": projection,
                    "varied": name,
                    **sizes,
                    "score_s": elapsed,
                }
            )
    return rows


def plot_growth(growth, path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(GROWTH), figsize=(15, 3.6), sharey=True)
    for axis, varied in zip(axes, GROWTH, strict=True):
        part = growth[growth.varied == varied]
        for names, line in part.groupby(["engine", "projection"]):
            axis.loglog(line[varied], line.score_s, marker="o", label=", ".join(names))
        axis.set_xlabel(varied)
    axes[0].set_ylabel("score_samples, seconds")
    axes[0].legend(fontsize="small")
    base = ", ".join(f"{name}={value}" for name, value in GROWTH_BASE.items())
    figure.suptitle(f"Others fixed at {base}", fontsize="small")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def markdown_table(table):
    """A GitHub table of three significant digits (pandas' own needs one more package)."""
    cells = table.map(lambda v: f"{v:,.3g}" if isinstance(v, float) and v < 1e3 else v)
    cells = cells.map(lambda v: f"{v:,.0f}" if isinstance(v, float) else str(v))
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in cells.to_numpy()]
    return "\n".join(lines)


def machine():
    return {
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def save(directory, tables):
    directory.mkdir(parents=True, exist_ok=True)
    records = {name: table.to_dict("records") for name, table in tables.items()}
    content = {"machine": machine(), **records}
    (directory / "cpu.json").write_text(json.dumps(content, indent=1))
    parts = [f"## {name}\n\n{markdown_table(table)}\n" for name, table in tables.items()]
    (directory / "cpu.md").write_text(f"{machine()}\n\n" + "\n".join(parts))
    if find_spec("matplotlib"):
        plot_growth(tables["growth"], directory / "growth.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out K=2048, C=1000")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    shapes = list(SHAPES)[:2] if arguments.quick else list(SHAPES)
    tables = {
        "detectors": pd.DataFrame([row for shape in shapes for row in shape_rows(shape)]),
        "others": pd.DataFrame([row for k, _ in shapes[1:] for row in other_rows(k)]),
        "growth": pd.DataFrame(
            [
                row
                for engine, projection in product(ENGINES, ["implicit", "explicit"])
                for row in growth_rows(engine, projection)
            ]
        ),
    }
    save(arguments.output, tables)
    for name in ("detectors", "others"):
        print(f"\n{markdown_table(tables[name])}")


if __name__ == "__main__":
    main()
