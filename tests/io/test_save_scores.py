"""Scores to files: as they were, and whole or not at all, whatever goes wrong."""

import errno
import os
import stat
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skweiper._support import whole_files
from skweiper.io import ScoreWriter, save_scores
from tests.dump_files import package

SCORES = np.random.RandomState(0).normal(size=25) * 10.0 ** np.arange(-12, 13)
IDS = pd.Index([f"row-{i}" for i in range(25)], name="path")
ENDINGS = [".csv", ".tsv", ".parquet", ".feather"]


def read(path):
    if path.suffix in (".csv", ".tsv"):
        exactly = {"score": float, "p_value": float}  # older versions of pandas round by default
        return pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t", converters=exactly)
    package("pyarrow")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_feather(path)
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def streamed(path, columns, index, n_rows):
    with ScoreWriter(path) as writer:
        for first in range(0, 25, n_rows):
            rows = slice(first, first + n_rows)
            some = {name: values[rows] for name, values in columns.items()}
            writer.write(some, None if index is None else index[rows])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("n_rows", [1, 7, 25])
def test_scores_come_back_as_they_were(ending, n_rows, tmp_path):
    path = tmp_path / f"scores{ending}"
    package("pyarrow")
    columns = {"score": SCORES, "p_value": np.linspace(0, 1, 25), "label": np.arange(25) - 1}
    for index in (IDS, None):
        streamed(path, columns, index, n_rows)
        found = read(path)
        assert list(found) == ([] if index is None else ["path"]) + list(columns)
        for name, values in columns.items():
            assert_array_equal(found[name], values)
        if index is not None:
            assert_array_equal(found["path"], IDS)
        whole = tmp_path / f"whole{ending}"
        save_scores(whole, columns, index)
        pd.testing.assert_frame_equal(read(whole), found)


def test_an_npy_file_holds_scores_alone(tmp_path):
    path = tmp_path / "scores.npy"
    streamed(path, {"score": SCORES}, None, 7)
    assert_array_equal(np.load(path), SCORES)
    save_scores(path, SCORES.astype(np.float32))
    assert np.load(path).dtype == np.float32
    with pytest.raises(ValueError, match="one column of scores, got an index"):
        save_scores(path, SCORES, IDS)
    with pytest.raises(ValueError, match="one column of scores, got 2 columns"):
        save_scores(path, {"a": SCORES, "b": SCORES})
    assert_array_equal(np.load(path), SCORES.astype(np.float32))


def test_an_npy_file_of_many_rows_has_the_right_header(tmp_path):
    with ScoreWriter(tmp_path / "x.npy") as writer:
        for _ in range(11):
            writer.write(np.zeros(100_000))
    assert np.load(tmp_path / "x.npy", mmap_mode="r").shape == (1_100_000,)


def test_indices_of_several_kinds(tmp_path):
    package("pyarrow")
    several = pd.MultiIndex.from_arrays([IDS, np.arange(25)], names=["path", None])
    for index, names in (
        (several, ["path", "id_1"]),
        (list(IDS), ["id"]),
        (np.arange(25), ["id"]),
        (pd.RangeIndex(5, 30), ["id"]),
    ):
        for ending in ENDINGS:
            save_scores(tmp_path / f"x{ending}", SCORES, index)
            found = read(tmp_path / f"x{ending}")
            assert list(found) == [*names, "score"]
            first = index.get_level_values(0) if isinstance(index, pd.Index) else index
            assert_array_equal(found[names[0]], first)


@pytest.mark.parametrize(
    ("scores", "index", "message"),
    [
        ([1.0, np.nan], None, "score must be finite, got nan at row 1"),
        ({"p": [1.0, -np.inf]}, None, "p must be finite, got -inf at row 1"),
        ([[1.0]], None, r"score must be one-dimensional.*shape \(1, 1\)"),
        ([1j], None, "dtype complex128"),
        (np.ma.masked_array([1.0], [True]), None, "masked array"),
        ([1.0, 2.0], ["a"], r"one entry for each row, got \{'score': 2, 'index': 1\}"),
        ({"a": [1.0], "b": [1.0, 2.0]}, None, r"got \{'a': 1, 'b': 2\}"),
        ({}, None, "without a column"),
    ],
)
def test_scores_that_are_none_are_refused(scores, index, message, tmp_path):
    save_scores(tmp_path / "x.csv", [7.0])
    with pytest.raises(ValueError, match=message):
        save_scores(tmp_path / "x.csv", scores, index)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.csv"]
    assert (tmp_path / "x.csv").read_text() == "score\n7.0\n"


