"""Time and memory of WeiPerDetector on the CPU, beside the matrix product and its peers.

    python benchmarks/bench_cpu.py [--quick] [--output benchmarks/results] [--publish]

Prints and saves cpu.json, cpu.md and growth.png. All figures of a table come from one run. Peak
memory is the process's own resident set at its highest during the call, less what was resident
before it (Linux; elsewhere empty). Features are standard normal, the head random.

The product is that of the features with all perturbed weights, in slices, with BLAS's own threads:
what the explicit projection cannot do without. The first call is that of a fresh process on a few
rows, with numba's cache on disk empty and then filled. With --publish, all but growth goes into
docs/results; measure it on a machine that does nothing else.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from memory import peak_mebibytes
from reporting import machine, markdown_table, problem, publish, rounded, save, seconds
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from skweiper import WeiPerDetector

ROWS = {  # to time, by (n_features, n_classes)
    "implicit": {(512, 10): 20_000, (512, 100): 20_000, (2048, 1000): 8192},
    "explicit": {(512, 10): 8000, (512, 100): 2048, (2048, 1000): 1024},
}
SHAPES = list(ROWS["implicit"])
N_REPEATS = 100
ENGINES = ["numpy", "numba"] if find_spec("numba") else ["numpy"]


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


def detector_row(shape, engine, projection):
    """Time and memory to fit and to score; for explicit, beside the bare product."""
    n_features, n_classes = shape
    n_samples = ROWS[projection][shape]
    features, weight, bias = problem(*shape, n_samples)
    detector = WeiPerDetector(weight, bias, engine=engine, projection=projection, random_state=0)
    detector.fit(features[:16]).score_samples(features[:16])  # compiles
    detector = clone(detector)  # which keeps no drawn perturbation
    fit_memory = peak_mebibytes(lambda: detector.fit(features))
    score_memory = peak_mebibytes(lambda: detector.score_samples(features))
    beside = [bare_product(features, n_classes)] if projection == "explicit" else []
    (fit,) = seconds(lambda: detector.fit(features))
    score, *product_alone = seconds(
        lambda: detector.score_samples(features), *beside, at_least=1.5, most=9
    )
    bare = product_alone[0] if product_alone else np.nan
    return {
        "n_features": n_features,
        "n_classes": n_classes,
        "engine": engine,
        "projection": projection,
        "n_samples": n_samples,
        "fit_us": 1e6 * fit / n_samples,
        "score_us": 1e6 * score / n_samples,
        "fit_over_score": fit / score,
        "ns_per_logit": 1e9 * score / (n_samples * N_REPEATS * n_classes),
        "product_us": 1e6 * bare / n_samples,
        "score_over_product": score / bare,
        "fit_peak_mib": fit_memory,
        "score_peak_mib": score_memory,
    }


def shape_rows(shape):
    """All engines and projections of one shape."""
    for projection, engine in product(ROWS, ENGINES):
        row = detector_row(shape, engine, projection)
        print({name: rounded(value) for name, value in row.items()}, flush=True)
        yield row


def speed_up_rows(table):
    """How much faster the implicit projection scores than the explicit one."""
    by_projection = table.set_index(["n_features", "n_classes", "engine", "projection"]).score_us
    speed_up = by_projection.unstack()  # noqa: PD010 - a Series has no pivot_table
    speed_up["explicit_over_implicit"] = speed_up.explicit / speed_up.implicit
    return speed_up.reset_index().rename_axis(columns=None)


class Aim(NamedTuple):
    """What was aimed at.

    Attributes
    ----------
    what : str
    quantity : str
        A column of the detectors' or of the projections' table.
    shape : (int, int)
    projection : str
    numba, numpy : float
        The aims for each engine.
    """

    what: str
    quantity: str
    shape: tuple
    projection: str
    numba: float
    numpy: float


EXPLICIT, IMPLICIT = "explicit score / product", "implicit score, ns per perturbed logit"
AIMS = [
    Aim(EXPLICIT, "score_over_product", (2048, 1000), "explicit", 1.05, 1.35),
    Aim(EXPLICIT, "score_over_product", (512, 100), "explicit", 1.2, 2.2),
    Aim(IMPLICIT, "ns_per_logit", (2048, 1000), "implicit", 0.6, 3.5),
    Aim(IMPLICIT, "ns_per_logit", (512, 100), "implicit", 0.8, 3.5),
    Aim(IMPLICIT, "ns_per_logit", (512, 10), "implicit", 1.5, 3.5),
    Aim("explicit / implicit score", "explicit_over_implicit", (2048, 1000), "implicit", 35, 6),
    Aim("implicit fit / score", "fit_over_score", (2048, 1000), "implicit", 1.3, 1.3),
    Aim("implicit fit / score", "fit_over_score", (512, 100), "implicit", 1.3, 1.3),
    Aim("implicit fit / score", "fit_over_score", (512, 10), "implicit", 1.3, 1.3),
    Aim(
        "peak memory of an implicit score, MiB",
        "score_peak_mib",
        (2048, 1000),
        "implicit",
        1024,
        1024,
    ),
]


def aim_rows(detectors, projections):
    """What was aimed at, and what was reached, of the shapes that were measured."""
    keys = ["n_features", "n_classes", "engine", "projection"]
    reached = detectors.merge(projections, on=keys[:3]).set_index(keys)
    for aim in AIMS:
        row = {"what": aim.what, "K": aim.shape[0], "C": aim.shape[1]}
        for engine in ENGINES:
            place = (*aim.shape, engine, aim.projection)
            row[f"aim, {engine}"] = float(getattr(aim, engine))
            row[f"got, {engine}"] = reached[aim.quantity].get(place, np.nan)
        yield row


FIRST_CALL = """
from time import perf_counter
import numpy as np
from skweiper import WeiPerDetector
X = np.ones((8, 4), np.float32)
start = perf_counter()
WeiPerDetector(np.ones((2, 4)), engine="{engine}", random_state=0).fit(X).score_samples(X)
print(perf_counter() - start)
"""


def first_call_rows():
    """Seconds of the first fit and score of a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for engine, cache in (("numpy", ""), ("numba", "empty"), ("numba", "filled")):
            if engine in ENGINES:
                command = [sys.executable, "-c", FIRST_CALL.format(engine=engine)]
                run = subprocess.run(command, env=environment, check=True, capture_output=True)
                yield {"engine": engine, "cache": cache, "first_call_s": float(run.stdout)}


