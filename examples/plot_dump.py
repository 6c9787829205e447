"""
A feature dump from disk
========================

Features are written once, by whatever runs the network, and read from then on: Parquet, NumPy,
CSV, safetensors, HDF5 and others. They stay in the file and are read slice by slice, so the
dump may be larger than memory.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.io import ScoreWriter, describe, load_head, load_labels, open_features

folder = TemporaryDirectory()
path = Path(folder.name)

# %%
# What a network's owner would write: features with ids and labels in parts, and the head.
data = load_clinc150()
for part in range(3):
    chosen = slice(1250 * part, 1250 * (part + 1))
    np.savez(
        path / f"train-{part}.npz",
        features=data.train[chosen],
        labels=data.train_label[chosen],
        ids=np.arange(chosen.start, chosen.stop),
    )
np.savez(path / "new.npz", features=data.test_oos, ids=[f"query-{i}" for i in range(1000)])
np.savez(path / "head.npz", **{"fc.weight": data.weight, "fc.bias": data.bias})

# %%
# What is in the files, by their headers:
describe(path / "train-0.npz").to_frame()

# %%
# A glob of parts is one dump. Estimators take it as they take an array:
features = open_features(path / "train-*.npz")
labels = load_labels(path / "train-*.npz")
print(features.shape, features.dtype, labels.shape)
detector = WeiPerDetector(*load_head(path / "head.npz"), random_state=0).fit(features)

# %%
# Scores are written part by part, beside the ids; the file appears when all of it is there.
with ScoreWriter(path / "scores.csv") as writer:
    for part in open_features(path / "new.npz").parts(n_rows=250):
        writer.write(detector.score_samples(part), index=part.index)
scores = pd.read_csv(path / "scores.csv")
scores.head()

# %%
# The most suspicious queries first, and all scores beside the threshold:
ax = scores.score.plot.hist(bins=50, xlabel="score")
ax.axvline(detector.offset_, color="black", linestyle="--", label="threshold")
ax.legend()
scores.sort_values("score").head()

# %%
folder.cleanup()
