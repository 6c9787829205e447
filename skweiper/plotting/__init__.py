"""Pictures of scores, densities, sweeps and perturbations: scikit-learn's Display objects.

Needs matplotlib: `pip install 'skweiper[plot]'`.
"""

from skweiper.plotting.density import DensityDisplay
from skweiper.plotting.monitor import MonitorDisplay
from skweiper.plotting.perturbation import PerturbationDisplay
from skweiper.plotting.roc import OODRocDisplay
from skweiper.plotting.score_distribution import ScoreDistributionDisplay
from skweiper.plotting.sweep import SweepDisplay

__all__ = [
    "DensityDisplay",
    "MonitorDisplay",
    "OODRocDisplay",
    "PerturbationDisplay",
    "ScoreDistributionDisplay",
    "SweepDisplay",
]
