"""Final layers from every format, found by name or by shape."""

import sys
from types import SimpleNamespace
from zipfile import is_zipfile

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skweiper import WeiPerDetector
from skweiper.io import DumpError, load_features, load_head
from tests.dump_files import NAMES, package
from tests.tensors import BFloat16Tensor


@pytest.fixture
def weight(small):
    return small["weight"]


@pytest.fixture
def bias(small):
    return small["bias"]


def assert_head(found, weight, bias):
    assert found[0].dtype == found[1].dtype == np.float64
    assert_array_equal(found[0], weight)
    assert_array_equal(found[1], bias)


def save_npz(path, arrays):
    np.savez(path, **arrays)


def save_safetensors(path, arrays):
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    package("safetensors.numpy").save_file(kept, path)


def save_hdf5(path, arrays):
    with package("h5py").File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def save_zarr(path, arrays):
    zarr = package("zarr")
    zarr.open_group(path, mode="w")
    for name, array in arrays.items():
        zarr.create_array(str(path), name=name, data=np.asarray(array))


SAVE = {
    "x.npz": save_npz,
    "x.safetensors": save_safetensors,
    "x.h5": save_hdf5,
    "x.zarr": save_zarr,
}


@pytest.mark.parametrize("file", SAVE)
@pytest.mark.parametrize(
    "layer", ["", "fc.", "classifier.", "module.head.", "model.heads.head.", "fc_", "net.head.fc."]
)
def test_the_layer_with_the_name_of_a_head(file, layer, weight, bias, tmp_path):
    others = {"body.attention.weight": np.ones((12, 12)), "body.attention.bias": np.ones(12)}
    others |= {"body.norm.weight": np.ones(12), "conv.weight": np.ones((5, 3, 2, 2))}
    SAVE[file](tmp_path / file, {**others, f"{layer}weight": weight, f"{layer}bias": bias})
    assert_head(load_head(tmp_path / file), weight, bias)
    detector = WeiPerDetector(*load_head(tmp_path / file), n_repeats=2)
    assert detector.fit(np.eye(12)).score_samples(np.eye(12)).shape == (12,)


@pytest.mark.parametrize("names", [("W", "b"), ("coef_", "intercept_"), ("arr_0", "arr_1")])
def test_other_names(names, weight, bias, tmp_path):
    np.savez(tmp_path / "x.npz", **dict(zip(names, (weight, bias), strict=True)))
    assert_head(load_head(tmp_path / "x.npz"), weight, bias)


def test_the_only_layer_whatever_its_name(weight, bias, tmp_path):
    np.savez(tmp_path / "x.npz", **{"top.3.weight": weight, "top.3.bias": bias})
    assert_head(load_head(tmp_path / "x.npz"), weight, bias)


def test_a_layer_without_bias(weight, tmp_path):
    np.save(tmp_path / "x.npy", weight)
    np.savez(tmp_path / "x.npz", **{"fc.weight": weight, "norm.bias": np.ones(5)})
    for name in ("x.npy", "x.npz"):
        assert_head(load_head(tmp_path / name), weight, np.zeros(5))


def test_layers_by_key_and_width(weight, bias, tmp_path):
    layers = {"a.weight": weight, "a.bias": bias, "b.weight": weight[:, :7], "b.bias": bias + 1}
    np.savez(tmp_path / "x.npz", **layers)
    with pytest.raises(DumpError, match=r"several layers.*'a\.weight' \(5, 12\).*'b\.weight'"):
        load_head(tmp_path / "x.npz")
    for key in ("b", "b.", "b.weight"):
        assert_head(load_head(tmp_path / "x.npz", key=key), weight[:, :7], bias + 1)
    assert_head(load_head(tmp_path / "x.npz", n_features=12), weight, bias)
    assert_head(load_head(tmp_path / "x.npz", key="b", bias="a.bias"), weight[:, :7], bias)
    with pytest.raises(DumpError, match=r"no layer for 99 features.*'a\.weight'"):
        load_head(tmp_path / "x.npz", n_features=99)
    with pytest.raises(DumpError, match=r"no array 'c' \(bias=\), got 'a\.weight'"):
        load_head(tmp_path / "x.npz", bias="c")
    with pytest.raises(DumpError, match=r"no layer.*'a\.weight'.*Pass key="):
        load_head(tmp_path / "x.npz", key="c")


