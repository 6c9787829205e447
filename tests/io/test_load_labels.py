"""Labels from files, beside features or alone."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skweiper.io import DumpError, load_labels
from tests.dump_files import WITH_LABELS, frame, package, write

LABELS = np.arange(60) % 5 - 1
WORDS = np.array(["cat", "dog", "fish"])[np.arange(60) % 3]


@pytest.mark.parametrize("name", sorted(WITH_LABELS))
def test_labels_beside_features(name, small, tmp_path):
    found = load_labels(write(tmp_path, name, small["X"], LABELS))
    assert found.dtype.kind == "i"
    assert_array_equal(found, LABELS)


@pytest.mark.parametrize("name", sorted(WITH_LABELS - {"x.safetensors", "x.zarr", "x.h5"}))
def test_labels_of_text(name, small, tmp_path):
    if name == "chunked.hdf5":
        pytest.skip("h5py takes no text of NumPy's")
    found = load_labels(write(tmp_path, name, small["X"], WORDS))
    assert found.dtype.kind == "U"
    assert_array_equal(found, WORDS)


@pytest.mark.parametrize("shape", [(60,), (60, 1)])
def test_labels_alone(shape, tmp_path):
    np.save(tmp_path / "x.npy", LABELS.reshape(shape))
    np.savetxt(tmp_path / "x.csv", LABELS, fmt="%d")
    for name in ("x.npy", "x.csv"):
        assert_array_equal(load_labels(tmp_path / name), LABELS)


def test_labels_by_key(small, tmp_path):
    np.savez(tmp_path / "x.npz", train=small["X"], train_label=LABELS, test_label=LABELS[:9])
    assert_array_equal(load_labels(tmp_path / "x.npz", key="test_label"), LABELS[:9])
    pd.DataFrame({"kind": WORDS, "y": LABELS}).to_csv(tmp_path / "x.csv", index=False)
    assert_array_equal(load_labels(tmp_path / "x.csv", key="kind"), WORDS)
    assert_array_equal(load_labels(tmp_path / "x.csv"), LABELS)
    with pytest.raises(DumpError, match=r"has shape \(60, 12\), where labels have shape"):
        load_labels(tmp_path / "x.npz", key="train")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_without_a_label_are_named(ending, small, tmp_path):
    package("pyarrow")
    labels = pd.Series(LABELS, dtype="Int64").mask(np.arange(60) > 57)
    getattr(frame(small["X"], labels), f"to_{ending}")(tmp_path / f"x.{ending}", index=False)
    with pytest.raises(DumpError, match="no label in column 'label' at row 58 and 1 more"):
        load_labels(tmp_path / f"x.{ending}")


def test_tables_without_labels_or_with_several(small, tmp_path):
    frame(small["X"]).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DumpError, match=r"no column of labels among 'f0'.*key="):
        load_labels(tmp_path / "x.csv")
    frame(small["X"], LABELS).assign(target=LABELS).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DumpError, match="several columns of labels among 'label', 'target'"):
        load_labels(tmp_path / "x.csv")
