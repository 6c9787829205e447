"""`skweiper watch`: each file once, whatever happens; and the decisions of the library."""

import json
import os
import signal
import time
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

from skweiper.baselines import LogitDetector
from skweiper.cli import load_model
from skweiper.cli.arrivals import arrivals, look_at, settled
from skweiper.monitoring import StreamMonitor
from tests.cli.conftest import process, run

ONCE = ("--once", "--interval", 0)


def put(folder, name, X, age=0):
    """A file of features that was written so many seconds ago."""
    path = folder / name
    np.save(path, X) if name.endswith(".npy") else X.to_parquet(path, index=False)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def with_ids(X, first):
    table = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    table.insert(0, "id", [f"row-{first + i}" for i in range(len(X))])
    return table


@pytest.fixture
def incoming(tmp_path, rows, model, dumps, monkeypatch):
    """A folder with five files: four of ID rows, then one of OOD rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / model).symlink_to(dumps / model)
    parts = [*np.split(rows["test"][:200], 4), rows["tin"][:60]]
    for i, X in enumerate(parts):
        put(tmp_path / "in", f"part-{i}.parquet", with_ids(X, 100 * i), age=100 - i)
    return tmp_path / "in"


def watched(model, *options, out="out"):
    return run("watch", model, "in", "-o", out, *ONCE, "--json", *options)


def lines_of(ended):
    return [json.loads(line) for line in ended.out.splitlines()]


def content(out):
    """All that a watch leaves: its decisions byte by byte, and its state."""
    found = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix not in (".lock", ".npz")}
    with np.load(out / "watch-state.npz") as state:
        return found | {name: state[name].tolist() for name in state}


def test_rows_get_the_decisions_of_a_monitor_and_files_come_in_their_order(incoming, model):
    ended = watched(model, "--window", 80, "--seed", 3)
    assert (ended.code, ended.err) == (0, "")
    monitor = StreamMonitor(load_model(model).detector, window=80, random_state=3)
    for i, told in enumerate(lines_of(ended)):
        X = pd.read_parquet(incoming / f"part-{i}.parquet").set_index("id")
        expected = monitor.update(X)
        found = pd.read_parquet(f"out/part-{i}.parquet.parquet")
        for name in ("score", "p_value", "log10_wealth"):
            np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(found.prediction == -1, expected.is_ood)
        assert list(found.index) == list(X.index)
        assert (told["file"], told["n_ood"]) == (f"part-{i}.parquet", expected.is_ood.sum())
        assert told["first_row"] == 50 * i
        assert told["ood_rate"] == monitor.history.ood_rate.iloc[-1]
        assert told["discovery_rate"] == monitor.history.discovery_rate.iloc[-1]
    assert told["is_new_alarm"] and told["alarm_row"] == monitor.alarm_row >= 200


def test_a_file_is_taken_once_and_a_new_one_goes_on_where_it_was(incoming, model, rows):
    whole = watched(model, out="whole")
    last = (incoming / "part-4.parquet").rename("later.parquet")
    first = watched(model)
    assert len(lines_of(first)) == 4
    assert watched(model).out == ""
    last.rename(incoming / "part-4.parquet")
    assert lines_of(watched(model))[0]["alarm_row"] == lines_of(whole)[-1]["alarm_row"]
    here = incoming.parent
    assert content(here / "out") == content(here / "whole")


def test_only_files_that_are_finished_are_read(tmp_path, rows):
    X = rows["test"][:5]
    put(tmp_path, "new.npy", X, age=3)
    put(tmp_path, "part-10.npy", X, age=9)
    put(tmp_path, "part-9.npy", X, age=10)
    os.utime(tmp_path / "part-10.npy", ns=(0, look_at(str(tmp_path / "part-9.npy")).modified))
    for name in (".hidden.npy", "_note.npy", "x.npy.part", "y.tmp", "z.npy~"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "folder").mkdir()
    before = arrivals(str(tmp_path))
    assert [each.name for each in before] == ["part-9.npy", "part-10.npy", "new.npy"]
    with open(tmp_path / "new.npy", "ab") as file:
        file.write(b"more")
    put(tmp_path, "late.npy", X)
    now = arrivals(str(tmp_path))
    assert len(now) == 4
    assert [each.name for each in settled(before, now)] == ["part-9.npy", "part-10.npy"]


def test_a_zarr_folder_is_a_file_that_changes_with_what_is_in_it(tmp_path):
    folder = tmp_path / "x.zarr"
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "0").write_bytes(b"1")
    before = arrivals(str(tmp_path))
    assert [each.name for each in before] == ["x.zarr"]
    (folder / "c" / "1").write_bytes(b"2")
    assert settled(before, arrivals(str(tmp_path))) == []


def test_a_file_that_changes_while_it_is_read_is_left_for_later(incoming, model, monkeypatch):
    from skweiper.cli import watching

    scored, path = watching.scored_parts, incoming / "part-2.parquet"

    def slowly(detector, dump, name):
        yield from scored(detector, dump, name)
        if name == path.name:
            os.utime(path)

    monkeypatch.setattr(watching, "scored_parts", slowly)
    assert [each["file"] for each in lines_of(watched(model))] == [
        f"part-{i}.parquet" for i in (0, 1, 3, 4)
    ]
    monkeypatch.undo()
    os.chdir(incoming.parent)
    assert [each["file"] for each in lines_of(watched(model))] == ["part-2.parquet"]


def test_a_bad_file_is_set_aside_until_it_changes(incoming, model, rows):
    good = (incoming / "part-1.parquet").read_bytes()
    (incoming / "part-1.parquet").write_bytes(good[: len(good) // 2])
    X = rows["test"][:3].copy()
    X[1, 2] = np.nan
    put(incoming, "nan.npy", X)
    ended = watched(model)
    assert ended.code == 1
    told = {each["file"]: each for each in lines_of(ended)}
    assert len(told) == 6 and "cannot be read" in told["part-1.parquet"]["problem"]
    assert "nan.npy" in told["nan.npy"]["problem"] and "row 1" in told["nan.npy"]["problem"]
    assert ended.err.count("Set aside: ") == 2
    again = watched(model)
    assert (again.code, again.out) == (0, "")
    (incoming / "part-1.parquet").write_bytes(good)
    mended = watched(model)
    assert mended.code == 0
    (told,) = lines_of(mended)
    assert (told["file"], told["n_samples"], told["first_row"]) == ("part-1.parquet", 50, 210)


def test_a_file_that_changes_after_it_was_scored_is_not_scored_again(incoming, model):
    assert watched(model).code == 0
    before = content(incoming.parent / "out")
    os.utime(incoming / "part-0.parquet")
    again = watched(model)
    assert (again.code, again.out) == (0, "")
    assert "changed after it was scored" in again.err
    assert content(incoming.parent / "out") == before


def test_settings_stay_what_they_were(incoming, model):
    assert watched(model, "--alpha", 0.05, "--ending", ".csv").code == 0
    assert watched(model).code == watched(model, "--alpha", 0.05).code == 0
    for option, value in (("--alpha", 0.01), ("--seed", 1), ("--ending", ".parquet")):
        refused = watched(model, option, value)
        assert refused.code == 1 and f"began with {option}" in refused.err
    with np.load("out/watch-state.npz") as state:
        monitor = StreamMonitor.from_state(load_model(model).detector, dict(state))
    assert monitor.alpha == 0.05


def test_bad_use_is_refused_before_anything_is_written(incoming, model, dumps):
    os.mkdir("full")
    put(incoming.parent / "full", "x.npy", np.zeros((2, 2)))
    refused = watched(model, out="full")
    assert refused.code == 1 and "belongs to no watch" in refused.err
    refused = watched(model, out="in")
    assert refused.code == 2 and "watched" in refused.err
    assert watched(model, "--ending", ".npy").code == 2
    assert watched(model, "--alpha", "2", out="new").code == 1
    refused = run("watch", model, "nowhere", "-o", "out", *ONCE)
    assert refused.code == 1 and "No such folder" in refused.err
    fit = ("fit", dumps / "train.parquet", "--detector", "knn", "-o", "knn.skops")
    assert run(*fit).code == 0
    refused = watched("knn.skops")
    assert refused.code == 1 and "skweiper calibrate knn.skops" in refused.err
    assert run("calibrate", "knn.skops", dumps / "test.parquet").code == 0
    assert watched(model).code == 0
    refused = watched("knn.skops")
    assert refused.code == 1 and "calibrated on other rows" in refused.err
    with open("out/watch-state.npz", "r+b") as file:
        file.truncate(100)
    refused = watched(model)
    assert refused.code == 1 and "cannot be read as the state" in refused.err


def test_two_watches_cannot_write_to_one_folder(incoming, model):
    pytest.importorskip("fcntl")
    from skweiper.cli.exclusive import alone_in

    os.mkdir("out")
    with alone_in("out"):
        refused = watched(model)
    assert refused.code == 1 and "Another watch writes to this folder" in refused.err
    assert watched(model).code == 0


def test_the_alarm_ends_a_gate_and_is_drawn(incoming, model):
    pytest.importorskip("matplotlib")
    ended = run("watch", model, "in", "-o", "out", *ONCE, "--fail-on-alarm", "--plot", "p.png")
    assert ended.code == 3
    assert "ALARM at row" in ended.out and "alarm was raised at row" in ended.err
    assert os.path.getsize("p.png") > 10_000


def test_a_picture_is_drawn_anew_only_where_the_stream_went_on(incoming, model, monkeypatch):
    pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr(
        "skweiper.cli.commands.watch.save_picture",
        lambda path, draw, monitor: drawn.append(monitor.martingale.n_seen),
    )
    seen = arrivals(incoming)
    for looked_at, expected in (([seen[:1], seen[:1], seen, seen], [50, 260]), ([seen], [260])):
        monkeypatch.setattr("skweiper.cli.watching.looks", lambda *_, found=looked_at: found)
        drawn.clear()
        assert watched(model, "--plot", "stream.png").code == 0
        assert drawn == expected


def test_without_room_for_decisions_nothing_changes(incoming, model, monkeypatch):
    from skweiper.cli import watching

    def full(*arguments):
        raise OSError(28, "No space left on device", "out/x")

    reference = watched(model, out="reference")
    monkeypatch.setattr(watching, "_write", full)
    stopped = watched(model)
    assert stopped.code == 1 and "No space left" in stopped.err and stopped.out == ""
    monkeypatch.undo()
    os.chdir(incoming.parent)
    assert watched(model).out.replace("out/", "") == reference.out.replace("reference/", "")
    assert content(incoming.parent / "out") == content(incoming.parent / "reference")


@pytest.fixture(scope="module")
def children():
    """A server that starts child processes with everything imported, within milliseconds."""
    if os.name != "posix":
        pytest.skip("kills")
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.cli.killing"])
    return context


@pytest.fixture(scope="module")
def fast_detector(clinc150):
    """Without threads or compiled code."""
    detector = LogitDetector(clinc150.weight, clinc150.bias).fit(clinc150.train[:100])
    return detector.calibrate_p_values(clinc150.validation[:200])


def child(context, *arguments):
    from tests.cli.killing import watch_once

    started = context.Process(target=watch_once, args=arguments)
    started.start()
    return started


def small_files(folder, rows, n_files):
    folder.mkdir()
    for i in range(n_files):
        put(folder, f"part-{i}.npy", rows["test"][10 * i : 10 * i + 10], age=100 - i)
    return str(folder)


def test_killed_before_any_operation_on_files_it_ends_as_if_it_were_not(
    children, fast_detector, tmp_path, rows
):
    pytest.importorskip("typer")
    from tests.cli.killing import watch_once

    folder = small_files(tmp_path / "in", rows, 2)
    watch_once(fast_detector, folder, str(tmp_path / "undisturbed"))
    expected = content(tmp_path / "undisturbed")
    n_operations = 3 * (1 + 2 * 2)  # the state at first, then decisions and state of each file
    for number in range(n_operations + 1):
        out = tmp_path / f"out-{number}"
        killed = child(children, fast_detector, folder, str(out), number)
        killed.join(60)
        assert killed.exitcode == (-signal.SIGKILL if number < n_operations else 0)
        watch_once(fast_detector, folder, str(out))
        assert content(out) == expected


def test_killed_at_random_moments_it_ends_as_if_it_were_not(
    children, fast_detector, tmp_path, rows
):
    pytest.importorskip("typer")
    folder = small_files(tmp_path / "in", rows, 12)
    started = time.monotonic()
    undisturbed = child(children, fast_detector, folder, str(tmp_path / "undisturbed"))
    undisturbed.join(60)
    rng, n_killed, is_done, out = np.random.RandomState(0), 0, False, tmp_path / "out"
    reach, started = (time.monotonic() - started) / 10, time.monotonic()
    while not is_done and time.monotonic() < started + 100:
        working = child(children, fast_detector, folder, str(out))
        working.join(rng.uniform(0, reach))
        working.kill()
        working.join()
        is_done = working.exitcode == 0
        n_killed += not is_done
        reach *= 1.05  # long enough at last, on a machine of any speed
    assert is_done and n_killed >= 10
    assert content(out) == content(tmp_path / "undisturbed")


@pytest.mark.skipif(
    os.name != "posix" or signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    reason="signals, which are ignored in the background of shells",
)
def test_it_waits_for_files_until_it_is_killed_or_interrupted(incoming, model):
    here = incoming.parent
    late = (incoming / "part-4.parquet").rename(here / "late.parquet")
    arguments = ("watch", model, "in", "-o", "out", "--interval", 0.05, "--json")
    started = process(here, *arguments)
    assert json.loads(started.stdout.readline())["file"] == "part-0.parquet"
    started.kill()
    started.communicate(timeout=60)
    started = process(here, *arguments)
    while not os.path.exists("out/part-3.parquet.parquet"):
        assert started.poll() is None
        time.sleep(0.02)
    late.rename(incoming / "part-4.parquet")
    told = {"file": ""}
    while told["file"] != "part-4.parquet":
        told = json.loads(started.stdout.readline())
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (130, "")
    assert "Traceback" not in err and "half written" in err
    assert told["first_row"] == 200
    assert watched(model, out="undisturbed").code == 0
    assert content(here / "out") == content(here / "undisturbed")
