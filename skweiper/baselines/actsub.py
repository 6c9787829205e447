"""ActSubDetector: the part of a row that the head uses, and the part that it hardly uses."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr, svd
from sklearn.preprocessing import normalize

from skweiper._support.parameters import Interval
from skweiper._support.row_products import row_products
from skweiper.baselines.base import HeadDetector
from skweiper.head import Head
from skweiper.scores import gen

LEAST_COSINE = float(np.finfo(np.float32).eps)
"""Cosines are kept this far from 0 and from 1, where the score would not be finite."""


class ActSubDetector(HeadDetector):
    """Detector by activation subspaces (ActSub), in its GEN form.

    The singular value decomposition of the head's weight divides a row into a decisive part, along
    the directions that the head weighs most, and an insignificant part along the others. The score
    is the generalised entropy of the logits of the decisive part, over how alike the insignificant
    part is to those of the nearest training rows. At most 0, higher = more in-distribution:
    ``gen(v) / (-log(1 - s)) ** power``, with s the mean cosine to the `n_neighbors` nearest.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    n_decisive : int, default=None
        Singular directions that are decisive, less than n_features. None: the paper's rule, as
        many as make the two parts of the training rows equally long on average.
    n_neighbors : int, default=10
        All training rows where there are fewer. A training row counts as its own first neighbour.
    power : float, default=1.0
        The paper's lambda, in [0, 10]: what the insignificant part counts for.
    gamma : float, default=0.1
        Exponent of the generalised entropy, in (0, 1]; see `skweiper.scores.gen`.
    top_classes : int, default=100
        Classes that enter it. All classes where there are fewer.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    n_decisive_ : int
        Decisive directions.
    decisive_head_ : Head
        The final layer, blind to the insignificant part.
    insignificant_basis_ : ndarray of shape (n_features, n_features - `n_decisive_`)
        Orthonormal basis of the insignificant subspace.
    bank_ : ndarray of shape (n_samples, n_features - `n_decisive_`), float32
        Normalised insignificant parts of the training rows.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Raises
    ------
    ValueError
        In `fit`: `n_decisive` leaves no insignificant direction, or would divide directions that
        the head weighs alike.

    Notes
    -----
    Directions of one singular value, to rounding, stay together: which of them comes first is an
    accident of the decomposition. So all directions that the head ignores are insignificant. A
    head that weighs all directions alike, as `weight=None` does, divides nothing: both parts are
    the whole row.

    A mean cosine at or below zero, for which the formula is undefined, counts as the least positive
    one. The authors take a tenth of the training rows into the bank (for that, `fit` on a tenth)
    and choose the power from 0.5, 1, 1.5 and 2, and the entropy's parameters, on OOD data.

    References
    ----------
    Zongur, Hesse, Roth, "Activation Subspaces for Out-of-Distribution Detection", ICCV 2025.
    https://arxiv.org/abs/2508.21695
    """

    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "n_decisive": [Interval(Integral, 1, None, closed="left"), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "power": [Interval(Real, 0, 10, closed="both")],
        "gamma": [Interval(Real, 0, 1, closed="right")],
        "top_classes": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        n_decisive: int | None = None,
        n_neighbors: int = 10,
        power: float = 1.0,
        gamma: float = 0.1,
        top_classes: int = 100,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.n_decisive = n_decisive
        self.n_neighbors = n_neighbors
        self.power = power
        self.gamma = gamma
        self.top_classes = top_classes
        self.contamination = contamination

    def _learn(self, rows, labels):
        decisive, self.insignificant_basis_ = self._subspaces(rows)
        self.n_decisive_ = decisive.shape[1]
        weight = self.head_.matrix @ decisive @ decisive.T
        self.decisive_head_ = Head(weight, self.head_.bias)
        shape = (len(rows), self.insignificant_basis_.shape[1])
        self.bank_ = np.empty(shape, dtype=np.float32)
        for part, features in self._chunks(rows):
            self.bank_[part] = self._insignificant(features)

    def _subspaces(self, rows):
        """Orthonormal bases of the decisive and of the insignificant subspace."""
        values, directions = singular_directions(self.head_.matrix)
        places = places_to_divide(values)
        if self.n_decisive is not None:
            place = checked_place(self.n_decisive, places, rows.n_features)
        elif len(places):
            lengths = mean_lengths(self._chunks(rows), directions)
            place = places[np.abs(np.subtract(*lengths))[places - 1].argmin()]
        else:
            return directions, directions
        return directions[:, :place], directions[:, place:]

    @property
    def _n_relations(self):
        return len(getattr(self, "bank_", ()))

    def _insignificant(self, features):
        """Direction of the rows' insignificant part, float32; zeros where there is none."""
        return normalize(row_products(features, self.insignificant_basis_.T)).astype(np.float32)

    def _likeness(self, features):
        """Minus log of one less the mean cosine to the nearest training rows."""
        cosines = row_products(self._insignificant(features), self.bank_)
        n_neighbors = min(self.n_neighbors, len(self.bank_))
        nearest = np.partition(cosines, -n_neighbors, axis=1)[:, -n_neighbors:]
        mean = nearest.mean(axis=1, dtype=np.float64)
        return -np.log1p(-np.clip(mean, LEAST_COSINE, 1 - LEAST_COSINE))

    def _score_features(self, features):
        logits = self.decisive_head_.logits(features)
        entropy = gen(logits, gamma=self.gamma, top_classes=self.top_classes)
        return entropy / self._likeness(features) ** self.power


