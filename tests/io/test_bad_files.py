"""A file that is damaged, empty, unsafe or of something else: one error, with its name."""

import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skweiper.io import DumpError, describe, load_features, load_head, load_labels, open_features
from tests.dump_files import WRITERS, frame, package, write

LABELS = np.arange(60) % 5
IDS = np.array([f"row-{i:03d}" for i in range(60)])
FILES = [name for name in WRITERS if not name.endswith(".zarr")]


def whole(path):
    return np.asarray(load_features(path))


@pytest.mark.parametrize("name", FILES)
def test_files_cut_short_are_refused_by_name(name, small, tmp_path):
    path = write(tmp_path, name, small["X"], ids=IDS)
    content = path.read_bytes()
    for share in (0, 0.002, 0.1, 0.5, 0.99):
        cut = int(share * len(content))
        if share and name in ("x.csv", "x.tsv"):  # where a shorter number is a number, too
            cut = content.rindex(b"," if name == "x.csv" else b"\t", 0, cut)
        path.write_bytes(content[:cut])
        with pytest.raises(DumpError, match=re.escape(path.name)) as error:
            whole(path)
        assert "\n" not in str(error.value)
        assert ("is empty (0 bytes)" in str(error.value)) == (share == 0)


@pytest.mark.parametrize("name", [n for n in FILES if not n.endswith((".csv", ".tsv"))])
def test_files_of_something_else_are_refused_by_name(name, small, tmp_path):
    path = write(tmp_path, name, small["X"])
    path.write_bytes(b"id,f0,f1\na,1,2\n" * 50)
    with pytest.raises(DumpError, match=f"{re.escape(path.name)} cannot be read as an? "):
        whole(path)


@pytest.mark.parametrize("name", ["compressed.npz", "x.parquet", "chunked.hdf5", "x.feather"])
def test_damage_found_while_reading_is_refused_by_name(name, small, tmp_path):
    path = write(tmp_path, name, small["X"], LABELS, IDS)
    content = bytearray(path.read_bytes())
    refused = 0
    for place in range(len(content) // 8, len(content) // 2, len(content) // 40):
        spoiled = bytearray(content)
        spoiled[place : place + 32] = bytes(32)
        path.write_bytes(spoiled)
        try:
            whole(path)
        except DumpError as error:
            assert path.name in str(error)
            refused += 1
    assert refused


@pytest.mark.parametrize("name", WRITERS)
def test_files_without_rows_are_refused(name, small, tmp_path):
    if name == "fixed.parquet" or name.endswith(".zarr") or name == "chunked.hdf5":
        pytest.skip("its writer takes at least one row")
    path = write(tmp_path, name, small["X"][:0], LABELS[:0], IDS[:0])
    with pytest.raises(DumpError, match=rf"{re.escape(path.name)} holds features of shape \(0, "):
        load_features(path)


def test_an_empty_line_is_no_csv(tmp_path):
    (tmp_path / "x.csv").write_text("\n \n")
    with pytest.raises(DumpError, match=r"x\.csv has no line"):
        load_features(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "model.joblib", "unknown"])
