"""Scores in plain loops and double precision, by detector; what the library is held to.

A detector without one is held to itself: the same values in another precision score the same.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import weibull_min

from skweiper.baselines import (
    DICEDetector,
    LogitDetector,
    OpenMaxDetector,
    TemperatureScalingDetector,
)
from skweiper.baselines.openmax import STEEPEST_SHAPE
from tests import reference

LOGIT_SCORES = {
    name: getattr(reference, name) for name in ("msp", "max_logit", "energy", "entropy", "gen")
}


def plain_logits(head, X, weight=None):
    """Unperturbed logits, (n_samples, n_classes), one product at a time."""
    weight = head.matrix if weight is None else weight
    return np.array([[w @ z + b for w, b in zip(weight, head.bias, strict=True)] for z in X])


def of_logits(method, logits):
    """A logit score of each row, by name or as the callable that it is."""
    if callable(method):
        return method(logits)
    return np.array([LOGIT_SCORES[method](row) for row in logits])


def logit_reference(detector, X_train, X):
    """A score of logits / temperature; energy times the temperature."""
    logits = plain_logits(detector.head_, X) / detector.temperature
    scores = of_logits(detector.method, logits)
    return detector.temperature * scores if detector.method == "energy" else scores


def temperature_reference(detector, X_train, X):
    """The MSP of logits / temperature."""
    return of_logits("msp", plain_logits(detector.head_, X) / detector.temperature_)


def dice_reference(detector, X_train, X):
    """The energy of the logits of the weights that matter."""
    weight = detector.head_.matrix
    contribution = weight * np.mean(X_train, axis=0)
    kept = contribution > np.percentile(contribution, detector.percentile)
    return of_logits("energy", plain_logits(detector.head_, X, np.where(kept, weight, 0)))


def weibull_of_largest_likelihood(values):
    """Shape and scale of a Weibull distribution, by trying shapes: the scale follows from one."""
    logs = np.log(values)

    def scale_of(shape):
        return np.exp(logs.max() + np.log(np.mean(np.exp(shape * (logs - logs.max())))) / shape)

    def minus_likelihood(log_shape):
        shape = np.exp(log_shape)
        return shape * np.log(scale_of(shape)) - log_shape - (shape - 1) * logs.mean()

    bounds = np.log([1e-3, STEEPEST_SHAPE])
    found = minimize_scalar(minus_likelihood, bounds=bounds, options={"xatol": 1e-12})
    shape = float(np.exp(found.x))
    return shape, scale_of(shape)


def openmax_reference(detector, X_train, X):
    """The published algorithm, row by row, with the classes that the head predicts."""
    logits = plain_logits(detector.head_, X_train)
    members, models = logits.argmax(axis=1), {}
    for label in np.unique(members):
        own = logits[members == label]
        mean = own.mean(axis=0)
        tail = np.sort(np.linalg.norm(own - mean, axis=1))[-detector.tail_size :]
        models[label] = (mean, tail[0], *weibull_of_largest_likelihood(tail - tail[0] + 1))
    scores, n_ranked = [], min(detector.n_ranked, logits.shape[1])
    for row in plain_logits(detector.head_, X):
        unknown, changed = 0.0, row.copy()
        for rank, label in enumerate(np.argsort(-row)[:n_ranked]):
            if label not in models:
                continue
            mean, start, shape, scale = models[label]
            excess = np.linalg.norm(row - mean) - start + 1
            with np.errstate(over="ignore"):  # of a steep shape's power
                extreme = weibull_min.cdf(excess, shape, scale=scale)
            lost = row[label] * extreme * (n_ranked - rank) / n_ranked
            changed[label] -= lost
            unknown += lost
        scores.append(-softmax(np.append(changed, unknown))[-1])
    return np.array(scores)


REFERENCES = {
    OpenMaxDetector: openmax_reference,
    LogitDetector: logit_reference,
    TemperatureScalingDetector: temperature_reference,
    DICEDetector: dice_reference,
}


def perturbed_logits(detector, X):
    """Perturbed logits by the definition of the projection, (n_samples, n_repeats, n_classes)."""
    perturbation, head = detector.perturbation_, detector.head_
    if perturbation.projection == "implicit":
        (block,) = perturbation.blocks(np.inf)
        norms = np.linalg.norm(X, axis=1)[:, None, None]
        return plain_logits(head, X)[:, None] + norms * block.offsets
    bias = head.bias if perturbation.projection == "explicit" else 0 * head.bias
    return np.array([reference.perturbed_logits(z, detector.perturbed_weight_, bias) for z in X])


def kld_of_densities(detector, feature, logit):
    """Both divergences of the densities of one sample, by the reference."""
    parameters = detector.get_params()
    return [
        reference.divergence(training, reference.smooth(density, window), epsilon)
        for training, density, window, epsilon in (
            (
                detector.feature_density_,
                feature,
                parameters["smoothing"],
                parameters["epsilon"],
            ),
            (
                detector.logit_density_,
                logit,
                parameters["smoothing_perturbed"],
                parameters["epsilon_perturbed"],
            ),
        )
    ]


def n_near_edges(values, bins, error):
    """How many values an error may take across an edge of the bins."""
    position = (values - bins.low) * bins.n_bins / (bins.high - bins.low)
    room = 1e-5 * bins.n_bins + error * bins.n_bins / (bins.high - bins.low)
    return int(np.count_nonzero(np.abs(position - np.round(position)) <= room))
