"""Labels of rows in every form: what they say of each row, and what says nothing of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from hypothesis import strategies as st


class Labels(NamedTuple):
    """Labels of some rows, and what they mean.

    Attributes
    ----------
    y : object
        As passed to `fit`.
    is_outlier : ndarray of shape (n_samples,), bool
    """

    y: object
    is_outlier: np.ndarray


def with_outliers(make):
    """A form of labels in which -1 marks known outliers."""
    return lambda classes, out: Labels(make(np.where(out, -1, classes)), out)


def inliers(make):
    """A form of labels that cannot mark an outlier."""
    return lambda classes, out: Labels(make(classes), np.zeros(len(classes), bool))


def replaced(y, value, dtype=object):
    """Labels of which the first is another one."""
    y = y.astype(dtype)
    y[0] = value
    return y


def named(classes):
    """Classes by name."""
    return np.array([f"class {label}" for label in classes])


def named_but_outliers(y):
    """Inliers by name, outliers as -1."""
    return np.array([-1 if label == -1 else f"class {label}" for label in y], dtype=object)


FORMS: dict[str, Callable] = {
    "int": with_outliers(lambda y: y.astype(int)),
    "int8": with_outliers(lambda y: y.astype(np.int8)),
    "float": with_outliers(lambda y: y.astype(float)),
    "float16": with_outliers(lambda y: y.astype(np.float16)),
    "list": with_outliers(lambda y: y.tolist()),
    "tuple of floats": with_outliers(lambda y: tuple(y.astype(float).tolist())),
    "objects": with_outliers(lambda y: y.astype(object)),
    "column": with_outliers(lambda y: y[:, None]),
    "Series": with_outliers(lambda y: pd.Series(y, index=np.arange(len(y))[::-1])),
    "frame": with_outliers(lambda y: pd.DataFrame({"label": y})),
    "nullable": with_outliers(lambda y: pd.Series(y, dtype="Int64")),
    "categories": with_outliers(lambda y: pd.Series(y).astype("category")),
    "strided": with_outliers(lambda y: np.repeat(y, 2)[::2]),
    "names and -1": with_outliers(named_but_outliers),
    "masked without a mask": with_outliers(np.ma.asarray),
    "names": inliers(named),
    "bytes": inliers(lambda y: named(y).astype("S")),
    "Series of names": inliers(lambda y: pd.Series(named(y), dtype="string")),
    "booleans": inliers(lambda y: y > 0),
    "zeros and ones": inliers(lambda y: y % 2),
    "uint8": inliers(lambda y: y.astype(np.uint8)),
    "huge": inliers(lambda y: y.astype(object) + 2**70),
    "infinite": inliers(lambda y: replaced(y, np.inf, float)),
    "missing": inliers(lambda y: replaced(y, np.nan, float)),
    "missing names": inliers(lambda y: pd.Series(named(y), dtype="string").mask(y == y[0])),
    "complex": inliers(lambda y: y + 1j),
    "dates": inliers(lambda y: np.full(len(y), np.datetime64("2026-01-01"))),
    "empty names": inliers(lambda y: np.full(len(y), "")),
    "mixed": inliers(lambda y: replaced(y, "other")),
}

REFUSED: dict[str, Callable] = {  # from labels of which some are -1
    "None": lambda y: replaced(y, None),
    "all outliers": lambda y: np.full(len(y), -1),
    "text -1": lambda y: replaced(y, -1).astype(str),
    "unsigned -1": lambda y: replaced(y, 255, np.uint8),
    "one too few": lambda y: y[1:],
    "one too many": lambda y: np.append(y, 1),
    "two columns": lambda y: np.stack([y, y], axis=1),
    "one row": lambda y: np.append(y, [1, 1])[None],
    "empty": lambda y: [],
    "a number": lambda y: 1,
    "a word": lambda y: "ID",
    "masked": lambda y: np.ma.masked_array(y, np.arange(len(y)) == 0),
    "a dictionary": lambda y: dict(enumerate(y)),
    "a set": lambda y: set(y.tolist()),
    "a generator": lambda y: iter(y.tolist()),
    "ragged": lambda y: [[1], *y[1:].tolist()],
}


@st.composite
def labels_of(draw, form, n_rows, classes=None):
    """Labels of a form, and what they mean.

    Parameters
    ----------
    form : str
    n_rows : int
    classes : ndarray of shape (n_samples,), int
        What an estimator that reads classes needs; None: any.
    """
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    if classes is None:
        classes = rng.randint(draw(st.integers(1, 5)), size=n_rows)
    is_outlier = rng.rand(n_rows) < draw(st.sampled_from([0.0, 0.1, 0.5]))
    is_outlier[-1] = False
    return FORMS[form](classes, is_outlier)