def test_pickles_are_refused_and_not_loaded(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "loaded")))
    for load in (load_features, load_labels, load_head, describe):
        with pytest.raises(DumpError, match="is a pickle: to load one is to run whatever code"):
            load(path)
    assert not (tmp_path / "loaded").exists()


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_objects_in_numpy_files_are_refused_and_not_loaded(small, tmp_path):
    objects = np.array([[Bomb(tmp_path / "loaded")]], dtype=object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", features=objects, labels=objects[0], X=small["X"])
    for load in (load_features, load_labels):
        with pytest.raises(DumpError, match=r"x\.npy is a pickle"):
            load(tmp_path / "x.npy")
    for load, key in ((load_features, "features"), (load_labels, "labels")):
        with pytest.raises(DumpError, match=f"The array '{key}' in .*x.npz is a pickle"):
            load(tmp_path / "x.npz", key=key)
    assert load_features(tmp_path / "x.npz").shape == (60, 12)
    assert describe(tmp_path / "x.npz").contents[0].dtype == "object"
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_pickled_chunks_of_zarr_are_refused_and_not_loaded(place, tmp_path, monkeypatch):
    package("zarr")
    pickles = pytest.importorskip("numcodecs.pickles")
    # Newer releases decode pickles only if told to, older ones do so by themselves.
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    shape = {
        "zarr_format": 2,
        "shape": [3],
        "chunks": [3],
        "dtype": "|O",
        "fill_value": "",
        "order": "C",
    }
    codecs = {"compressor": None, "filters": [{"id": "vlen-utf8"}]}
    codec = {"id": "pickle", "protocol": 5}
    codecs[place] = codec if place == "compressor" else [*codecs[place], codec]
    folder = tmp_path / "x.zarr"
    folder.mkdir()
    (folder / ".zarray").write_text(json.dumps(shape | codecs))
    (folder / "0").write_bytes(pickle.dumps(Bomb(tmp_path / "loaded")))
    for load in (load_features, load_labels, load_head, describe):
        with pytest.raises(DumpError, match=r"x\.zarr is a pickle"):
            load(folder)
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("name", ["x.npz", "x.h5", "x.safetensors", "x.zarr"])
def test_a_key_that_is_not_there_lists_what_is(name, small, tmp_path):
    path = write(tmp_path, name, small["X"], LABELS)
    for load in (load_features, load_labels):
        with pytest.raises(DumpError, match=r"has no array 'z', got .*\(60, 12\) float32"):
            load(path, key="z")
    labels = "label_list" if name == "x.npz" else "dump/labels" if name == "x.h5" else "labels"
    with pytest.raises(DumpError, match=rf"'{labels}' in .* has shape \(60,\) and dtype int64"):
        load_features(path, key=labels)


def test_columns_that_are_not_there_list_what_is(small, tmp_path):
    path = write(tmp_path, "x.csv", small["X"], LABELS)
    for arguments in ({"columns": "g*"}, {"columns": ["f0", "g"]}, {"index": "g"}, {"key": "g"}):
        with pytest.raises(DumpError, match=r"x\.csv has no column 'g.*got 'f0' \(numbers\)"):
            load_features(path, **arguments)
    with pytest.raises(DumpError, match=r"no column 'g' of labels among 'f0'"):
        load_labels(path, key="g")
    with pytest.raises(ValueError, match="columns must name at least one column"):
        load_features(path, columns=[])
    with pytest.raises(ValueError, match="key='f0' and columns='f1' both name columns"):
        load_features(path, key="f0", columns="f1")


def test_columns_for_a_file_of_arrays(small, tmp_path):
    path = write(tmp_path, "x.npz", small["X"])
    with pytest.raises(ValueError, match="columns are those of a table"):
        load_features(path, columns="f*")


def test_several_arrays_are_listed_with_their_shapes(small, tmp_path):
    np.savez(tmp_path / "x.npz", train=small["X"], test=small["X"][:9], weight=small["weight"])
    with pytest.raises(DumpError, match=r"'train' \(60, 12\) float32, 'test' \(9, 12\).*key="):
        load_features(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", train_label=LABELS, test_label=LABELS)
    with pytest.raises(DumpError, match=r"are labels.*'train_label' \(60,\) int64.*key="):
        load_labels(tmp_path / "y.npz")
    np.savez(tmp_path / "z.npz", **{f"a{i}": small["X"] for i in range(20)})
    with pytest.raises(DumpError, match="and 12 more"):
        load_features(tmp_path / "z.npz")


@pytest.mark.parametrize("shape", [(60,), (60, 12, 1, 1), ()])
def test_features_of_other_shapes_are_refused(shape, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    remedy = "Pool or flatten" if len(shape) > 2 else "Write it again"
    with pytest.raises(DumpError, match=rf"has shape {re.escape(str(shape))}.*{remedy}"):
        load_features(tmp_path / "x.npy")


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[s]", "V2"])
def test_features_of_other_types_are_refused(dtype, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2), dtype))
    with pytest.raises(DumpError, match=r"x\.npy has shape \(3, 2\) and dtype .*real numbers"):
        load_features(tmp_path / "x.npy")


def test_columns_that_may_be_no_features_are_named(small, tmp_path):
    package("pyarrow")
    table = frame(small["X"], LABELS, IDS).assign(n_words=np.arange(60))
    table.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DumpError, match=r"13 columns of numbers, of which 'n_words' \(int64\) may"):
        load_features(tmp_path / "x.parquet")
    assert load_features(tmp_path / "x.parquet", index="n_words").shape == (60, 12)
    assert load_features(tmp_path / "x.parquet", columns="f*").shape == (60, 12)
    table.assign(n_words=0.5).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DumpError, match=r"of which 'n_words' \(numbers\) may be no features"):
        load_features(tmp_path / "x.csv")


