"""Splits in which no fit sees an OOD row and no OOD dataset is in two test folds."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator, KFold
from sklearn.utils import check_consistent_length

from skweiper._support.containers import as_cupy, as_host, beside, is_device_array, on_device_of
from skweiper._support.row_views import as_pandas
from skweiper._support.validation import inlier_rows
from skweiper._typing import IntArray, NamedSets, Seed


class OODSplit(BaseCrossValidator):
    """Cross-validate ID rows; put OOD rows into test folds only.

    The ID rows are split as by `KFold`. Each OOD row is in the test fold of one split and in no
    training fold. With `groups`, the names of the OOD datasets, whole datasets are dealt to the
    splits, so that no dataset is in two test folds.

    Parameters
    ----------
    n_splits : int, default=5
        At least 2; with `groups`, at most the number of OOD datasets.
    shuffle : bool, default=False
        Shuffle ID rows, OOD rows and datasets before dealing them out.
    random_state : int, RandomState instance or None, default=None
        Of the shuffling.
    ood_in_train : bool, default=False
        Add the OOD rows of the other splits to the training folds, where a nested search needs
        them for its own validation: an inner search then never sees the datasets that it is
        tested on. Only for estimators that leave rows with y == -1 out of `fit`, as all of this
        library do (wrap others in `InlierOnly`).

    Examples
    --------
    >>> from skweiper.model_selection import OODSplit
    >>> X, y = [[0]] * 6, [1, 1, 1, 1, -1, -1]
    >>> for train, test in OODSplit(2).split(X, y, groups=["", "", "", "", "mnist", "svhn"]):
    ...     print(train, test)
    [2 3] [0 1 4]
    [0 1] [2 3 5]
    """

    # scikit-learn's metadata routing, where it is enabled: searches pass `groups` on unasked.
    __metadata_request__split = {"groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: Seed = None,
        ood_in_train: bool = False,
    ) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.ood_in_train = ood_in_train

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of splits.

        Parameters
        ----------
        X, y, groups : object
            Not looked at.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: Any, y: ArrayLike | None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the training and test row numbers of each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            -1 marks OOD rows.
        groups : array-like of shape (n_samples,), default=None
            Dataset of each OOD row; entries of ID rows are not looked at.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            No ID or no OOD rows, fewer rows or datasets than splits, or `groups` of another length
            or without the name of an OOD row's dataset.
        """
        mask = None if y is None else inlier_rows(X, y)
        check_consistent_length(X, groups)
        if mask is None:
            raise ValueError(
                "OODSplit needs y with -1 for OOD rows, and got none. "
                "Convert other conventions by as_inlier_labels."
            )
        id_rows, ood_rows = np.flatnonzero(mask), np.flatnonzero(~mask)
        ood_folds = list(self._ood_folds(ood_rows, groups))
        folds = KFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        for (train, test), ood_test in zip(folds.split(id_rows), ood_folds, strict=True):
            train_rows, test_rows = id_rows[train], np.concatenate([id_rows[test], ood_test])
            if self.ood_in_train:
                others = np.setdiff1d(ood_rows, ood_test)
                train_rows = np.concatenate([train_rows, others])
            yield np.sort(train_rows), np.sort(test_rows)

    def _ood_folds(self, ood_rows, groups):
        folds = KFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        if groups is None:
            for _, test in folds.split(self._enough(ood_rows, "OOD rows")):
                yield ood_rows[test]
            return
        names = _names_of(groups, ood_rows)
        datasets = self._enough(np.unique(names), "OOD datasets in groups")
        for _, test in folds.split(datasets):
            yield ood_rows[np.isin(names, datasets[test])]

    def _enough(self, things, description):
        if len(things) < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the number of {description}, "
                f"{len(things)}: a test fold would hold no OOD rows. Lower n_splits, or pass more "
                "of them (without groups, a dataset is dealt to several folds)."
            )
        return things


def _names_of(groups, rows):
    """The datasets of some rows, none of them missing."""
    names = np.asarray(as_host(groups), dtype=object)[rows]
    missing = pd.isna(names)
    if missing.any():
        raise ValueError(
            f"groups has no name for {missing.sum()} OOD rows, the first of them row "
            f"{rows[missing.argmax()]}. Name the dataset of every row with y == -1."
        )
    return names


