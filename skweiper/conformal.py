"""Conformal p-values of scores, and the samples a batch of them gives away as OOD."""

from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from skweiper._support.score_vectors import finite_vector
from skweiper._typing import FloatArray

__all__ = ["conformal_p_values", "ood_discoveries"]


def conformal_p_values(calibration_scores: ArrayLike, scores: ArrayLike) -> FloatArray:
    """p-value of each score under the hypothesis that the sample is in-distribution.

    (1 + #{calibration scores <= score}) / (n_calibration + 1). If a sample and the calibration
    samples are exchangeable (independent draws of one distribution, say) and the detector was
    fitted without them, then P(p <= t) <= t for every t, whatever the distribution, the detector
    and n_calibration are. The probability is over the calibration samples as well: for one given
    calibration set it scatters about t, by some sqrt(t (1 - t) / n_calibration).

    Parameters
    ----------
    calibration_scores : ndarray of shape (n_calibration,)
        Scores of held-out in-distribution samples, higher = more in-distribution.
    scores : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,), in [1 / (n_calibration + 1), 1]; small = OOD

    Raises
    ------
    ValueError
        No calibration score, or scores that are not finite or not one-dimensional.

    References
    ----------
    Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", Springer 2005.
    Bates et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 2023.
    https://arxiv.org/abs/2104.08279

    Examples
    --------
    >>> import numpy as np
    >>> from skweiper.conformal import conformal_p_values
    >>> conformal_p_values(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0]))
    array([0.25, 0.75, 1.  ])
    """
    calibration_scores = finite_vector(calibration_scores, "calibration_scores", may_be_empty=True)
    if len(calibration_scores) == 0:
        raise ValueError(
            "calibration_scores is empty, so every p-value would be 1. Pass the scores of held-out "
            "in-distribution samples."
        )
    # NaN would sort last and pass for a sample most surely ID.
    scores = finite_vector(scores, "scores", may_be_empty=True)
    calibration_scores = np.sort(calibration_scores)
    n_below = np.searchsorted(calibration_scores, scores, side="right")
    return (1 + n_below) / (1 + len(calibration_scores))


def ood_discoveries(
    p_values: ArrayLike, fdr: float = 0.1, *, method: Literal["bh", "by"] = "bh"
) -> NDArray[np.bool_]:
    """Samples of a batch to call OOD, with the false discovery rate controlled.

    Of the samples called OOD, the expected share that is in fact in-distribution is at most
    `fdr`: conformal p-values that share one calibration set are positively dependent, under which
    the method of Benjamini and Hochberg ("bh") keeps its guarantee (Bates et al., 2023).

    Parameters
    ----------
    p_values : array-like of shape (n_samples,)
        In (0, 1], from `p_value` of a detector. With n_calibration samples none is below
        1 / (n_calibration + 1): finding k of n_samples takes n_calibration of at least
        n_samples / (k fdr) - 1.
    fdr : float, default=0.1
        In (0, 1).
    method : {"bh", "by"}, default="bh"
        "by" (Benjamini and Yekutieli) holds under any dependence and finds less.

    Returns
    -------
    ndarray of shape (n_samples,), bool, True = OOD

    Raises
    ------
    ValueError
        `fdr` out of range, p-values outside [0, 1] or of more than one dimension, or an unknown
        method.

    References
    ----------
    Bates et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 2023.
    https://arxiv.org/abs/2104.08279

    Examples
    --------
    >>> from skweiper.conformal import ood_discoveries
    >>> ood_discoveries([0.01, 0.5, 0.02, 0.9], fdr=0.1)
    array([ True, False,  True, False])
    """
    if not isinstance(fdr, Real) or not 0 < fdr < 1:
        raise ValueError(f"fdr must be in (0, 1), got {fdr!r}. Pass a share such as 0.1.")
    remedy = "Pass the output of p_value; correct several batches one by one."
    p_values = finite_vector(p_values, "p_values", remedy, may_be_empty=True)
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(
            f"p_values must be in [0, 1], got values from {p_values.min():g} to "
            f"{p_values.max():g}. {remedy}"
        )
    return false_discovery_control(p_values, method=method) <= fdr