def test_tables_without_features_or_with_several_columns_of_lists(small, tmp_path):
    pyarrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    lists = pyarrow.array(small["X"].tolist())
    parquet.write_table(pyarrow.table({"a": lists, "b": lists}), tmp_path / "x.parquet")
    with pytest.raises(DumpError, match=r"several columns of lists among 'a' \(list<"):
        load_features(tmp_path / "x.parquet")
    assert load_features(tmp_path / "x.parquet", key="b").shape == (60, 12)
    with pytest.raises(DumpError, match="columns of numbers or one column of lists"):
        load_features(tmp_path / "x.parquet", columns=["a", "b"])
    parquet.write_table(pyarrow.table({"id": IDS}), tmp_path / "x.parquet")
    with pytest.raises(DumpError, match="no column of numbers or lists among 'id'"):
        load_features(tmp_path / "x.parquet")


@pytest.mark.parametrize("spoiled", [None, [1.0, 2.0]])
def test_lists_of_different_lengths_are_refused_with_their_row(spoiled, small, tmp_path):
    pyarrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    lists = [*small["X"][:20].tolist(), spoiled]
    parquet.write_table(pyarrow.table({"z": lists}), tmp_path / "x.parquet", row_group_size=8)
    got = "no list" if spoiled is None else "a list of length 2"
    with pytest.raises(DumpError, match=rf"x\.parquet has lists of length 12, but row 20 .*{got}"):
        load_features(tmp_path / "x.parquet")[:]


def test_columns_of_one_name_are_refused(small, tmp_path):
    pyarrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    table = pyarrow.Table.from_arrays([pyarrow.array([1.0])] * 3, ["f0", "f0", "f1"])
    parquet.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("f0,f0,f1\n1,2,3\n")
    for name in ("x.parquet", "x.csv"):
        with pytest.raises(DumpError, match=r"several columns of the same name, \['f0'\]"):
            load_features(tmp_path / name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,three", r"has 'three' at row 2 .*column 'f2', where a number is expected"),
        ("1,,3", r"no number at row 2 .*column 'f1'"),
        ("1,nan,3", r"no number at row 2 .*column 'f1'"),
        ("1,2", r"no number at row 2 .*column 'f2'.*cut short"),
        ("1,2,3,4", r"cannot be read as a CSV file: .*Expected 3 fields.*saw 4"),
    ],
)
def test_lines_that_are_no_rows_are_refused_with_their_place(line, message, tmp_path):
    (tmp_path / "x.csv").write_text(f"f0,f1,f2\n1,2,3\n4,5,6\n{line}\n")
    with pytest.raises(DumpError, match=rf"x\.csv.*{message}"):
        load_features(tmp_path / "x.csv", columns=["f0", "f1", "f2"])[:]


def test_lines_that_are_all_longer_than_the_names(tmp_path):
    (tmp_path / "x.csv").write_text("f0,f1\n1,2,3\n4,5,6\n")
    with pytest.raises(DumpError, match=r"x\.csv"):
        load_features(tmp_path / "x.csv")[:]


