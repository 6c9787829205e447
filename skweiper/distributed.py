"""Fit and score on Dask collections, whose rows stay where they are."""

from functools import partial, reduce
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.random import sample_without_replacement

from skweiper._support.blocks import REMEDY, BlockColumn, BlockMatrix
from skweiper._support.containers import as_host, is_real
from skweiper._support.known_outliers import (
    check_classes,
    inlier_flags,
    labels_as_array,
    warn_if_none_is_marked,
)
from skweiper._support.rows import FeatureRows
from skweiper._support.validation import check_feature_matrix
from skweiper._typing import Seed
from skweiper.base import BaseDetector
from skweiper.baselines import (
    FDBDDetector,
    GradNormDetector,
    KLMatchingDetector,
    LogitDetector,
    MahalanobisDetector,
    NCIDetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    SHEDetector,
    ViMDetector,
)
from skweiper.detector import WeiPerDetector

__all__ = ["fit", "score_samples", "subsample"]

FITTED_BY_SUMS = (
    WeiPerDetector,
    MahalanobisDetector,
    RelativeMahalanobisDetector,
    ViMDetector,
    ResidualDetector,
    SHEDetector,
    KLMatchingDetector,
    FDBDDetector,
    NCIDetector,
    LogitDetector,
    GradNormDetector,
)
"""Detectors whose fit needs no more of the rows than sums, extremes and counts."""
FAN_IN = 8
"""Results that are merged in one task."""

Detector = TypeVar("Detector", bound=BaseDetector)


def fit(detector: Detector, X: Any, y: Any = None) -> Detector:
    """Fit a detector on rows that lie on the workers of a cluster.

    The result is the ordinary fitted detector, the same as after `detector.fit` on all rows in
    memory: of WeiPerDetector the same counts and the same threshold to the last bit, however X is
    cut into blocks; of the others, which learn sums of floats, the same to rounding. Blocks are
    read once for each pass (two for WeiPerDetector with "kld", one for its other methods); keep X
    in the cluster's memory by ``X = X.persist()`` where it fits.

    Parameters
    ----------
    detector : WeiPerDetector, MahalanobisDetector, RelativeMahalanobisDetector, ViMDetector, \
            ResidualDetector, SHEDetector, KLMatchingDetector, FDBDDetector, NCIDetector, \
            LogitDetector or GradNormDetector
        Fitted in place.
    X : dask.array.Array of shape (n_samples, n_features), or dask.dataframe.DataFrame
        Finite real features. Sizes of blocks may be unknown; then a pass counts rows first.
    y : array-like of shape (n_samples,), or a Dask collection with blocks as X has, default=None
        Rows with y == -1 are known outliers and take no part; classes for detectors that learn
        them.

    Returns
    -------
    detector : object
        The same, fitted.

    Raises
    ------
    TypeError
        X is no Dask collection, or the detector is another one.
    ValueError
        As `detector.fit`; a message about values names the block and the row of X.
    ImportError
        Dask is not installed.

    Examples
    --------
    >>> import dask.array as da
    >>> from skweiper import WeiPerDetector
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.distributed import fit, score_samples
    >>> data = load_clinc150()
    >>> detector = WeiPerDetector(data.weight, data.bias, n_repeats=5, random_state=0)
    >>> detector = fit(detector, da.from_array(data.train, chunks=(1000, -1)))
    >>> detector.offset_ == detector.fit(data.train).offset_
    True
    """
    if type(detector) not in FITTED_BY_SUMS:
        names = ", ".join(each.__name__ for each in FITTED_BY_SUMS)
        raise TypeError(
            f"A {type(detector).__name__} learns from the rows themselves, not from sums over them "
            f"as {names} do, so it cannot be fitted where they lie. {REMEDY}"
        )
    detector.fit(_matrix(X, y, are_classes=get_tags(detector).target_tags.required))
    return detector


