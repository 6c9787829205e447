"""What the peer detectors share: the head, the classes, and passes over chunks of rows."""

from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np

from skweiper._support.blocks import is_elsewhere, mapped, merged
from skweiper._support.containers import as_host, on_device_of
from skweiper._support.head_mistakes import warn_of_features
from skweiper._support.memory import PEER_CHUNKS, memory_budget, rows_within
from skweiper._support.notice import warn_caller
from skweiper._support.parameters import StrOptions
from skweiper._support.rows import row_slices
from skweiper._support.threads import available_threads, map_in_order
from skweiper.base import BaseDetector
from skweiper.baselines.moments import overall_sums
from skweiper.head import check_head
from skweiper.scores import max_logit

BYTES_PER_VALUE = 48  # a float64 value, its source, and a few temporaries of its size
COPIES_OF_FEATURES = 3
COPIES_OF_LOGITS = 5
"""Arrays of a row's features, and of its logits or its distances to classes, at the same time."""
LARGEST_VALUE = 1e140
"""Of a feature: its square, summed over any number of rows, stays far below the largest float64."""
LEAST_LENGTH = 1 / LARGEST_VALUE
"""Of a row that has a direction: below, the squares of its features lose their digits."""
LEAST_VALUES = 2**18
"""Numbers of a chunk, below which starting threads costs more than they save."""


