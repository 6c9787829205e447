"""EnsembleDetector: several detectors, each standardised by held-out rows, as one score."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Bunch, check_random_state

from skweiper._support.containers import as_host, index_of
from skweiper._support.inner_estimators import needs_labels, seeds_of
from skweiper._support.notice import warn_caller
from skweiper._support.parameters import BaseComposition, Interval, StrOptions
from skweiper._support.row_views import rows_at, unwrapped
from skweiper._support.rows import FeatureRows, checked_rows
from skweiper._support.threads import map_in_order
from skweiper._support.validation import check_feature_matrix, check_width_and_names
from skweiper._typing import Seed
from skweiper.base import BaseDetector, Estimator, as_fitted
from skweiper.baselines.base import chunk_slices
from skweiper.baselines.mahalanobis import MahalanobisDetector
from skweiper.baselines.residual import subspace_dimension
from skweiper.baselines.vim import ViMDetector
from skweiper.detector import WeiPerDetector
from skweiper.head import check_head

__all__ = [
    "EnsembleDetector",
    "Standard",
    "clipped_z_scores",
    "default_detectors",
    "log_p_values",
    "p_value_curve",
]

LARGEST_Z = 10.0
"""Where combine="mean" cuts standardised scores: beyond, a sample is far out for any member."""
DROPPED = "drop"


class Standard(NamedTuple):
    """How one member scores in-distribution rows that it was not fitted on.

    Attributes
    ----------
    scores : ndarray of shape (n_held_out,), ascending
    mean, scale : float
        Mean and standard deviation of the scores; a scale of 1 where they are all the same.
    """

    scores: np.ndarray
    mean: float
    scale: float

    @classmethod
    def of(cls, scores):
        """The standard that held-out scores set."""
        scale = float(np.std(scores))
        return cls(np.sort(scores), float(np.mean(scores)), scale if scale > 0 else 1.0)


def clipped_z_scores(scores, standard):
    """Scores less their mean over their standard deviation, no farther out than `LARGEST_Z`."""
    return np.clip((scores - standard.mean) / standard.scale, -LARGEST_Z, LARGEST_Z)


def log_p_values(scores, standard):
    """Logarithm of each score's conformal p-value, continued below the least held-out score.

    Between held-out scores the p-value is interpolated; below the least one, whose p-value is
    1 / (n_held_out + 1), its logarithm falls by one per standard deviation, so that samples far
    out can be told apart.

    Returns
    -------
    ndarray of shape (n_samples,), in (-inf, 0]
    """
    held_out, p_values = p_value_curve(standard)
    p_values = np.interp(scores, held_out, p_values)
    beyond = np.minimum(0.0, (scores - held_out[0]) / standard.scale)
    return np.log(p_values) + beyond


def p_value_curve(standard):
    """The held-out scores without ties, and the conformal p-value at each of them.

    Returns
    -------
    scores : ndarray of shape (n_different,), ascending
    p_values : ndarray of shape (n_different,), in (0, 1)
    """
    held_out, last_of_ties = np.unique(standard.scores[::-1], return_index=True)
    ranks = len(standard.scores) - last_of_ties
    ranks[0] = 1  # so that nothing jumps where the continuation begins
    return held_out, ranks / (len(standard.scores) + 1)


COMBINATIONS = {"fisher": (log_p_values, np.sum), "mean": (clipped_z_scores, np.mean)}
"""By name: how a member's scores are standardised, and how the members' are put together."""


def default_detectors(
    weight: ArrayLike | None = None, bias: ArrayLike | None = None
) -> list[tuple[str, Any]]:
    """The members of an `EnsembleDetector` that is given none.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
    bias : array-like of shape (n_classes,), default=None

    Returns
    -------
    list of (str, detector)
        WeiPer+KLD, Mahalanobis++ and ViM with this head; without a head, where X holds logits and
        ViM has nothing to look at, the first two.
    """
    members = [
        ("weiper", WeiPerDetector(weight, bias)),
        ("mahalanobis", MahalanobisDetector(weight, bias, normalize=True)),
    ]
    return members if weight is None else [*members, ("vim", ViMDetector(weight, bias))]


def _has_room_for_vim(weight, n_rows, n_features):
    """Whether features say more than logits, and training rows span more than ViM's subspace."""
    n_classes = check_head(weight, None, n_features).n_classes
    return n_classes < n_features and subspace_dimension(None, n_features) < n_rows


