"""Features, heads and labels from files, and scores to files."""

from skweiper.io.description import Contents, FileDescription, describe
from skweiper.io.dump import FeatureDump
from skweiper.io.errors import DumpError
from skweiper.io.features import load_features, open_features
from skweiper.io.heads import load_head
from skweiper.io.labels import load_labels
from skweiper.io.scores import ScoreWriter, save_scores

__all__ = [
    "Contents",
    "DumpError",
    "FeatureDump",
    "FileDescription",
    "ScoreWriter",
    "describe",
    "load_features",
    "load_head",
    "load_labels",
    "open_features",
    "save_scores",
]
