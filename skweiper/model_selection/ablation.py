"""Ablations: one hyperparameter at a time away from a base setting, over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skweiper._support.progress import track
from skweiper._support.rows import FeatureRows
from skweiper._support.validation import check_feature_matrix
from skweiper._typing import NamedSets
from skweiper._weiper.rules import KLDTerms, is_kld
from skweiper._weiper.stretch import warn_of_stretch
from skweiper.detector import WeiPerDetector
from skweiper.metrics import auroc_of_rows
from skweiper.model_selection.candidates import (
    DOWNSTREAM_PARAMETERS,
    PASS_PARAMETERS,
    grid_candidates,
    pass_groups,
)
from skweiper.model_selection.sweep import FittedGroup

STUDIES: Mapping[str, Sequence[Mapping[str, Any]]] = MappingProxyType(
    {
        "n_repeats": ({"n_repeats": 1}, {"n_repeats": 10}, {"n_repeats": 50}, {"n_repeats": 100}),
        "delta": (
            {"delta": 0.0},
            {"delta": "auto", "flip_rate": 0.05},
            {"delta": "auto", "flip_rate": 0.1},
            {"delta": "auto", "flip_rate": 0.2},
            {"delta": "auto", "flip_rate": 0.4},
            {"delta": 2.0},
        ),
        "n_bins": ({"n_bins": 20}, {"n_bins": 60}, {"n_bins": 100}, {"n_bins": 200}),
        "smoothing": ({"smoothing": 1}, {"smoothing": 4}, {"smoothing": 40}),
        "smoothing_perturbed": (
            {"smoothing_perturbed": 1},
            {"smoothing_perturbed": 15},
            {"smoothing_perturbed": 40},
        ),
        "epsilon": ({"epsilon": 0.001}, {"epsilon": 0.01}, {"epsilon": 0.1}),
        "epsilon_perturbed": (
            {"epsilon_perturbed": 0.0025},
            {"epsilon_perturbed": 0.025},
            {"epsilon_perturbed": 0.25},
        ),
        "terms": (
            {"term": "feature_divergence"},
            {"term": "logit_divergence"},
            {"term": "msp"},
            {"lambda_2": 0.0},
            {"lambda_1": 0.0},
        ),
        "projection": ({"projection": "implicit"}, {"projection": "explicit"}),
        "random_projections": ({"projection": "random"},),
    }
)
"""The standard studies: name, and the settings that replace the base's."""


def ablation(
    X_train: ArrayLike,
    X_id: ArrayLike,
    X_ood: ArrayLike | NamedSets,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    base: Mapping[str, Any] | None = None,
    studies: Mapping[str, Sequence[Mapping[str, Any]]] = STUDIES,
    seeds: Iterable[int] = range(10),
    verbose: int | bool = 0,
) -> pd.DataFrame:
    """AUROC of WeiPerDetector with one hyperparameter at a time changed.

    Parameters
    ----------
    X_train : array-like of shape (n_train, n_features)
        ID rows to fit on.
    X_id : array-like of shape (n_id, n_features)
        Held-out ID rows.
    X_ood : array-like of shape (n_ood, n_features), or dict of str to such
        OOD rows, by name of their dataset.
    weight : array-like of shape (n_classes, n_features), default=None
    bias : array-like of shape (n_classes,), default=None
    base : dict, default=None
        Hyperparameters that replace `WeiPerDetector`'s defaults in all settings.
    studies : dict of str to sequence of dict, default=STUDIES
        For each study the settings to try, each a dict of the hyperparameters that it changes.
        The key "term" asks for one term of WeiPer+KLD alone, by its name in `score_components`:
        "feature_divergence" or "logit_divergence" (negated) or "msp".
        The standard studies are: repeats, delta (none, at several flip rates, and 2 as published),
        bins, smoothing and epsilon of both spaces, each term of the score alone and left out
        (without lambda_2: KLD only), implicit against explicit, and random projections (directions
        in place of the head's weights).
    seeds : iterable of int, default=range(10)
        Values of `random_state`; the spread over them is the method's own noise.
    verbose : int, default=0
        1 shows a progress bar over perturbations (needs rich).

    Returns
    -------
    DataFrame
        One row per setting, seed and OOD dataset, with the columns study, setting (its text;
        "base" for the base itself, in the study "base"), seed, dataset and auroc (in [0, 1], ID
        positive).

    Raises
    ------
    TypeError
        `studies` is no dict of lists of dicts, or `seeds` one number.
    ValueError
        No seed, an unknown hyperparameter or term, a value out of range, or bad values or shapes.

    Warns
    -----
    UserWarning
        Outliers in X_train stretch the bins; see the Notes of `WeiPerDetector`.

    Examples
    --------
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.model_selection import ablation
    >>> data = load_clinc150()
    >>> table = ablation(
    ...     data.train[:100], data.validation[:50], data.validation_oos[:50], data.weight,
    ...     data.bias, base={"n_repeats": 2}, studies={"bins": [{"n_bins": 50}]}, seeds=[0, 1],
    ... )
    >>> table.shape
    (4, 5)
    """
    ood = dict(X_ood) if isinstance(X_ood, Mapping) else {"ood": X_ood}
    train, held_out, *ood_rows = (_rows(X) for X in (X_train, X_id, *ood.values()))
    seeds = _checked_seeds(seeds)
    _check_studies(studies)
    base = base or {}
    _check_names(base, "base", WeiPerDetector().get_params())
    template = WeiPerDetector(weight, bias).set_params(**base)
    settings: list[tuple[str, Mapping[str, Any]]] = [("base", {})]
    settings += [(name, one) for name, all_ in studies.items() for one in all_]
    runs = [(study, changes, int(seed)) for study, changes in settings for seed in seeds]
    grid = [_single_candidate(changes, seed) for _, changes, seed in runs]
    terms = [_checked_term(changes) for _, changes, _ in runs]
    labels = [(study, _text(changes), seed) for study, changes, seed in runs]
    _, complete = grid_candidates(grid, template)
    records: list[Any] = []
    stretches: list[Any] = []
    groups = pass_groups(complete)
    for group in track(groups, len(groups), "ablation", verbose):
        fitted = FittedGroup(template, group, train)
        stretches = stretches or fitted.stretches
        scores = _group_scores(fitted, [held_out, *ood_rows], terms)
        for name, ood_scores in zip(ood, scores[1:], strict=True):
            is_id = np.repeat([True, False], [len(held_out), ood_scores.shape[1]])
            aurocs = auroc_of_rows(np.concatenate([scores[0], ood_scores], axis=1), is_id)
            records += [
                (position, *labels[position], name, auroc)
                for position, auroc in zip(group.positions, aurocs, strict=True)
            ]
    warn_of_stretch(stretches, " in X_train")
    columns = ["position", "study", "setting", "seed", "dataset", "auroc"]
    table = pd.DataFrame(records, columns=columns)
    table = table.sort_values("position", kind="stable", ignore_index=True)
    return table.drop(columns="position")


