"""The reader of rows that can only be read forwards, held to the array that they come from."""

import pickle
import threading

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context

from skweiper._support.memory import LEAST_FILE_BLOCKS
from skweiper.io import DumpError, tables
from skweiper.io import blocks as module
from skweiper.io.blocks import BlockFile, BlockReader, BlockRows, frame_of
from skweiper.io.tables import TableIds

X = np.random.RandomState(0).normal(size=(1000, 3)).astype(np.float32)


class Counted(BlockFile):
    """Rows of an array from some entries on, which notes what is decoded and what is left open."""

    def __init__(self, values, entries=(0,), n_rows=None):
        super().__init__("memory", len(values) if n_rows is None else n_rows, entries)
        self.values, self.decoded, self.n_open = values, [], 0

    def blocks(self, entry, n_rows):
        self.n_open += 1
        try:
            for first in range(entry, len(self.values), n_rows):
                self.decoded.append(first)
                yield self.values[:0]
                yield self.values[first : first + n_rows]
        finally:
            self.n_open -= 1


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 10 rows, of which 40 are kept."""
    monkeypatch.setattr(module, "file_budget", lambda: 40 * X[0].nbytes)
    monkeypatch.setattr(tables, "ROW_BYTES_OF_TEXT", X[0].nbytes)


def files(n_parts=3, **options):
    return [Counted(part, **options) for part in np.array_split(X, n_parts)]


def test_any_rows_are_those_of_the_array():
    rows = BlockRows(files(), 3, np.float32)
    rng = np.random.RandomState(1)
    for _ in range(200):
        first, last = np.sort(rng.randint(0, 1001, 2))
        assert_array_equal(rows[first:last], X[first:last])
        chosen = rng.randint(0, 1000, rng.randint(0, 50))
        assert_array_equal(rows[chosen], X[chosen])
        ascending = np.unique(chosen)
        assert_array_equal(rows[ascending], X[ascending])


def test_a_pass_decodes_each_block_once_and_leaves_no_file_open():
    parts = files()
    rows = BlockRows(parts, 3, np.float32)
    for first in range(0, 1000, 7):
        rows[first : first + 7]
        assert sum(part.n_open for part in parts) <= 1
    for part in parts:
        assert part.decoded == list(range(0, len(part.values), 10))
        assert part.n_open == 0


def test_what_fits_the_memory_is_decoded_once_for_all_passes(monkeypatch):
    monkeypatch.setattr(module, "file_budget", lambda: X.nbytes)
    parts = files()
    rows = BlockRows(parts, 3, np.float32)
    for _ in range(3):
        assert_array_equal(rows[:], X)
    assert [len(part.decoded) for part in parts] == [2, 2, 2]


def test_no_more_is_kept_than_the_budget():
    reader = BlockReader(files(), X[0].nbytes)
    for first in range(0, 1000, 7):
        reader.fill(first, min(first + 7, 1000), np.empty((min(7, 1000 - first), 3)))
        assert sum(block.nbytes for block in reader._kept.values()) <= 40 * X[0].nbytes


def test_neighbouring_slices_in_any_order_decode_each_block_once():
    (part,) = parts = files(1)
    rows = BlockRows(parts, 3, np.float32)
    for first in range(0, 1000, 20):
        assert_array_equal(rows[first + 10 : first + 20], X[first + 10 : first + 20])
        assert_array_equal(rows[first : first + 10], X[first : first + 10])
    assert part.decoded == list(range(0, 1000, 10))


def test_rows_before_are_read_from_the_nearest_entry():
    part = Counted(X, entries=[0, 300, 600])
    rows = BlockRows([part], 3, np.float32)
    rows[995:1000]
    assert part.decoded[0] == 600
    part.decoded.clear()
    assert_array_equal(rows[310:312], X[310:312])
    assert part.decoded == [300, 310]
    part.decoded.clear()
    rows[700:701]  # forwards, but 600 is nearer than where the cursor is
    assert part.decoded[0] == 600


def test_many_threads_read_the_same_rows():
    rows, found = BlockRows(files(), 3, np.float32), {}

    def read(number):
        for first in range(number * 10, 1000, 80):
            found[first] = rows[first : first + 10]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_array_equal(np.concatenate([found[first] for first in sorted(found)]), X)


@pytest.mark.parametrize("n_rows", [990, 1003])
def test_a_file_with_other_rows_than_counted_is_refused(n_rows):
    rows = BlockRows([Counted(X[:n_rows] if n_rows < 1000 else np.resize(X, (n_rows, 3)))], 3, "f4")
    rows.files[0].n_rows = 995
    reader = BlockReader(rows.files, X[0].nbytes)
    with pytest.raises(DumpError, match=r"memory gave \d+ rows, where 995 were counted"):
        reader.fill(0, 995, np.empty((995, 3)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_after_an_error_the_rows_are_read_anew(error):
    class Failing(Counted):
        fails = True

        def blocks(self, entry, n_rows):
            for number, block in enumerate(super().blocks(entry, n_rows)):
                if number > 4 and self.fails:
                    raise error
                yield block

    part = Failing(X)
    rows = BlockRows([part], 3, np.float32)
    with pytest.raises(error):
        rows[:]
    assert part.n_open == 0
    part.fails = False
    assert_array_equal(rows[:], X)


def test_a_pickled_reader_has_no_cursor_and_no_lock():
    rows = BlockRows([PickledFile("memory", 1000)], 3, np.float32)
    rows[5:9]
    assert len(pickle.dumps(rows)) < 1000
    assert_array_equal(pickle.loads(pickle.dumps(rows))[5:9], X[5:9])


class PickledFile(BlockFile):
    def blocks(self, entry, n_rows):
        yield X


def test_frames_are_read_as_arrays_are():
    table = pd.DataFrame({"id": [f"{i}" for i in range(1000)], "fold": np.arange(1000) % 3})
    parts = [Counted(table[:400].reset_index(drop=True)), Counted(table[400:])]
    found = frame_of(parts, 395, 405)
    pd.testing.assert_frame_equal(found, table[395:405].reset_index(drop=True))


def test_ids_of_parts_that_follow_each_other_are_decoded_once():
    part = Counted(pd.DataFrame({"id": [f"{i}" for i in range(1000)]}))
    ids = TableIds([part], ["id"])
    found = [ids.read(first, first + 7) for first in range(0, 994, 7)]
    assert list(np.concatenate(found)) == [f"{i}" for i in range(994)]
    assert len(part.decoded) == len(set(part.decoded)) > 1
    assert len(ids._reader._kept) == 1


def test_the_memory_of_blocks_is_a_share_of_working_memory():
    from skweiper._support.memory import file_budget

    with config_context(working_memory=1024):
        assert file_budget() == 128 * 2**20
    with config_context(working_memory=1):
        assert file_budget() == LEAST_FILE_BLOCKS
