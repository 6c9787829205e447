"""WeiPerDetectorCV: a hyperparameter search that passes over the data once per perturbation."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skweiper._support.containers import as_host
from skweiper._support.notice import warn_caller
from skweiper._support.progress import track
from skweiper._support.validation import check_feature_matrix, check_width_and_names, inlier_rows
from skweiper._typing import Device, Engine, FloatArray, IntArray, Seed
from skweiper._weiper.stretch import warn_of_stretch
from skweiper.base import BaseDetector
from skweiper.detector import WeiPerDetector
from skweiper.model_selection.candidates import grid_candidates, pass_groups
from skweiper.model_selection.sweep import most_terms, sweep_group

OF_SOME_SEARCHES = ("best_score_", "best_estimator_", "_training_offset")
"""What a search leaves or not, by its `refit`: that of an earlier one would say nothing of it."""


class WeiPerDetectorCV(BaseDetector):
    """WeiPerDetector with its hyperparameters chosen by cross-validation.

    Gives the results of `GridSearchCV(WeiPerDetector(...), param_grid)`, but passes over the data
    once per split and perturbation (`delta`, `flip_rate`, `n_repeats`, `projection`,
    `random_state`) and computes all candidates that share one from the same counts.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer.
    param_grid : dict or list of dict
        Lists of values over `method`, `delta`, `flip_rate`, `n_repeats`, `projection`,
        `random_state`, `n_bins`, `value_range`, `smoothing`, `smoothing_perturbed`, `epsilon`,
        `epsilon_perturbed`, `lambda_1` and `lambda_2`. What it leaves open has `WeiPerDetector`'s
        default. "auto" may stand among the numbers of `delta`; it is found anew from the training
        rows of each split.
    cv : int, splitter, iterable of (train, test) or None, default=None
        As in GridSearchCV, where None is `KFold()` for an outlier detector. Every test fold needs
        ID and OOD rows: prefer `StratifiedKFold`, `OODSplit`, or what
        `train_validation_split_for_ood` returns.
    scoring : str, callable or None, default="roc_auc"
        AUROC with ID positive ("roc_auc" and None), or any scikit-learn scorer.
    n_jobs : int, default=None
        Processes over splits and perturbations. None is one process, whose passes are threaded.
    refit : bool or callable, default=True
        Fit the best candidate on all inlier rows. A callable chooses the best index from
        `cv_results_`.
    random_state : int, RandomState instance or None, default=None
        Of every candidate, unless `param_grid` varies it. Pass an int for reproducible results.
    contamination : float, default=0.05
        Share of the training samples below the threshold, in (0, 0.5].
    device : {"auto", "cpu", "cuda"}, default="auto"
    engine : {"auto", "numpy", "numba"}, default="auto"
    verbose : int, default=0
        1 shows a progress bar over splits and perturbations (needs rich).

    Attributes
    ----------
    cv_results_ : dict of str to array
        GridSearchCV's columns. Times are a group's, divided by the number of its candidates.
    best_index_ : int
    best_params_ : dict
    best_score_ : float
        Mean test score of the best candidate; not with a callable `refit`.
    best_estimator_ : WeiPerDetector
        The best candidate, fitted on all inlier rows; if `refit`.
    n_splits_ : int
    n_passes_ : int
        Groups of candidates measured together, per split: the distinct perturbations, or more
        where what is kept of a group would exceed scikit-learn's `working_memory`.
    offset_ : float
        Threshold of `best_estimator_`.
    n_features_in_ : int

    Notes
    -----
    Rows with y == -1 are known outliers: they take part in test folds only, and in no fit.

    Candidates with equal AUROC share a rank, and the first of them is best. `GridSearchCV` does the
    same, but its sums of trapezoids are rounded at 1e-16, which may rank equal ones apart.

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024. https://arxiv.org/abs/2405.17164

    Examples
    --------
    >>> import numpy as np
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.model_selection import WeiPerDetectorCV
    >>> data = load_clinc150()
    >>> X = np.concatenate([data.validation[:100], data.validation_oos[:100]])
    >>> y = np.repeat([1, -1], 100)
    >>> grid = {"n_repeats": [4], "n_bins": [60, 100], "lambda_1": [0.1, 1, 2.5]}
    >>> search = WeiPerDetectorCV(
    ...     data.weight, data.bias, param_grid=grid, cv=[(range(50), range(50, 200))],
    ...     random_state=0,
    ... ).fit(X, y)
    >>> len(search.cv_results_["params"])
    6
    """

    _parameter_constraints = {
        **BaseDetector._parameter_constraints,
        "param_grid": [dict, list],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "n_jobs": [Integral, None],
        "refit": ["boolean", callable],
        "random_state": ["random_state"],
        "device": WeiPerDetector._parameter_constraints["device"],
        "engine": WeiPerDetector._parameter_constraints["engine"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        cv: Any = None,
        scoring: str | Callable[..., Any] | None = "roc_auc",
        n_jobs: int | None = None,
        refit: bool | Callable[[Any], int] = True,
        random_state: Seed = None,
        contamination: float = 0.05,
        device: Device = "auto",
        engine: Engine = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.param_grid = param_grid
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.random_state = random_state
        self.contamination = contamination
        self.device = device
        self.engine = engine
        self.verbose = verbose

    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Evaluate every candidate on every split, and fit the best one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            ID rows and OOD rows for validation.
        y : array-like of shape (n_samples,), default=None
            -1 marks OOD rows, any other label ID ones. Without OOD rows every AUROC is NaN and,
            with a warning, the first candidate is taken; see `synthetic_outliers`.
        groups : array-like of shape (n_samples,), default=None
            Passed to the splitter.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Bad values or shapes, no inlier in y or in a training fold, or a parameter out of range.

        Warns
        -----
        UndefinedMetricWarning
            A test fold holds only ID or only OOD rows, so AUROC compares no candidates. (A
            UserWarning.)
        UserWarning
            Outliers among the training rows of a split, or of all of X where the best candidate is
            fitted, stretch the bins; see the Notes of `WeiPerDetector`.
        """
        with self._fitting():
            self._search(X, y, groups)
        return self

    def _search(self, X, y, groups):
        for name in OF_SOME_SEARCHES:
            vars(self).pop(name, None)
        self._validate_params()
        self._scorer()  # an unknown name is told before the sweep
        X = check_feature_matrix(X, type(self).__name__)
        y, groups = _signed_labels(X, y), as_host(groups)
        check_consistent_length(X, groups)
        check_width_and_names(self, X, reset=True)
        template = self._template()
        grid, complete = grid_candidates(self.param_grid, template)
        cv = check_cv(self.cv, y, classifier=False)
        splits = _checked_splits(cv.split(X, y, groups), y)
        self._sweep(X, y, splits, template, grid, self._groups(complete, splits))
        self._choose()
        if self.refit:
            self.best_estimator_ = clone(template).set_params(**self.best_params_).fit(X, y)
            self._training_offset = self.best_estimator_.offset_

    def _template(self):
        return WeiPerDetector(
            self.weight,
            self.bias,
            random_state=self.random_state,
            contamination=self.contamination,
            device=self.device,
            engine=self.engine,
        )

    def _groups(self, candidates, splits):
        """Groups of candidates that share a pass and whose terms fit the memory budget."""
        parts = (1,) if self._scorer() is None else (0, 1)  # thresholds need the training rows too
        n_rows = max(sum(len(split[part]) for part in parts) for split in splits)
        most = most_terms(n_rows)
        return [part for group in pass_groups(candidates) for part in group.within(most)]

    def _sweep(self, X, y, splits, template, grid, groups):
        self.n_splits_, self.n_passes_ = len(splits), len(groups)
        if self._scorer() is None:
            _warn_of_one_sided_folds(y, splits, grid[0])
        tables, stretched = np.full((3, len(grid), len(splits)), np.nan), {}
        tasks = [(number, group) for number in range(len(splits)) for group in groups]
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(sweep_group)(X, y, splits[number], group, template, self._scorer())
            for number, group in tasks
        )
        for (number, _), fold in zip(
            tasks, track(results, len(tasks), "sweep", self.verbose), strict=True
        ):
            tables[:, fold.positions, number] = np.stack(
                np.broadcast_arrays(fold.test_scores, fold.fit_time, fold.score_time)
            )
            if fold.stretches:
                stretched.setdefault(number, fold.stretches)
        where = f" in the training folds of splits {list(stretched)}"
        warn_of_stretch(next(iter(stretched.values()), []), where)
        self.cv_results_ = cv_results(grid, *tables)

    def _scorer(self):
        """None where the AUROC of all candidates is computed at once."""
        if self.scoring is None or self.scoring == "roc_auc":
            return None
        return get_scorer(self.scoring)

    def _choose(self):
        if callable(self.refit):
            self.best_index_ = _checked_index(self.refit(self.cv_results_), self.cv_results_)
        else:
            self.best_index_ = int(self.cv_results_["rank_test_score"].argmin())
            self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _best(self):
        check_is_fitted(self)
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(
                "This WeiPerDetectorCV was fitted with refit=False and holds no fitted detector. "
                "Pass refit=True, or fit WeiPerDetector with best_params_."
            )
        return self.best_estimator_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "cv_results_")

    @property
    def offset_(self) -> float:
        """Threshold of the best detector: `decision_function` is `score_samples` less this."""
        return self._best().offset_

    @offset_.setter
    def offset_(self, value):
        self._best().offset_ = value

    @property
    def conformal_scores_(self):
        """Calibration scores of the best detector, after `calibrate_p_values`."""
        return self._best().conformal_scores_

    @conformal_scores_.setter
    def conformal_scores_(self, value):
        self._best().conformal_scores_ = value

    def fit_predict(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> IntArray:
        """Fit, then label the same rows; see `fit` and `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples,), int, of +1 (ID) and -1 (OOD)
        """
        return self.fit(X, y, groups=groups).predict(X)

    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Score of each sample by the best detector, higher = more in-distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), float64
        """
        return self._best().score_samples(X)

    def score_components(self, X: ArrayLike) -> pd.DataFrame:
        """The terms of each sample's score, as `WeiPerDetector.score_components`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame with one row per sample
        """
        return self._best().score_components(X)

    def densities(self, X: ArrayLike) -> Bunch:
        """Densities of each sample in both spaces, as `WeiPerDetector.densities`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Bunch with `feature` and `logit`, ndarrays of shape (n_samples, n_bins)
        """
        return self._best().densities(X)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The search's `scoring` of the best detector.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            -1 marks OOD samples.

        Returns
        -------
        float, higher = better; for "roc_auc" in [0, 1]
        """
        scorer = self._scorer()
        if scorer is None:
            return self._best().score(X, y)
        return scorer(self._best(), X, y)


