"""Which detectors can be exported, and the part of a graph that computes the score of each."""

import numpy as np

from skweiper.base import as_fitted
from skweiper.baselines import (
    DICEDetector,
    GradNormDetector,
    KLMatchingDetector,
    LogitDetector,
    MahalanobisDetector,
    NCIDetector,
    NECODetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    TemperatureScalingDetector,
    ViMDetector,
)
from skweiper.detector import WeiPerDetector
from skweiper.ensemble import EnsembleDetector
from skweiper.export import peers
from skweiper.export.ensemble import combined
from skweiper.export.weiper import weiper_score

PEERS = {
    DICEDetector: peers.dice,
    GradNormDetector: peers.gradnorm,
    KLMatchingDetector: peers.kl_matching,
    LogitDetector: peers.logit,
    MahalanobisDetector: peers.mahalanobis,
    NCIDetector: peers.nci,
    NECODetector: peers.neco,
    RelativeMahalanobisDetector: peers.relative_mahalanobis,
    ResidualDetector: peers.residual,
    TemperatureScalingDetector: peers.temperature_scaling,
    ViMDetector: peers.vim,
}
EXPORTED = (WeiPerDetector, EnsembleDetector, *PEERS)


def detector_score(graph, features, detector):
    """Score of a fitted detector, (n_samples,), float64.

    Parameters
    ----------
    graph : Graph
    features : str
        (n_samples, n_features), float32.
    detector : detector

    Raises
    ------
    TypeError
        A detector that has no builder.
    """
    detector = as_fitted(detector)
    kind = type(detector)
    if kind is WeiPerDetector:
        return weiper_score(graph, features, detector)
    if kind is EnsembleDetector:
        members = [detector_score(graph, features, member) for member in detector.detectors_]
        return combined(graph, members, detector)
    return PEERS[kind](graph, graph.cast(features, np.float64), detector)


def check_exported(detector, name="detector"):
    """Refuse what cannot be exported, members of an ensemble included.

    Raises
    ------
    TypeError
    """
    if type(detector) not in EXPORTED:
        known = ", ".join(each.__name__ for each in EXPORTED)
        raise TypeError(
            f"{name} is a {type(detector).__name__}, which cannot be exported. Expected a fitted "
            f"{known}; in an EnsembleDetector, members of these kinds. Of a search, pass "
            "best_estimator_."
        )
    if isinstance(detector, EnsembleDetector):
        for member_name, member in getattr(detector, "named_detectors_", {}).items():
            check_exported(member, f"member {member_name!r}")
