"""
Files of a kind that the classifier has never seen
==================================================

The PyPI package ``magika`` ships a classifier of file types as an ONNX model. It knows 214 kinds,
and gives every file one of them, also files of other kinds. From this model to decisions:
features, a dump, a detector, p-values, and one ONNX model that does it all.
"""

import json
import os
import sysconfig
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import magika
import matplotlib.pyplot as plt
import numpy as np
import onnx
import onnxruntime
import pandas as pd

from skweiper import EnsembleDetector, WeiPerDetector
from skweiper.baselines import MahalanobisDetector, ViMDetector
from skweiper.export import to_onnx
from skweiper.io import load_features, load_labels
from skweiper.plotting import ScoreDistributionDisplay

MODEL = next(Path(magika.__file__).parent.rglob("model.onnx"))
CONFIG = json.loads(MODEL.with_name("config.min.json").read_text())
KINDS = CONFIG["target_labels_space"]
OPSET = 18
BATCH = 16

# %%
# The network
# -----------
#
# The head is the last matrix product; what it multiplies are the penultimate features. They
# become an output of the model.


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
# It reads the first and the last 1,024 bytes of a file, without the white space around them:


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


network, features_name, weight, bias = read_network()
classifier = session(network)
print(f"{weight.shape[0]} kinds, {weight.shape[1]} features")

# %%
# Files that anyone has
# ---------------------
#
# Known kinds are those of files of Python and its packages, by the ends of their names. Of unknown
# kinds are MATLAB data, IDL saves and ARFF tables from SciPy's tests: Magika has no label for them.

SEEN = (".py", ".json", ".txt", ".rst", ".h", ".c", ".so", ".png", ".csv", ".npy", ".npz")
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


seen = installed_files(SEEN, n_each=36)
training, held_out, new = seen[::2], seen[1::4], seen[3::4]
unseen = {end: installed_files([end], n_each=12) for end in UNSEEN}

# %%
# A dump of features
# ------------------
#
# A Parquet file with a row for each file: its features, its name as an id, its kind as a label.
# With the head, this is all that a detector needs. The largest probability that the classifier
# gives any kind is kept for comparison.

folder = TemporaryDirectory()


def dump(paths, target):
    """Write features, names and kinds to a Parquet file, and return the largest probabilities."""
    rows, probabilities = outputs(classifier, [features_name, "target_label"], paths)
    table = pd.DataFrame(rows).add_prefix("f")
    table.insert(0, "id", [path.name for path in paths])
    table["label"] = [path.suffix for path in paths]
    table.to_parquet(target, index=False)
    return probabilities.max(axis=1)


parts = {"training": training, "held_out": held_out, "new": new, **unseen}
dumps = {part: Path(folder.name) / f"{part}.parquet" for part in parts}
confidence = {part: dump(paths, dumps[part]) for part, paths in parts.items()}
features = {part: load_features(path, mmap=False) for part, path in dumps.items()}
pd.Series({part: len(rows) for part, rows in features.items()}, name="files").to_frame()

# %%
# A detector, and its decisions
# -----------------------------
#
# The usual three members, ViM's subspace small enough for few rows. The held-out files set the
# threshold and make the p-values: on average at most 5 % of files of these kinds have one of 0.05
# or less.

members = [
    ("weiper", WeiPerDetector(weight, bias)),
    ("mahalanobis", MahalanobisDetector(weight, bias, normalize=True)),
    ("vim", ViMDetector(weight, bias, n_components=64)),
]
detector = EnsembleDetector(members, random_state=0)
detector.fit(features["training"], load_labels(dumps["training"]))
detector.calibrate(features["held_out"], tpr=0.95).calibrate_p_values(features["held_out"])

# %%
# Files that took no part in fitting or calibrating, by the network's own confidence and by the
# detector:
figure, axes = plt.subplots(2, 1, figsize=(7, 5.6), layout="constrained")
ScoreDistributionDisplay.from_predictions(
    confidence["new"], {end: confidence[end] for end in UNSEEN}, bins=30, ax=axes[0]
)
axes[0].set(title="the network's own confidence", xlabel="largest probability")
axes[1].set_title("the detector, and the threshold that 95 % of known files pass")
display = ScoreDistributionDisplay.from_estimator(
    detector, features["new"], {end: features[end] for end in UNSEEN}, bins=30, ax=axes[1]
)

# %%
# Share of each kind that is called unseen:
found = {part: np.mean(detector.p_value(features[part]) <= 0.05) for part in ("new", *UNSEEN)}
pd.Series(found, name="called unseen").map("{:.0%}".format).to_frame()

# %%
# One model from bytes to p-values
# --------------------------------
#
# The detector as a graph, behind the network. No Python is needed to run it.

exported = to_onnx(detector, alpha=0.05, behind=network)
together = onnx.compose.merge_models(
    *(network, exported),
    io_map=[(features_name, "features")],
    outputs=["target_label", "score", "p_value", "decision"],
)


def report(model, paths):
    """Files with the label that the classifier gives, p-value and decision, the least ID first."""
    names = ["target_label", "p_value", "decision"]
    probabilities, p_values, decisions = outputs(session(model), names, paths)
    table = pd.DataFrame(
        {
            "file": [path.name for path in paths],
            "taken for": [KINDS[place] for place in probabilities.argmax(axis=1)],
            "p_value": p_values.round(4),
            "unseen": decisions == -1,
        }
    )
    return table.sort_values("p_value", ignore_index=True, kind="stable")


some = [*new[::12], *(path for paths in unseen.values() for path in paths[:3])]
table = report(together, some)
table.head(12)

# %%
folder.cleanup()