def singular_directions(matrix):
    """Singular values of a matrix, zeros included, and its right singular vectors.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_features)

    Returns
    -------
    values : ndarray of shape (n_features,)
        Descending.
    directions : ndarray of shape (n_features, n_features)
        Orthonormal columns in their order.
    """
    n_classes, n_features = matrix.shape
    if n_classes > n_features:  # the left singular vectors would be the larger matrix
        matrix = qr(matrix, mode="economic")[1]
    values, directions = svd(matrix)[1:]
    return np.pad(values, (0, n_features - len(values))), directions.T


def places_to_divide(values):
    """Numbers of leading directions whose last singular value exceeds the next one.

    Parameters
    ----------
    values : ndarray of shape (n_features,)
        Descending.

    Returns
    -------
    ndarray of int
        Ascending, between 1 and n_features - 1; differences within rounding do not count.
    """
    rounding = values[0] * len(values) * np.finfo(np.float64).eps
    return 1 + np.flatnonzero(values[:-1] - values[1:] > rounding)


def checked_place(n_decisive, places, n_features):
    """The number of decisive directions that was asked for.

    Raises
    ------
    ValueError
        It leaves no insignificant direction, or divides directions of one singular value.
    """
    if n_decisive >= n_features:
        raise ValueError(
            f"n_decisive must be less than n_features={n_features}, or no direction is left that "
            f"is insignificant, got {n_decisive}."
        )
    if n_decisive in places:
        return n_decisive
    if not len(places):
        raise ValueError(
            f"n_decisive={n_decisive} was given, but the head weighs all directions alike, as "
            "weight=None does, so none is decisive before another. Pass n_decisive=None."
        )
    nearest = int(places[np.abs(places - n_decisive).argmin()])
    raise ValueError(
        f"n_decisive={n_decisive} divides directions that the head weighs alike (it ignores "
        f"all but {int(places[-1])} of {n_features}, or has equal singular values). Pass "
        f"n_decisive={nearest}, the nearest number that does not, or None."
    )


def mean_lengths(chunks, directions):
    """Mean length of rows along the leading directions, and along the others, at every place.

    Parameters
    ----------
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    directions : ndarray of shape (n_features, n_features)
        Orthonormal columns.

    Returns
    -------
    leading, others : ndarray of shape (n_features - 1,)
        Along the first k directions, and along all but these, for k from 1.
    """
    leading, others, n_samples = 0.0, 0.0, 0
    for _, features in chunks:
        squares = np.square(features @ directions)
        leading = leading + np.sqrt(squares.cumsum(axis=1)).sum(axis=0)[:-1]
        others = others + np.sqrt(squares[:, ::-1].cumsum(axis=1)).sum(axis=0)[-2::-1]
        n_samples += len(features)
    return leading / n_samples, others / n_samples
