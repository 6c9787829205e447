"""Features, labels and ids written in every format, for the tests of `skweiper.io`."""

import importlib

import numpy as np
import pandas as pd
import pytest

NAMES = [f"f{i}" for i in range(12)]


def package(name):
    """A module of an optional package; the test is skipped without it."""
    pytest.importorskip(name.partition(".")[0])
    return importlib.import_module(name)


def frame(X, labels=None, ids=None):
    table = pd.DataFrame(X, columns=NAMES[: X.shape[1]])
    if labels is not None:
        table["label"] = labels
    if ids is not None:
        table.insert(0, "id", ids)
    return table


def write_npy(path, X, labels=None, ids=None):
    np.save(path, X)


def write_npz(path, X, labels=None, ids=None, save=np.savez):
    arrays = {"feat_list": X, "label_list": labels, "ids": ids}
    save(path, **{name: array for name, array in arrays.items() if array is not None})


def write_compressed_npz(path, X, labels=None, ids=None):
    write_npz(path, X, labels, ids, np.savez_compressed)


def write_csv(path, X, labels=None, ids=None):
    frame(X.astype(np.float64), labels, ids).to_csv(path, index=False)


def write_tsv(path, X, labels=None, ids=None):
    frame(X.astype(np.float64), labels, ids).to_csv(path, index=False, sep="\t")


def write_parquet(path, X, labels=None, ids=None, rows=13):
    parquet, pyarrow = package("pyarrow.parquet"), package("pyarrow")
    table = pyarrow.Table.from_pandas(frame(X, labels, ids), preserve_index=False)
    parquet.write_table(table, path, row_group_size=rows)


def write_parquet_of_lists(path, X, labels=None, ids=None, rows=13):
    parquet, pyarrow = package("pyarrow.parquet"), package("pyarrow")
    parquet.write_table(list_table(pyarrow, X, labels, ids), path, row_group_size=rows)


def list_table(pyarrow, X, labels=None, ids=None):
    kind = pyarrow.list_(pyarrow.from_numpy_dtype(X.dtype))
    columns = {"embedding": pyarrow.array(list(X), kind)}
    if ids is not None:
        columns["id"] = ids
    if labels is not None:
        columns["label"] = labels
    return pyarrow.table(columns)


def write_parquet_of_fixed_lists(path, X, labels=None, ids=None):
    parquet, pyarrow = package("pyarrow.parquet"), package("pyarrow")
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), X.shape[1])
    table = list_table(pyarrow, X, labels, ids)
    parquet.write_table(table.set_column(0, "embedding", lists), path, row_group_size=17)


def write_feather(path, X, labels=None, ids=None):
    package("pyarrow.feather").write_feather(frame(X, labels, ids), path, chunksize=13)


def write_arrow_stream(path, X, labels=None, ids=None):
    ipc, pyarrow = package("pyarrow.ipc"), package("pyarrow")
    table = pyarrow.Table.from_pandas(frame(X, labels, ids), preserve_index=False)
    with ipc.new_stream(str(path), table.schema) as stream:
        stream.write_table(table, max_chunksize=11)


def write_safetensors(path, X, labels=None, ids=None):
    arrays = {"features": X, "labels": labels, "ids": ids}
    kept = {n: np.ascontiguousarray(a) for n, a in arrays.items() if a is not None}
    kept = {name: array for name, array in kept.items() if array.dtype.kind != "U"}
    package("safetensors.numpy").save_file(kept, path)


def write_hdf5(path, X, labels=None, ids=None, **options):
    with package("h5py").File(path, "w") as file:
        file.create_dataset("dump/features", data=X, **options)
        if labels is not None:
            file["dump/labels"] = labels
        if ids is not None:
            text = package("h5py").string_dtype()
            file.create_dataset("dump/ids", data=ids.astype(object), dtype=text)


def write_chunked_hdf5(path, X, labels=None, ids=None):
    chunks = (min(7, len(X)), min(5, X.shape[1]))
    write_hdf5(path, X, labels, ids, chunks=chunks, compression="gzip")


def write_zarr(path, X, labels=None, ids=None):
    zarr = package("zarr")
    zarr.open_group(path, mode="w")
    chunks = (min(7, len(X)), min(5, X.shape[1]))
    zarr.create_array(str(path), name="features", data=X, chunks=chunks)
    if labels is not None:
        zarr.create_array(str(path), name="labels", data=labels)


def write_zarr_array(path, X, labels=None, ids=None):
    package("zarr").create_array(str(path), data=X, chunks=(min(7, len(X)), X.shape[1]))


WRITERS = {
    "x.npy": write_npy,
    "x.npz": write_npz,
    "compressed.npz": write_compressed_npz,
    "x.csv": write_csv,
    "x.tsv": write_tsv,
    "x.csv.gz": write_csv,
    "x.parquet": write_parquet,
    "lists.parquet": write_parquet_of_lists,
    "fixed.parquet": write_parquet_of_fixed_lists,
    "x.feather": write_feather,
    "stream.arrow": write_arrow_stream,
    "x.safetensors": write_safetensors,
    "x.h5": write_hdf5,
    "chunked.hdf5": write_chunked_hdf5,
    "x.zarr": write_zarr,
    "array.zarr": write_zarr_array,
}
"""By the name of the file."""
WITH_NAMES = {"x.csv", "x.tsv", "x.csv.gz", "x.parquet", "x.feather", "stream.arrow"}
WITH_IDS = {*WRITERS} - {"x.npy", "x.safetensors", "x.zarr", "array.zarr"}
WITH_LABELS = {*WRITERS} - {"x.npy", "array.zarr"}
WITHOUT_TYPES = {"x.csv", "x.tsv", "x.csv.gz"}
"""Of which NumPy's type of the features is not known: they are float64."""


def write(folder, name, X, labels=None, ids=None):
    """A file of this name in a folder; its path."""
    path = folder / name
    WRITERS[name](path, X, labels, ids)
    return path
