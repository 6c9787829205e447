"""Labels of known outliers: y == -1, and what is meant for it without being it."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score

from skweiper._support.containers import as_host, is_masked
from skweiper._support.conversion_errors import named_in_errors
from skweiper._support.notice import warn_caller

DASHES = str.maketrans(dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{FULLWIDTH HYPHEN-MINUS}", "-"))
WORDS = {"ood", "oos", "outlier", "outliers", "anomaly", "out-of-distribution", "out-of-scope"}
"""Labels of classes that hardly name anything but outliers."""
REMEDY = (
    "Label known outliers -1 as a number; skweiper.model_selection.as_inlier_labels converts other "
    "conventions."
)


def labels_as_array(y):
    """y as a NumPy array, a single column as one dimension."""
    if is_masked(y):
        raise ValueError(
            f"y is a masked array with {np.ma.count_masked(y)} masked labels. Label every row: "
            "y.filled(value)."
        )
    with named_in_errors("y cannot be read as one label per row"):
        y = np.asarray(as_host(y))
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def inlier_flags(y):
    """Whether each label is that of an inlier.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,), bool
        False for -1, true for any other label.

    Raises
    ------
    ValueError
        A label that means -1 but is none: text, or the largest number of an unsigned type; or None.
    """
    if y.dtype.kind == "u" and (y == np.iinfo(y.dtype).max).any():
        raise ValueError(
            f"y holds {np.iinfo(y.dtype).max} in {y.dtype}, which is what -1 becomes in a type "
            "without sign, and would make known outliers inliers. Keep a signed type: "
            "y.astype(int) before the conversion."
        )
    return y != -1 if y.dtype.kind in "fiub" else _flags_of_objects(y)


def _flags_of_objects(labels):
    for row, label in enumerate(labels):
        if label is None:
            raise ValueError(f"y holds None at row {row}. Label every row, or drop it.")
        if isinstance(label, (str, bytes)) and _reads_minus_one(label):
            label = label.item() if hasattr(label, "item") else label
            raise ValueError(
                f"y holds the text {label!r}, which is no number and would make known outliers "
                "inliers. Convert it: y = np.asarray(y).astype(int), or pass -1 and +1 as numbers."
            )
    return np.array([label is pd.NA or bool(label != -1) for label in labels])


def _reads_minus_one(text):
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    try:
        return float(text.translate(DASHES)) == -1
    except ValueError:
        return False


def check_classes(y, is_inlier):
    """Refuse labels that name no class, or names that have no order.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    is_inlier : ndarray of shape (n_samples,), bool

    Raises
    ------
    ValueError
        An inlier has a missing label, or the labels are of kinds that cannot be compared.
    """
    missing = np.flatnonzero(is_inlier & pd.isna(y))
    if len(missing):
        raise ValueError(
            f"y holds a missing value at row {missing[0]}, and this estimator learns classes from "
            "y. Fill in the class, drop the row, or label it -1."
        )
    if y.dtype.kind != "O":
        return
    try:
        sorted(set(y[is_inlier]))
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y[is_inlier]})
        raise ValueError(
            f"y holds classes of the types {kinds}, which have no order, and this estimator learns "
            "classes from y. Give all classes names, or numbers."
        ) from error


def warn_if_none_is_marked(y, *, are_classes=False):
    """Warn where y, which has no -1, seems to mark outliers in another way.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    are_classes : bool
        Whether the estimator reads classes from y: then 0 and 1 are two of them.
    """
    found = _suspicious(y, are_classes)
    if found:
        warn_caller(
            f"y holds {found} and no -1, so no row is taken as an outlier: all are fitted. "
            f"{REMEDY}",
        )


def _suspicious(y, are_classes):
    """What in y looks like another mark of outliers; None where nothing does."""
    if pd.isna(y).any():
        return "missing values"
    if y.dtype.kind in "OSU":
        words = sorted({_plain(label) for label in y if isinstance(label, (str, bytes))} & WORDS)
        if words:
            return f"the label {words[0]!r}"
        if not all(isinstance(label, (Real, np.bool_)) for label in y):
            return None
    if are_classes:
        return None
    if y.dtype == bool or all(isinstance(label, (bool, np.bool_)) for label in y[:1]):
        return "booleans"
    return "0 and 1" if set(np.unique(y[:2])) <= {0, 1} and set(np.unique(y)) == {0, 1} else None


def _plain(text):
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return text.strip().lower().replace("_", "-").replace(" ", "-")


def labelled_auroc(y, scores):
    """Area under the ROC curve of scores, in-distribution positive.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        -1 marks OOD samples, any other label ID ones.
    scores : ndarray of shape (n_samples,)
        Higher = more in-distribution.

    Returns
    -------
    float, in [0, 1]; NaN, with a warning that says why, where one kind is missing.
    """
    y, scores = labels_as_array(y), as_host(scores)
    if y.shape != scores.shape:
        raise ValueError(
            f"y must have shape {scores.shape}, one label per row of X, got shape {y.shape}. "
            "Found input variables with inconsistent numbers of samples."
        )
    is_id = inlier_flags(y)
    if is_id.any() and not is_id.all():
        return float(roc_auc_score(is_id, scores))
    if is_id.all():
        found = _suspicious(y, are_classes=False)
        reason = f"y holds {found} and no -1" if found else "y holds no -1 (OOD)"
    else:
        reason = "every label in y is -1 (OOD)"
    warn_caller(
        f"The AUROC of {len(y)} rows cannot be computed and is NaN: {reason}. It compares ID rows "
        f"with OOD rows. {REMEDY}",
        UndefinedMetricWarning,
    )
    return np.nan
