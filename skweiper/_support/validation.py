"""Checks of feature matrices that never read or copy the whole of a large one."""

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_object_dtype
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import _get_feature_names, _num_samples, validate_data

from skweiper._support.containers import (
    as_cupy,
    as_host,
    detached,
    is_bfloat16,
    is_device_array,
    is_foreign_frame,
    is_masked,
    is_real,
    is_stored_array,
    is_tensor,
)
from skweiper._support.conversion_errors import named_in_errors
from skweiper._support.known_outliers import (
    check_classes,
    inlier_flags,
    labels_as_array,
    warn_if_none_is_marked,
)
from skweiper._support.list_columns import stacked_lists
from skweiper._support.row_views import BFloat16Rows, FrameRows, RowView, StoredRows

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def _is_plain_numeric(X):
    """A 2-D NumPy array (memory-mapped too) of real numbers: used as it is, chunk by chunk."""
    is_plain = isinstance(X, np.ndarray) and not isinstance(X, np.ma.MaskedArray)
    return is_plain and X.ndim == 2 and is_real(X.dtype)


def _is_numeric_frame(X):
    """A pandas DataFrame of real NumPy columns: sliced by rows, converted chunk by chunk."""
    if not hasattr(X, "iloc") or X.ndim != 2:
        return False
    return all(isinstance(dtype, np.dtype) and is_real(dtype) for dtype in X.dtypes)


def _check_columns_are_numbers(X):
    """Refuse what a conversion to floats would take silently, or with a message that hides it."""
    if is_masked(X):
        raise ValueError(
            f"X is a masked array with {np.ma.count_masked(X)} masked values, which would be read "
            "as if they were there. Fill or drop them: X.filled(value)."
        )
    if isinstance(X, FrameRows):
        others = {
            name: str(dtype)
            for name, dtype in zip(X.columns, X.dtypes, strict=True)
            if not is_real(dtype)
        }
    elif hasattr(X, "iloc") and X.ndim == 2:
        # Columns of objects may hold numbers; their conversion says what it met.
        others = {
            name: str(dtype)
            for name, dtype in X.dtypes.items()
            if not (is_numeric_dtype(dtype) or is_object_dtype(dtype))
        }
    else:
        others = str(X.dtype) if getattr(getattr(X, "dtype", None), "kind", "f") in "mM" else ""
    if others:
        raise ValueError(
            f"X must hold numbers only, got columns of other types: {others}. "
            "Drop them, or encode them as the classifier's training did."
        )


def check_feature_matrix(X, estimator_name="this estimator"):
    """X as something 2-D and real that `FeatureRows` can slice; values are not looked at.

    NumPy arrays, memory maps, numeric DataFrames and CuPy arrays are returned as they are; other
    arrays on a GPU as CuPy arrays over the same memory; bfloat16 tensors, tables of polars and
    pyarrow and data sets of h5py as views that are read slice by slice. A column of lists is
    stacked. Everything else is converted by scikit-learn's `check_array`, whose errors name the
    remedy.
    """
    if issparse(X):
        raise TypeError(
            f"Sparse input was passed to {estimator_name}, but dense data is required. "
            "Use X.toarray() to convert to a dense array."
        )
    if isinstance(X, np.memmap) and X.dtype == object:
        raise TypeError("X is a memory map of Python objects; save plain numbers instead.")
    if not (_is_plain_numeric(X) or _is_numeric_frame(X)) or is_device_array(X):
        X = _opened(X)
    if is_device_array(X):
        _check_on_device(X)
    elif not (_is_plain_numeric(X) or _is_numeric_frame(X)):
        _check_columns_are_numbers(X)
        X = X if _is_real_view(X) else _converted(X, estimator_name)
    _check_not_empty(X, estimator_name)
    return X


def _opened(X):
    """What another library holds X in, as NumPy sees it, or as a view of its rows."""
    if is_tensor(X):
        X = detached(X)
        if not is_device_array(X):
            return BFloat16Rows(X) if is_bfloat16(X) else as_host(X)
    if is_device_array(X):
        return as_cupy(X)
    lists = stacked_lists(X)
    if lists is not None:
        return lists
    if is_bfloat16(X):
        return BFloat16Rows(X)
    if is_stored_array(X):
        return StoredRows(X)
    return FrameRows(X) if is_foreign_frame(X) else X


def _is_real_view(X):
    return isinstance(X, RowView) and X.ndim == 2 and is_real(X.dtype)


def _check_on_device(X):
    if X.ndim != 2 or not is_real(X.dtype):
        raise ValueError(
            f"X on the GPU must be a real array of shape (n_samples, n_features), "
            f"got shape {X.shape} and dtype {X.dtype}."
        )


