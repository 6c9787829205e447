"""The metrics of several OOD datasets and of their groups as a table, with intervals."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from skweiper._score_sets import check_named, checked_sets, is_dict
from skweiper._support.score_vectors import finite_vector
from skweiper._typing import NamedSets, Seed
from skweiper.metrics import METRICS


def _values(scores_id, ood_scores):
    """All metrics of all datasets, ndarray of shape (n_datasets, n_metrics)."""
    return np.array(
        [[metric(scores_id, scores) for metric in METRICS.values()] for scores in ood_scores]
    )


def _resampled(scores, random_state):
    return scores[random_state.randint(len(scores), size=len(scores))]


def _bootstrap(scores_id, ood_scores, n_boot, seed):
    """Metrics of bootstrap samples, ndarray of shape (n_boot, n_datasets, n_metrics).

    ID and OOD samples are drawn apart, each with replacement; one draw of the ID samples serves
    all datasets, so that means over datasets vary as they would.
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
    """The groups as lists of known names; one of all datasets where None are given."""
    if groups is None:
        return {"all": list(names)}
    if not is_dict(groups) or any(isinstance(names, str) for names in groups.values()):
        raise ValueError(
            "groups must be a dict of each group's name to a list of dataset names, got "
            f"{groups!r}. Pass {{'near': ['name', ...], 'far': [...]}}."
        )
    groups = {group: list(members) for group, members in groups.items()}
    listed = [name for members in groups.values() for name in members]
    unknown = sorted(set(listed) - set(names))
    if unknown or len(listed) != len(set(listed)) or not all(groups.values()):
        raise ValueError(
            "groups must map each group to datasets that were passed, at least one, each in one "
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
    """Report of one spectrum: a row per dataset, then a row per group."""
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
    scores_id: ArrayLike,
    scores_ood: NamedSets,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    scores_covariate_shifted: ArrayLike | NamedSets | None = None,
    n_boot: int = 0,
    confidence: float = 0.95,
    random_state: Seed = None,
) -> pd.DataFrame:
    """AUROC, AUPR-in, AUPR-out and FPR@95 per OOD dataset, and their means per group.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Scores of in-distribution samples, higher = more in-distribution.
    scores_ood : dict of str to array-like of shape (n_ood,)
        Scores of each OOD dataset by its name.
    groups : dict of str to list of str, default=None
        Names of the datasets of each group, as {"near": [...], "far": [...]}. None puts all into
        the group "all".
    scores_covariate_shifted : array-like of shape (n_shifted,), or dict of such, default=None
        Scores of covariate-shifted ID samples; of several sets, by their names. They add rows of
        the full spectrum, in which all of them count as ID samples beside `scores_id`.
    n_boot : int, default=0
        Bootstrap samples behind the intervals; 0 gives none. ID and OOD samples are drawn apart.
    confidence : float, default=0.95
        Coverage of the (percentile) intervals, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Draws the bootstrap samples.

    Returns
    -------
    DataFrame
        A row per dataset (`level` "dataset") and per group (`level` "group": the unweighted mean
        over its datasets, as in OpenOOD); columns `spectrum` ("standard" or "full"), `level`,
        `group`, `dataset`, `n_id`, `n_ood`, `auroc`, `aupr_in`, `aupr_out`, `fpr95` (the "openood"
        convention of `fpr_at_tpr`), all in [0, 1], and with `n_boot` the ends of the intervals,
        `auroc_low`, `auroc_high`, ...

    Raises
    ------
    ValueError
        Empty or non-finite scores, no dataset, a group of unknown or repeated datasets, or
        `n_boot` or `confidence` out of range.

    References
    ----------
    Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection", 2023.
    https://arxiv.org/abs/2306.09301

    Examples
    --------
    >>> from skweiper.evaluation import ood_report
    >>> report = ood_report([2, 3, 4], {"svhn": [0, 1], "cifar100": [1, 2.5]},
    ...                     groups={"near": ["cifar100"], "far": ["svhn"]})
    >>> report.query("level == 'group'").set_index("group").auroc.round(3).to_dict()
    {'near': 0.833, 'far': 1.0}
    """
    groups = check_report_options(scores_ood, groups, n_boot, confidence, "scores_ood")
    scores_id, ood = checked_sets(scores_id, scores_ood)
    # One number for both spectra: their intervals then rest on comparable draws.
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max) if n_boot else None
    report = _report(scores_id, ood, groups, "standard", n_boot, confidence, seed)
    if scores_covariate_shifted is None:
        return report
    pooled = np.concatenate([scores_id, *_shifted_sets(scores_covariate_shifted)])
    full = _report(pooled, ood, groups, "full", n_boot, confidence, seed)
    return pd.concat([report, full], ignore_index=True)


def _shifted_sets(scores):
    """Checked scores of every set of covariate-shifted samples."""
    name = "scores_covariate_shifted"
    if not is_dict(scores):
        return [finite_vector(scores, name)]
    return [finite_vector(of_set, f"{name}[{key!r}]") for key, of_set in scores.items()]


def check_report_options(ood, groups, n_boot, confidence, ood_name="X_ood"):
    """Check what needs no scores, so that no detector runs in vain; the groups as lists.

    Parameters
    ----------
    ood : dict
        Datasets by name; only their names and lengths are looked at.
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
        raise ValueError(f"{ood_name} holds no samples for {empty}. Leave these datasets out.")
    if not isinstance(n_boot, Integral) or n_boot < 0:
        raise ValueError(f"n_boot must be an int >= 0, got {n_boot!r}.")
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}.")
    return _check_groups(groups, ood)