def chunk_slices(n_rows, values_per_row, n_threads=1):
    """Slices of rows that hold about `values_per_row` float64 numbers each; those of all threads
    together within their share of the memory."""
    budget = memory_budget(PEER_CHUNKS) // n_threads
    fair_share = max(-(-n_rows // n_threads), LEAST_VALUES // values_per_row)
    most = max(1, min(n_rows, fair_share))
    return row_slices(n_rows, rows_within(budget, BYTES_PER_VALUE * values_per_row, most))


def load_chunk(rows, part, in_place=False):
    """Features of a slice of `FeatureRows` on the host, or where they live, none too large to be
    squared."""
    chunk = rows.load_in_place(part) if in_place else rows.load_copied(part)
    if getattr(rows.X, "dtype", np.dtype(np.float64)).itemsize >= 8:
        check_squares(chunk, rows.row_numbers(part))
    return chunk


def load_directions(rows, part, in_place=False):
    """`load_chunk`, every row divided by its L2 norm; rows of zeros stay what they are."""
    chunk = load_chunk(rows, part, in_place)
    return chunk / np.maximum(np.linalg.norm(chunk, axis=1), LEAST_LENGTH)[:, None]


def check_squares(chunk, row_numbers):
    """Refuse values whose squares, or sums of them, overflow double precision.

    Lengths would be infinite, and rows divided by them zero.

    Parameters
    ----------
    chunk : ndarray of shape (n_rows, n_features), float64
    row_numbers : sequence of int
        Row of X behind each row of the chunk, for the message.

    Raises
    ------
    ValueError
    """
    with np.errstate(over="ignore"):
        if np.einsum("ij,ij->", chunk, chunk) <= LARGEST_VALUE**2:
            return
    too_large = np.abs(chunk) > LARGEST_VALUE
    if too_large.any():
        row, column = (int(i[0]) for i in np.nonzero(too_large))
        value = float(chunk[row, column])
        raise ValueError(
            f"Input X contains a value too large to be squared in double precision "
            f"({value:g}; the limit is {LARGEST_VALUE:g}) at row {row_numbers[row]}, "
            f"column {column}. Rescale the features and the head together."
        )


class PeerDetector(BaseDetector):
    """A detector whose score of a row depends on that row and on fitted state only.

    A subclass defines `_learn(rows, labels)`, `_score_features(features)` of a float64 chunk, and
    `_n_relations` if a row needs more numbers than its features and classes. One that learns by
    `mapped` and `merged` alone can be fitted on rows that lie elsewhere.

    One with `_computes_in_place` computes where the rows live: what it makes of features takes CuPy
    arrays, too. The others get copies in host memory of rows on a GPU.
    """

    _computes_in_place = False

    def _fit(self, rows, labels):
        with self._where(rows), np.errstate(over="ignore", invalid="ignore"):
            self._learn(rows, labels)
        return mapped(self._score, rows)

    def _is_in_place(self, rows):
        """Whether rows on a GPU are computed with there."""
        return self._computes_in_place and rows.is_on_device

    def _where(self, rows):
        """Context in which arrays are made beside the rows; those elsewhere need none here."""
        return nullcontext() if is_elsewhere(rows) else on_device_of(rows.X)

    def _learn(self, rows, labels):
        """Methods without a training statistic learn nothing."""

    @property
    def _n_relations(self):
        """Numbers that a row is compared by, beside its features and classes."""
        return 0

    @property
    def _values_per_row(self):
        head, classes = getattr(self, "head_", None), getattr(self, "classes_", ())
        n_classes = max(0 if head is None else head.n_classes, len(classes))
        of_features = COPIES_OF_FEATURES * self.n_features_in_
        return of_features + COPIES_OF_LOGITS * n_classes + self._n_relations

    def _chunks(self, rows, load=load_chunk):
        """Yield (slice, features) of consecutive rows; `load` as `_map_rows` takes it."""
        in_place = self._is_in_place(rows)
        for part in chunk_slices(len(rows), self._values_per_row):
            yield part, load(rows, part, in_place)

    @property
    def _n_threads(self):
        """Threads that score chunks side by side."""
        return available_threads()

    def _map_rows(self, rows, work, load=load_chunk):
        """work(features) of all rows, concatenated on the host.

        `load(rows, slice, in_place)` gives the features.
        """
        in_place = self._is_in_place(rows)
        n_threads = 1 if in_place else self._n_threads
        parts = chunk_slices(len(rows), self._values_per_row, n_threads)

        def overflowing(part):
            # What overflows gives scores that are not finite, which are reported with their row.
            with np.errstate(over="ignore", invalid="ignore"):
                return as_host(work(load(rows, part, in_place)))

        with self._where(rows):
            return np.concatenate(list(map_in_order(overflowing, parts, n_threads)))

    def _score(self, rows):
        return self._map_rows(rows, self._score_features)

    def _overall_mean(self, rows):
        """Mean features of all rows, wherever these lie."""
        return merged(self._sums_of_rows, rows).means[0]

    def _sums_of_rows(self, rows):
        return overall_sums(self._chunks(rows, self._load), len(rows))

    @property
    def _load(self):
        """What gives the features of a slice of rows."""
        return load_chunk

    def _sum_over_rows(self, rows, work):
        """Sum of work(features) over some rows."""
        values = self._map_rows(rows, work)
        return ValueSum(values.sum(), len(values))


class ValueSum(NamedTuple):
    """Sum of a number of each row; those of parts add up."""

    total: float
    n_values: int

    def merge(self, other):
        """Of the rows of both."""
        return ValueSum(self.total + other.total, self.n_values + other.n_values)

    @property
    def mean(self):
        return self.total / self.n_values


def warn_of_negative(values, name, effect):
    """Warn where a value that a score is multiplied by turns the order of most rows round.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Of each training row.
    name : str
        What they are.
    effect : str
        What is the other way round where they are negative, and what to do.

    Warns
    -----
    UserWarning
        Most of them are not positive.
    """
    share = np.mean(values <= 0)
    if share > 0.5:
        warn_caller(f"The {name} of {share:.0%} of the training rows is not positive, and {effect}")


class HeadDetector(PeerDetector):
    """A peer detector with a classifier's final layer, `head_` after fit."""

    def _fit(self, rows, labels):
        self.head_ = check_head(self.weight, self.bias, rows.n_features)
        warn_of_features(self.head_.weight, rows.X)
        return super()._fit(rows, labels)

    def _largest_logit(self, features):
        return max_logit(self.head_.logits(features))


class ClassDetector(HeadDetector):
    """A head detector that learns from classes: the head's predictions, or y."""

    _parameter_constraints = {
        **BaseDetector._parameter_constraints,
        "labels": [StrOptions({"head", "y"})],
    }

    @property
    def _reads_classes(self):
        return self.labels == "y"

    def _class_labels(self, rows, labels):
        """The class of each training row, ndarray of shape (n_samples,)."""
        if self.labels == "head":
            return mapped(self._predicted_classes, rows)
        labels = required_labels(labels, type(self).__name__)
        check_no_inlier_labels(labels, self.head_.n_classes)
        return labels

    def _classes_and_members(self, rows, labels):
        """The classes of the training rows, and the place among them of each row's."""
        labels = self._class_labels(rows, labels)
        classes = merged(Distinct.of, labels).values
        return classes, mapped(partial(np.searchsorted, classes), labels)

    def _predicted_classes(self, rows):
        return self._map_rows(rows, self._predicted_class)

    def _predicted_class(self, features):
        return self.head_.logits(features).argmax(axis=1)


class MembersDetector(ClassDetector):
    """A detector that learns each class from the rows that the head assigns to it."""

    def _members(self, rows, labels):
        """Class of each row; with labels="y", -1 where the head predicts another."""
        predicted = mapped(self._predicted_classes, rows)
        if self.labels == "head":
            return predicted
        truth = self._class_labels(rows, labels)
        return correct_members(truth, predicted, self.head_.n_classes)


class Distinct(NamedTuple):
    """The values that occur, ndarray of shape (n_distinct,), ascending."""

    values: np.ndarray

    @classmethod
    def of(cls, values):
        """Of an ndarray."""
        return cls(np.unique(values))

    def merge(self, other):
        """Of both."""
        return Distinct.of(np.concatenate([self.values, other.values]))


def required_labels(labels, name):
    """The labels that labels="y" asks for.

    Raises
    ------
    ValueError
        No y was passed.
    """
    if labels is None:
        raise ValueError(
            f"{name} with labels='y' needs the class of each row: pass y to fit, or "
            "labels='head' to take the classes that the head predicts."
        )
    return labels


def check_no_inlier_labels(labels, n_classes):
    """Refuse the label +1 of every inlier where classes are expected.

    Raises
    ------
    ValueError
        All labels are 1, and there are several classes.
    """
    if n_classes > 1 and not merged(_holds_another_than_one, labels):
        raise _single_class(1, n_classes, "pass labels='head'")


def _holds_another_than_one(labels):
    return int(not all(label == 1 for label in labels))


def _single_class(label, n_classes, otherwise):
    return ValueError(
        f"y holds one class only ({int(label)}) of {n_classes}. Pass the class of each row, not "
        f"inlier labels, or {otherwise}."
    )


def check_class_numbers(labels, n_classes, otherwise="pass labels='head'"):
    """Labels as row numbers of the head's weight.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
    n_classes : int
    otherwise : str
        What else to do than to encode them, for the message.

    Returns
    -------
    ndarray of shape (n_samples,), int

    Raises
    ------
    ValueError
        A label is no integer between 0 and n_classes - 1, or all are the same of several.
    """
    numbers = mapped(partial(_class_numbers, n_classes=n_classes, otherwise=otherwise), labels)
    if n_classes > 1:
        found = merged(Distinct.of, numbers).values
        if len(found) == 1:
            raise _single_class(found[0], n_classes, otherwise)
    return numbers


def _class_numbers(labels, n_classes, otherwise):
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "fiub" or not np.all(
        (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < n_classes)
    ):
        raise ValueError(
            f"y must hold class numbers 0..{n_classes - 1}, the rows of weight, got values such "
            f"as {np.unique(numbers)[[0, -1]].tolist()}. Encode the classes in the order of the "
            f"head's rows, or {otherwise}."
        )
    return numbers.astype(np.intp)


def correct_members(truth, predicted, n_classes):
    """Class of each row that the head classifies correctly, -1 for the others.

    Parameters
    ----------
    truth : ndarray of shape (n_samples,)
        Labels as passed.
    predicted : ndarray of shape (n_samples,), int
        Row numbers of the head's weight.
    n_classes : int

    Returns
    -------
    ndarray of shape (n_samples,), int

    Raises
    ------
    ValueError
        Labels that are no class numbers, or no row classified correctly.
    """
    members = mapped(_correct_ones, check_class_numbers(truth, n_classes), predicted)
    if not merged(_count_members, members):
        raise ValueError(
            f"The head predicts another class than y for all {merged(len, predicted)} rows, so no "
            "row is left to learn from. Encode y in the order of weight's rows, or pass "
            "labels='head'."
        )
    return members


def _correct_ones(truth, predicted):
    return np.where(truth == predicted, predicted, -1)


def _count_members(members):
    return int(np.count_nonzero(members >= 0))
