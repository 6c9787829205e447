"""TemperatureScalingDetector: MSP after the temperature that calibrates the softmax."""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning

from skweiper._support.notice import warn_caller
from skweiper._support.parameters import Interval
from skweiper.baselines.base import HeadDetector, check_class_numbers
from skweiper.scores import energy, msp

COLDEST, HOTTEST = 1e-2, 1e2


class TemperatureScalingDetector(HeadDetector):
    """Detector by the maximum softmax probability of calibrated logits (temperature scaling).

    The temperature T minimises the negative log-likelihood of the classes `y` under
    softmax(logits / T); the score is the largest of these probabilities. In [1 / n_classes, 1],
    higher = more in-distribution.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    temperature : float, default=None
        T > 0 to use as it is; `fit` then needs no y. None: learn it from y.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    temperature_ : float
        The temperature in use; a learnt one lies in [0.01, 100].
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Notes
    -----
    Fit on held-out rows: on rows that the classifier was trained on its likelihood is too good and
    the temperature too low. Without a `temperature`, y must hold the class numbers
    0..n_classes - 1 (and -1 for known outliers). There is no fallback to the head's predictions:
    they become the more likely the lower T is, so they have no best temperature. For the same
    reason a y of one value, such as the +1 that marks inliers, is refused, and a
    ConvergenceWarning tells where the head classifies every row correctly.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    https://arxiv.org/abs/1706.04599
    """

    _computes_in_place = True
    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        temperature: float | None = None,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.temperature = temperature
        self.contamination = contamination

    @property
    def _reads_classes(self):
        return self.temperature is None

    def _learn(self, rows, labels):
        if self.temperature is not None:
            self.temperature_ = float(self.temperature)
            return
        truth = self._checked_classes(labels)
        bounds = np.log([COLDEST, HOTTEST])

        def loss(log_temperature):
            return self._negative_log_likelihood(rows, truth, np.exp(log_temperature))

        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
        self.temperature_ = float(np.exp(found.x))
        if self.temperature_ < 1.01 * COLDEST:
            warn_caller(
                f"The likelihood of y still rises at a temperature of {COLDEST}, the lowest tried: "
                "the head classifies (nearly) every row correctly, and the scores of most samples "
                "are 1. Fit on held-out rows, or set temperature.",
                ConvergenceWarning,
            )

    def _checked_classes(self, labels):
        if labels is None:
            raise ValueError(
                "TemperatureScalingDetector learns its temperature from the class of each row: "
                "pass y to fit, or set temperature."
            )
        return check_class_numbers(labels, self.head_.n_classes, "set temperature")

    def _negative_log_likelihood(self, rows, truth, temperature):
        """Mean over the rows, in nats."""
        total = 0.0
        for part, features in self._chunks(rows):
            logits = self.head_.logits(features) / temperature
            own = logits[np.arange(len(logits)), truth[part]]
            total += float(np.sum(energy(logits) - own))
        return total / len(rows)

    def _score_features(self, features):
        return msp(self.head_.logits(features) / self.temperature_)