def test_any_array_may_be_named(weight, bias, tmp_path):
    np.savez(tmp_path / "x.npz", **{"fc.weight": np.eye(5), "Wlast": weight, "c": bias})
    assert_head(load_head(tmp_path / "x.npz", key="Wlast", bias="c"), weight, bias)


@pytest.mark.parametrize("names", [("dense/kernel:0", "dense/bias:0"), ("l/vars/0", "l/vars/1")])
def test_kernels_of_keras_are_turned(names, weight, bias, tmp_path):
    save_hdf5(tmp_path / "x.h5", dict(zip(names, (weight.T, bias), strict=True)))
    assert_head(load_head(tmp_path / "x.h5"), weight, bias)


def test_a_square_weight_is_turned_by_its_name_only(tmp_path):
    square = np.arange(9.0).reshape(3, 3)
    np.savez(tmp_path / "x.npz", weight=square)
    np.savez(tmp_path / "y.npz", kernel=square)
    assert_head(load_head(tmp_path / "x.npz"), square, np.zeros(3))
    assert_head(load_head(tmp_path / "y.npz"), square.T, np.zeros(3))


def test_a_weight_is_turned_where_only_so_the_features_fit(weight, tmp_path):
    np.savez(tmp_path / "x.npz", weight=weight.T)
    assert_head(load_head(tmp_path / "x.npz", n_features=12), weight, np.zeros(5))


def test_features_and_head_in_one_file(small, weight, bias, tmp_path):
    np.savez(tmp_path / "x.npz", features=small["X"], weight=weight, bias=bias)
    assert_head(load_head(tmp_path / "x.npz"), weight, bias)
    assert_array_equal(load_features(tmp_path / "x.npz")[:], small["X"])


def test_a_folder_of_npy_files(weight, bias, tmp_path):
    np.save(tmp_path / "weight.npy", weight)
    np.save(tmp_path / "bias.npy", bias)
    assert_head(load_head(tmp_path), weight, bias)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_with_a_row_per_class(ending, weight, bias, tmp_path):
    package("pyarrow")
    classes = pd.Index([f"class {i}" for i in range(5)], name="class_name")
    table = pd.DataFrame(weight, columns=NAMES, index=classes)
    path = tmp_path / f"x.{ending}"
    getattr(table, f"to_{ending}")(path)
    assert_head(load_head(path), weight, np.zeros(5))
    getattr(table.assign(bias=bias), f"to_{ending}")(path)
    assert_head(load_head(path), weight, bias)
    assert_head(load_head(path, bias="bias", n_features=12), weight, bias)
    with pytest.raises(DumpError, match="has no column 'offset'"):
        load_head(path, bias="offset")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_half_and_double_precision(dtype, weight, bias, tmp_path):
    save_safetensors(tmp_path / "x.safetensors", {"w": weight.astype(dtype), "b": bias})
    assert_head(load_head(tmp_path / "x.safetensors"), weight.astype(dtype), bias)