def _rows(X):
    return FeatureRows(check_feature_matrix(X, "ablation"))


def _checked_seeds(seeds):
    if not hasattr(seeds, "__iter__") or isinstance(seeds, str):
        raise TypeError(f"seeds must be several ints, got {seeds!r}. Pass range(10), or [0].")
    seeds = list(seeds)
    if not seeds:
        raise ValueError("seeds is empty, so nothing would be measured. Pass range(10).")
    return seeds


def _check_studies(studies):
    """Refuse what is no dict of lists of dicts, and hyperparameters that no study can change."""
    if not isinstance(studies, Mapping) or any(
        isinstance(settings, (Mapping, str))
        or not all(isinstance(changes, Mapping) for changes in settings)
        for settings in studies.values()
    ):
        raise TypeError(
            "studies must be a dict of lists of dicts, the settings of each study by its name, got "
            f"{studies!r}. Pass {{'delta': [{{'delta': 1.0}}, {{'delta': 4.0}}]}}."
        )
    # The seeds are an argument of their own.
    known = {*PASS_PARAMETERS, *DOWNSTREAM_PARAMETERS, "term"} - {"random_state"}
    for name, settings in studies.items():
        for changes in settings:
            _check_names(changes, f"studies[{name!r}]", known)


def _check_names(changes, where, known):
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise ValueError(f"{where} has unknown names {unknown}, expected some of {sorted(known)}.")


def _single_candidate(changes, seed):
    """A grid of one candidate."""
    parameters = {name: value for name, value in changes.items() if name != "term"}
    if "term" in changes:
        parameters["method"] = "kld"
    return {name: [value] for name, value in {**parameters, "random_state": seed}.items()}


def _checked_term(changes):
    """The term that a setting asks for alone, or None."""
    if "term" not in changes:
        return None
    method = changes.get("method", "kld")
    if changes["term"] not in KLDTerms._fields or not is_kld(method):
        raise ValueError(
            f"term must be one of {KLDTerms._fields}, with method='kld'; "
            f"got {changes['term']!r} with method={method!r}."
        )
    return changes["term"]


def _group_scores(fitted, row_sets, terms):
    """Scores of a group's candidates on each set of rows; `terms` are those of all candidates."""
    group = fitted.group
    alone = {i: terms[at] for i, at in enumerate(group.positions) if terms[at] is not None}
    scores = []
    for rows in row_sets:
        measured = fitted.terms(rows)
        scores.append(group.candidate_scores(measured, slice(0, None)))
        for i, term in alone.items():
            scores[-1][i] = group.term(measured, i, term)
    return scores


def _text(changes):
    return ", ".join(f"{name}={value}" for name, value in changes.items()) or "base"
