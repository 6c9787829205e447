"""What the benchmarks share: a typical problem, fair timing, and tables in JSON and Markdown."""

import json
import os
import platform
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_info


def problem(n_features, n_classes, n_samples):
    """Features, weight and bias of a typical scale: logits of standard deviation about two."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    weight = rng.standard_normal((n_classes, n_features)) * (2 / np.sqrt(n_features))
    return features, weight, rng.standard_normal(n_classes)


def seconds(*calls, at_least=0.4, fewest=1, most=5, summary=np.min):
    """Shortest time of each call; they take turns, so that all meet the same machine.

    Repeated until all together took `at_least` seconds each, between `fewest` and `most` times.
    """
    times = []
    while len(times) < fewest or (len(times) < most and np.sum(times) < at_least * len(calls)):
        times.append([timed(call)[1] for call in calls])
    return summary(times, axis=0)


def timed(call):
    """The result of a call, and the seconds it took."""
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def rounded(value):
    """Three significant digits of a float, for a line of progress."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _cell(value):
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    return f"{value:,.3g}" if abs(value) < 1e3 else f"{value:,.0f}"


def markdown_table(table):
    """A GitHub table of three significant digits (pandas' own needs one more package)."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.map(_cell).to_numpy()]
    return "\n".join(lines)


def processor():
    """The processor's name, where the system tells it."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def compiled_for():
    """What numba compiles for: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, or else this machine."""
    if not find_spec("numba"):
        return {}
    import llvmlite
    import numba
    from numba.core.registry import cpu_target

    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    sets = [title for title in ("avx2", "avx512f") if f"+{title}" in features.split(",")]
    return {
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numba_cpu": name or llvmlite.binding.get_host_cpu_name(),
        "vector_instructions": " ".join(sets) or "the name's own",
    }


def blas_kernels():
    """The processor whose kernels BLAS chose, such as Haswell or SkylakeX."""
    chosen = {info["architecture"] for info in threadpool_info() if "architecture" in info}
    return " ".join(sorted(chosen))


def machine():
    """What the figures were measured on."""
    return {
        "processor": processor(),
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas_kernels": blas_kernels(),
        **compiled_for(),
    }


PUBLISHED = Path(__file__).parents[1] / "docs" / "results"
"""Where the site takes its tables from; `--publish` of a benchmark writes there."""


def publish(name, table, measured_on=None):
    """Write a DataFrame as the table `name` of the guides, cells as they are shown.

    With `measured_on`, as `machine` gives it, a line beside it says what times were measured on.
    """
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    table.map(_cell).to_csv(PUBLISHED / f"{name}.csv", index=False, lineterminator="\n")
    if measured_on is not None:
        (PUBLISHED / f"{name}_machine.txt").write_text(described(measured_on) + "\n")


def described(measured_on):
    """What figures were measured on, in one sentence."""
    versions = {
        "python": "Python",
        "numpy": "NumPy",
        "numba": "numba",
        "onnxruntime": "onnxruntime",
    }
    parts = [
        f"{measured_on['cpu_count']} cores of {measured_on['processor']}",
        *(f"{title} {measured_on[key]}" for key, title in versions.items() if key in measured_on),
        f"BLAS kernels {measured_on['blas_kernels']}",
        f"vector instructions {measured_on.get('vector_instructions', 'of NumPy alone')}",
    ]
    return f"Measured on {', '.join(parts)}."


def mean_and_spread(values, digits=2):
    """Mean and standard deviation, as text; the mean alone where all values are the same."""
    mean = f"{values.mean():.{digits}f}"
    varies = values.min() != values.max()
    return f"{mean} ± {values.std():.{digits}f}" if varies else mean


def save(directory, name, measured_on, tables):
    """Write tables, DataFrames by title, to `name`.json and `name`.md."""
    directory.mkdir(parents=True, exist_ok=True)
    records = {title: table.to_dict("records") for title, table in tables.items()}
    content = {"machine": measured_on, **records}
    (directory / f"{name}.json").write_text(json.dumps(content, indent=1))
    parts = [f"## {title}\n\n{markdown_table(table)}\n" for title, table in tables.items()]
    (directory / f"{name}.md").write_text(f"{measured_on}\n\n" + "\n".join(parts))