def test_values_that_are_not_finite_are_refused_by_the_name_of_the_file(weight, tmp_path):
    np.save(tmp_path / "x.npy", np.where(weight > 1, np.nan, weight))
    with pytest.raises(DumpError, match=r"x\.npy: weight contains NaN or infinity"):
        load_head(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", weight)
    with pytest.raises(DumpError, match="no layer for 7 features"):
        load_head(tmp_path / "x.npy", n_features=7)


def test_files_without_a_layer(small, tmp_path):
    np.savez(tmp_path / "x.npz", labels=np.arange(5))
    with pytest.raises(DumpError, match=r"no layer that may be the head: 'labels' \(5,\) int64"):
        load_head(tmp_path / "x.npz")
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", weight=small["weight"])
    with pytest.raises(DumpError, match="3 parts; a head is in one file"):
        load_head(f"{tmp_path}/*.npz")
    with pytest.raises(TypeError, match="path must be the path of one file"):
        load_head([tmp_path / "0.npz"])


@pytest.fixture
def torch(monkeypatch):
    """As much of PyTorch as is used here, with files of NumPy's: it loads tensors only."""

    class FakeTensor:
        def __init__(self, values):
            self.values, self.shape = values, values.shape
            self.dtype = f"torch.{values.dtype}"

        def detach(self):
            return self

        cpu = detach

        def numpy(self):
            return self.values

    def load(path, *, map_location, weights_only, mmap):
        assert map_location == "cpu" and weights_only is True
        if not is_zipfile(path):
            raise RuntimeError("PytorchStreamReader failed reading zip archive")
        content = np.load(path, allow_pickle=False)
        if "code" in content:
            raise RuntimeError("Weights only load failed. Re-running with `weights_only`=False ...")
        tensors = {name: FakeTensor(content[name]) for name in content}
        bfloat16 = {n: BFloat16Tensor(t.values) for n, t in tensors.items() if "half" in n}
        return {"epoch": 3, "state_dict": tensors | bfloat16, "path": "x"}

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load))


def as_torch(path, **arrays):
    np.savez(path.with_suffix(".npz"), **arrays)
    path.with_suffix(".npz").rename(path)
    return path


def test_checkpoints_of_torch_with_tensors_only(torch, weight, bias, small, tmp_path):
    path = as_torch(tmp_path / "x.pt", **{"fc.weight": weight, "fc.bias": bias, "b.weight": bias})
    assert_head(load_head(path), weight, bias)
    assert_head(load_head(path, key="state_dict/fc"), weight, bias)
    dump = as_torch(tmp_path / "dump.pth", features=small["X"])
    assert_array_equal(load_features(dump)[:], small["X"])
    halves = as_torch(tmp_path / "halves.pth", half_features=small["X"])
    np.testing.assert_allclose(load_features(halves)[3:9], small["X"][3:9], rtol=2**-7)
    with pytest.raises(DumpError, match=r"code\.pt holds more than tensors"):
        load_head(as_torch(tmp_path / "code.pt", code=weight))
    (tmp_path / "x.pt").write_bytes(b"PK\3\4")
    with pytest.raises(DumpError, match=r"x\.pt cannot be read as a PyTorch file"):
        load_head(tmp_path / "x.pt")


def test_torch_that_is_missing_is_named(monkeypatch, weight, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"PyTorch files need torch.*pip install torch"):
        load_head(as_torch(tmp_path / "x.pt", weight=weight))


def test_torch_itself(weight, bias, small, tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(12, 5)
    with torch.no_grad():
        layer.weight[:], layer.bias[:] = torch.tensor(weight), torch.tensor(bias)
    model = torch.nn.Sequential()
    model.add_module("body", torch.nn.Linear(12, 12))
    model.add_module("fc", layer)
    for legacy in (False, True):
        kind = {"_use_new_zipfile_serialization": not legacy}
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "x.pt", **kind)
        assert_head(load_head(tmp_path / "x.pt"), weight.astype("f4"), bias.astype("f4"))
        torch.save(torch.tensor(small["X"]), tmp_path / "x.pt", **kind)
        assert_array_equal(load_features(tmp_path / "x.pt")[3:9], small["X"][3:9])
    torch.save(torch.tensor(small["X"]).bfloat16(), tmp_path / "x.pt")
    assert load_features(tmp_path / "x.pt").dtype == np.float32
    torch.save(model, tmp_path / "x.pt")
    with pytest.raises(DumpError, match="holds more than tensors"):
        load_head(tmp_path / "x.pt")