def _possible_defaults(weight, bias, n_rows, n_features):
    """The default members that the shapes of the head and of X allow; a warning names another."""
    members = default_detectors(weight, bias)
    if weight is None or _has_room_for_vim(weight, n_rows, n_features):
        return members
    warn_caller(
        "EnsembleDetector leaves out its default member 'vim', which needs more features than "
        "classes, and more training rows than its subspace has dimensions (half of the features). "
        "Pass detectors=[...] to choose the members.",
    )
    return [(name, member) for name, member in members if name != "vim"]


class EnsembleDetector(BaseDetector, BaseComposition):
    """Several detectors as one: each is standardised by held-out rows, and they vote.

    No detector is best on all data; this one is rarely far from the best. A share of the training
    rows, which the members do not see, tells how each member scores in-distribution rows, so that
    no member's unit or tail rules. Higher = more in-distribution.

    Parameters
    ----------
    detectors : list of (str, detector), default=None
        Members and their names: detectors of this library or of scikit-learn, pipelines with
        shapers too; "drop" in place of a detector leaves it out. Their parameters are at hand as
        `name__parameter`. None: WeiPer+KLD, Mahalanobis++ and ViM with `weight` and `bias`, ViM
        only where there are more features than classes and enough rows to span its subspace.
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, for the default members. None: X already holds
        logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer, for the default members. None means zeros.
    combine : {"fisher", "mean"}, default="fisher"
        "fisher": sum of the logarithms of the members' conformal p-values, which below the least
        held-out score fall on by one per standard deviation; in (-inf, 0]. "mean": mean of the
        members' z-scores, each between -10 and 10.
    holdout : float, default=0.2
        Share in (0, 1) of the training rows that the members do not see. A p-value is no finer
        than one over their number: a few hundred are enough. Not used where `fit` gets `X_cal`.
    contamination : float, default=0.05
        Share in (0, 0.5] of held-out rows that score below the threshold.
    n_jobs : int, default=None
        Members that are fitted or score at the same time, in threads; None means one after the
        other, -1 all cores. Members use all cores on their own; more jobs help where many of them
        are small. Beside others each member has one core, BLAS's included, so that what it learns
        by BLAS may differ in the last digits from what it learns alone.
    random_state : int, RandomState instance or None, default=None
        Chooses the held-out rows, and seeds the members whose `random_state` is None.

    Attributes
    ----------
    detectors_ : list of detector
        The fitted members, without the dropped ones.
    named_detectors_ : Bunch
        The fitted members by name.
    standards_ : list of Standard
        Held-out scores of each member, ascending, with their mean and standard deviation.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    See Also
    --------
    skweiper.all_detectors : The detectors of this library.

    References
    ----------
    Fisher, "Statistical Methods for Research Workers", Oliver and Boyd 1925.
    https://psychclassics.yorku.ca/Fisher/Methods/
    Bates et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 2023.
    https://arxiv.org/abs/2104.08279

    Examples
    --------
    >>> from skweiper import EnsembleDetector
    >>> from skweiper.datasets import load_clinc150
    >>> data = load_clinc150()
    >>> ensemble = EnsembleDetector(weight=data.weight, bias=data.bias, random_state=0)
    >>> list(ensemble.fit(data.train).named_detectors_)
    ['weiper', 'mahalanobis', 'vim']
    """

    _parameter_constraints = {
        **BaseDetector._parameter_constraints,
        "detectors": [list, tuple, None],
        "combine": [StrOptions(set(COMBINATIONS))],
        "holdout": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        detectors: Sequence[tuple[str, Any]] | None = None,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        combine: Literal["fisher", "mean"] = "fisher",
        holdout: float = 0.2,
        contamination: float = 0.05,
        n_jobs: int | None = None,
        random_state: Seed = None,
    ) -> None:
        self.detectors = detectors
        self.weight = weight
        self.bias = bias
        self.combine = combine
        self.holdout = holdout
        self.contamination = contamination
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, and of its members as `name__parameter`.

        Parameters
        ----------
        deep : bool, default=True
            Whether the members, by name, and their parameters are included.

        Returns
        -------
        dict
        """
        return self._get_params("detectors", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, a member by its name, or `name__parameter`.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        self._set_params("detectors", **params)
        return self

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, X_cal: ArrayLike | None = None) -> Self:
        """Fit the members, and learn how they score in-distribution rows that they did not see.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite real features.
        y : array-like of shape (n_samples,), default=None
            Rows with y == -1 are known outliers and take no part. Any other label, or none,
            means inlier; members that learn classes take them from here.
        X_cal : array-like of shape (n_held_out, n_features), default=None
            In-distribution rows that the members do not see. None: a share `holdout` of X.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            Bad values or shapes, a parameter out of range, no member, or too few rows to hold any
            out.
        """
        with self._fitting():
            self._fit_whole(X, y, X_cal)
        return self

    def _fit(self, rows, labels, X_cal=None):
        random_state = check_random_state(self.random_state)
        n_held_out = 0 if X_cal is not None else max(1, round(self.holdout * len(rows)))
        members = self._members(len(rows) - n_held_out, rows.n_features)
        for name, member in members:
            _check_member(name, member, labels)
            _seed_randomness(member, random_state)
        seen = np.arange(len(rows))
        if X_cal is None:
            seen, held_out = _split_rows(len(rows), n_held_out, random_state)
            X_cal = _held_out_rows(rows, held_out)
        X_cal = _checked_held_out(self, X_cal)
        self.detectors_ = self._in_parallel(
            (_fit_member, member, rows, seen, labels) for _, member in members
        )
        self.named_detectors_ = Bunch(
            **{name: member for (name, _), member in zip(members, self.detectors_, strict=True)}
        )
        scores = self._member_scores(X_cal)
        self.standards_ = [Standard.of(each) for each in scores]
        return self._combined(scores)

    def _members(self, n_rows, n_features):
        """Names and unfitted members of this fit's own, without the dropped ones."""
        if self.detectors is None:
            return _possible_defaults(self.weight, self.bias, n_rows, n_features)
        members = [(name, clone(each)) for name, each in self.detectors if each is not DROPPED]
        if not members:
            raise ValueError(
                "EnsembleDetector has no member: detectors must hold at least one (name, detector) "
                "that is not 'drop'. Pass detectors=None for the default members."
            )
        self._validate_names([name for name, _ in self.detectors])
        return members

    def _in_parallel(self, calls):
        """Results of some (function, *arguments), in order."""
        n_threads = effective_n_jobs(self.n_jobs)
        return list(map_in_order(lambda call: call[0](*call[1:]), list(calls), n_threads))

    def _member_scores(self, X):
        """Scores of each member as they are, list of ndarrays of shape (n_samples,)."""
        return self._in_parallel((_score_member, member, X) for member in self.detectors_)

    def _standardised(self, scores):
        """Members' scores standardised, ndarray of shape (n_samples, n_members)."""
        standardise, _ = COMBINATIONS[self.combine]
        pairs = zip(scores, self.standards_, strict=True)
        return np.column_stack([standardise(each, standard) for each, standard in pairs])

    def _combined(self, scores):
        _, put_together = COMBINATIONS[self.combine]
        return put_together(self._standardised(scores), axis=1)

    def _score(self, rows):
        return self._combined(self._member_scores(rows.X))

    def score_components(self, X: ArrayLike) -> pd.DataFrame:
        """The standardised score of each member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame of n_samples rows, with the index of X where X is a DataFrame
            One column per member, by its name. The score is their sum (combine="fisher") or their
            mean ("mean").
        """
        fitted = as_fitted(self)
        if fitted is not self:
            return fitted.score_components(X)
        rows = checked_rows(self, X)
        values = self._standardised(self._member_scores(rows.X))
        return pd.DataFrame(values, columns=list(self.named_detectors_), index=index_of(X))

    @property
    def _reads_classes(self):
        members = self.detectors if isinstance(self.detectors, (list, tuple)) else ()
        return any(needs_labels(member) for _, member in members if member is not DROPPED)


