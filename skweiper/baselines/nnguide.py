"""NNGuideDetector: energy guided by the nearest training rows."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.preprocessing import normalize

from skweiper._support.parameters import Interval
from skweiper._support.row_products import row_products
from skweiper.baselines.base import HeadDetector, warn_of_negative
from skweiper.scores import energy


class NNGuideDetector(HeadDetector):
    """Detector by energy, guided by nearest neighbours (NNGuide).

    The score is the energy times the mean of the `n_neighbors` largest products of cosine
    similarity to a training row and that row's energy. Unbounded, higher = more in-distribution.
    All training rows are the bank; for the published share alpha of them, `fit` on that share.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features), default=None
        Weight of the classifier's final layer, one row per class. None: X already holds logits.
    bias : array-like of shape (n_classes,), default=None
        Bias of the final layer. None means zeros.
    n_neighbors : int, default=100
        All training rows where there are fewer.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    head_ : Head
        The checked final layer.
    bank_ : ndarray of shape (n_samples, n_features), float32
        Normalised training rows times their energies.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    Warns
    -----
    UserWarning
        In `fit`: the energy of most training rows is not positive. The product of two of them is
        larger, the more negative they are.

    References
    ----------
    Park, Jung, Teoh, "Nearest Neighbor Guidance for Out-of-Distribution Detection", ICCV 2023.
    https://arxiv.org/abs/2309.14888
    """

    _parameter_constraints = {
        **HeadDetector._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        n_neighbors: int = 100,
        contamination: float = 0.05,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.n_neighbors = n_neighbors
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.bank_ = np.empty((len(rows), rows.n_features), dtype=np.float32)
        energies = np.empty(len(rows))
        for part, features in self._chunks(rows):
            energies[part] = energy(self.head_.logits(features))
            self.bank_[part] = normalize(features) * energies[part, None]
        warn_of_negative(
            energies,
            "energy",
            "the product of two is larger, the more negative both are. Add a constant to the "
            "head's bias.",
        )

    @property
    def _n_relations(self):
        return len(getattr(self, "bank_", ()))

    def _score_features(self, features):
        products = row_products(normalize(features).astype(np.float32), self.bank_)
        n_neighbors = min(self.n_neighbors, len(self.bank_))
        nearest = np.partition(products, -n_neighbors, axis=1)[:, -n_neighbors:]
        guidance = nearest.mean(axis=1, dtype=np.float64)
        return energy(self.head_.logits(features)) * guidance
