"""WeiPerDetector: the paper's algorithm as a scikit-learn outlier detector."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state

from skweiper._support.containers import index_of
from skweiper._support.head_mistakes import warn_of_features
from skweiper._support.parameters import Interval, StrOptions
from skweiper._support.rows import checked_rows
from skweiper._typing import Delta, Device, Engine, Method, Projection, Seed
from skweiper._weiper.engines.select import DEVICES, ENGINES, select_engine
from skweiper._weiper.execution import LastExecution
from skweiper._weiper.fitting import collect, fit
from skweiper._weiper.flips import perturbed
from skweiper._weiper.perturbation import PROJECTIONS
from skweiper._weiper.rules import KLDTerms, rule_of
from skweiper.base import BaseDetector, check_scores
from skweiper.head import check_head, head_from_classifier
from skweiper.scores import LOGIT_SCORES

__all__ = ["WeiPerDetector"]

LEARNT = ("feature_range_", "logit_range_", "feature_density_", "logit_density_")


class WeiPerDetector(BaseDetector):
    r"""Out-of-distribution detector by weight perturbations of class projections (WeiPer).

    The rows of a classifier's final layer are perturbed `n_repeats` times,
    :math:`\tilde w_{ic} = w_c + \delta \|w_c\| u_{ic}` with random directions u. A sample is
    scored by how its features and its perturbed logits are distributed ("kld"), or by the mean of
    a logit score over the perturbed logit spaces ("msp", "energy", ...). Higher scores mean more
    in-distribution; `predict` gives +1 (ID) and -1 (OOD).

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class (PyTorch's `nn.Linear.weight`,
        scikit-learn's `coef_`). None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros. It is not perturbed.
    method : {"kld", "msp", "max_logit", "energy", "entropy", "gen"} or callable, default="kld"
        "kld" is WeiPer+KLD: minus the divergence of the sample's densities from training, plus
        the mean maximum softmax probability. Any other name, or a callable from logits of shape
        (..., n_classes) to scores of shape (...), higher = more in-distribution, is averaged
        over the perturbed logits; `functools.partial` sets its options, as in
        `partial(skweiper.scores.energy, temperature=2)`.
    projection : {"implicit", "explicit", "random"}, default="implicit"
        "explicit" draws the directions and multiplies, as published: cost
        O(n_repeats n_classes n_features) per sample. "implicit" draws from the distribution
        that the perturbed logits of a sample have, by Latin hypercube: cost
        O(n_classes (n_features + n_repeats)) per sample, lower variance over seeds. "random" is
        the paper's ablation: directions of length `delta` alone; the head gives only their number.
    n_repeats : int, default=100
        Perturbations per class, r. In [1, inf).
    delta : float or "auto", default="auto"
        Length of a perturbation relative to its weight's. In [0, inf); 0 leaves the logits as
        they are. "auto" is the length at which a share `flip_rate` of the perturbed heads changes
        the prediction of training rows, see Notes. The published settings are 1.8 to 2.4.
    flip_rate : float, default=0.1
        What delta="auto" aims at; without effect where delta is a number. In (0, 1), but of C
        classes at most some 1 - 1/C of the perturbed heads ever change a prediction.
    n_bins : int, default=100
        Bins of each histogram, over the range seen in training. In [2, inf).
    value_range : (float, float), default=(0.0, 1.0)
        Quantiles (low, high) of the training values, 0 <= low < high <= 1, between which the bins
        lie, of the features and of the perturbed logits. (0, 1), as published, are the smallest and
        the largest value. (0.0005, 0.9995) is for training rows that may hold outliers, of which
        `fit` warns, see Notes; it takes two more passes over the rows, or four with little memory.
    smoothing : int, default=4
        Window of the moving average over feature bins. In [1, inf); 1 smooths nothing.
    smoothing_perturbed : int, default=15
        Window of the moving average over bins of perturbed logits. In [1, inf).
    lambda_1 : float, default=1.0
        Weight of the divergence of the perturbed logits. In [0, inf).
    lambda_2 : float, default=1.0
        Weight of the mean maximum softmax probability. In [0, inf).
    epsilon : float, default=0.01
        Added to every bin of the feature densities. In (0, inf).
    epsilon_perturbed : float, default=0.025
        Added to every bin of the densities of perturbed logits. In (0, inf).
    contamination : float, default=0.05
        Share of the training samples to fall below the threshold. In (0, 0.5].
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute. "auto" computes where X lives.
    engine : {"auto", "numpy", "numba"}, default="auto"
        What computes on the CPU. "auto" is numba where it is installed.
    random_state : int, RandomState instance or None, default=None
        Draws the perturbations (and the subsample behind `offset_`, where one is needed), in
        `fit` only. Pass an int for reproducible results.
    verbose : int, default=0
        1 shows a progress bar over chunks (needs rich).

    Attributes
    ----------
    head_ : Head
        Checked copy of weight and bias.
    delta_ : float
        The length in use: `delta`, or what "auto" found.
    perturbation_ : Perturbation
        Head, projection, delta, repeats and seed: all that determines the perturbed logits.
    rule_ : object
        The score that was fitted, with its parameters and what it learnt. Scoring reads it alone.
    feature_range_, logit_range_ : ndarray of shape (2,)
        The ends of the bins: the quantiles `value_range`, by default smallest and largest value, of
        the training features and, a few millionths wider for rounding, of their perturbed logits;
        "kld" only.
    feature_density_, logit_density_ : ndarray of shape (n_bins,)
        Mean training densities in both spaces; "kld" only.
    offset_ : float
        Threshold on the scores: the quantile `contamination` of the training scores (of a
        uniform subsample where their counts exceed scikit-learn's `working_memory`).
    perturbed_weight_ : ndarray of shape (n_repeats, n_classes, n_features)
        The perturbed weights, rebuilt from the seed; not with the implicit projection.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string names in all columns.

    Notes
    -----
    Along fixed draws perturbed logits are linear in delta. So a training row has one flip length in
    each repeat i, from which on another class has the largest logit. With logits l, the predicted
    class y and the shifts s of the logits at delta = 1 it is the least, over the classes c with
    :math:`s_{ic} > s_{iy}`, of :math:`(l_y - l_c) / (s_{ic} - s_{iy})`; infinite if there is none.
    delta="auto" is the `flip_rate`-quantile of the flip lengths of all repeats and of 1,000 inlier
    rows spread over X (all, where there are fewer). It needs no OOD data, and does not depend on
    the scale of the features nor, but for the draws, on the number of features or classes. A row
    of zeros, or one whose largest logit is that of two classes, has no flip length and is not
    counted. With one class and with the random projection there is no prediction to change: delta
    is then 2. So it is, with a warning, where fewer predictions than `flip_rate` ever change.

    Outliers among the training rows stretch the bins of "kld" until few of them hold all other
    values, and samples can hardly be told apart. `fit` warns, naming the rows and their values,
    where in either space less than a tenth of the bins holds the values of all rows but one; or all
    values but 0.1 %, and all but 1 % of those that are not exactly zero. (Most features of a sparse
    layer are zero and lie in one bin: that alone is no sign of outliers.) Such rows are best
    removed or labelled -1. `value_range` is for those who must live with them. The bins then end at
    training values, found exactly in single precision whatever the memory: those next to the
    quantiles that lie between them (`numpy.quantile` with the methods "higher" and "lower"). So an
    outlier that a quantile leaves out has no influence on the bins. What lies outside is counted in
    no bin, as are values of scored rows beyond the training range. In a very sparse layer a
    quantile may itself be zero: take one closer to 1.

    Computation is in single precision and in chunks within scikit-learn's `working_memory`. On one
    machine and engine a row has one score, to the last bit, whatever rows stand beside it, in
    whatever order, chunks, threads or memory, with every projection. Between machines, engines and
    devices scores agree to single precision ("kld" but for values on the edge of a bin).

    What a fit used is kept with it: parameters changed by `set_params` afterwards take effect at
    the next `fit`; only `device`, `engine` and `verbose` act at once.

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024. https://arxiv.org/abs/2405.17164

    Examples
    --------
    >>> from skweiper import WeiPerDetector
    >>> from skweiper.datasets import load_clinc150
    >>> data = load_clinc150()
    >>> detector = WeiPerDetector(data.weight, data.bias, random_state=0).fit(data.train)
    >>> detector.predict(data.test_oos).shape
    (1000,)
    """

    _parameter_constraints = {
        **BaseDetector._parameter_constraints,
        "method": [StrOptions({"kld", *LOGIT_SCORES}), callable],
        "projection": [StrOptions(set(PROJECTIONS))],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "delta": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "flip_rate": [Interval(Real, 0, 1, closed="neither")],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "value_range": [tuple, list],
        "smoothing": [Interval(Integral, 1, None, closed="left")],
        "smoothing_perturbed": [Interval(Integral, 1, None, closed="left")],
        "lambda_1": [Interval(Real, 0, None, closed="left")],
        "lambda_2": [Interval(Real, 0, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "epsilon_perturbed": [Interval(Real, 0, None, closed="neither")],
        "device": [StrOptions(set(DEVICES))],
        "engine": [StrOptions(set(ENGINES))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        method: Method = "kld",
        projection: Projection = "implicit",
        n_repeats: int = 100,
        delta: Delta = "auto",
        flip_rate: float = 0.1,
        n_bins: int = 100,
        value_range: tuple[float, float] = (0.0, 1.0),
        smoothing: int = 4,
        smoothing_perturbed: int = 15,
        lambda_1: float = 1.0,
        lambda_2: float = 1.0,
        epsilon: float = 0.01,
        epsilon_perturbed: float = 0.025,
        contamination: float = 0.05,
        device: Device = "auto",
        engine: Engine = "auto",
        random_state: Seed = None,
        verbose: int | bool = 0,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.method = method
        self.projection = projection
        self.n_repeats = n_repeats
        self.delta = delta
        self.flip_rate = flip_rate
        self.n_bins = n_bins
        self.value_range = value_range
        self.smoothing = smoothing
        self.smoothing_perturbed = smoothing_perturbed
        self.lambda_1 = lambda_1
        self.lambda_2 = lambda_2
        self.epsilon = epsilon
        self.epsilon_perturbed = epsilon_perturbed
        self.contamination = contamination
        self.device = device
        self.engine = engine
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_classifier(cls, classifier: Any, **params: Any) -> Self:
        """Detector on the final layer of a fitted scikit-learn classifier.

        Parameters
        ----------
        classifier : estimator
            Fitted linear classifier, or `MLPClassifier`, whose last layer is taken: then X is
            `skweiper.head.penultimate_features(classifier, inputs)`.
        **params : dict
            Further parameters of the constructor.

        Returns
        -------
        WeiPerDetector
            Not yet fitted.
        """
        weight, bias = head_from_classifier(classifier)
        return cls(weight, bias, **params)

    def _fit(self, rows, labels):
        random_state = check_random_state(self.random_state)
        self.head_ = check_head(self.weight, self.bias, rows.n_features)
        warn_of_features(self.head_.weight, rows.X)
        parameters = self.get_params(deep=False)
        engine = select_engine(self.engine, self.device, rows.X)
        execution = perturbed(rows, self.head_, parameters, engine, random_state)
        self.perturbation_, self.delta_ = execution.perturbation, execution.perturbation.delta
        self._last_execution = LastExecution(execution)
        fitted = fit(rows, execution, rule_of(parameters), random_state, self.verbose)
        self._keep(fitted.rule)
        return fitted.scores

    def _keep(self, rule):
        """Keep a learnt rule, and what it learnt under public names."""
        self.rule_ = rule
        for name in LEARNT:  # of an earlier fit, with another method
            vars(self).pop(name, None)
        if rule.rule.needs_ranges:
            values = (*(each.as_array() for each in rule.ranges), *rule.training)
            vars(self).update(zip(LEARNT, values, strict=True))

    def _execution(self, rows):
        engine = select_engine(self.engine, self.device, rows.X)
        return self._last_execution.of(self.perturbation_, engine)

    def _score(self, rows):
        rule = self.rule_
        return collect(rows, self._execution(rows), rule.request, rule.scores, self.verbose)

    def _collect(self, rows, keep):
        """What a method of the learnt rule makes of all rows."""
        return collect(rows, self._execution(rows), self.rule_.request, keep, self.verbose)

    def score_components(self, X: ArrayLike) -> pd.DataFrame:
        """The terms of each sample's score.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame of n_samples rows, with the index of X where X is a DataFrame
            For "kld" the columns feature_divergence and logit_divergence (in nats, in [0, inf),
            higher = farther from training) and msp (in [1 / n_classes, 1]); the score is
            -(feature_divergence + lambda_1 logit_divergence - lambda_2 msp). Otherwise one
            column, the score.

        Raises
        ------
        ValueError
            As `score_samples`.
        """
        rows, rule = checked_rows(self, X), self.rule_
        if rule.rule.needs_ranges:
            names, terms = KLDTerms._fields, self._collect(rows, rule.terms)
        else:
            method, terms = rule.rule.method, self._score(rows)[:, None]
            names = [method if isinstance(method, str) else "score"]
        check_scores(terms.sum(axis=1))
        return pd.DataFrame(terms, columns=names, index=index_of(X))

    def densities(self, X: ArrayLike) -> Bunch:
        """Unsmoothed densities of each sample in both spaces.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Bunch
            `feature` and `logit`, ndarrays of shape (n_samples, n_bins) over equal bins between
            `feature_range_` and `logit_range_`. A row sums to one less the share of values
            outside the training range.
        """
        rows = checked_rows(self, X)
        if not self.rule_.rule.needs_ranges:
            raise ValueError(f"densities need method='kld', got method={self.rule_.rule.method!r}.")
        both = self._collect(rows, self.rule_.densities)
        return Bunch(feature=both[:, 0], logit=both[:, 1])

    @property
    def perturbed_weight_(self) -> NDArray[np.float32]:
        """Perturbed weights of shape (n_repeats, n_classes, n_features), rebuilt from the seed."""
        if not hasattr(self, "perturbation_"):
            raise AttributeError("perturbed_weight_ is there after fit.")
        if self.perturbation_.projection == "implicit":
            raise AttributeError(
                "The implicit projection draws no weights; pass projection='explicit'."
            )
        (block,) = self.perturbation_.blocks(self.perturbation_.nbytes)
        return block.weight
