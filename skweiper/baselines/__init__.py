"""The peers: other post-hoc detectors on features and head, one file each."""

from skweiper.baselines.actsub import ActSubDetector
from skweiper.baselines.dice import DICEDetector, dice_weight
from skweiper.baselines.fdbd import FDBDDetector
from skweiper.baselines.gradnorm import GradNormDetector
from skweiper.baselines.kernel_pca import KernelPCADetector
from skweiper.baselines.kl_matching import KLMatchingDetector
from skweiper.baselines.knn import KNNDetector
from skweiper.baselines.logit import LogitDetector
from skweiper.baselines.mahalanobis import MahalanobisDetector
from skweiper.baselines.nci import NCIDetector
from skweiper.baselines.neco import NECODetector
from skweiper.baselines.nnguide import NNGuideDetector
from skweiper.baselines.openmax import OpenMaxDetector
from skweiper.baselines.relation import RelationGraphDetector
from skweiper.baselines.relative_mahalanobis import RelativeMahalanobisDetector
from skweiper.baselines.residual import ResidualDetector
from skweiper.baselines.she import SHEDetector
from skweiper.baselines.temperature_scaling import TemperatureScalingDetector
from skweiper.baselines.vim import ViMDetector

__all__ = [
    "ActSubDetector",
    "DICEDetector",
    "FDBDDetector",
    "GradNormDetector",
    "KLMatchingDetector",
    "KNNDetector",
    "KernelPCADetector",
    "LogitDetector",
    "MahalanobisDetector",
    "NCIDetector",
    "NECODetector",
    "NNGuideDetector",
    "OpenMaxDetector",
    "RelationGraphDetector",
    "RelativeMahalanobisDetector",
    "ResidualDetector",
    "SHEDetector",
    "TemperatureScalingDetector",
    "ViMDetector",
    "dice_weight",
]
