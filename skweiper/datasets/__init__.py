"""Real feature dumps that come with the package."""

from skweiper.datasets.clinc150 import load_clinc150

__all__ = ["load_clinc150"]
