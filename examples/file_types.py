"""
Files of a kind that a file-type classifier has never seen
==========================================================

The PyPI package ``magika`` ships a classifier of file types as an ONNX model. It knows 214 kinds,
and gives every file one of them, also files of other kinds. This example leads from the model to
decisions:

1. the penultimate features become an output of the model, and its last layer the head;
2. features of files of known kinds, from the installed Python packages, go to a Parquet file;
3. a detector is fitted, and calibrated on rows that it has not seen;
4. the files of a folder get p-values, and those of unseen kinds are listed;
5. the detector is exported behind the classifier: one ONNX model from bytes to p-values.

    pip install 'skweiper[io,onnx]' magika
    python examples/file_types.py [FOLDER]

Without a folder, one is made of installed files: some of known kinds, and MATLAB data, IDL saves
and ARFF tables from SciPy's tests, for which Magika has no label.
"""

# %%
# A network whose features are an output
# --------------------------------------
#
# The head is the last matrix product; what it multiplies are the features.

import json
import os
import sys
import sysconfig
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from shutil import copyfile
from tempfile import TemporaryDirectory

import magika
import numpy as np
import onnx
import onnxruntime
import pandas as pd

from skweiper import EnsembleDetector, WeiPerDetector
from skweiper.baselines import MahalanobisDetector, ViMDetector
from skweiper.export import to_onnx
from skweiper.io import load_features, load_labels

MODEL = next(Path(magika.__file__).parent.rglob("model.onnx"))
CONFIG = json.loads(MODEL.with_name("config.min.json").read_text())
KINDS = CONFIG["target_labels_space"]
OPSET = 18
BATCH = 16


def read_network():
    """The classifier with its features as a further output, their name, and its head.

    Returns
    -------
    network : onnx.ModelProto
    features : str
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
    """
    network = onnx.version_converter.convert_version(onnx.load(MODEL), OPSET)
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in network.graph.initializer}
    product = [node for node in network.graph.node if node.op_type == "MatMul"][-1]
    features, weight = product.input[0], constants[product.input[1]].T
    addition = next(node for node in network.graph.node if product.output[0] in node.input)
    bias = constants[next(name for name in addition.input if name in constants)].ravel()
    shape = [None, weight.shape[1]]
    kind = onnx.TensorProto.FLOAT
    network.graph.output.append(onnx.helper.make_tensor_value_info(features, kind, shape))
    return network, features, weight, bias


# %%
# What the model reads of a file
# ------------------------------
#
# The first and the last 1,024 bytes after white space is stripped, as the package itself prepares
# them.


def model_input(path):
    """The bytes of a file as the model takes them, ndarray of shape (2048,), int32."""
    begin, end, block = CONFIG["beg_size"], CONFIG["end_size"], CONFIG["block_size"]
    with open(path, "rb") as file:
        head = file.read(block).lstrip()[:begin]
        file.seek(max(0, path.stat().st_size - block))
        tail = file.read(block).rstrip()[-end:]
    values = np.full(begin + end, CONFIG["padding_token"], np.int32)
    values[: len(head)] = np.frombuffer(head, np.uint8)
    values[len(values) - len(tail) :] = np.frombuffer(tail, np.uint8)
    return values