def peers():
    """What a user would otherwise pick, with scikit-learn's own way of using both cores."""
    return {
        "IsolationForest": IsolationForest(random_state=0, n_jobs=-1),
        "LocalOutlierFactor": LocalOutlierFactor(novelty=True, n_jobs=-1),
        "k-NN (k=50)": NearestNeighbors(n_neighbors=50, n_jobs=-1),
    }


def other_rows(n_features, n_samples=4000):
    features, _, _ = problem(n_features, 2, n_samples)
    rows = []
    for name, detector in peers().items():
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


PUBLISHED_COLUMNS = {
    "n_features": "K",
    "n_classes": "C",
    "projection": "projection",
    "engine": "engine",
    "fit_us": "fit",
    "score_us": "score",
    "fit_over_score": "fit / score",
    "ns_per_logit": "ns per perturbed logit",
    "score_over_product": "score / matrix product",
}


def publish_all(tables):
    """Write the tables of the guides."""
    detectors = tables["detectors"][list(PUBLISHED_COLUMNS)]
    publish("cpu", detectors.rename(columns=PUBLISHED_COLUMNS), machine())
    others = tables["others"][["detector", "n_features", "fit_us", "score_us"]]
    publish("cpu_others", others.rename(columns=PUBLISHED_COLUMNS))
    publish("cpu_aims", tables["aims"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out K=2048, C=1000")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--publish", action="store_true", help="into the guides")
    arguments = parser.parse_args()
    shapes = SHAPES[:2] if arguments.quick else SHAPES
    detectors = pd.DataFrame([row for shape in shapes for row in shape_rows(shape)])
    tables = {
        "detectors": detectors,
        "projections": speed_up_rows(detectors),
        "aims": pd.DataFrame(aim_rows(detectors, speed_up_rows(detectors))),
        "first call": pd.DataFrame(first_call_rows()),
        "others": pd.DataFrame([row for k, _ in shapes[1:] for row in other_rows(k)]),
        "growth": pd.DataFrame(
            [
                row
                for engine, projection in product(ENGINES, ["implicit", "explicit"])
                for row in growth_rows(engine, projection)
            ]
        ),
    }
    save(arguments.output, "cpu", machine(), tables)
    if find_spec("matplotlib"):
        plot_growth(tables["growth"], arguments.output / "growth.png")
    for name, table in tables.items():
        if name != "growth":
            print(f"\n## {name}\n\n{markdown_table(table)}")
    if arguments.publish:
        publish_all(tables)


if __name__ == "__main__":
    main()