def _check_member(name, member, labels):
    """Refuse a member that does not score, or that needs labels where there are none.

    Parameters
    ----------
    name : str
    member : object
    labels : ndarray or None

    Raises
    ------
    TypeError
        No detector.
    ValueError
        The member needs y.
    """
    if not (hasattr(member, "fit") and hasattr(member, "score_samples")):
        raise TypeError(
            f"Member {name!r} of EnsembleDetector must be a detector with fit and score_samples, "
            f"got {type(member).__name__}. For a detector of another library, see "
            "skweiper.model_selection.InlierOnly."
        )
    if labels is None and needs_labels(member):
        raise ValueError(
            f"Member {name!r} of EnsembleDetector learns from the class of each row. Pass y to "
            "fit, or leave the member out."
        )


def _seed_randomness(member, random_state):
    """Draw a seed for each `random_state` of a member that is None."""
    open_seeds = [name for name, value in seeds_of(member).items() if value is None]
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(open_seeds))
    member.set_params(**{name: int(seed) for name, seed in zip(open_seeds, seeds, strict=True)})


def _split_rows(n_rows, n_held_out, random_state):
    """Row numbers that the members see, and those held out; both ascending.

    Raises
    ------
    ValueError
        Nothing would be left for the members.
    """
    if n_held_out >= n_rows:
        raise ValueError(
            f"EnsembleDetector cannot hold out {n_held_out} of n_samples={n_rows} rows and fit its "
            "members on the others. Pass more rows, or held-out rows as X_cal."
        )
    shuffled = random_state.permutation(n_rows)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])


