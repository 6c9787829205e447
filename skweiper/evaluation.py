"""Reports of detectors on ID samples and OOD datasets, and of several side by side."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from time import perf_counter
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from skweiper._report import check_report_options, ood_report
from skweiper._score_sets import is_dict
from skweiper._support.inner_estimators import needs_labels, seeds_of
from skweiper._support.notice import warn_caller
from skweiper._typing import NamedSets, Scoring, Seed
from skweiper.metrics import scores_of

__all__ = ["compare", "evaluate", "ood_report"]


def _scores_of_shifted(detector, covariate_shifted):
    """Scores of covariate-shifted samples, as `ood_report` takes them."""
    if covariate_shifted is None:
        return None
    if is_dict(covariate_shifted):
        return {name: scores_of(detector, X) for name, X in covariate_shifted.items()}
    return scores_of(detector, covariate_shifted)


def evaluate(
    detector: Scoring,
    X_id: ArrayLike,
    X_ood: NamedSets,
    groups: Mapping[str, Sequence[str]] | None = None,
    covariate_shifted: ArrayLike | NamedSets | None = None,
    *,
    n_boot: int = 0,
    confidence: float = 0.95,
    random_state: Seed = None,
) -> pd.DataFrame:
    """Report of a fitted detector on ID samples and OOD datasets.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`, higher = more in-distribution.
    X_id : array-like of shape (n_id, n_features)
        In-distribution samples that took no part in `fit`.
    X_ood : dict of str to array-like of shape (n_ood, n_features)
        OOD datasets by name.
    groups : dict of str to list of str, default=None
        Names of the datasets of each group, as {"near": [...], "far": [...]}.
    covariate_shifted : array-like of shape (n_shifted, n_features), or dict of such, default=None
        Covariate-shifted ID samples (several sets by name): they add rows of the full spectrum.
    n_boot : int, default=0
        Bootstrap samples behind the intervals; 0 gives none.
    confidence : float, default=0.95
        Coverage of the intervals, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Draws the bootstrap samples.

    Returns
    -------
    DataFrame
        As `ood_report` gives it.

    Raises
    ------
    TypeError
        The detector has no `score_samples`.
    ValueError
        As `ood_report`, or features that the detector refuses.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.evaluation import evaluate
    >>> data = load_clinc150()
    >>> forest = IsolationForest(n_estimators=10, random_state=0).fit(data.train)
    >>> evaluate(forest, data.test, {"oos": data.test_oos}).shape
    (2, 10)
    """
    check_report_options(X_ood, groups, n_boot, confidence)
    shifted = _scores_of_shifted(detector, covariate_shifted)
    return ood_report(
        scores_of(detector, X_id),
        {name: scores_of(detector, X) for name, X in X_ood.items()},
        groups,
        scores_covariate_shifted=shifted,
        n_boot=n_boot,
        confidence=confidence,
        random_state=random_state,
    )


def _fitted(detector, seed, X, y):
    """A fitted clone, and the seconds its fit took."""
    detector = clone(detector)
    if seed is not None:
        detector.set_params(**dict.fromkeys(seeds_of(detector), seed))
    start = perf_counter()
    detector.fit(X, y)
    return detector, perf_counter() - start


def _scored(detector, X_id, X_ood, covariate_shifted):
    """Scores of all sets as keywords of `ood_report`, and the seconds they took."""
    start = perf_counter()
    scores = {
        "scores_id": scores_of(detector, X_id),
        "scores_ood": {name: scores_of(detector, X) for name, X in X_ood.items()},
    }
    scores["scores_covariate_shifted"] = _scores_of_shifted(detector, covariate_shifted)
    return scores, perf_counter() - start


def _fittable(detectors, y_train):
    """The detectors that can be fitted; those that need labels are left out where there are none.

    Raises
    ------
    ValueError
        None is left.
    """
    needy = [name for name in detectors if y_train is None and needs_labels(detectors[name])]
    if len(needy) == len(detectors):
        raise ValueError(f"{needy} learn from the class of each training row. Pass y_train.")
    if needy:
        warn_caller(
            f"{needy} learn from the class of each training row and are left out, since y_train is "
            "None. Pass y_train.",
        )
    return {name: detector for name, detector in detectors.items() if name not in needy}


def _check_compared(detectors, seeds):
    """The seeds as a list, [None] where none are given."""
    if not hasattr(detectors, "items") or not detectors:
        got = "an empty one" if hasattr(detectors, "items") else type(detectors).__name__
        raise ValueError(
            f"detectors must be a dict of at least one detector by its name, got {got}. "
            "Pass {'name': detector}."
        )
    for name, detector in detectors.items():
        if isinstance(detector, type) or not hasattr(detector, "get_params"):
            got = f"the class {detector.__name__}" if isinstance(detector, type) else repr(detector)
            raise TypeError(
                f"detectors[{name!r}] must be an estimator, got {got}. Pass an instance."
            )
    if seeds is None:
        return [None]
    seeds = list(seeds) if hasattr(seeds, "__iter__") else seeds
    if not isinstance(seeds, list) or not all(isinstance(seed, Integral) for seed in seeds):
        raise ValueError(f"seeds must be None or several ints, got {seeds!r}. Pass range(3).")
    if not seeds:
        raise ValueError("seeds is empty, so nothing would be fitted. Pass None or range(3).")
    return seeds


def compare(
    detectors: Mapping[str, Any],
    X_train: ArrayLike,
    X_id: ArrayLike,
    X_ood: NamedSets,
    groups: Mapping[str, Sequence[str]] | None = None,
    covariate_shifted: ArrayLike | NamedSets | None = None,
    *,
    y_train: ArrayLike | None = None,
    seeds: Iterable[int] | None = None,
    n_boot: int = 0,
    confidence: float = 0.95,
    random_state: Seed = None,
) -> pd.DataFrame:
    """Fit several detectors on the same data and report on each.

    Parameters
    ----------
    detectors : dict of str to estimator
        Detectors by the name to show, with `score_samples`, higher = more in-distribution. They
        are cloned.
    X_train : array-like of shape (n_train, n_features)
        In-distribution samples to fit on.
    X_id : array-like of shape (n_id, n_features)
        In-distribution samples to evaluate on.
    X_ood : dict of str to array-like of shape (n_ood, n_features)
        OOD datasets by name.
    groups : dict of str to list of str, default=None
        Names of the datasets of each group, as {"near": [...], "far": [...]}.
    covariate_shifted : array-like of shape (n_shifted, n_features), or dict of such, default=None
        Covariate-shifted ID samples (several sets by name): they add rows of the full spectrum.
    y_train : array-like of shape (n_train,), default=None
        Labels of the training samples, for detectors that use them. Detectors of this library
        leave rows with -1 out; wrap others in `skweiper.model_selection.InlierOnly`.
    seeds : iterable of int, default=None
        Fit once with each as `random_state`, that of every step of a pipeline; a detector without
        that parameter is fitted once. None leaves `random_state` as it is.
    n_boot : int, default=0
        Bootstrap samples behind the intervals; 0 gives none.
    confidence : float, default=0.95
        Coverage of the intervals, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Draws the bootstrap samples. An int gives all detectors the same draws, so that their
        intervals can be compared.

    Returns
    -------
    DataFrame
        The rows of `ood_report` for each detector and seed, after the columns `detector`, `seed`
        (missing where none was set), `fit_seconds` and `score_seconds` (wall time; of scoring, all
        samples of all sets together).

    Warns
    -----
    UserWarning
        A detector that needs labels is left out, since `y_train` is None.

    Raises
    ------
    TypeError
        A detector is no estimator, or has no `score_samples`.
    ValueError
        No detector, none that can be fitted without `y_train`, no seed, or as `ood_report`;
        options are checked before anything is fitted.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> from skweiper import WeiPerDetector
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.evaluation import compare
    >>> data = load_clinc150()
    >>> detectors = {
    ...     "WeiPer+KLD": WeiPerDetector(data.weight, data.bias, n_repeats=5),
    ...     "forest": IsolationForest(n_estimators=10),
    ... }
    >>> table = compare(detectors, data.train, data.test, {"oos": data.test_oos}, seeds=[0])
    >>> table.query("level == 'dataset'").detector.tolist()
    ['WeiPer+KLD', 'forest']
    """
    seeds = _check_compared(detectors, seeds)
    check_report_options(X_ood, groups, n_boot, confidence)
    detectors = _fittable(detectors, y_train)
    reports = []
    for name, detector in detectors.items():
        for fit_seed in seeds if seeds_of(detector) else [None]:
            fitted, fit_seconds = _fitted(detector, fit_seed, X_train, y_train)
            scores, score_seconds = _scored(fitted, X_id, X_ood, covariate_shifted)
            report = ood_report(
                **scores,
                groups=groups,
                n_boot=n_boot,
                confidence=confidence,
                random_state=random_state,
            )
            report.insert(0, "detector", name)
            report.insert(1, "seed", pd.array([fit_seed] * len(report), dtype="Int64"))
            report.insert(2, "fit_seconds", fit_seconds)
            report.insert(3, "score_seconds", score_seconds)
            reports.append(report)
    return pd.concat(reports, ignore_index=True)
