"""Logit scores: one number per sample from its logits, higher = more in-distribution.

Every function reduces the last axis (classes) of an array of logits and accepts NumPy and CuPy
arrays alike: only operations that both libraries share are used.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skweiper._typing import LogitMethod, LogitScore

__all__ = ["LOGIT_SCORES", "energy", "entropy", "gen", "logit_score", "max_logit", "msp", "softmax"]


GEN_GAMMA = 0.1
GEN_TOP_CLASSES = 100


def _exp_shifted(logits):
    """exp(logits - max): free of overflow, at least one entry is 1."""
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return np.exp(shifted, out=shifted)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Softmax probabilities.

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes)

    Returns
    -------
    ndarray of shape (..., n_classes), in [0, 1], summing to one over the last axis.
    """
    probabilities = _exp_shifted(logits)
    probabilities /= np.sum(probabilities, axis=-1, keepdims=True)
    return probabilities


def msp(logits: NDArray[Any]) -> NDArray[Any]:
    """Maximum softmax probability.

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes)

    Returns
    -------
    ndarray of shape (...), in [1 / n_classes, 1], higher = more in-distribution.

    References
    ----------
    Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples
    in Neural Networks", ICLR 2017. https://arxiv.org/abs/1610.02136
    """
    return 1.0 / np.sum(_exp_shifted(logits), axis=-1)


def max_logit(logits: NDArray[Any]) -> NDArray[Any]:
    """Largest logit.

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes)

    Returns
    -------
    ndarray of shape (...), unbounded, higher = more in-distribution.

    References
    ----------
    Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022.
    https://arxiv.org/abs/1911.11132
    """
    return np.max(logits, axis=-1)


def energy(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[Any]:
    """Negative free energy, T * log(sum(exp(logits / T))).

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes)
    temperature : float, default=1.0
        T > 0. The smaller, the closer to the largest logit.

    Returns
    -------
    ndarray of shape (...), unbounded, higher = more in-distribution.

    References
    ----------
    Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020.
    https://arxiv.org/abs/2010.03759
    """
    scaled = logits / temperature
    largest = np.max(scaled, axis=-1, keepdims=True)
    scaled -= largest
    sums = np.sum(np.exp(scaled, out=scaled), axis=-1)
    return temperature * (np.log(sums) + largest[..., 0])


def entropy(logits: NDArray[Any]) -> NDArray[Any]:
    """Negative Shannon entropy of the softmax, in nats.

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes)

    Returns
    -------
    ndarray of shape (...), in [-ln(n_classes), 0], higher = more in-distribution.
    """
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = np.sum(exponentials, axis=-1)
    exponentials *= shifted
    # sum p ln p = sum p (shifted - ln sums); p > 0 is never taken the logarithm of.
    return np.sum(exponentials, axis=-1) / sums - np.log(sums)


def gen(
    logits: NDArray[Any], gamma: float = GEN_GAMMA, top_classes: int = GEN_TOP_CLASSES
) -> NDArray[Any]:
    """Negative generalised entropy over the most probable classes.

    -sum over the `top_classes` largest p of p**gamma * (1 - p)**gamma.

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes)
    gamma : float, default=0.1
        Exponent in (0, 1); smaller values weigh improbable classes more.
    top_classes : int, default=100
        The paper's M. All classes are used where there are fewer.

    Returns
    -------
    ndarray of shape (...), in [-min(top_classes, n_classes), 0], higher = more in-distribution.

    References
    ----------
    Liu, Lochman, Zach, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection",
    CVPR 2023.
    https://openaccess.thecvf.com/content/CVPR2023/html/Liu_GEN_Pushing_the_Limits_of_Softmax-Based_Out-of-Distribution_Detection_CVPR_2023_paper.html
    """
    probabilities = softmax(logits)
    # 1 - p would cancel for p near one; the sum of all other classes does not.
    others = np.where(probabilities > 0.5, 0.0, probabilities)
    rest = np.sum(others, axis=-1, keepdims=True, dtype=probabilities.dtype)
    n_classes = probabilities.shape[-1]
    if top_classes < n_classes:
        cut = n_classes - top_classes
        probabilities = np.partition(probabilities, cut, axis=-1)[..., cut:]
    complements = np.where(probabilities > 0.5, rest, 1.0 - probabilities)
    return -np.sum((probabilities * complements) ** gamma, axis=-1)


LOGIT_SCORES: Mapping[str, LogitScore] = MappingProxyType(
    {"msp": msp, "max_logit": max_logit, "energy": energy, "entropy": entropy, "gen": gen}
)


def logit_score(score: LogitMethod) -> LogitScore:
    """The function behind the name of a logit score; a callable is its own score.

    Parameters
    ----------
    score : str or callable
        A key of `LOGIT_SCORES`, or a function from logits (..., n_classes) to scores (...).

    Returns
    -------
    callable
        Raises a ValueError where a callable score returns another shape.
    """
    return partial(_checked_score, score) if callable(score) else LOGIT_SCORES[score]


def _read_only(logits):
    """Logits that a callable cannot write to: other scores are computed from the same ones."""
    if not isinstance(logits, np.ndarray):  # CuPy's arrays can always be written to
        return logits
    view = logits.view()
    view.flags.writeable = False
    return view


def _checked_score(score, logits):
    values = score(_read_only(logits))
    expected, shape = logits.shape[:-1], getattr(values, "shape", None)
    if shape != expected:
        got = type(values).__name__ if shape is None else f"shape {shape}"
        raise ValueError(
            f"A callable method must reduce the last axis, logits of shape {logits.shape} to "
            f"scores of shape {expected}, got {got}. Pass axis=-1 to its reductions."
        )
    return values
