"""Out-of-distribution detection on precomputed features, in the manner of scikit-learn."""

from skweiper.detector import WeiPerDetector
from skweiper.presets import PRESETS
from skweiper.registry import detectors
from skweiper.space import WeiPerTransformer
from skweiper.version import __version__

__all__ = ["PRESETS", "WeiPerDetector", "WeiPerTransformer", "__version__", "detectors"]
