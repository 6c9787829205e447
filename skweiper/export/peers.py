"""The peers whose score is a closed form of the features, each as a part of a graph.

Each builder takes (graph, features, detector), features by name in double precision, and gives the
name of the scores, (n_samples,).
"""

import numpy as np

from skweiper.export.arithmetic import (
    directions,
    head_logits,
    lengths,
    predicted_class,
    projected,
    squared_distances,
    squared_lengths,
)
from skweiper.export.logit_scores import (
    Logits,
    energy,
    logit_score,
    max_logit,
    msp,
    softmax,
)


def logits_of(graph, features, head, temperature=None):
    """`Logits` of a head, divided by a temperature."""
    values = head_logits(graph, features, head)
    if temperature is not None:
        values = graph.node("Div", values, graph.constant(temperature, np.float64))
    return Logits(values, np.float64, head.n_classes)


def logit(graph, features, detector):
    """`LogitDetector`."""
    if detector.method == "energy":
        logits = logits_of(graph, features, detector.head_)
        return energy(graph, logits, detector.temperature)
    logits = logits_of(graph, features, detector.head_, detector.temperature)
    return logit_score(graph, logits, detector.method)


def temperature_scaling(graph, features, detector):
    """`TemperatureScalingDetector`."""
    return msp(graph, logits_of(graph, features, detector.head_, detector.temperature_))


def dice(graph, features, detector):
    """`DICEDetector`."""
    return energy(graph, logits_of(graph, features, detector.sparse_head_))


def gradnorm(graph, features, detector):
    """`GradNormDetector`."""
    logits = head_logits(graph, features, detector.head_)
    uniform = graph.constant(1 / detector.head_.n_classes, np.float64)
    excess = graph.node("Sub", softmax(graph, logits), uniform)
    return graph.node("Mul", l1_length(graph, features), l1_length(graph, excess))


def l1_length(graph, rows):
    """Sum of absolute values of each row."""
    return graph.reduced("ReduceSum", graph.node("Abs", rows))


def mahalanobis(graph, features, detector):
    """`MahalanobisDetector`."""
    return class_distance(graph, loaded(graph, features, detector), detector)


def relative_mahalanobis(graph, features, detector):
    """`RelativeMahalanobisDetector`."""
    features = loaded(graph, features, detector)
    mean, whitening = detector.background_mean_, detector.background_whitening_
    background = squared_lengths(graph, projected(graph, features, mean, whitening))
    return graph.node("Add", background, class_distance(graph, features, detector))


def loaded(graph, features, detector):
    """Features as the Mahalanobis detectors compare them."""
    return directions(graph, features) if detector.normalize else features


def class_distance(graph, features, detector):
    """Minus the smallest squared distance to a class mean."""
    whitened = projected(graph, features, detector.centre_, detector.whitening_)
    distances = squared_distances(graph, whitened, detector.whitened_means_)
    return graph.node("Neg", graph.reduced("ReduceMin", distances))


def residual_length(graph, features, detector):
    """Length of the part outside the principal subspace."""
    outside = projected(graph, features, detector.origin_, detector.residual_basis_)
    return lengths(graph, outside)


def residual(graph, features, detector):
    """`ResidualDetector`."""
    return graph.node("Neg", residual_length(graph, features, detector))


def vim(graph, features, detector):
    """`ViMDetector`."""
    free = energy(graph, logits_of(graph, features, detector.head_))
    alpha = graph.constant(detector.alpha_, np.float64)
    virtual = graph.node("Mul", residual_length(graph, features, detector), alpha)
    return graph.node("Sub", free, virtual)


def kl_matching(graph, features, detector):
    """`KLMatchingDetector`."""
    probabilities = softmax(graph, head_logits(graph, features, detector.head_))
    tiny = np.finfo(np.float64).tiny
    templates = graph.constant(-np.log(np.maximum(detector.templates_, tiny)).T)
    cross = graph.reduced("ReduceMin", graph.node("MatMul", probabilities, templates))
    logarithms = graph.node("Log", graph.node("Max", probabilities, graph.constant(tiny)))
    own = graph.reduced("ReduceSum", graph.node("Mul", probabilities, logarithms))
    nearest = graph.node("Add", cross, own)
    return graph.node("Neg", graph.node("Max", nearest, graph.constant(0.0)))


def nci(graph, features, detector):
    """`NCIDetector`."""
    head = detector.head_
    predicted = predicted_class(graph, head_logits(graph, features, head))
    centred = graph.node("Sub", features, graph.constant(detector.mean_))
    weights = graph.node("Gather", graph.constant(head.matrix), predicted)
    along = graph.reduced("ReduceSum", graph.node("Mul", weights, centred))
    least = graph.constant(np.finfo(np.float64).eps, np.float64)
    length = graph.node("Max", lengths(graph, centred), least)
    l1 = graph.node("Mul", l1_length(graph, features), graph.constant(detector.alpha, np.float64))
    return graph.node("Add", graph.node("Div", along, length), l1)


def neco(graph, features, detector):
    """`NECODetector`."""
    basis = (detector.components_ / detector.scale_).T
    inside = lengths(graph, projected(graph, features, detector.mean_, basis))
    share = share_of(graph, inside, neco_length(graph, features, detector))
    if not detector.scale_by_max_logit:
        return share
    largest = max_logit(graph, logits_of(graph, features, detector.head_))
    return graph.node("Mul", share, largest)


def neco_length(graph, features, detector):
    """Length of the features that the part in the subspace is compared with."""
    if not detector.standardize:
        return lengths(graph, features)
    centred = graph.node("Sub", features, graph.constant(detector.mean_))
    return lengths(graph, graph.node("Div", centred, graph.constant(detector.scale_)))


def share_of(graph, part, whole):
    """part / whole, 0 where the whole is."""
    zero, one = (graph.constant(value, np.float64) for value in (0.0, 1.0))
    is_zero = graph.node("Equal", whole, zero)
    share = graph.node("Div", part, graph.node("Where", is_zero, one, whole))
    return graph.node("Where", is_zero, zero, share)
