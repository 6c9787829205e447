"""What is in a file, without its values."""

import numpy as np
import pytest

from skweiper.io import FileDescription, describe
from tests.dump_files import WITH_IDS, WITH_LABELS, WITH_NAMES, WRITERS, frame, package, write

LABELS = np.arange(60) % 5
IDS = np.array([f"row-{i:03d}" for i in range(60)])


@pytest.mark.parametrize("name", WRITERS)
def test_features_labels_and_ids_are_told(name, small, tmp_path):
    found = describe(write(tmp_path, name, small["X"], LABELS, IDS))
    assert isinstance(found, FileDescription)
    assert (found.n_files, found.note) == (1, "")
    assert found.format in name or found.format in ("feather", "hdf5", "csv")
    (features,) = found.with_role("features")
    assert features.shape == (60, 12)
    assert (features.name == "f0 .. f11") == (name in WITH_NAMES)
    labels, index = found.with_role("labels"), found.with_role("index")
    assert [each.shape for each in labels] == [(60,)] * (name in WITH_LABELS)
    assert [each.shape for each in index] == [(60,)] * (name in WITH_IDS)
    assert found.to_frame().shape == (len(found.contents), 4)


def test_a_head_is_told(small, tmp_path):
    np.savez(tmp_path / "x.npz", **{"fc.weight": small["weight"], "fc.bias": small["bias"]})
    assert [tuple(each) for each in describe(tmp_path / "x.npz").contents] == [
        ("fc.weight", (5, 12), "float64", "weight"),
        ("fc.bias", (5,), "float64", "bias"),
    ]


def test_parts_count_as_one(small, tmp_path):
    for number, rows in enumerate((slice(0, 10), slice(10, 60))):
        np.save(tmp_path / f"{number}.npy", small["X"][rows])
        frame(small["X"][rows]).to_csv(tmp_path / f"{number}.csv")
    for ending in ("npy", "csv"):
        found = describe(f"{tmp_path}/*.{ending}")
        assert found.n_files == 2
        assert found.with_role("features")[0].shape == (60, 12)


def test_files_that_are_no_parts_are_told_one_by_one(small, tmp_path):
    np.save(tmp_path / "bias.npy", small["bias"])
    np.save(tmp_path / "weight.npy", small["weight"])
    bias, weight = describe(tmp_path).contents
    assert (bias.shape, bias.role) == ((5,), "bias") and "bias.npy" in bias.name
    assert (weight.shape, weight.role) == ((5, 12), "weight")


def test_columns_that_cannot_be_told_are_listed_with_the_reason(small, tmp_path):
    package("pyarrow")
    frame(small["X"], LABELS).assign(n_words=3).to_parquet(tmp_path / "x.parquet")
    found = describe(tmp_path / "x.parquet")
    assert "of which 'n_words' (int64) may be no features" in found.note
    assert len(found.contents) == 14 and not found.with_role("features")


def test_plain_numbers_need_their_shape(tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(96))
    found = describe(tmp_path / "x.bin", shape=(-1, 3), dtype="f2")
    assert found.contents[0] == ("", (16, 3), "float16", "features")