def score_samples(detector: Any, X: Any) -> Any:
    """Scores of rows that lie on the workers, computed when they are asked for.

    Parameters
    ----------
    detector : estimator
        Fitted, with `score_samples`: any detector of this library, or a pipeline. It travels to
        each worker once.
    X : dask.array.Array of shape (n_samples, n_features), or dask.dataframe.DataFrame

    Returns
    -------
    dask.array.Array of shape (n_samples,), or dask.dataframe.Series named "score" with the index \
            of X
        float64, higher = more in-distribution; the bits of `detector.score_samples`. ``compute()``
        gives all of them, ``to_parquet`` of a Series writes them where they are.

    Raises
    ------
    TypeError
        X is no Dask collection.
    ValueError
        When they are computed: as `detector.score_samples`; the message names the block, and the
        row in it.
    """
    dask = _dask()
    model = dask.delayed(detector, traverse=False, pure=False)
    if _is_frame(X):
        return X.map_partitions(_scores_of_frame, model, meta=("score", "f8"))
    X = _in_row_blocks(X)
    return X.map_blocks(_scores_of_block, model, drop_axis=1, dtype=np.float64)


def subsample(
    X: Any, n_rows: int, *, y: Any = None, random_state: Seed = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Some rows, drawn without replacement, in this process' memory.

    For detectors that need the rows themselves.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples, n_features), or dask.dataframe.DataFrame
    n_rows : int
        At most as many as there are.
    y : array-like of shape (n_samples,) or Dask collection, default=None
        Rows with y == -1 are left out.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    rows : ndarray of shape (n_rows, n_features)
        In their order in X.
    labels : ndarray of shape (n_rows,)
        Where y is given.

    Raises
    ------
    TypeError
        X is no Dask collection.
    ValueError
        More rows than there are, or none; a chosen row that is not finite.
    """
    matrix = _matrix(X, y)
    n_there = matrix.shape[0]
    if not 1 <= n_rows <= n_there:
        raise ValueError(f"n_rows must be from 1 to the {n_there} rows of X, got {n_rows}.")
    random_state = check_random_state(random_state)
    chosen = np.sort(sample_without_replacement(n_there, n_rows, random_state=random_state))
    rows = matrix.rows.take(chosen).X
    return rows if y is None else (rows, matrix.labels.take(chosen))


class _DaskColumn(BlockColumn):
    """Something of each row, in blocks on the workers.

    Parameters
    ----------
    blocks : list of Delayed
        None of them without rows.
    names : list of str
        What the blocks are called in messages.
    ends : sequence of int
        Numbers, among all rows that take part, of each block's first one, and how many there are.
    """

    def __init__(self, blocks, names, ends):
        self.blocks = blocks
        self.names = names
        self.ends = np.asarray(ends)

    def __len__(self):
        return int(self.ends[-1])

    def _like(self, blocks):
        return _DaskColumn(blocks, self.names, self.ends)

    def _results(self, work, columns):
        """Of each block, what work makes of the columns."""
        dask = _dask()
        work = dask.delayed(work, traverse=False, pure=False)  # in the graph once, for all blocks
        on_block = dask.delayed(_on_block, pure=False)
        zipped = zip(self.names, *(column.blocks for column in columns), strict=True)
        return [on_block(work, name, *blocks) for name, *blocks in zipped]

    def mapped(self, work, columns):
        """Column of what work makes of each block, kept on the workers."""
        return self._like(list(_dask().persist(*self._results(work, columns))))

    def merged(self, work, columns):
        """What work makes of the blocks, merged as a tree."""
        combine = _dask().delayed(_merged, pure=False)
        results = self._results(work, columns)
        while len(results) > 1:
            groups = [results[i : i + FAN_IN] for i in range(0, len(results), FAN_IN)]
            results = [combine(group) for group in groups]
        return results[0].compute()

    def gathered(self):
        """All blocks, ndarrays, as one."""
        return np.concatenate(_dask().compute(*self.blocks))

    def split(self, numbers):
        """Row numbers as a column: of each block its own, counted from its first row."""
        places = np.searchsorted(numbers, self.ends)
        first_rows = self.ends[:-1]
        parts = [numbers[i:j] for i, j in pairwise(places)]
        own = [part - first for part, first in zip(parts, first_rows, strict=True)]
        return self._like([_dask().delayed(each, traverse=False, pure=False) for each in own])

    def take(self, numbers):
        """The values of some rows, here: ndarray of shape (n_chosen, ...)."""
        chosen = self._like(self._results(_chosen, (self, self.split(numbers))))
        return chosen.gathered()


class _DaskRows(_DaskColumn):
    """The rows that take part, `FeatureRows` in blocks on the workers.

    Parameters
    ----------
    blocks : list of Delayed
    names : list of str
    ends : list of int
    n_features : int
    """

    X = None
    """Not in this process."""

    def __init__(self, blocks, names, ends, n_features):
        super().__init__(blocks, names, ends)
        self.n_features = n_features

    def take(self, numbers):
        """Some rows, by their numbers among these, in this process' memory.

        Returns
        -------
        FeatureRows
        """
        columns = (self, self.split(numbers))
        values = self._like(self._results(_chosen_values, columns)).gathered()
        own_numbers = self._like(self._results(_chosen_numbers, columns)).gathered()
        return FeatureRows(values, numbers=own_numbers)


def _chosen(values, numbers):
    return values[numbers]


def _chosen_values(rows, numbers):
    rows.take(numbers).load_copied(slice(None))  # refuses what is not finite, where it has a name
    return np.asarray(as_host(rows.raw(numbers)))


def _chosen_numbers(rows, numbers):
    return np.asarray(rows.row_numbers(numbers))


def _on_block(work, name, *columns):
    """work(*columns); a message about values names the block."""
    try:
        # What overflows gives scores that are not finite, which are reported.
        with np.errstate(over="ignore", invalid="ignore"):
            return work(*columns)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _merged(results):
    return reduce(_merged_pair, results)


def _merged_pair(one, other):
    return one.merge(other) if hasattr(one, "merge") else one + other


def _dask():
    try:
        import dask
    except ImportError as error:
        raise ImportError(
            "skweiper.distributed needs Dask, which is not installed. Run: pip install "
            "'skweiper[dask]'."
        ) from error
    return dask


def _is_frame(X):
    return hasattr(X, "map_partitions") and hasattr(X, "columns")


def _in_row_blocks(X):
    """A Dask array, or a table as it is, cut by rows only."""
    if _is_frame(X):
        return X
    if not (hasattr(X, "map_blocks") and hasattr(X, "to_delayed")):
        raise TypeError(
            f"X must be a dask.array.Array or a dask.dataframe.DataFrame, got {type(X).__name__}. "
            "Pass it to the methods of the detector, or cut it: dask.array.from_array(X)."
        )
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.ndim} dimensions.")
    return X if len(X.chunks[1]) == 1 else X.rechunk({1: -1})


def _matrix(X, y, *, are_classes=False):
    """A Dask collection and its labels as a feature matrix that lies elsewhere."""
    X = _in_row_blocks(X)
    blocks = list(np.ravel(X.to_delayed()))
    _check_are_numbers(X)
    n_rows = _rows_of_blocks(X, blocks)
    labels = None if y is None else _label_blocks(y, n_rows)
    n_inliers = n_rows if labels is None else _count_inliers(labels, n_rows, are_classes)
    return _matrix_of(X, blocks, labels, n_rows, n_inliers)


def _matrix_of(X, blocks, labels, n_rows, n_inliers):
    """The matrix, without blocks in which no row takes part."""
    dask = _dask()
    firsts = np.cumsum([0, *n_rows])
    used = np.flatnonzero(n_inliers)
    if not len(used):
        raise ValueError(
            "No row of X is left to fit on: it has none, or all are labelled y == -1 (known "
            "outliers). Label in-distribution rows +1, or pass y=None."
        )
    names = [f"Block {i} of X (rows {firsts[i]} to {firsts[i + 1] - 1})" for i in used]
    ends = np.cumsum([0, *(n_inliers[i] for i in used)])
    read, read_labels = dask.delayed(_rows_of, pure=False), dask.delayed(_inlier_labels, pure=False)
    of_block = [None] * len(blocks) if labels is None else labels
    rows = [read(blocks[i], of_block[i], int(firsts[i])) for i in used]
    kept = None
    if labels is not None:
        kept = _DaskColumn([read_labels(labels[i]) for i in used], names, ends)
    width = len(X.columns) if _is_frame(X) else X.shape[1]
    dtype = np.result_type(*X.dtypes) if _is_frame(X) else X.dtype
    columns = list(X.columns) if _is_frame(X) else None
    matrix_rows = _DaskRows(rows, names, ends, int(width))
    return BlockMatrix(matrix_rows, kept, (int(ends[-1]), int(width)), dtype, columns)


def _check_are_numbers(X):
    if not _is_frame(X):
        if not is_real(X.dtype):
            raise ValueError(f"X must hold real numbers, got dtype {X.dtype}.")
        return
    others = {name: str(dtype) for name, dtype in X.dtypes.items() if not _is_number(dtype)}
    if others:
        raise ValueError(
            f"X must hold numbers only, got columns of other types: {others}. Choose the features: "
            "X[names]."
        )


def _is_number(dtype):
    return isinstance(dtype, np.dtype) and is_real(dtype)


def _rows_of_blocks(X, blocks):
    """How many rows each block has, as Dask knows, or counted now."""
    known = () if _is_frame(X) else X.chunks[0]
    if len(known) and not np.isnan(known).any():
        return list(known)
    dask = _dask()
    return list(dask.compute(*(dask.delayed(len)(block) for block in blocks)))


def _label_blocks(y, n_rows):
    """The labels of each block, as Delayed."""
    dask = _dask()
    if not hasattr(y, "to_delayed"):
        y = labels_as_array(y)
        _check_same_length(len(y), n_rows)
        ends = np.cumsum([0, *n_rows])
        parts = [y[i:j] for i, j in pairwise(ends)]
        return [dask.delayed(part, traverse=False, pure=False) for part in parts]
    if hasattr(y, "rechunk") and not np.isnan(y.chunks[0]).any():
        _check_same_length(y.shape[0], n_rows)
        if len(y.shape) == 2:
            y = y[:, 0]
        y = y.rechunk((tuple(map(int, n_rows)),)) if all(n_rows) else y
    blocks = list(np.ravel(y.to_delayed()))
    if len(blocks) != len(n_rows):
        raise ValueError(
            f"y has {len(blocks)} blocks, where X has {len(n_rows)}. Cut both alike: "
            "y.repartition, or y.compute() and pass an array."
        )
    return blocks


def _check_same_length(n_labels, n_rows):
    if n_labels != sum(n_rows):
        raise ValueError(
            f"y must have shape ({sum(n_rows)},), one label per row of X, got {n_labels} labels."
        )


def _count_inliers(labels, n_rows, are_classes):
    """How many rows of each block take part; looks at all labels."""
    dask = _dask()
    look = dask.delayed(partial(_looked_at, are_classes=are_classes), traverse=False, pure=False)
    on_block, blocks = dask.delayed(_on_block, pure=False), zip(labels, n_rows, strict=True)
    looks = dask.compute(
        *(on_block(look, f"Block {i} of y", *block) for i, block in enumerate(blocks))
    )
    counts, values = zip(*looks, strict=True)
    found = pd.unique(np.concatenate(values))
    is_inlier = inlier_flags(found)
    if are_classes:  # each block's may have an order, and all of them together none
        check_classes(found, is_inlier)
    if is_inlier.all():
        warn_if_none_is_marked(found, are_classes=are_classes)
    return list(counts)


def _looked_at(labels, n_rows, are_classes):
    """How many labels are those of inliers, and which values occur."""
    labels = labels_as_array(labels)
    if len(labels) != n_rows:
        raise ValueError(f"It has {len(labels)} labels, where that of X has {n_rows} rows.")
    is_inlier = inlier_flags(labels)
    if are_classes:
        check_classes(labels, is_inlier)
    return int(np.count_nonzero(is_inlier)), pd.unique(labels)


def _rows_of(block, labels, first):
    """The rows of a block that take part, called by their numbers in all of X."""
    X = check_feature_matrix(block, "a fit on blocks")
    mask = None if labels is None else inlier_flags(labels_as_array(labels))
    index = None if mask is None or mask.all() else np.flatnonzero(mask)
    return FeatureRows(X, index, np.arange(first, first + X.shape[0]))


def _inlier_labels(labels):
    labels = labels_as_array(labels)
    return labels[inlier_flags(labels)]


def _scores_of_block(block, detector, block_id=(0,)):
    """Scores of a block, float64; Dask passes its place among the blocks."""
    if len(block) == 0:
        return np.empty(0)
    name = f"Block {block_id[0]} of X, whose rows are counted from 0"
    return np.asarray(_on_block(detector.score_samples, name, block), np.float64)


def _scores_of_frame(frame, detector, partition_info=None):
    """The same of a partition of a table, as a Series."""
    number = 0 if partition_info is None else partition_info["number"]
    scores = _scores_of_block(frame, detector, (number,))
    return pd.Series(scores, index=frame.index, name="score", dtype=np.float64)
