"""Folders, globs and lists of files, read as one."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skweiper.io import DumpError, load_features, load_labels, open_features
from tests.dump_files import NAMES, WITH_IDS, WITH_LABELS, WRITERS, frame, package, write

LABELS = np.arange(60) % 5
IDS = np.array([f"row-{i:03d}" for i in range(60)])
CUTS = [0, 5, 6, 31, 60]


def write_parts(folder, name, X):
    """Parts whose names do not sort as their numbers do."""
    folder.mkdir()
    for number, (first, last) in enumerate(pairwise(CUTS)):
        rows = slice(first, last)
        part = write(folder, name, X[rows], LABELS[rows], IDS[rows])
        ending = part.name.partition(".")[2]
        part.rename(folder / f"part-{number + 8}.{ending}")
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_is_its_parts_in_order(name, small, tmp_path):
    folder = write_parts(tmp_path / "dump", name, small["X"])
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("float32")
    dump = open_features(folder)
    assert_array_equal(dump[:], small["X"])
    order = np.random.RandomState(0).permutation(60)
    assert_array_equal(dump[order], small["X"][order])
    assert_array_equal(dump[4:32], small["X"][4:32])
    assert_array_equal(dump.part(3, 40).part(1, 30)[[0, 28]], small["X"][[4, 32]])
    if name in WITH_IDS:
        assert_array_equal(dump.index, IDS)
        assert_array_equal(dump.part(4, 33).index, IDS[4:33])
    if name in WITH_LABELS:
        assert_array_equal(load_labels(folder), LABELS)


def test_a_glob_and_a_list(small, tmp_path):
    folder = write_parts(tmp_path / "dump", "x.npy", small["X"])
    assert_array_equal(load_features(f"{folder}/part-*.npy")[:], small["X"])
    assert_array_equal(load_features(f"{tmp_path}/**/*.npy")[:], small["X"])
    one = load_features(str(folder / "part-1[01].npy"))
    assert_array_equal(one[:], small["X"][6:])
    listed = load_features([folder / "part-11.npy", folder / "part-8.npy"])
    assert_array_equal(listed[:], np.concatenate([small["X"][31:], small["X"][:5]]))
    with pytest.raises(FileNotFoundError, match=r"No file matches.*\*\.csv"):
        load_features(f"{folder}/*.csv")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_features([folder / "part-11.npy", folder / "nowhere"])
    with pytest.raises(ValueError, match="path is an empty list"):
        load_features([])


def test_a_name_that_looks_like_a_glob(small, tmp_path):
    np.save(tmp_path / "a[1].npy", small["X"])
    assert_array_equal(load_features(tmp_path / "a[1].npy"), small["X"])


def test_parts_may_be_of_different_types_and_have_no_rows(small, tmp_path):
    package("pyarrow")
    X = small["X"]
    for number, (rows, dtype) in enumerate(
        [(slice(0, 0), "float64"), (slice(0, 30), "float16"), (slice(30, 60), "float32")]
    ):
        frame(X[rows].astype(dtype)).to_parquet(tmp_path / f"{number}.parquet")
    dump = open_features(tmp_path)
    assert dump.shape == (60, 12) and dump.dtype == np.float32
    assert_array_equal(dump[:30], X[:30].astype(np.float16))
    assert_array_equal(dump[30:], X[30:])


def test_columns_of_parts_are_read_by_name(small, tmp_path):
    package("pyarrow")
    frame(small["X"][:30]).to_parquet(tmp_path / "0.parquet")
    frame(small["X"][30:])[NAMES[::-1]].to_parquet(tmp_path / "1.parquet")
    dump = open_features(tmp_path)
    assert dump.feature_names == NAMES
    assert_array_equal(dump[:], small["X"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_parts_of_other_columns_are_refused_by_name(ending, small, tmp_path):
    package("pyarrow")

    def save(table, name):
        getattr(table, f"to_{ending}")(tmp_path / f"{name}.{ending}", index=False)

    save(frame(small["X"], ids=IDS), 0)
    save(frame(small["X"], ids=IDS).rename(columns={"f3": "f99"}), 1)
    with pytest.raises(DumpError, match=rf"1\.{ending} has other columns for the features than "):
        open_features(tmp_path)
    with pytest.raises(DumpError, match="missing 'f3', new 'f99'"):
        open_features(tmp_path)
    save(frame(small["X"]), 1)
    with pytest.raises(DumpError, match=r"columns for the index.*missing 'id', new none"):
        open_features(tmp_path)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "lists.parquet"])
def test_parts_of_another_width_are_refused(name, small, tmp_path):
    write(tmp_path, name, small["X"]).rename(tmp_path / f"0.{name}")
    write(tmp_path, name, small["X"][:, :7].copy()).rename(tmp_path / f"1.{name}")
    with pytest.raises(DumpError, match=r"1\..* has 7 features, where .*0\..* has 12"):
        load_features(tmp_path)


def test_folders_without_parts_or_with_several_formats(small, tmp_path):
    with pytest.raises(DumpError, match="no file at all"):
        load_features(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DumpError, match=r"without a file of a known format.*notes\.txt"):
        load_features(tmp_path)
    np.save(tmp_path / "a.npy", small["X"])
    pd.DataFrame(small["X"]).to_csv(tmp_path / "a.csv")
    with pytest.raises(DumpError, match=r"several formats, \['csv', 'npy'\]. Pass a glob"):
        load_features(tmp_path)
    (tmp_path / "b.npy").touch()
    with pytest.raises(DumpError, match=r"b\.npy is empty \(0 bytes\)"):
        load_features(f"{tmp_path}/*.npy")


def test_many_parts_keep_no_file_open(small, tmp_path):
    import resource

    for number in range(300):
        np.save(tmp_path / f"{number}.npy", small["X"][:2])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        dump = load_features(tmp_path)
        assert dump[:].shape == (600, 12)
        assert_array_equal(dump[[599, 0]], small["X"][[1, 0]])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