def _signed_labels(X, y):
    """Beyond -1 labels play no part; scorers expect the two values +1 and -1."""
    mask = inlier_rows(X, y)
    return np.ones(X.shape[0], dtype=int) if mask is None else np.where(mask, 1, -1)


def _checked_splits(splits, y):
    """Row numbers of every split; boolean masks are read as such."""
    splits = [
        tuple(
            _row_numbers(rows, f"the {fold} fold of split {number}", len(y))
            for fold, rows in zip(("training", "test"), split, strict=True)
        )
        for number, split in enumerate(splits)
    ]
    if not splits:
        raise ValueError(
            "cv yields no split, so nothing could be compared. Pass a number of folds, a splitter, "
            "or at least one pair (train, test) of row numbers."
        )
    for number, (train, test) in enumerate(splits):
        if not (y[train] == 1).any():
            raise ValueError(
                f"The training fold of split {number} holds no ID row (of {len(train)} rows), so "
                "there is nothing to fit on. Split so that every training fold has ID rows."
            )
        if len(test) == 0:
            raise ValueError(
                f"The test fold of split {number} is empty, so nothing could be compared on it. "
                "Split so that every test fold has ID and OOD rows."
            )
    return splits


def _row_numbers(rows, name, n_samples):
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n_samples,):
        return np.flatnonzero(rows)
    if rows.size == 0:
        return np.empty(0, dtype=np.intp)
    is_number = rows.ndim == 1 and rows.dtype.kind in "iu"
    if not is_number or rows.min() < -n_samples or rows.max() >= n_samples:
        raise ValueError(
            f"cv must yield row numbers of the {n_samples} rows of X, got {name} of shape "
            f"{rows.shape} and dtype {rows.dtype}"
            + (f" with values from {rows.min()} to {rows.max()}." if is_number else ".")
        )
    return rows


