"""What a score needs measured, what it learns, and its formula: one object per score.

A rule is made of hyperparameters. Fitting it gives a learnt rule, which scores measurements.
"""

from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import NamedTuple

import numpy as np

from skweiper._weiper.density import bins_over
from skweiper._weiper.engines.contract import Request
from skweiper._weiper.statistics import Densities, Ranges

BYTES_PER_COUNT = 4
BYTES_PER_SCORE = 8


class Binning(NamedTuple):
    """The parameters that set the bins.

    Attributes
    ----------
    value_range : (float, float)
        Quantiles of the training values.
    n_bins : int
    """

    value_range: tuple
    n_bins: int


class KLDTerms(NamedTuple):
    """The terms of the WeiPer+KLD score, each an ndarray of shape (n_samples,)."""

    feature_divergence: np.ndarray
    logit_divergence: np.ndarray
    msp: np.ndarray


@dataclass(frozen=True)
class KLD:
    """WeiPer+KLD: the divergences of a sample's densities from training, and the averaged MSP.

    Attributes are the parameters of `WeiPerDetector`, checked.

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024, equation 9. https://arxiv.org/abs/2405.17164
    """

    n_bins: int
    value_range: tuple
    smoothing: int
    smoothing_perturbed: int
    lambda_1: float
    lambda_2: float
    epsilon: float
    epsilon_perturbed: float

    needs_ranges = True

    @property
    def binning(self):
        """What sets the bins."""
        return Binning(self.value_range, self.n_bins)

    @property
    def sample_bytes(self):
        """Bytes of what a fit keeps of a row whose score sets the threshold."""
        return 2 * BYTES_PER_COUNT * self.n_bins

    @property
    def term_keys(self):
        """Names of the terms that `combine` takes; rules that share one may share its values."""
        return (
            ("feature", self.binning, self.smoothing, self.epsilon),
            ("logit", self.binning, self.smoothing_perturbed, self.epsilon_perturbed),
            ("score", "msp"),
        )

    def combine(self, feature_divergence, logit_divergence, msp):
        """The score from its terms (equation 9), higher = more in-distribution."""
        return -(feature_divergence + self.lambda_1 * logit_divergence - self.lambda_2 * msp)

    def request(self, ranges):
        """What to measure, over bins between the ends of `ranges`."""
        feature_bins, logit_bins = (bins_over(each.as_array(), self.n_bins) for each in ranges)
        return Request((feature_bins,), (logit_bins,), ("msp",))

    def learnt(self, perturbation, ranges, densities):
        """The rule with the training rows' ranges and `Densities`."""
        return LearntKLD(self, perturbation, ranges, densities)


@dataclass(frozen=True)
class LearntKLD:
    """WeiPer+KLD as a fit learnt it.

    Attributes
    ----------
    rule : KLD
    perturbation : Perturbation
    ranges : Ranges
    training : Densities
    """

    rule: KLD
    perturbation: object
    ranges: Ranges
    training: Densities

    @cached_property
    def request(self):
        """What to measure of the rows to score."""
        return self.rule.request(self.ranges)

    def scores(self, measured, engine):
        """Scores of some rows on the host, ndarray of shape (n_samples,)."""
        return engine.to_host(self.rule.combine(*self._on_engine(measured, engine)))

    def terms(self, measured, engine):
        """Terms of some rows' scores on the host, ndarray of shape (n_samples, 3)."""
        return engine.to_host(engine.xp.stack(self._on_engine(measured, engine), axis=1))

    def densities(self, measured, engine):
        """Unsmoothed densities of some rows on the host, (n_samples, 2, n_bins)."""
        feature = measured.feature_counts[0] / self.perturbation.head.n_features
        logit = measured.logit_counts[0] / self.perturbation.n_logits
        return engine.to_host(engine.xp.stack([feature, logit], axis=1))

    def _on_engine(self, measured, engine):
        rule = self.rule
        feature_counts, logit_counts = measured.feature_counts[0], measured.logit_counts[0]
        n_features, n_logits = self.perturbation.head.n_features, self.perturbation.n_logits
        feature, logit = self.training
        return KLDTerms(
            engine.divergence(feature_counts, n_features, rule.smoothing, feature, rule.epsilon),
            engine.divergence(
                logit_counts, n_logits, rule.smoothing_perturbed, logit, rule.epsilon_perturbed
            ),
            measured.score_sums[0] / self.perturbation.n_repeats,
        )


@dataclass(frozen=True)
class MeanScore:
    """The mean of a logit score over the perturbed logit spaces (the paper's WeiPer + any score).

    Attributes
    ----------
    method : str or callable
        As `skweiper.scores.logit_score` takes it.
    """

    method: object

    needs_ranges = False
    sample_bytes = BYTES_PER_SCORE

    @property
    def term_keys(self):
        """Name of the one term."""
        return (("score", self.method),)

    def combine(self, mean_score):
        """The score itself."""
        return mean_score

    def request(self, ranges=None):
        """What to measure."""
        return Request(scores=(self.method,))

    def learnt(self, perturbation, ranges=None, densities=None):
        """The rule, which learns nothing of the training rows."""
        return LearntMeanScore(self, perturbation)


@dataclass(frozen=True)
class LearntMeanScore:
    """The mean of a logit score over one perturbation.

    Attributes
    ----------
    rule : MeanScore
    perturbation : Perturbation
    """

    rule: MeanScore
    perturbation: object

    @property
    def request(self):
        """What to measure of the rows to score."""
        return self.rule.request()

    def scores(self, measured, engine):
        """Scores of some rows on the host, ndarray of shape (n_samples,)."""
        return engine.to_host(measured.score_sums[0] / self.perturbation.n_repeats)


def is_kld(method):
    """Whether a `method` is WeiPer+KLD, and no logit score."""
    return isinstance(method, str) and method == "kld"


def rule_of(parameters):
    """The rule that hyperparameters ask for.

    Parameters
    ----------
    parameters : dict
        `method`, and the fields of `KLD`.

    Returns
    -------
    KLD or MeanScore

    Raises
    ------
    ValueError
        `value_range` is no pair of quantiles, whichever the method.
    """
    value_range = checked_value_range(parameters["value_range"])
    if not is_kld(parameters["method"]):
        return MeanScore(parameters["method"])
    fields = {name: parameters[name] for name in KLD.__dataclass_fields__}
    return KLD(**{**fields, "value_range": value_range})


def checked_value_range(value_range):
    """A pair of quantiles as (float, float).

    Raises
    ------
    ValueError
    """
    is_pair = len(value_range) == 2 and all(isinstance(each, Real) for each in value_range)
    if not (is_pair and 0 <= value_range[0] < value_range[1] <= 1):
        raise ValueError(
            "value_range must be two quantiles (low, high) with 0 <= low < high <= 1, got "
            f"{value_range!r}. Pass (0, 1) for the smallest and the largest training value, or "
            "(0.0005, 0.9995) to leave rare ones out."
        )
    low, high = value_range
    return float(low), float(high)
