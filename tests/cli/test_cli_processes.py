"""Every command as a process on real files: exit codes, streams, signals."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import in_process, process

OOD = ("--ood", "near/tin=tin.parquet", "--ood", "far/mnist=mnist.parquet")
FAST = ("--method", "msp", "--engine", "numpy")


def watched_process(folder, *arguments):
    """Run a command whose stderr is a terminal; what it printed there beside the outcome."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    started = process(folder, *arguments, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while more := os.read(ours, 4096):
            seen += more
    except OSError:  # Linux' way to say that the other side is closed
        pass
    os.close(ours)
    out = started.communicate(timeout=120)[0]
    return started.returncode, out, seen.decode()


def test_four_commands_from_a_dump_to_a_report(dumps):
    head = ("--head", "head.safetensors")
    arguments = ("fit", "train.parquet", *head, "--seed", 0, *FAST, "-o", "model.skops", "--json")
    code, out, seen = watched_process(dumps, *arguments)
    assert code == 0, seen
    assert json.loads(out)["model"] == "model.skops"
    assert "%" in seen  # a progress bar, and nothing of it in the JSON
    calibrated = in_process(dumps, "calibrate", "model.skops", "validation.parquet", "--tpr", 0.95)
    assert (calibrated.code, calibrated.err) == (0, "")
    assert "accepts 95.0% of the 200 rows" in calibrated.out
    scored = in_process(dumps, "score", "model.skops", "new.parquet", "-o", "scores.parquet")
    assert (scored.code, scored.err) == (0, "")
    assert pd.read_parquet(dumps / "scores.parquet").shape[0] == 50
    told = in_process(dumps, "evaluate", "model.skops", "test.parquet", *OOD, "--json")
    assert (told.code, told.err) == (0, "")
    report = pd.DataFrame(told.json["report"]).set_index("dataset")
    assert report.auroc["tin"] > 0.9
    assert 0.9 < told.json["id_accepted"] < 1
    gate = in_process(dumps, "predict", "model.skops", "tin.parquet", "--fail-on-ood", 0.05)
    assert gate.code == 3
    assert "rows are OOD" in gate.out


def test_the_other_commands(dumps, model):
    head = ("--head", "head.safetensors")
    sets = ("train.parquet", "test.parquet", *head, "--ood", "tin=tin.parquet")
    compared = in_process(dumps, "compare", *sets, "--detector", "knn", "--detector", "logit")
    assert (compared.code, compared.err) == (0, "")
    assert {"knn", "logit"} < set(compared.out.split())
    grid = ("--method", "msp,energy", "--n-repeats", 2, "--seed", 0)
    swept = in_process(dumps, "sweep", *sets, *grid)
    assert (swept.code, swept.err) == (0, "")
    assert "2 candidates" in swept.out
    told = in_process(dumps, "info", model)
    assert (told.code, told.err) == (0, "")
    assert "train.parquet" in told.out


def test_the_demonstration(tmp_path):
    pytest.importorskip("typer")
    pytest.importorskip("matplotlib")
    shown = in_process(tmp_path, "demo", "--json")
    assert (shown.code, shown.err) == (0, "")
    results = shown.json["results"]
    assert results["MSP"]["AUROC"] == pytest.approx(94.65, abs=0.01)
    assert results["WeiPer+MSP"]["AUROC"] > 96
    assert os.path.getsize(tmp_path / "demo" / "scores.png") > 10_000


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(
            signal.SIGINT,
            130,
            marks=pytest.mark.skipif(
                signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                reason="in the background, where shells have interrupts ignored",
            ),
        ),
        (signal.SIGTERM, 143),
    ],
)
def test_an_interrupted_score_leaves_what_was_there(dumps, model, tmp_path, sent, code):
    with open(tmp_path / "many.bin", "wb") as file:
        file.truncate(2 * 256 * 2_000_000)  # zeros that take no room on the disk
    (tmp_path / "scores.csv").write_text("of yesterday")
    plain = ("--shape", "-1,256", "--dtype", "float16")
    arguments = ("score", dumps / model, "many.bin", *plain, "-o", "scores.csv")
    started = process(tmp_path, *arguments)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert started.poll() is None, started.communicate()
    started.send_signal(sent)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["many.bin", "scores.csv"]
    assert (tmp_path / "scores.csv").read_text() == "of yesterday"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device without room")
def test_stdout_without_room_is_an_error_of_one_line(dumps, model):
    with open("/dev/full", "w") as full:
        started = process(dumps, "info", "--json", stdout=full)
        err = started.communicate(timeout=60)[1]
    assert started.returncode == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("missing", ["typer", "skops"])
def test_without_the_extra_it_says_what_to_install(missing, small, tmp_path):
    if missing != "typer":
        pytest.importorskip("typer")  # which is missed first
    np.save(tmp_path / "x.npy", small["X"])
    (tmp_path / "m.skops").write_bytes(b"")
    code = f"import sys; sys.modules[{missing!r}] = None; from skweiper.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "score", "m.skops", "x.npy", "-o", "s.npy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert f"{missing}, which is not installed. Run: pip install 'skweiper[cli]'." in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
