"""Time of WeiPerDetector on an NVIDIA GPU, beside cuBLAS, the card's ceilings and its host CPU.

    python benchmarks/bench_gpu.py [--quick] [--output benchmarks/results]

Checks first that the GPU gives the CPU's counts, scores and AUROC, and stops if it does not. Then
prints and saves gpu.json and gpu.md; all figures come from one run. Times are medians with the
device synchronised before and after, kernels compiled and memory pooled beforehand; the ceilings
are measured on the same card, in the same run. Without CuPy or a GPU it says so and ends.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from reporting import machine, markdown_table, problem, rounded, save, seconds
from sklearn import config_context
from sklearn.base import clone

from skweiper import WeiPerDetector

SHAPES = ((512, 10), (512, 100), (2048, 1000))
PROJECTIONS = ("implicit", "explicit")
N_SAMPLES = {"implicit": (50_000, 300_000), "explicit": (50_000,)}
HOST_SHAPES = ((2048, 10), (2048, 1000))
N_REPEATS = 100
AT_LEAST, FEWEST, MOST = 0.5, 3, 9  # seconds of a call to take the median of, and times
CHECKED_SAMPLES = 256
CPU_SAMPLES = {"implicit": 1024, "explicit": 256}
TOLERANCE = 1e-4
SMALL_SCORE = 0.01
"""Differences of smaller scores are relative to this one: scores may pass through zero."""
CPU_MEMORY = 8192  # mebibytes: the CPU keeps its explicit perturbations, too
CEILING_BYTES = 2**30
CEILING_SIZE = 8192  # of the square matrices whose product gives the operation rate
PRODUCT_BYTES = 2**31
TARGETS = {
    "explicit, K=2048 C=1000: score over product": 1.3,
    "implicit, C=1000, 50,000 samples on the device: seconds": 0.012,
    "implicit, K=2048 float16 on the host: score over the longer of copy and device score": 1.3,
}
INSTRUCTIONS_PER_LOGIT = 19.8
"""Of the kernel that counts and scores implicit logits, for a warp; a test counts them."""
WARPS_PER_CYCLE = 4
"""Instructions that a multiprocessor starts in a cycle, each for 32 logits."""


def device_or_reason():
    """CuPy, or a line that says why nothing is measured."""
    try:
        import cupy
    except ImportError as error:
        return None, f"Nothing measured: CuPy cannot be imported ({error})."
    if not cupy.is_available():
        return None, "Nothing measured: CuPy finds no NVIDIA GPU."
    return cupy, None


def device_facts(cupy):
    device = cupy.cuda.Device()
    name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    return {
        **machine(),
        "gpu": name,
        "compute_capability": device.compute_capability,
        "memory_gib": cupy.cuda.runtime.memGetInfo()[1] / 2**30,
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }


def device_seconds(cupy, *calls):
    """Median time of each call, the device idle before and after; once beforehand unmeasured."""

    def complete(call):
        def run():
            call()
            cupy.cuda.Device().synchronize()

        return run

    calls = [complete(call) for call in calls]
    for call in calls:
        call()
    return seconds(*calls, at_least=AT_LEAST, fewest=FEWEST, most=MOST, summary=np.median)


def ceilings(cupy):
    """What the card reaches at best: bytes and operations per second."""
    n_bytes = min(CEILING_BYTES, cupy.cuda.runtime.memGetInfo()[0] // 8)
    source = cupy.zeros(n_bytes // 4, np.float32)
    target = cupy.empty_like(source)
    square = random_matrix(cupy, CEILING_SIZE, CEILING_SIZE)
    pageable = np.zeros(source.size, np.float32)
    pinned = pinned_copy(cupy, pageable)
    times = device_seconds(
        cupy,
        lambda: cupy.copyto(target, source),
        lambda: cupy.matmul(square, square),
        lambda: target.set(pinned),
        lambda: target.set(pageable),
    )
    return {
        "copy on the device, GB/s": 2e-9 * source.nbytes / times[0],
        "float32 product, TFLOP/s": 2e-12 * CEILING_SIZE**3 / times[1],
        "copy from page-locked memory, GB/s": 1e-9 * source.nbytes / times[2],
        "copy from pageable memory, GB/s": 1e-9 * source.nbytes / times[3],
        "implicit kernel, 1e9 logits/s": kernel_ceiling(cupy),
    }


def random_matrix(cupy, n_rows, n_columns):
    """Normal draws: a card multiplies constants faster, at less power."""
    rng = np.random.default_rng(1)
    return cupy.asarray(rng.standard_normal((n_rows, n_columns), dtype=np.float32))


def pinned_copy(cupy, array):
    """The array in page-locked memory."""
    memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
    pinned = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
    np.copyto(pinned, array)
    return pinned


def make_detector(weight, bias, projection, device):
    return WeiPerDetector(
        weight, bias, projection=projection, n_repeats=N_REPEATS, device=device, random_state=0
    )


def disagreements(shape, projection):
    """What the GPU gives otherwise than the CPU beyond the tolerance, by name."""
    features, weight, bias = problem(*shape, CHECKED_SAMPLES)
    on_cpu = make_detector(weight, bias, projection, "cpu").fit(features)
    on_gpu = make_detector(weight, bias, projection, "cuda").fit(features)
    outliers = np.concatenate([features, 1.05 * features])
    is_id = np.repeat([1, -1], CHECKED_SAMPLES)
    scores, expected = on_gpu.score_samples(features), on_cpu.score_samples(features)
    found = {
        "counts": largest_share_moved(on_cpu.densities(features), on_gpu.densities(features)),
        "scores": np.max(np.abs(scores - expected) / np.maximum(np.abs(expected), SMALL_SCORE)),
        "AUROC": abs(on_cpu.score(outliers, is_id) - on_gpu.score(outliers, is_id)),
        "scores of a second run": float(not np.array_equal(scores, on_gpu.score_samples(features))),
    }
    return {name: float(value) for name, value in found.items() if not value <= TOLERANCE}


def largest_share_moved(densities, others):
    """Share of all values in another bin, in the worse of the two spaces."""
    return max(
        np.abs(densities[space] - others[space]).sum() / (2 * len(densities[space]))
        for space in ("feature", "logit")
    )


def check(shapes):
    """Stop unless GPU and CPU agree."""
    for shape, projection in product(shapes, PROJECTIONS):
        found = disagreements(shape, projection)
        if found:
            sys.exit(
                f"GPU and CPU disagree at {shape}, {projection}, beyond {TOLERANCE}: {found}. "
                "Nothing was timed."
            )
        print(f"GPU and CPU agree at {shape}, {projection}", flush=True)


def bare_product(cupy, features, n_classes):
    """Call that multiplies features with all perturbed weights, in one cuBLAS product a tile."""
    n_samples, n_features = features.shape
    weight = cupy.tile(random_matrix(cupy, n_classes, n_features), (N_REPEATS, 1))
    rows = max(1, min(n_samples, PRODUCT_BYTES // (4 * len(weight))))

    def multiply():
        # Without `out`, to which CuPy would copy the product in a second pass.
        for first in range(0, n_samples, rows):
            cupy.matmul(features[first : first + rows], weight.T)

    return multiply


def cpu_seconds(features, weight, bias, projection):
    """Seconds to score one sample on the host."""
    features = features[: CPU_SAMPLES[projection]]
    detector = make_detector(weight, bias, projection, "cpu").fit(features)
    (elapsed,) = seconds(lambda: detector.score_samples(features), at_least=AT_LEAST)
    return elapsed / len(features)


def detector_row(cupy, shape, projection, n_samples, ceiling):
    """Fit and score with the features on the device, beside the product of the same shape."""
    n_features, n_classes = shape
    n_samples = min(n_samples, cupy.cuda.runtime.memGetInfo()[0] // (16 * n_features))
    host, weight, bias = problem(*shape, n_samples)
    features = cupy.asarray(host)
    detector = make_detector(weight, bias, projection, "auto")
    (fit,) = device_seconds(cupy, lambda: detector.fit(features))
    (draw,) = seconds(lambda: [None for _ in detector.perturbation_.blocks(2**28)], most=1)
    score, bare = device_seconds(
        cupy, lambda: detector.score_samples(features), bare_product(cupy, features, n_classes)
    )
    on_cpu = cpu_seconds(host, weight, bias, projection)
    return {
        "n_features": n_features,
        "n_classes": n_classes,
        "projection": projection,
        "n_samples": n_samples,
        "fit_ms": 1e3 * fit,
        "drawing_on_host_ms": 1e3 * draw,
        "score_ms": 1e3 * score,
        "product_ms": 1e3 * bare,
        "score_over_product": score / bare,
        **rates(shape, n_samples, score, bare, ceiling),
        "cpu_us_per_sample": 1e6 * on_cpu,
        "gpu_us_per_sample": 1e6 * score / n_samples,
        "cpu_over_gpu": on_cpu * n_samples / score,
    }


def kernel_ceiling(cupy):
    """Implicit logits a second, in 10^9, if the card did nothing but start instructions."""
    facts = cupy.cuda.Device().attributes
    cycles = 1e3 * facts["ClockRate"] * facts["MultiProcessorCount"]
    return 1e-9 * 32 * WARPS_PER_CYCLE * cycles / INSTRUCTIONS_PER_LOGIT


def rates(shape, n_samples, score, bare, ceiling):
    """What was reached a second, and its share of the card's ceilings.

    Every score has to read the features once; the bare product does two operations per weight.
    """
    n_features, n_classes = shape
    n_logits = n_samples * N_REPEATS * n_classes
    giga_logits = 1e-9 * n_logits / score
    gigabytes = 4e-9 * n_samples * n_features / score
    teraflops = 2e-12 * n_logits * n_features / bare
    return {
        "giga_logits_per_s": giga_logits,
        "share_of_kernel_ceiling": giga_logits / ceiling["implicit kernel, 1e9 logits/s"],
        "features_GB_per_s": gigabytes,
        "share_of_copy_ceiling": gigabytes / ceiling["copy on the device, GB/s"],
        "product_TFLOP_per_s": teraflops,
        "product_share_of_ceiling": teraflops / ceiling["float32 product, TFLOP/s"],
    }


def host_row(cupy, shape, n_samples):
    """Score float16 features that live on the host, beside their copy to the device."""
    n_samples = min(n_samples, cupy.cuda.runtime.memGetInfo()[0] // (8 * shape[0]))
    features, weight, bias = problem(*shape, n_samples)
    features = features.astype(np.float16)
    pinned, target = pinned_copy(cupy, features), cupy.empty(features.shape, np.float16)
    detector = make_detector(weight, bias, "implicit", "cuda").fit(features[:256])
    target.set(features)
    on_device = clone(detector).set_params(device="auto").fit(target[:256])
    score, copy, pageable, resident = device_seconds(
        cupy,
        lambda: detector.score_samples(features),
        lambda: target.set(pinned),
        lambda: target.set(features),
        lambda: on_device.score_samples(target),
    )
    return {
        "n_features": shape[0],
        "n_classes": shape[1],
        "n_samples": n_samples,
        "score_ms": 1e3 * score,
        "page_locked_copy_ms": 1e3 * copy,
        "pageable_copy_ms": 1e3 * pageable,
        "device_score_ms": 1e3 * resident,
        "score_over_page_locked_copy": score / copy,
        "score_over_longer": score / max(copy, resident),
        "score_over_pageable_copy": score / pageable,
    }


def progress(row):
    print({name: rounded(value) for name, value in row.items()}, flush=True)
    return row


def target_rows(detectors, hosts):
    """The figures that were aimed at on an H200, where this run has them."""
    large = detectors[(detectors.n_features == 2048) & (detectors.n_classes == 1000)]
    explicit = large[large.projection == "explicit"].score_over_product
    implicit = large[(large.projection == "implicit") & (large.n_samples == 50_000)].score_ms / 1e3
    copies = hosts[hosts.n_features == 2048].score_over_longer
    rows = []
    for (name, target), values in zip(TARGETS.items(), (explicit, implicit, copies), strict=True):
        rows += [
            {"figure": name, "target": target, "measured": value, "reached": bool(value <= target)}
            for value in values
        ]
    return rows


def measure(cupy, shapes, host_shapes):
    """Tables of ceilings, detectors, features on the host and targets."""
    check(shapes)
    ceiling = progress(ceilings(cupy))
    detectors = [
        progress(detector_row(cupy, shape, projection, n_samples, ceiling))
        for shape, projection in product(shapes, PROJECTIONS)
        for n_samples in N_SAMPLES[projection]
    ]
    hosts = [
        progress(host_row(cupy, shape, n_samples))
        for shape in host_shapes
        for n_samples in N_SAMPLES["implicit"]
    ]
    tables = {
        "ceilings": pd.DataFrame(ceiling.items(), columns=["what", "measured"]),
        "detectors": pd.DataFrame(detectors),
        "features on the host": pd.DataFrame(hosts),
    }
    targets = target_rows(tables["detectors"], tables["features on the host"])
    columns = ["figure", "target", "measured", "reached"]
    return {**tables, "targets": pd.DataFrame(targets, columns=columns)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out K=2048")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args(arguments)
    cupy, reason = device_or_reason()
    if cupy is None:
        print(reason)
        return
    facts = device_facts(cupy)
    shapes, host_shapes = (SHAPES[:2], SHAPES[:1]) if arguments.quick else (SHAPES, HOST_SHAPES)
    with config_context(working_memory=CPU_MEMORY):
        tables = measure(cupy, shapes, host_shapes)
    save(arguments.output, "gpu", facts, tables)
    print(facts)
    for title, table in tables.items():
        print(f"\n{title}\n{markdown_table(table)}")


if __name__ == "__main__":
    main()
