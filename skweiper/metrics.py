"""How well scores tell ID from OOD samples: AUROC, AUPR, FPR at a TPR, and reports of them.

All functions take the scores of ID and of OOD samples apart, higher = more in-distribution, so that
no label can be read the wrong way round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType

import numpy as np
import pandas as pd
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve
from sklearn.utils import check_random_state

from skweiper._support.known_outliers import inlier_flags, labels_as_array
from skweiper._support.score_vectors import finite_vector

CONVENTIONS = ("openood", "openood-id", "vim", "pytorch-ood")


def _check_tpr(tpr):
    if not isinstance(tpr, Real) or not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1], got {tpr!r}. Pass a share such as 0.95.")


def _pooled(scores_id, scores_ood):
    """(is_id, scores) of both kinds in one array each."""
    scores_id, scores_ood = (
        finite_vector(scores_id, "scores_id"),
        finite_vector(scores_ood, "scores_ood"),
    )
    is_id = np.repeat([True, False], [len(scores_id), len(scores_ood)])
    return is_id, np.concatenate([scores_id, scores_ood])


def auroc(scores_id, scores_ood):
    """Area under the ROC curve: the probability that an ID sample outscores an OOD sample.

    The same whichever class is called positive; ties count one half.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : array-like of shape (n_ood,)
        Scores of out-of-distribution samples.

    Returns
    -------
    float, in [0, 1], higher = better, 0.5 = chance
    """
    return float(roc_auc_score(*_pooled(scores_id, scores_ood)))


def aupr_in(scores_id, scores_ood):
    """Area under the precision-recall curve, ID positive (trapezoids, as in OpenOOD).

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : array-like of shape (n_ood,)
        Scores of out-of-distribution samples.

    Returns
    -------
    float, in [0, 1], higher = better; chance is the share of ID samples
    """
    is_id, scores = _pooled(scores_id, scores_ood)
    precision, recall, _ = precision_recall_curve(is_id, scores)
    return float(auc(recall, precision))


def aupr_out(scores_id, scores_ood):
    """Area under the precision-recall curve, OOD positive (trapezoids, as in OpenOOD).

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : array-like of shape (n_ood,)
        Scores of out-of-distribution samples.

    Returns
    -------
    float, in [0, 1], higher = better; chance is the share of OOD samples
    """
    is_id, scores = _pooled(scores_id, scores_ood)
    precision, recall, _ = precision_recall_curve(~is_id, -scores)
    return float(auc(recall, precision))


def fpr_at_tpr(scores_id, scores_ood, tpr=0.95, *, convention="openood"):
    """False positive rate at the threshold that reaches a true positive rate (FPR@95).

    The literature has several definitions under one name; their figures differ.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : array-like of shape (n_ood,)
        Scores of out-of-distribution samples.
    tpr : float, default=0.95
        In (0, 1].
    convention : {"openood", "openood-id", "vim", "pytorch-ood"}, default="openood"
        - "openood": what OpenOOD v1.5 prints in its tables (`auc_and_fpr_recall`). OOD positive:
          the share of ID samples rejected at the first threshold, of those on scikit-learn's
          ROC curve, that rejects a share `tpr` of the OOD samples.
        - "openood-id": OpenOOD's `fpr_recall`. ID positive: the share of OOD samples accepted at
          the first such threshold that accepts a share `tpr` of the ID samples.
        - "vim": the code of ViM. ID positive, like "openood-id", but the number of ID samples to
          accept is rounded down.
        - "pytorch-ood": OOD positive, like "openood", but on the ROC curve of all thresholds:
          scikit-learn leaves out points on a straight line, which matters where scores are tied.

    Returns
    -------
    float, in [0, 1], lower = better

    References
    ----------
    Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection", 2023.
    https://arxiv.org/abs/2306.09301
    Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022.
    https://arxiv.org/abs/2203.10807
    Kirchheim et al., "PyTorch-OOD: A Library for Out-of-Distribution Detection based on PyTorch",
    CVPR Workshops 2022. https://github.com/kkirchheim/pytorch-ood

    Examples
    --------
    >>> from skweiper.metrics import fpr_at_tpr
    >>> fpr_at_tpr([1, 4, 5, 6], [0, 2, 2, 3], tpr=0.75)
    0.25
    >>> fpr_at_tpr([1, 4, 5, 6], [0, 2, 2, 3], tpr=0.75, convention="vim")
    0.0
    """
    _check_tpr(tpr)
    is_id, scores = _pooled(scores_id, scores_ood)
    if convention == "openood":
        return _first_fpr(~is_id, -scores, tpr)
    if convention == "openood-id":
        return _first_fpr(is_id, scores, tpr)
    if convention == "pytorch-ood":
        return _first_fpr(~is_id, -scores, tpr, drop_intermediate=False)
    if convention == "vim":
        return _fpr_vim(scores[is_id], scores[~is_id], tpr)
    raise ValueError(f"convention must be one of {CONVENTIONS}, got {convention!r}.")


def _first_fpr(is_positive, values, tpr, drop_intermediate=True):
    """FPR where the ROC curve first reaches `tpr`; higher values = positive."""
    fprs, tprs, _ = roc_curve(is_positive, values, drop_intermediate=drop_intermediate)
    return float(fprs[np.argmax(tprs >= tpr)])


def _fpr_vim(scores_id, scores_ood, tpr):
    n_accepted = int(np.floor(tpr * len(scores_id)))
    # ViM's index -0 for n_accepted = 0 is the smallest score: all ID samples are accepted.
    threshold = np.sort(scores_id)[-n_accepted]
    return float(np.mean(scores_ood >= threshold))


def fpr95(scores_id, scores_ood):
    """FPR at 95 % TPR in OpenOOD's convention, `fpr_at_tpr(scores_id, scores_ood)`.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : array-like of shape (n_ood,)
        Scores of out-of-distribution samples.

    Returns
    -------
    float, in [0, 1], lower = better
    """
    return fpr_at_tpr(scores_id, scores_ood)


METRICS = MappingProxyType(
    {"auroc": auroc, "aupr_in": aupr_in, "aupr_out": aupr_out, "fpr95": fpr95}
)


def scores_of(detector, X):
    """Scores of a detector of this library or of scikit-learn, higher = more in-distribution.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`.
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        No `score_samples`. `decision_function` is not taken instead: libraries disagree on its
        direction (in PyOD, higher = more abnormal).
    """
    if not hasattr(detector, "score_samples"):
        raise TypeError(
            f"{type(detector).__name__} has no score_samples(X), higher = more in-distribution, "
            "as scikit-learn's outlier detectors have. Wrap it in a class that has."
        )
    return np.asarray(detector.score_samples(X))


@dataclass(frozen=True)
class OODScorer:
    """Scorer of a fitted detector, for `scoring=` anywhere in scikit-learn.

    `scorer(detector, X, y)` is the metric of the detector's scores, y == -1 marking OOD samples
    and any other label ID ones; higher = better.

    Parameters
    ----------
    metric : callable
        From (scores_id, scores_ood) to a number, such as the functions of this module;
        `functools.partial` sets options.
    greater_is_better : bool, default=True
        False negates the metric.

    Examples
    --------
    >>> from functools import partial
    >>> from skweiper.metrics import OODScorer, fpr_at_tpr
    >>> scorer = OODScorer(partial(fpr_at_tpr, tpr=0.9, convention="vim"), greater_is_better=False)
    """

    metric: Callable
    greater_is_better: bool = True

    def __call__(self, detector, X, y):
        is_id = inlier_flags(labels_as_array(y))
        if is_id.all() or not is_id.any():
            raise ValueError(
                f"y must hold ID samples and OOD samples (y == -1), got {is_id.sum()} ID and "
                f"{np.sum(~is_id)} OOD. Split so that every test fold has both, and convert other "
                "labels by skweiper.model_selection.as_inlier_labels."
            )
        scores = scores_of(detector, X)
        if scores.shape != is_id.shape:
            raise ValueError(
                f"y must hold one label per row of X, got shape {is_id.shape} for "
                f"{len(scores)} rows."
            )
        value = self.metric(scores[is_id], scores[~is_id])
        return value if self.greater_is_better else -value


auroc_scorer = OODScorer(auroc)
aupr_in_scorer = OODScorer(aupr_in)
aupr_out_scorer = OODScorer(aupr_out)
fpr95_scorer = OODScorer(fpr95, greater_is_better=False)


def _values(scores_id, ood_scores):
    """All metrics of all data sets, ndarray of shape (n_datasets, n_metrics)."""
    return np.array(
        [[metric(scores_id, scores) for metric in METRICS.values()] for scores in ood_scores]
    )


def _resampled(scores, random_state):
    return scores[random_state.randint(len(scores), size=len(scores))]


def _bootstrap(scores_id, ood_scores, n_boot, seed):
    """Metrics of bootstrap samples, ndarray of shape (n_boot, n_datasets, n_metrics).

    ID and OOD samples are drawn apart, each with replacement; one draw of the ID samples serves
    all data sets, so that means over data sets vary as they would.
    """
    random_state = check_random_state(seed)
    return np.stack(
        [
            _values(
                _resampled(scores_id, random_state),
                [_resampled(scores, random_state) for scores in ood_scores],
            )
            for _ in range(n_boot)
        ]
    )


def _check_groups(groups, names):
    """The groups as lists of known names; one of all data sets where None are given."""
    if groups is None:
        return {"all": list(names)}
    if not _is_dict(groups) or any(isinstance(names, str) for names in groups.values()):
        raise ValueError(
            "groups must be a dict of each group's name to a list of data-set names, got "
            f"{groups!r}. Pass {{'near': ['name', ...], 'far': [...]}}."
        )
    groups = {group: list(members) for group, members in groups.items()}
    listed = [name for members in groups.values() for name in members]
    unknown = sorted(set(listed) - set(names))
    if unknown or len(listed) != len(set(listed)) or not all(groups.values()):
        raise ValueError(
            "groups must map each group to data sets that were passed, at least one, each in one "
            f"group only; passed {sorted(names)}, groups {groups}, unknown {unknown}."
        )
    return groups


def _row(values, draws, confidence):
    """Columns of one row: each metric, with its bootstrap interval where draws are given."""
    row = {}
    for i, metric in enumerate(METRICS):
        row[metric] = values[i]
        if draws is not None:
            tail = (1 - confidence) / 2
            low, high = np.quantile(draws[:, i], [tail, 1 - tail])
            row |= {f"{metric}_low": low, f"{metric}_high": high}
    return row


def _report(scores_id, ood, groups, spectrum, n_boot, confidence, seed):
    """Report of one spectrum: a row per data set, then a row per group."""
    names = list(ood)
    values = _values(scores_id, ood.values())
    draws = _bootstrap(scores_id, list(ood.values()), n_boot, seed) if n_boot else None
    group_of = {name: group for group, members in groups.items() for name in members}
    rows = []
    for i, name in enumerate(names):
        about = {"level": "dataset", "group": group_of.get(name), "dataset": name}
        count = {"n_id": len(scores_id), "n_ood": len(ood[name])}
        of_one = None if draws is None else draws[:, i]
        rows.append(about | count | _row(values[i], of_one, confidence))
    for group, members in groups.items():
        chosen = [names.index(name) for name in members]
        about = {"level": "group", "group": group, "dataset": None}
        count = {"n_id": len(scores_id), "n_ood": sum(len(ood[name]) for name in members)}
        of_group = None if draws is None else draws[:, chosen].mean(axis=1)
        rows.append(about | count | _row(values[chosen].mean(axis=0), of_group, confidence))
    report = pd.DataFrame(rows)
    report.insert(0, "spectrum", spectrum)
    return report


def ood_report(
    scores_id,
    scores_ood,
    groups=None,
    *,
    scores_covariate_shifted=None,
    n_boot=0,
    confidence=0.95,
    seed=None,
):
    """AUROC, AUPR-in, AUPR-out and FPR@95 per OOD data set, and their means per group.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : dict of str to array-like of shape (n_ood,)
        Scores of each OOD data set by its name.
    groups : dict of str to list of str, default=None
        Names of the data sets of each group, as {"near": [...], "far": [...]}. None puts all into
        the group "all".
    scores_covariate_shifted : array-like of shape (n_shifted,), or dict of such, default=None
        Scores of covariate-shifted ID samples; of several sets, by their names. They add rows of
        the full spectrum, in which all of them count as ID samples beside `scores_id`.
    n_boot : int, default=0
        Bootstrap samples behind the intervals; 0 gives none. ID and OOD samples are drawn apart.
    confidence : float, default=0.95
        Coverage of the (percentile) intervals, in (0, 1).
    seed : int, RandomState instance or None, default=None
        Draws the bootstrap samples.

    Returns
    -------
    DataFrame
        A row per data set (`level` "dataset") and per group (`level` "group": the unweighted mean
        over its data sets, as in OpenOOD); columns `spectrum` ("standard" or "full"), `level`,
        `group`, `dataset`, `n_id`, `n_ood`, `auroc`, `aupr_in`, `aupr_out`, `fpr95` (the "openood"
        convention of `fpr_at_tpr`), all in [0, 1], and with `n_boot` the ends of the intervals,
        `auroc_low`, `auroc_high`, ...

    Raises
    ------
    ValueError
        Empty or non-finite scores, no data set, a group of unknown or repeated data sets, or
        `n_boot` or `confidence` out of range.

    References
    ----------
    Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection", 2023.
    https://arxiv.org/abs/2306.09301

    Examples
    --------
    >>> from skweiper.metrics import ood_report
    >>> report = ood_report([2, 3, 4], {"svhn": [0, 1], "cifar100": [1, 2.5]},
    ...                     groups={"near": ["cifar100"], "far": ["svhn"]})
    >>> report.query("level == 'group'").set_index("group").auroc.round(3).to_dict()
    {'near': 0.833, 'far': 1.0}
    """
    groups = check_report_options(scores_ood, groups, n_boot, confidence, "scores_ood")
    scores_id, ood = checked_sets(scores_id, scores_ood)
    # One number for both spectra: their intervals then rest on comparable draws.
    seed = check_random_state(seed).randint(np.iinfo(np.int32).max) if n_boot else None
    report = _report(scores_id, ood, groups, "standard", n_boot, confidence, seed)
    if scores_covariate_shifted is None:
        return report
    pooled = np.concatenate([scores_id, *_shifted_sets(scores_covariate_shifted)])
    full = _report(pooled, ood, groups, "full", n_boot, confidence, seed)
    return pd.concat([report, full], ignore_index=True)


def checked_sets(scores_id, scores_ood):
    """Scores of ID samples and of OOD data sets by name, as finite float64 vectors.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
    scores_ood : dict of str to array-like of shape (n_ood,)

    Returns
    -------
    scores_id : ndarray of shape (n_id,)
    scores_ood : dict of str to ndarray of shape (n_ood,)

    Raises
    ------
    ValueError
        No data set, or scores that are empty, not finite or not one-dimensional.
    """
    check_named(scores_ood, "scores_ood")
    ood = {
        name: finite_vector(scores, f"scores_ood[{name!r}]") for name, scores in scores_ood.items()
    }
    return finite_vector(scores_id, "scores_id"), ood


def check_named(ood, ood_name):
    """Refuse what is no dict of data sets by name, or an empty one.

    Raises
    ------
    ValueError
    """
    if not _is_dict(ood) or not ood:
        got = "an empty one" if _is_dict(ood) else type(ood).__name__
        raise ValueError(
            f"{ood_name} must be a dict of at least one data set by its name, got {got}. "
            "Pass {'name': data}."
        )


def _is_dict(sets):
    """Whether sets are passed by name; pandas' objects have `items` as well."""
    return hasattr(sets, "items") and not hasattr(sets, "iloc")


def _shifted_sets(scores):
    """Checked scores of every set of covariate-shifted samples."""
    name = "scores_covariate_shifted"
    if not _is_dict(scores):
        return [finite_vector(scores, name)]
    return [finite_vector(of_set, f"{name}[{key!r}]") for key, of_set in scores.items()]


def scores_of_shifted(detector, covariate_shifted):
    """Scores of covariate-shifted samples, as `ood_report` takes them.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`.
    covariate_shifted : array-like of shape (n_shifted, n_features), dict of such, or None

    Returns
    -------
    ndarray, dict of str to ndarray, or None
    """
    if covariate_shifted is None:
        return None
    if _is_dict(covariate_shifted):
        return {name: scores_of(detector, X) for name, X in covariate_shifted.items()}
    return scores_of(detector, covariate_shifted)


def check_report_options(ood, groups, n_boot, confidence, ood_name="ood"):
    """Check what needs no scores, so that no detector runs in vain; the groups as lists.

    Parameters
    ----------
    ood : dict
        Data sets by name; only their names and lengths are looked at.
    groups : dict of str to list of str, or None
    n_boot : int
    confidence : float
    ood_name : str
        What the caller calls `ood`, for the message.

    Returns
    -------
    dict of str to list of str
        One group "all" where None are given.

    Raises
    ------
    ValueError
    """
    check_named(ood, ood_name)
    empty = [name for name, data in ood.items() if hasattr(data, "__len__") and len(data) == 0]
    if empty:
        raise ValueError(f"{ood_name} holds no samples for {empty}. Leave these data sets out.")
    if not isinstance(n_boot, Integral) or n_boot < 0:
        raise ValueError(f"n_boot must be an int >= 0, got {n_boot!r}.")
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}.")
    return _check_groups(groups, ood)


def evaluate(
    detector,
    X_id,
    ood,
    groups=None,
    covariate_shifted=None,
    *,
    n_boot=0,
    confidence=0.95,
    seed=None,
):
    """Report of a fitted detector on ID samples and OOD data sets.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`, higher = more in-distribution.
    X_id : array-like of shape (n_id, n_features)
        In-distribution samples that took no part in `fit`.
    ood : dict of str to array-like of shape (n_ood, n_features)
        OOD data sets by name.
    groups : dict of str to list of str, default=None
        Names of the data sets of each group, as {"near": [...], "far": [...]}.
    covariate_shifted : array-like of shape (n_shifted, n_features), or dict of such, default=None
        Covariate-shifted ID samples (several sets by name): they add rows of the full spectrum.
    n_boot : int, default=0
        Bootstrap samples behind the intervals; 0 gives none.
    confidence : float, default=0.95
        Coverage of the intervals, in (0, 1).
    seed : int, RandomState instance or None, default=None
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
    >>> from skweiper.metrics import evaluate
    >>> data = load_clinc150()
    >>> forest = IsolationForest(n_estimators=10, random_state=0).fit(data.train)
    >>> evaluate(forest, data.test, {"oos": data.test_oos}).shape
    (2, 10)
    """
    check_report_options(ood, groups, n_boot, confidence)
    shifted = scores_of_shifted(detector, covariate_shifted)
    return ood_report(
        scores_of(detector, X_id),
        {name: scores_of(detector, X) for name, X in ood.items()},
        groups,
        scores_covariate_shifted=shifted,
        n_boot=n_boot,
        confidence=confidence,
        seed=seed,
    )
