"""Labels of other libraries as scikit-learn's +1 (ID) and -1 (OOD)."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import column_or_1d

from skweiper._support.known_outliers import labels_as_array
from skweiper._support.parameters import StrOptions, validate_parameter_constraints
from skweiper._typing import IntArray

LABEL_CONVENTIONS = ("sklearn", "pyod", "openood")


def as_inlier_labels(
    y: ArrayLike, convention: Literal["sklearn", "pyod", "openood"] = "sklearn"
) -> IntArray:
    """Labels as +1 (in-distribution) and -1 (out-of-distribution).

    scikit-learn's scorers take the larger label as positive. With {0, 1} and 1 = OOD they would
    return one minus the AUROC, without a word.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    convention : {"sklearn", "pyod", "openood"}, default="sklearn"
        "sklearn": +1 inlier, -1 outlier. "pyod": 0 inlier, 1 outlier. "openood": a class label of
        0 or more for ID samples, -1 for OOD ones.

    Returns
    -------
    ndarray of shape (n_samples,), int, of +1 and -1

    Raises
    ------
    ValueError
        A value that the convention does not know, labels that are no numbers, or masked ones.
    """
    constraints = {"convention": [StrOptions(set(LABEL_CONVENTIONS))]}
    validate_parameter_constraints(constraints, {"convention": convention}, "as_inlier_labels")
    y = column_or_1d(labels_as_array(y))
    if y.dtype.kind not in "fiub":
        raise ValueError(
            f"y must hold numbers for convention={convention!r}, got dtype {y.dtype}. "
            "Convert them first, as by np.asarray(y).astype(int)."
        )
    known = {
        "sklearn": lambda: np.isin(y, (-1, 1)),
        "pyod": lambda: np.isin(y, (0, 1)),
        "openood": lambda: (y >= -1) & (y == np.floor(y)),
    }[convention]()
    if not np.all(known):
        raise ValueError(
            f"y holds {np.unique(y[~known])[:5].tolist()}, which convention={convention!r} does "
            f"not know. Name the convention of these labels, one of {LABEL_CONVENTIONS}."
        )
    is_ood = y == 1 if convention == "pyod" else y == -1
    return np.where(is_ood, -1, 1)