def train_validation_split_for_ood(
    X_train: ArrayLike, X_val_id: ArrayLike, X_val_ood: ArrayLike | NamedSets
) -> tuple[Any, IntArray, list[tuple[IntArray, IntArray]]]:
    """X, y and cv with which any scikit-learn search fits on training rows only.

    Parameters
    ----------
    X_train : array-like of shape (n_train, n_features)
        ID rows to fit on.
    X_val_id : array-like of shape (n_val_id, n_features)
        Held-out ID rows.
    X_val_ood : array-like of shape (n_val_ood, n_features), or dict of str to such
        OOD rows for validation, such as those of `synthetic_outliers`.

    Returns
    -------
    X : ndarray or DataFrame of shape (n_train + n_val_id + n_val_ood, n_features)
        All rows in this order; a DataFrame, with the index of the parts, where all are tables; a
        CuPy array where `X_train` is on a GPU, to which the other parts are copied.
    y : ndarray of shape (n_samples,), int
        +1 for ID rows, -1 for OOD rows.
    cv : list of one (train, test) pair of ndarrays
        Fits on `X_train`, validates on the rest.

    Raises
    ------
    ValueError
        Parts that are empty, not two-dimensional, or of different features.

    Notes
    -----
    A search's final refit sees all of X and y. Detectors of this library leave the rows with
    y == -1 out; wrap others in `InlierOnly`.

    Examples
    --------
    >>> import numpy as np
    >>> from skweiper.model_selection import train_validation_split_for_ood
    >>> X, y, cv = train_validation_split_for_ood(
    ...     np.zeros((3, 2)), np.zeros((2, 2)), np.ones((1, 2))
    ... )
    >>> y
    array([ 1,  1,  1,  1,  1, -1])
    >>> cv[0][0], cv[0][1]
    (array([0, 1, 2]), array([3, 4, 5]))
    """
    ood_sets = X_val_ood if isinstance(X_val_ood, Mapping) else {"": X_val_ood}
    named = {f"X_val_ood[{name!r}]" if name else "X_val_ood": X for name, X in ood_sets.items()}
    X = _stacked({"X_train": X_train, "X_val_id": X_val_id, **named})
    n_train = np.shape(X_train)[0]
    n_id = n_train + np.shape(X_val_id)[0]
    if len(X) == n_id:
        raise ValueError(
            "X_val_ood holds no rows, so nothing could be compared. Pass OOD rows, or those of "
            "synthetic_outliers."
        )
    y = np.repeat([1, -1], [n_id, len(X) - n_id])
    return X, y, [(np.arange(n_train), np.arange(n_train, len(X)))]


def _stacked(parts):
    """All parts below each other; a DataFrame, each row with its own index, where all are tables.

    On the device of the training rows, or in host memory where they are.

    Parameters
    ----------
    parts : dict of str to array-like of shape (n_samples, n_features)
    """
    parts = {name: as_pandas(part) for name, part in parts.items()}
    are_frames = all(hasattr(part, "iloc") for part in parts.values())
    if not are_frames:
        parts = {name: _array_beside(parts["X_train"], X) for name, X in parts.items()}
    for name, part in parts.items():
        if part.ndim != 2 or 0 in part.shape:
            raise ValueError(
                f"{name} must be of shape (n_samples, n_features), both at least 1, "
                f"got shape {part.shape}."
            )
    first = parts["X_train"]
    for name, part in parts.items():
        if part.shape[1] != first.shape[1] or (are_frames and list(part) != list(first)):
            raise ValueError(
                f"{name} must have the {first.shape[1]} features of X_train in the same order, "
                f"got {list(part) if are_frames else part.shape[1]}."
            )
    if are_frames:
        return pd.concat(list(parts.values()))
    with on_device_of(first):
        return np.concatenate(list(parts.values()))


def _array_beside(X_train, X):
    """X as an array where the training rows live."""
    if is_device_array(X_train) and is_device_array(X):
        X_train, X = as_cupy(X_train), as_cupy(X)
        if X_train.device.id == X.device.id:
            return X
    return beside(X_train, np.asarray(as_host(X)))
