"""How well scores tell ID from OOD samples: AUROC, AUPR, FPR at a TPR, and scorers.

All metrics take the scores of ID and of OOD samples apart, higher = more in-distribution, so that
no label can be read the wrong way round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from skweiper._support.containers import as_host
from skweiper._support.known_outliers import inlier_flags, labels_as_array
from skweiper._support.score_vectors import finite_vector
from skweiper._typing import Scoring

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "OODScorer",
    "aupr_in",
    "aupr_in_scorer",
    "aupr_out",
    "aupr_out_scorer",
    "auroc",
    "auroc_of_rows",
    "auroc_scorer",
    "fpr95",
    "fpr95_scorer",
    "fpr_at_tpr",
    "scores_of",
]

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


def auroc(scores_id: ArrayLike, scores_ood: ArrayLike) -> float:
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


def auroc_of_rows(scores: NDArray, is_id: NDArray[np.bool_]) -> NDArray:
    """AUROC of every row of scores at once, from ranks (ties count one half).

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_samples)
        Higher = more in-distribution.
    is_id : ndarray of shape (n_samples,), bool

    Returns
    -------
    ndarray of shape (n_candidates,), in [0, 1]; NaN where ID or OOD samples are missing.

    Raises
    ------
    ValueError
        `is_id` is not boolean, as labels are not, or of another length.
    """
    scores, is_id = as_host(scores), np.asarray(as_host(is_id))
    if is_id.dtype != bool or is_id.shape != scores.shape[1:]:
        raise ValueError(
            f"is_id must be boolean, one entry per column of scores of shape {scores.shape}, got "
            f"shape {is_id.shape} and dtype {is_id.dtype}. Pass y != -1."
        )
    n_id = int(np.count_nonzero(is_id))
    n_ood = len(is_id) - n_id
    if n_id == 0 or n_ood == 0:
        return np.full(len(scores), np.nan)
    ranks = rankdata(scores, axis=1)[:, is_id].sum(axis=1)
    return (ranks - n_id * (n_id + 1) / 2) / (n_id * n_ood)


def aupr_in(scores_id: ArrayLike, scores_ood: ArrayLike) -> float:
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


def aupr_out(scores_id: ArrayLike, scores_ood: ArrayLike) -> float:
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


def fpr_at_tpr(
    scores_id: ArrayLike,
    scores_ood: ArrayLike,
    tpr: float = 0.95,
    *,
    convention: Literal["openood", "openood-id", "vim", "pytorch-ood"] = "openood",
) -> float:
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


def fpr95(scores_id: ArrayLike, scores_ood: ArrayLike) -> float:
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


METRICS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {"auroc": auroc, "aupr_in": aupr_in, "aupr_out": aupr_out, "fpr95": fpr95}
)


def scores_of(detector: Scoring, X: ArrayLike) -> NDArray[Any]:
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
    return np.asarray(as_host(detector.score_samples(X)))


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

    metric: Callable[..., float]
    greater_is_better: bool = True

    def __call__(self, detector: Scoring, X: ArrayLike, y: ArrayLike) -> float:
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