def test_a_table_that_changes_is_noticed(small, tmp_path):
    path = write(tmp_path, "x.csv", small["X"])
    dump = open_features(path)
    frame(small["X"][:59]).to_csv(path, index=False)
    with pytest.raises(DumpError, match=r"x\.csv gave 59 rows, where 60 were counted"):
        dump[:]


def test_plain_numbers_that_do_not_fit_the_shape(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(96))
    with pytest.raises(DumpError, match=r"x\.bin has 96 bytes of plain numbers.*shape=\(-1, 512\)"):
        load_features(path)
    for shape, offset in (((3, 5), 0), ((-1, 7), 0), ((8, 3), 12), ((-1, 5), 200)):
        with pytest.raises(DumpError, match=r"rows of shape=.*written with"):
            load_features(path, shape=shape, dtype="f4", offset=offset)
    for shape in ((8, 0), (-2, 3), ()):
        with pytest.raises(ValueError, match="shape must be"):
            load_features(path, shape=shape, dtype="f4")
    for dtype in ("no type", "U3", "complex64"):
        with pytest.raises(TypeError, match="dtype must be"):
            load_features(path, shape=(-1, 3), dtype=dtype)


def test_a_shape_for_a_file_that_has_one(small, tmp_path):
    np.save(tmp_path / "x.npy", small["X"])
    with pytest.raises(ValueError, match="format 'npy', which has them"):
        load_features(tmp_path / "x.npy", shape=(60, 12))


def test_unknown_formats(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"something else")
    with pytest.raises(DumpError, match=r"x\.onnx is of no known format.*\.parquet"):
        load_features(path)
    with pytest.raises(ValueError, match=r"format must be one of .*'parquet'.*got 'onnx'"):
        load_features(path, format="onnx")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_features(tmp_path / "nowhere.npy")


def test_an_old_feather_file(tmp_path):
    package("pyarrow")
    (tmp_path / "x.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(DumpError, match="Feather file of the first version"):
        load_features(tmp_path / "x.feather")


def test_zips_groups_and_files_without_arrays(tmp_path):
    from zipfile import ZipFile

    with ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("notes.txt", "x")
    with package("h5py").File(tmp_path / "x.h5", "w") as file:
        file.create_group("empty")
    package("zarr").open_group(tmp_path / "x.zarr", mode="w")
    for name in ("x.npz", "x.h5", "x.zarr"):
        with pytest.raises(DumpError, match=f"{re.escape(name)} is .* without "):
            load_features(tmp_path / name)


def test_lost_chunks_of_zarr_are_told(small, tmp_path):
    path = write(tmp_path, "array.zarr", small["X"])
    (path / "c" / "3" / "0").unlink()
    with pytest.warns(UserWarning, match=r"1 chunks of the array '' in .* are not there"):
        load_features(path)


@pytest.mark.parametrize(
    ("package_name", "file", "extra"),
    [
        ("pyarrow", "x.parquet", "io"),
        ("pyarrow", "x.feather", "io"),
        ("safetensors", "x.safetensors", "io"),
        ("h5py", "x.h5", "io"),
        ("zarr", "x.zarr", "zarr"),
    ],
)
def test_a_package_that_is_missing_is_named(
    package_name, file, extra, small, tmp_path, monkeypatch
):
    path = write(tmp_path, file, small["X"])
    for module in [package_name, *sys.modules]:
        if module.partition(".")[0] == package_name:
            monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"need {package_name}, which cannot") as error:
        load_features(path)
    assert f"pip install 'skweiper[{extra}]'" in str(error.value)


def test_a_table_of_pandas_keeps_missing_numbers_for_the_estimator(tmp_path, small):
    package("pyarrow")
    from skweiper.baselines import KNNDetector

    table = frame(small["X"]).astype("Float32")
    table.iloc[17, 3] = pd.NA
    table.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="NaN at row 17, column 3"):
        KNNDetector().fit(load_features(tmp_path / "x.parquet"))
