"""Which detector for these features: the registry's, fitted on them and compared."""

from collections.abc import Mapping
from inspect import signature
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.utils import check_random_state

from skweiper._score_sets import check_named
from skweiper._support.containers import as_host
from skweiper._support.inner_estimators import seeds_of
from skweiper._support.known_outliers import labels_as_array
from skweiper._support.notice import warn_caller
from skweiper._support.parameters import Interval, validate_parameter_constraints
from skweiper._support.progress import track
from skweiper._support.row_views import rows_at
from skweiper._support.validation import check_feature_matrix, inlier_rows
from skweiper._typing import NamedSets, Seed
from skweiper.evaluation import ood_report
from skweiper.registry import all_detectors

__all__ = ["recommend"]

WITHOUT_OOD = (
    "Without OOD rows nothing can say which detector finds them: the table compares stability, "
    "agreement and cost only. Pass X_ood={'name': features} with a few hundred rows that the "
    "classifier should not be trusted on."
)


def recommend(
    X: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    X_ood: NamedSets | None = None,
    *,
    y: ArrayLike | None = None,
    detectors: Mapping[str, Any] | None = None,
    holdout: float = 0.2,
    random_state: Seed = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Fit every detector of the library on these features and show how they compare.

    A share of the rows is held out: it stands for in-distribution rows to come. With OOD rows the
    table says how well each detector tells the two apart; without, how stable it is, how much it
    agrees with the others, and what it costs.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        In-distribution features, such as those of the classifier's training data.
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    X_ood : dict of str to array-like of shape (n_ood, n_features), default=None
        OOD datasets by name. What is chosen by them is not measured by them: keep other OOD rows
        for the final figure.
    y : array-like of shape (n_samples,), default=None
        Class of each row, for detectors that need it. Rows with -1 take no part.
    detectors : dict of str to detector, default=None
        Detectors by name. None: all of `skweiper.all_detectors`, with this head.
    holdout : float, default=0.2
        Share in (0, 1) of the rows that is held out.
    random_state : int, RandomState instance or None, default=None
        Chooses the held-out rows and seeds the detectors.
    verbose : int, default=0
        1 shows a progress bar, which needs rich.

    Returns
    -------
    DataFrame
        One row per detector, by its name. With OOD rows, best mean AUROC first: `auroc` and `fpr95`
        (means over the datasets, in [0, 1]), `worst_auroc` (of one dataset). Without, most stable
        first. Always `stability` (rank correlation, in [-1, 1], of the held-out rows' scores by
        two fits, each on a half of the other rows), `agreement` (mean rank correlation with the
        other detectors' scores of all rows that were not fitted on), `fit_seconds` and
        `score_microseconds` per row.

    Warns
    -----
    UserWarning
        No OOD rows were passed; or a detector cannot be fitted on these rows and is left out.

    Raises
    ------
    ValueError
        Bad values or shapes, `X_ood` that is no dict of datasets, or no detector that can be
        fitted.

    Examples
    --------
    >>> from skweiper import recommend
    >>> from skweiper.baselines import KNNDetector, LogitDetector
    >>> from skweiper.datasets import load_clinc150
    >>> data = load_clinc150()
    >>> detectors = {"MSP": LogitDetector(data.weight, data.bias), "k-NN": KNNDetector()}
    >>> ood = {"validation": data.validation_oos}
    >>> table = recommend(data.train, X_ood=ood, detectors=detectors, random_state=0)
    >>> table.index[0], list(table.columns)[:3]
    ('MSP', ['auroc', 'fpr95', 'worst_auroc'])
    """
    constraints = {"holdout": [Interval(Real, 0, 1, closed="neither")]}
    validate_parameter_constraints(constraints, {"holdout": holdout}, caller_name="recommend")
    if X_ood is not None:
        check_named(X_ood, "X_ood")
    rng = check_random_state(random_state)
    seen, held_out, labels = _split(X, y, holdout, rng)
    candidates = _seeded(detectors or _registered(weight, bias), rng)
    rows, scores = {}, {}
    for name in track(candidates, len(candidates), "detectors", verbose):
        try:
            rows[name], scores[name] = _measured(candidates[name], seen, labels, held_out, X_ood)
        except ValueError as error:
            warn_caller(f"{name} is left out: {error}")
    if not rows:
        raise ValueError("No detector can be fitted on these rows; the warnings say why.")
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.insert(len(table.columns) - 2, "agreement", _agreement(scores))
    if X_ood is None:
        warn_caller(WITHOUT_OOD)
    return table.sort_values(table.columns[0], ascending=False)


def _registered(weight, bias):
    """All detectors of the library at their defaults, by name, with a head where they take one."""
    return {
        entry.name: entry.estimator(weight=weight, bias=bias)
        if "weight" in signature(entry.estimator).parameters
        else entry.estimator()
        for entry in all_detectors()
    }


def _seeded(detectors, random_state):
    """Clones of detectors, each `random_state` that is None set to one seed."""
    seed, clones = int(random_state.randint(np.iinfo(np.int32).max)), {}
    for name, detector in detectors.items():
        open_seeds = [each for each, value in seeds_of(detector).items() if value is None]
        clones[name] = clone(detector).set_params(**dict.fromkeys(open_seeds, seed))
    return clones


def _split(X, y, holdout, random_state):
    """Rows to fit on, held-out rows, and the labels of the former."""
    X = check_feature_matrix(X, "recommend")
    mask = inlier_rows(X, y, are_classes=True)
    index = random_state.permutation(np.arange(X.shape[0]) if mask is None else np.nonzero(mask)[0])
    n_held_out = max(2, round(holdout * len(index)))
    if len(index) - n_held_out < 4:
        raise ValueError(
            f"{len(index)} rows are too few to fit on some and hold out {n_held_out}. Pass more."
        )
    chosen, kept = np.sort(index[n_held_out:]), np.sort(index[:n_held_out])
    labels = None if y is None else labels_as_array(y)[chosen]
    return rows_at(X, chosen), rows_at(X, kept), labels


def _measured(detector, X, y, held_out, X_ood):
    """Figures of one detector as a dictionary, and its scores of all rows not fitted on."""
    start = perf_counter()
    detector.fit(X, y)
    fitted = perf_counter()
    scored = {"": held_out, **(X_ood or {})}
    scores = {name: as_host(detector.score_samples(rows)) for name, rows in scored.items()}
    seconds, n_scored = perf_counter() - fitted, sum(map(len, scores.values()))
    cost = {"fit_seconds": fitted - start, "score_microseconds": 1e6 * seconds / n_scored}
    found = _found(scores) if X_ood else {}
    figures = {**found, "stability": _stability(detector, X, y, held_out), **cost}
    return figures, np.concatenate(list(scores.values()))


def _found(scores):
    """How well OOD rows are told from held-out ones, over all sets."""
    report = ood_report(scores[""], {name: each for name, each in scores.items() if name})
    sets = report[report.level == "dataset"]
    return {
        "auroc": sets.auroc.mean(),
        "fpr95": sets.fpr95.mean(),
        "worst_auroc": sets.auroc.min(),
    }


def _stability(detector, X, y, held_out):
    """Rank correlation of the held-out rows' scores by fits on the even and on the odd rows."""
    halves = []
    X = check_feature_matrix(X, "recommend")  # of any table, rows can then be taken by number
    for first in (0, 1):
        index = np.arange(first, X.shape[0], 2)
        labels = None if y is None else y[index]
        half = clone(detector).fit(rows_at(X, index), labels)
        halves.append(as_host(half.score_samples(held_out)))
    return _rank_correlation(*halves)


def _agreement(scores):
    """Mean rank correlation of each detector's scores with the others'; NaN of one alone."""
    return {
        name: np.mean([_rank_correlation(mine, scores[other]) for other in scores if other != name])
        if len(scores) > 1
        else np.nan
        for name, mine in scores.items()
    }


def _rank_correlation(one, other):
    """Spearman's, 0 where one of them does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)