def _held_out_rows(rows, held_out):
    """Some of the rows as an array or table, checked while their numbers in X are known.

    Parameters
    ----------
    rows : FeatureRows
    held_out : ndarray of int
        Row numbers among `rows`.
    """
    chosen = FeatureRows(rows.X, np.asarray(rows.row_numbers(slice(None)))[held_out])
    for part in chunk_slices(len(chosen), rows.n_features):
        chosen.load_copied(part, np.float32)
    return rows_at(chosen.X, chosen.row_index)


def _fit_member(member, rows, seen, labels):
    """Fit a member on some of the rows.

    A detector of this library leaves out the others by their label, so that nothing is copied.

    Parameters
    ----------
    member : detector
        Fitted in place.
    rows : FeatureRows
    seen : ndarray of int
        Rows to fit on, among `rows`.
    labels : ndarray of shape (len(rows),) or None

    Returns
    -------
    member : detector
    """
    index = np.asarray(rows.row_numbers(slice(None)))[seen]
    if isinstance(member, BaseDetector):
        return member.fit(rows.X, _labels_of_all(rows.X.shape[0], index, seen, labels))
    features = _as_others_take(member, rows_at(rows.X, index))
    return member.fit(features) if labels is None else member.fit(features, labels[seen])


def _labels_of_all(n_rows, index, seen, labels):
    """Labels of all rows of X, -1 for those that are not seen."""
    values = np.ones(len(seen), np.int64) if labels is None else labels[seen]
    kind = np.int64 if values.dtype.kind in "iub" else values.dtype
    all_labels = np.full(n_rows, -1, kind if np.dtype(kind).kind in "if" else object)
    all_labels[index] = values
    return all_labels


def _score_member(member, X):
    """Scores of a fitted member, on the host."""
    X = X if isinstance(member, BaseDetector) else _as_others_take(member, X)
    return as_host(member.score_samples(X))


def _as_others_take(member, X):
    """Checked features as a member takes them that is no detector of this library.

    Other libraries take no array on a GPU; a pipeline of this library's parts does.
    """
    X = unwrapped(X)
    steps = [step for _, step in getattr(member, "steps", [("", member)])]
    return X if all(isinstance(step, Estimator) for step in steps) else as_host(X)


def _checked_held_out(ensemble, X_cal):
    """Held-out rows, checked against what the members saw."""
    X_cal = check_feature_matrix(X_cal, type(ensemble).__name__)
    check_width_and_names(ensemble, X_cal, reset=False)
    return X_cal