def _converted(X, estimator_name):
    """X as a NumPy array of numbers; a table keeps its names."""
    if isinstance(X, RowView):
        raise ValueError(
            f"X must be a real array of shape (n_samples, n_features), got shape {X.shape} and "
            f"dtype {X.dtype}. Expected 2D array of numbers."
        )
    with named_in_errors("X cannot be read as a matrix of numbers"):
        values = check_array(
            X,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=0,
            estimator=estimator_name,
            input_name="X",
        )
    if hasattr(X, "iloc") and X.ndim == 2:
        return pd.DataFrame(values, index=X.index, columns=X.columns, copy=False)
    return values


def _check_not_empty(X, estimator_name):
    n_samples, n_features = X.shape
    if n_samples == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required "
            f"by {estimator_name}. Pass at least one row."
        )
    if n_features == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required "
            f"by {estimator_name}."
        )


def check_width_and_names(estimator, X, *, reset):
    """Record (`reset=True`, in fit) or compare the number and the names of the features."""
    has_names = isinstance(X, RowView) and X.columns is not None
    header = pd.DataFrame(columns=X.columns) if has_names else X
    if not reset:
        known = getattr(estimator, "feature_names_in_", None)
        # There may be no names to compare, which takes longer than to score a row.
        names = None if isinstance(X, np.ndarray) else _get_feature_names(header)
        if known is None or names is None:
            _check_same_width(estimator, X)
        else:
            _check_same_order(known, names)
        if known is None and isinstance(X, np.ndarray):
            return
    validate_data(estimator, header, reset=reset, skip_check_array=True)


def _check_same_order(known, names):
    """Refuse the columns of fit in another order; missing and new ones scikit-learn names."""
    if sorted(known) != sorted(names) or list(known) == list(names):
        return
    place = next(i for i, name in enumerate(names) if name != known[i])
    raise ValueError(
        "The feature names should match those that were passed during fit.\n"
        "Feature names must be in the same order as they were in fit.\n"
        f"Column {place} is {names[place]!r}, where fit saw {known[place]!r}. "
        "Pass X[list(estimator.feature_names_in_)]."
    )


def _check_same_width(estimator, X):
    expected, width = estimator.n_features_in_, X.shape[1]
    if width == expected:
        return
    message = (
        f"X has {width} features, but {type(estimator).__name__} is expecting {expected} "
        "features as input."
    )
    head = getattr(estimator, "head_", None)
    if head is not None and head.n_classes == width:
        message += (
            f" The head has {width} classes: were logits passed instead of penultimate features?"
        )
    raise ValueError(message)


def inlier_rows(X, y, *, are_classes=False):
    """Mask of the rows that are not labelled as known outliers.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or None
        -1 marks a known outlier; any other value, or None, an inlier.
    are_classes : bool
        Whether the estimator reads classes from y.

    Returns
    -------
    ndarray of shape (n_samples,), bool, or None
        None means all rows.

    Raises
    ------
    ValueError
        y has another length, labels every row -1, or holds what means -1 but is none. Where it is
        read for classes: a class is missing, or classes have no order.

    Warns
    -----
    UserWarning
        No row is labelled -1, and y seems to mark outliers in another way.
    """
    if y is None:
        return None
    y = labels_as_array(y)
    n_samples = _num_samples(X)
    if y.shape != (n_samples,):
        raise ValueError(
            f"y must have shape ({n_samples},), one label per row of X, got shape {y.shape}. "
            "Found input variables with inconsistent numbers of samples."
        )
    is_inlier = inlier_flags(y)
    if are_classes:
        check_classes(y, is_inlier)
    if is_inlier.all():
        warn_if_none_is_marked(y, are_classes=are_classes)
        return None
    if not is_inlier.any():
        raise ValueError(
            f"All {n_samples} rows are labelled y == -1 (known outliers), so no row is left to "
            "fit on. Label in-distribution rows +1, or pass y=None."
        )
    return is_inlier


def check_finite(chunk, source, row_numbers):
    """Refuse a chunk with NaN, infinity or values beyond single precision.

    Parameters
    ----------
    chunk : ndarray of shape (n_rows, n_features), float32 or float64
        The converted values.
    source : ndarray of the same shape
        The values as they came, to tell an infinity from an overflow.
    row_numbers : sequence of int
        Row of X behind each row of the chunk, for the message.
    """
    # The sum is finite unless an entry is not (or the sum overflows): one cheap pass, no mask.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(chunk)):
            return
    is_finite = np.isfinite(chunk)
    if is_finite.all():
        return
    row, column = (int(i[0]) for i in np.nonzero(~is_finite))
    value = float(source[row, column])
    if np.isfinite(value):
        reason = f"a value too large for float32 ({value:g}; the limit is {LARGEST_FLOAT32:g})"
        remedy = "Rescale the features and the head together."
    else:
        reason = "NaN" if np.isnan(value) else "infinity (inf)"
        remedy = "Remove or repair the row before passing it."
    raise ValueError(
        f"Input X contains {reason} at row {row_numbers[row]}, column {column}. {remedy}"
    )
