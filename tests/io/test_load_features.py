"""Features from every format: the same values, names, ids and scores, as they were written."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skweiper import WeiPerDetector
from skweiper.io import FeatureDump, load_features, open_features
from tests.dump_files import (
    NAMES,
    WITH_IDS,
    WITH_NAMES,
    WITHOUT_TYPES,
    WRITERS,
    package,
    write,
)

LABELS = np.arange(60) % 5
IDS = np.array([f"row-{i:03d}" for i in range(60)])


@pytest.fixture(params=WRITERS)
def name(request):
    return request.param


@pytest.fixture
def dump(name, small, tmp_path):
    return open_features(write(tmp_path, name, small["X"], LABELS, IDS))


def test_values_are_those_that_were_written(name, dump, small):
    X = small["X"]
    assert dump.shape == X.shape and len(dump) == 60 and dump.ndim == 2
    assert dump.dtype == (np.float64 if name in WITHOUT_TYPES else np.float32)
    assert_array_equal(np.asarray(dump), X)
    assert dump.feature_names == (NAMES if name in WITH_NAMES else None)


def test_ids_are_the_index(name, dump):
    if name in WITH_IDS:
        assert_array_equal(dump.index, IDS)
        assert dump.index.name in ("id", "ids", "dump/ids")
    else:
        assert dump.index is None


ONE_BYTE_ORDER = {"x.parquet", "lists.parquet", "fixed.parquet", "x.feather", "stream.arrow"}
ONE_BYTE_ORDER |= {"x.safetensors", "x.zarr", "array.zarr"}
"""Formats, or versions of their packages, without numbers of the other order of bytes."""


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", ">f4", "bool"])
def test_types_of_numbers(name, dtype, small, tmp_path):
    if dtype == ">f4" and name in ONE_BYTE_ORDER:
        pytest.skip("one order of bytes only")
    X = (small["X"] * 3).astype(dtype)
    dump = open_features(write(tmp_path, name, X))
    is_kept = dtype.startswith((">f", "float")) and name not in WITHOUT_TYPES
    assert dump.dtype.kind == ("f" if is_kept else dump.dtype.kind)
    assert dump.dtype.itemsize == (X.itemsize if is_kept else dump.dtype.itemsize)
    assert_array_equal(np.asarray(dump), X)


def test_rows_are_chosen_as_from_an_array(dump, small):
    X = small["X"]
    mask = np.arange(60) % 7 == 3
    choices = [slice(3, 40), slice(None), slice(50, 200), slice(None, None, -7), slice(9, 2)]
    choices += [slice(-5, None), [5], [7, 3, 3, 50], [-1, 0], mask, np.arange(59, -1, -1), []]
    for rows in choices:
        expected = X[np.asarray(rows, int)] if isinstance(rows, list) else X[rows]
        found = dump[rows]
        assert isinstance(found, np.ndarray) and found.shape == expected.shape
        assert_array_equal(found, expected)
    assert_array_equal(dump[3], X[3])
    assert_array_equal(dump[-1, ...], X[-1])
    assert_array_equal(dump[[4, 2], :], X[[4, 2]])


def test_rows_that_are_not_there_are_refused(dump):
    for rows in ([60], [-61], np.ones(59, bool), ["a"], [0.5], [[1]]):
        with pytest.raises(IndexError):
            dump[rows]
    with pytest.raises(TypeError, match="sliced by rows only"):
        dump[:, 3]
    with pytest.raises(AttributeError):
        dump.index = IDS


def test_parts_are_the_rows_in_order(name, dump, small):
    parts = list(dump.parts(17))
    assert [len(part) for part in parts] == [17, 17, 17, 9]
    assert_array_equal(np.concatenate([part[:] for part in parts]), small["X"])
    assert all(isinstance(part, FeatureDump) for part in parts)
    if name in WITH_IDS:
        assert_array_equal(np.concatenate([part.index for part in parts]), IDS)
    inner = dump.part(10, 50).part(5, 20)
    assert_array_equal(inner[[3, 1]], small["X"][[18, 16]])
    assert inner.feature_names == dump.feature_names
    with pytest.raises(ValueError, match="n_rows must be at least 1"):
        next(dump.parts(0))


def test_a_pickled_dump_is_read_from_its_file(dump, small):
    dump[:7]
    pickled = pickle.dumps(dump)
    assert len(pickled) < 5_000
    assert_array_equal(pickle.loads(pickled)[:], small["X"])


def test_scores_are_those_of_the_array(name, small, tmp_path):
    path = write(tmp_path, name, small["X"], LABELS, IDS)
    y = np.where(LABELS == 3, -1, 1)
    head = small["weight"], small["bias"]
    detector = WeiPerDetector(*head, n_repeats=3, engine="numpy", random_state=0)
    expected = detector.fit(small["X"], y).score_samples(small["X"])
    X = load_features(path)
    assert_array_equal(detector.fit(X, y).score_samples(X), expected)
    parts = [detector.score_samples(part) for part in open_features(path).parts(17)]
    assert_array_equal(np.concatenate(parts), expected)


def test_all_values_at_once(name, small, tmp_path):
    path = write(tmp_path, name, small["X"], LABELS, IDS)
    X = load_features(path, mmap=False)
    if name in WITH_IDS:
        assert isinstance(X, pd.DataFrame)
        assert_array_equal(X.index, IDS)
        assert list(X) == (NAMES if name in WITH_NAMES else list(range(12)))
    else:
        assert type(X) is np.ndarray and X.flags.writeable
    assert_array_equal(np.asarray(X), small["X"])


def test_an_npy_file_is_mapped(small, tmp_path):
    for order in "CF":
        np.save(tmp_path / "x.npy", np.asarray(small["X"], order=order))
        X = load_features(tmp_path / "x.npy")
        assert isinstance(X, np.memmap) and not X.flags.writeable
        assert_array_equal(X, small["X"])


def test_plain_numbers_with_a_shape(small, tmp_path):
    path = tmp_path / "x.bin"
    X = small["X"].astype(np.float16)
    path.write_bytes(b"\0" * 6 + X.tobytes())
    for shape in ((60, 12), (-1, 12)):
        found = load_features(path, shape=shape, dtype="float16", offset=6)
        assert isinstance(found, np.memmap)
        assert_array_equal(found, X)
    other = tmp_path / "x.f16"
    other.write_bytes(X.tobytes())
    assert_array_equal(load_features(other, shape=(-1, 12), dtype=np.float16), X)


def test_numbers_that_begin_anywhere_are_aligned_when_read(small, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"\0" * 3 + small["X"].tobytes())
    dump = load_features(path, shape=(-1, 12), dtype="float32", offset=3)
    assert isinstance(dump, FeatureDump) and dump[4:9].flags.aligned
    assert_array_equal(dump[:], small["X"])


def test_bfloat16_in_safetensors_is_read_as_float32(small, tmp_path):
    package("safetensors")
    halves = (small["X"].view(np.uint32) >> 16).astype(np.uint16)
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_of("BF16", halves))
    dump = load_features(path)
    assert dump.dtype == np.float32
    assert_array_equal(dump[5:9], (halves.astype(np.uint32) << 16).view(np.float32)[5:9])
    assert_array_equal(dump[[7, 5]], dump[:][[7, 5]])
    np.testing.assert_allclose(dump[:], small["X"], rtol=2**-7)


def safetensors_of(dtype, values):
    import json

    tensor = {"dtype": dtype, "shape": values.shape, "data_offsets": [0, values.nbytes]}
    header = json.dumps({"features": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + values.tobytes()


def test_a_format_may_be_named_or_seen(small, tmp_path):
    np.save(tmp_path / "x.npy", small["X"])
    np.savez(tmp_path / "x.npz", features=small["X"])
    for name in ("x.npy", "x.npz"):
        (tmp_path / name).rename(tmp_path / "dump")
        assert_array_equal(load_features(tmp_path / "dump", mmap=False), small["X"])
        assert_array_equal(load_features(tmp_path / "dump", format=name[2:])[:], small["X"])


def test_the_index_of_pandas_and_several_ids(small, tmp_path):
    package("pyarrow")
    index = pd.MultiIndex.from_arrays([IDS, LABELS], names=["path", "fold"])
    table = pd.DataFrame(small["X"], columns=NAMES, index=index)
    table.to_parquet(tmp_path / "x.parquet")
    dump = open_features(tmp_path / "x.parquet")
    pd.testing.assert_index_equal(dump.index, index)
    pd.testing.assert_frame_equal(dump.to_frame(), table)
    nameless = pd.DataFrame(small["X"], columns=NAMES, index=IDS)
    for name, save in (("x.parquet", nameless.to_parquet), ("x.csv", nameless.to_csv)):
        save(tmp_path / name)
        assert open_features(tmp_path / name).index.name is None
        assert_array_equal(open_features(tmp_path / name).index, IDS)
    chosen = open_features(tmp_path / "x.csv", index=["f3"], columns=["f1", "f0"])
    assert_array_equal(chosen[:].astype(np.float32), small["X"][:, [1, 0]])
    assert chosen.feature_names == ["f1", "f0"] and chosen.index.name == "f3"


def test_columns_by_pattern_and_order(small, tmp_path):
    package("pyarrow")
    path = write(tmp_path, "x.parquet", small["X"], LABELS, IDS)
    dump = open_features(path, columns=["f7", "f1*"])
    assert dump.feature_names == ["f7", "f1", "f10", "f11"]
    assert_array_equal(dump[:], small["X"][:, [7, 1, 10, 11]])
    assert_array_equal(dump.index, IDS)


def test_ids_of_text_keep_what_is_in_the_file(small, tmp_path):
    for ids, dtype in ((["007", "1", "NA"], object), ([7, -1, 0], np.int64)):
        table = pd.DataFrame(small["X"][:3], columns=NAMES).assign(id=ids)
        table.to_csv(tmp_path / "x.csv", index=False)
        index = open_features(tmp_path / "x.csv").index
        assert list(index) == ids
        assert (index.dtype == np.int64) == (dtype is np.int64)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_text_without_names(separator, small, tmp_path):
    X = small["X"].astype(np.float64)
    np.savetxt(tmp_path / "x.csv", X, delimiter=separator, fmt="%.17g")
    dump = open_features(tmp_path / "x.csv")
    assert dump.feature_names is None
    assert_array_equal(dump[:], X)


def test_columns_named_by_their_numbers(small, tmp_path):
    pd.DataFrame(small["X"]).to_csv(tmp_path / "x.csv")
    dump = open_features(tmp_path / "x.csv")
    assert dump.feature_names == [str(i) for i in range(12)]
    assert_array_equal(dump.index, np.arange(60))
    pd.DataFrame(small["X"]).to_csv(tmp_path / "x.csv", index=False)
    assert open_features(tmp_path / "x.csv").shape == (60, 12)


def test_numbers_in_text_are_those_that_were_written(tmp_path):
    values = np.random.RandomState(0).normal(size=(500, 4)) * 10.0 ** np.arange(-150, 150, 75)
    pd.DataFrame(values, columns=list("abcd")).to_csv(tmp_path / "x.csv", index=False)
    assert_array_equal(open_features(tmp_path / "x.csv")[:], values)


def test_stored_and_nested_arrays_by_key(small, tmp_path):
    np.savez(tmp_path / "x.npz", train=small["X"], test=small["X"][:9], weight=small["weight"])
    assert load_features(tmp_path / "x.npz", key="test").shape == (9, 12)
    np.savez(tmp_path / "f.npz", features=np.asfortranarray(small["X"]), weight=small["weight"])
    assert_array_equal(load_features(tmp_path / "f.npz")[3:9], small["X"][3:9])
    path = write(tmp_path, "x.h5", small["X"], LABELS, IDS)
    assert_array_equal(load_features(path, key="dump/features")[:], small["X"])
    assert open_features(path, index="dump/labels").index.tolist() == LABELS.tolist()
    assert open_features(path, index=["dump/labels"]).index.tolist() == LABELS.tolist()
    with pytest.raises(ValueError, match=r"index must name one array of ids, got \['a', 'b'\]"):
        open_features(path, index=["a", "b"])


def test_extension_types_and_text_of_categories(small, tmp_path):
    pyarrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    shaped = pyarrow.fixed_shape_tensor(pyarrow.float32(), [12])
    storage = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(small["X"].ravel()), 12)
    columns = {
        "z": pyarrow.ExtensionArray.from_storage(shaped, storage),
        "id": pyarrow.array(IDS).dictionary_encode(),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet", row_group_size=11)
    dump = open_features(tmp_path / "x.parquet")
    assert_array_equal(dump[:], small["X"])
    assert_array_equal(dump.index, IDS)
