"""LogitDetector: a logit score of the unperturbed head."""

from functools import partial
from numbers import Real

from numpy.typing import ArrayLike

from skweiper._support.parameters import Interval, StrOptions
from skweiper._typing import LogitMethod
from skweiper.baselines.base import HeadDetector
from skweiper.scores import LOGIT_SCORES, energy, logit_score


class LogitDetector(HeadDetector):
    """Detector by a score of the logits: MSP, MaxLogit, Energy, Entropy or GEN.

    Higher scores mean more in-distribution. Nothing but the threshold is learnt.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    method : {"msp", "max_logit", "energy", "entropy", "gen"} or callable, default="msp"
        A name in `skweiper.scores`, or a callable from logits of shape (..., n_classes) to scores
        of shape (...), higher = more in-distribution. It gets CuPy arrays where X is on a GPU.
    temperature : float, default=1.0
        T > 0: the score is taken of logits / T (energy also multiplied by T, as published).
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples
    in Neural Networks", ICLR 2017. https://arxiv.org/abs/1610.02136
    The function in `skweiper.scores` names the source of each other score.
    """

    _computes_in_place = True
    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "method": [StrOptions(set(LOGIT_SCORES)), callable],
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        method: LogitMethod = "msp",
        temperature: float = 1.0,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.method = method
        self.temperature = temperature
        self.contamination = contamination

    def _score_features(self, features):
        logits = self.head_.logits(features)
        if self.method == "energy":
            return partial(energy, temperature=self.temperature)(logits)
        return logit_score(self.method)(logits / self.temperature)