def _checked_index(index, results):
    """What a callable `refit` returned, if it is a candidate's number."""
    n_candidates = len(results["params"])
    if not isinstance(index, Integral) or not 0 <= index < n_candidates:
        raise ValueError(
            f"refit must return the number of a candidate, an int in [0, {n_candidates}), "
            f"got {index!r}."
        )
    return int(index)


def _warn_of_one_sided_folds(y, splits, first):
    """One such fold makes the mean AUROC of every candidate NaN."""
    one_sided = [i for i, (_, test) in enumerate(splits) if len(set(y[test])) < 2]
    if not one_sided:
        return
    if (y == 1).all():
        reason = "No row is labelled y == -1 (OOD)"
        remedy = "Pass OOD rows labelled -1 (see as_inlier_labels and synthetic_outliers)."
    else:
        reason = f"The test folds of splits {one_sided} hold only ID or only OOD rows"
        remedy = "Pass cv=StratifiedKFold(shuffle=True), or OODSplit."
    warn_caller(
        f"{reason}, so the mean AUROC of every candidate is NaN, nothing can be compared, and "
        f"the first candidate {first} is taken. {remedy}",
        UndefinedMetricWarning,
    )


def cv_results(candidates, test_scores, fit_times, score_times):
    """GridSearchCV's table.

    Parameters
    ----------
    candidates : list of dict
    test_scores, fit_times, score_times : ndarray of shape (n_candidates, n_splits)

    Returns
    -------
    dict of str to array
    """
    results = {}
    for name, times in (("fit_time", fit_times), ("score_time", score_times)):
        results[f"mean_{name}"], results[f"std_{name}"] = times.mean(axis=1), times.std(axis=1)
    for name in sorted({name for params in candidates for name in params}):
        results[f"param_{name}"] = _parameter_column(candidates, name)
    results["params"] = candidates
    for number, scores in enumerate(test_scores.T):
        results[f"split{number}_test_score"] = scores
    mean = results["mean_test_score"] = test_scores.mean(axis=1)
    results["std_test_score"] = test_scores.std(axis=1)
    worst_for_nan = np.where(np.isnan(mean), -np.inf, mean)
    results["rank_test_score"] = rankdata(-worst_for_nan, method="min").astype(np.int32)
    return results


def _parameter_column(candidates, name):
    """Masked where a candidate of a list of grids does not name the parameter."""
    values = [params.get(name) for params in candidates]
    is_numeric = all(isinstance(value, (int, float, np.number)) for value in values)
    column = np.ma.MaskedArray(
        np.array(values) if is_numeric else np.empty(len(values), dtype=object),
        mask=[name not in params for params in candidates],
    )
    if not is_numeric:
        for place, value in enumerate(values):  # at once, pairs would be taken for a matrix
            column.data[place] = value
    return column
