"""Choosing hyperparameters without leakage: splits, searches, labels and synthetic outliers."""

from skweiper.model_selection.weiper_cv import WeiPerDetectorCV

__all__ = ["WeiPerDetectorCV"]