def test_misuse_of_a_writer(tmp_path):
    with pytest.raises(ValueError, match=r"written to \.csv.*got path='x\.xlsx'"):
        save_scores("x.xlsx", SCORES)
    with pytest.raises(ValueError, match="is a context"):
        ScoreWriter(tmp_path / "x.csv").write(SCORES)
    with pytest.raises(ValueError, match="No scores were written"), ScoreWriter(tmp_path / "x.csv"):
        pass
    for first, second in (({"index": IDS}, {}), ({}, {"index": IDS})):
        writer = ScoreWriter(tmp_path / "x.csv")
        with pytest.raises(ValueError, match="must be the same at each write"), writer:
            writer.write(SCORES, **first)
            writer.write(SCORES, **second)
    assert not list(tmp_path.iterdir())


class Failing:
    """A file that can take so many bytes, as on a full disk."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *exception):
        return self.file.__exit__(*exception)


def assert_only_the_old_file_is_there(folder, path, before):
    assert [each.name for each in folder.iterdir()] == ([path.name] if before else [])
    assert not before or path.read_bytes() == before


@pytest.mark.parametrize("room", [0, 10, 300])
@pytest.mark.parametrize("had_one", [True, False])
@pytest.mark.parametrize("ending", [*ENDINGS, ".npy"])
def test_a_full_disk_leaves_the_old_file(ending, had_one, room, tmp_path, monkeypatch):
    package("pyarrow")
    path = tmp_path / f"scores{ending}"
    if had_one:
        save_scores(path, SCORES)
    before = path.read_bytes() if had_one else b""
    opened = whole_files._opened
    monkeypatch.setattr(whole_files, "_opened", lambda beside: Failing(opened(beside), room))
    with pytest.raises(OSError, match="No space left on device") as error, ScoreWriter(path) as out:
        for _ in range(50):
            out.write(SCORES)
    assert error.value.errno == errno.ENOSPC and str(path) in str(error.value)
    assert_only_the_old_file_is_there(tmp_path, path, before)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_is_full_at_the_end(step, tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    save_scores(path, SCORES)
    before = path.read_bytes()

    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="No space left on device"):
        save_scores(path, SCORES[:3])
    monkeypatch.undo()
    assert_only_the_old_file_is_there(tmp_path, path, before)


LIMITED = """
import resource, signal, sys
import numpy as np
from skweiper.io import ScoreWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for path in sys.argv[1:]:
    try:
        with ScoreWriter(path) as out:
            for i in range(100):
                out.write(np.random.RandomState(i).normal(size=100))
    except OSError as error:
        print(error)
"""


def test_files_that_may_not_grow_further(tmp_path):
    package("pyarrow")
    paths = [tmp_path / ending / f"scores{ending}" for ending in (*ENDINGS, ".npy")]
    for path in paths:
        path.parent.mkdir()
        save_scores(path, SCORES)
    before = [path.read_bytes() for path in paths]
    command = [sys.executable, "-c", LIMITED, *map(str, paths)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not found.stderr
    for line, path, old in zip(found.stdout.splitlines(), paths, before, strict=True):
        assert "File too large" in line and str(path) in line
        assert_only_the_old_file_is_there(path.parent, path, old)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
@pytest.mark.parametrize("ending", [*ENDINGS, ".npy"])
def test_a_pass_that_stops_leaves_the_old_file(ending, error, tmp_path):
    package("pyarrow")
    path = tmp_path / f"scores{ending}"
    save_scores(path, SCORES)
    before = path.read_bytes()
    with pytest.raises(error), ScoreWriter(path) as out:
        out.write(SCORES)
        raise error
    assert_only_the_old_file_is_there(tmp_path, path, before)


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "scores.csv"
    save_scores(path, SCORES)
    before = path.read_bytes()
    with ScoreWriter(path) as out:
        out.write(SCORES[:3])
        assert path.read_bytes() == before
    assert_array_equal(read(path)["score"], SCORES[:3])


def test_permissions_and_links_are_kept(tmp_path):
    path, link = tmp_path / "scores.csv", tmp_path / "link.csv"
    save_scores(path, SCORES)
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    link.symlink_to(path)
    save_scores(link, SCORES[:3])
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(read(path)) == 3


def test_places_where_no_file_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save_scores(tmp_path / "nowhere" / "x.csv", SCORES)
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=r"x\.csv"):
        save_scores(tmp_path / "x.csv", SCORES)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OSError, match="no ordinary file"):
        save_scores(tmp_path / "pipe.csv", SCORES)
