"""Fitted detectors as ONNX graphs, to stand alone or behind a network's own graph."""

from skweiper.export.model import to_onnx

__all__ = ["to_onnx"]
