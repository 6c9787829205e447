"""The GPU benchmark: its logic on an emulated device, and what it does without one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from skweiper._weiper.engines.cupy import CupyEngine

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The script as a module, with sizes that an emulated device can take."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("bench_gpu", "reporting"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import bench_gpu

    for name, value in {
        "SHAPES": ((16, 3), (16, 5), (20, 6)),
        "HOST_SHAPES": ((20, 6),),
        "N_SAMPLES": {"implicit": (12, 20), "explicit": (12,)},
        "CPU_SAMPLES": {"implicit": 8, "explicit": 8},
        "CHECKED_SAMPLES": 6,
        "CEILING_BYTES": 2**16,
        "CEILING_SIZE": 16,
        "PRODUCT_BYTES": 2**12,
        "N_REPEATS": 10,
        "AT_LEAST": 0.01,
        "FEWEST": 1,
        # A single count that moves is more than one in 10,000 of so few.
        "TOLERANCE": 0.02,
    }.items():
        monkeypatch.setattr(bench_gpu, name, value)
    yield bench_gpu
    for name in ("bench_gpu", "reporting"):
        sys.modules.pop(name, None)


def test_tables_are_measured_and_saved(bench, cupy, tmp_path, capsys):
    bench.main(["--output", str(tmp_path)])
    saved = json.loads((tmp_path / "gpu.json").read_text())
    assert len(saved["detectors"]) == 3 * (2 + 1)
    for row in saved["detectors"]:
        figures = [value for value in row.values() if isinstance(value, float)]
        assert min(figures) > 0 and np.isfinite(figures).all()
        per_second = row["n_samples"] * 10 * row["n_classes"] / (1e-3 * row["score_ms"])
        assert row["giga_logits_per_s"] == pytest.approx(1e-9 * per_second)
    assert len(saved["ceilings"]) == 5
    assert len(saved["features on the host"]) == 2
    markdown = (tmp_path / "gpu.md").read_text()
    assert all(f"## {title}" in markdown for title in ("ceilings", "detectors", "targets"))
    assert "GPU and CPU agree at (20, 6), explicit" in capsys.readouterr().out


def test_quick_leaves_out_the_large_shape(bench, cupy, tmp_path):
    bench.main(["--quick", "--output", str(tmp_path)])
    saved = json.loads((tmp_path / "gpu.json").read_text())
    assert {row["n_features"] for row in saved["detectors"]} == {16}


def test_wrong_results_are_never_timed(bench, cupy, tmp_path, monkeypatch):
    examine = CupyEngine._examine
    monkeypatch.setattr(
        CupyEngine,
        "_examine",
        lambda self, what, values, *to: examine(self, what, values + 0.5, *to),
    )
    with pytest.raises(SystemExit, match=r"disagree.*Nothing was timed"):
        bench.main(["--output", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["CuPy", "device"])
def test_without_a_gpu_it_says_so_and_ends(bench, missing, tmp_path, monkeypatch, capsys):
    class CuPy:
        is_available = staticmethod(lambda: False)

    monkeypatch.setitem(sys.modules, "cupy", None if missing == "CuPy" else CuPy)
    bench.main(["--output", str(tmp_path)])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Nothing measured: CuPy")
    assert list(tmp_path.iterdir()) == []


def test_targets_are_compared_where_they_were_measured(bench):
    import pandas as pd

    columns = ["n_features", "n_classes", "projection", "n_samples", "score_ms"]
    rows = [(2048, 1000, "implicit", 50_000, 11.0), (2048, 1000, "explicit", 50_000, 400.0)]
    detectors = pd.DataFrame(rows, columns=columns).assign(score_over_product=[9.9, 1.4])
    hosts = pd.DataFrame({"n_features": [2048, 512], "score_over_longer": [1.3, 5.0]})
    reached = [(row["measured"], row["reached"]) for row in bench.target_rows(detectors, hosts)]
    assert reached == [(1.4, False), (0.011, True), (1.3, True)]
