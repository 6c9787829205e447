"""Choosing hyperparameters without leakage: splits, searches, labels and synthetic outliers."""

from skweiper.model_selection.ablation import ablation
from skweiper.model_selection.inlier_only import InlierOnly
from skweiper.model_selection.labels import as_inlier_labels
from skweiper.model_selection.splits import OODSplit, train_validation_split_for_ood
from skweiper.model_selection.synthetic import synthetic_outliers
from skweiper.model_selection.weiper_cv import WeiPerDetectorCV

__all__ = [
    "InlierOnly",
    "OODSplit",
    "WeiPerDetectorCV",
    "ablation",
    "as_inlier_labels",
    "synthetic_outliers",
    "train_validation_split_for_ood",
]