def session(model):
    """A model in onnxruntime, with one thread: it runs many small batches."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def outputs(ready, names, paths):
    """Some outputs of a model for files, batch by batch, each an ndarray of n_files rows."""
    batches = (paths[first : first + BATCH] for first in range(0, len(paths), BATCH))
    done = [ready.run(names, {"bytes": np.stack([*map(model_input, each)])}) for each in batches]
    return [np.concatenate(parts) for parts in zip(*done, strict=True)]


# %%
# Files that anyone has
# ---------------------
#
# Known kinds by the ends of their names, which Magika's labels cover.

SEEN = (".py", ".pyc", ".json", ".txt", ".rst", ".h", ".c", ".so", ".png", ".csv", ".npy", ".npz")
UNSEEN = (".mat", ".sav", ".arff")
SMALLEST = 64


@cache
def installed_by_end():
    """Names of all files of Python and its packages, by their end, in order."""
    by_end = {}
    for root in {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}:
        for folder, _, names in os.walk(root):
            for name in names:
                by_end.setdefault(os.path.splitext(name)[1], set()).add(os.path.join(folder, name))
    return {end: sorted(paths) for end, paths in by_end.items()}


def installed_files(ends, n_each, seed=0):
    """Up to so many installed files of each end, a random choice.

    Parameters
    ----------
    ends : sequence of str
    n_each : int
    seed : int

    Returns
    -------
    list of Path
    """
    draw, chosen = Random(seed), []
    for end in ends:
        files = list(installed_by_end().get(end, []))
        draw.shuffle(files)
        large = (Path(path) for path in files if os.path.getsize(path) >= SMALLEST)
        chosen.extend(islice(large, n_each))
    return chosen


def dump(ready, features, paths, target):
    """Write the features of files, with their kind and path, to a Parquet file."""
    (rows,) = outputs(ready, [features], paths)
    table = pd.DataFrame(rows).add_prefix("f")
    table.insert(0, "id", [str(path) for path in paths])
    table["label"] = [path.suffix for path in paths]
    table.to_parquet(target, index=False)


# %%
# Fit, calibrate
# --------------
#
# Two thirds of the rows to fit on. The others make the p-values: at most 5 % of files of these
# kinds have one of 0.05 or less. The members of the ensemble are the usual three, ViM's subspace
# small enough for few rows.


def fitted_detector(path, weight, bias):
    """A detector fitted on a dump and calibrated on a third of it."""
    X, y = np.asarray(load_features(path)), load_labels(path)
    held_out = np.random.RandomState(0).permutation(len(X)) < len(X) / 3
    members = [
        ("weiper", WeiPerDetector(weight, bias)),
        ("mahalanobis", MahalanobisDetector(weight, bias, normalize=True)),
        ("vim", ViMDetector(weight, bias, n_components=64)),
    ]
    detector = EnsembleDetector(members, random_state=0)
    return detector.fit(X[~held_out], y[~held_out]).calibrate_p_values(X[held_out])


# %%
# One model from bytes to p-values
# --------------------------------


def behind(network, features, detector):
    """The classifier and the detector as one model."""
    exported = to_onnx(detector, alpha=0.05, behind=network)
    return onnx.compose.merge_models(
        *(network, exported),
        io_map=[(features, "features")],
        outputs=["target_label", "score", "p_value", "decision"],
    )


def report(model, paths):
    """Files with the label that the classifier gives, p-value and decision, the least ID first."""
    names = ["target_label", "p_value", "decision"]
    probabilities, p_values, decisions = outputs(session(model), names, paths)
    table = pd.DataFrame(
        {
            "file": [path.name for path in paths],
            "label": [KINDS[place] for place in probabilities.argmax(axis=1)],
            "p_value": p_values.round(4),
            "unseen": decisions == -1,
        }
    )
    return table.sort_values("p_value", ignore_index=True)


def make_folder(folder):
    """Put some files of known and of unseen kinds into a folder."""
    paths = [*installed_files(SEEN[:6], 2, seed=1), *installed_files(UNSEEN, 3, seed=1)]
    for number, path in enumerate(paths):
        copyfile(path, folder / f"{number:02d}{path.suffix}")


def main(folder=None, n_each=30):
    """Walk it end to end, and return the report."""
    network, features, weight, bias = read_network()
    with TemporaryDirectory() as temporary:
        target = Path(temporary) / "features.parquet"
        dump(session(network), features, installed_files(SEEN, n_each), target)
        detector = fitted_detector(target, weight, bias)
        model = behind(network, features, detector)
        if folder is None:
            folder = Path(temporary) / "folder"
            folder.mkdir()
            make_folder(folder)
        paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        table = report(model, paths)
    print(f"Of {len(table)} files, {table['unseen'].sum()} of a kind that was never seen:")
    print(table[table["unseen"]].drop(columns="unseen").to_string(index=False))
    return table


if __name__ == "__main__":
    main(*sys.argv[1:2])
