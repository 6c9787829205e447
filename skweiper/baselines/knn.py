"""KNNDetector: distance to the k-th nearest training row on the unit sphere."""

from numbers import Integral

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from skweiper._support.blas_limit import one_blas_thread
from skweiper._support.parameters import Interval
from skweiper.baselines.base import PeerDetector


class KNNDetector(PeerDetector):
    """Detector by the distance to the k-th nearest training row, features normalised.

    The score is minus the Euclidean distance between unit vectors, in [-2, 0], higher = more
    in-distribution. A row of zeros stays at the origin.

    Parameters
    ----------
    n_neighbors : int, default=50
        The k of the method; all training rows where there are fewer. A training row counts as its
        own first neighbour.
    contamination : float, default=0.05
        Share in (0, 0.5] of training rows that score below the threshold.

    Attributes
    ----------
    bank_ : ndarray of shape (n_samples, n_features), float32
        The normalised training rows.
    neighbors_ : NearestNeighbors
        The search among them.
    n_neighbors_ : int
        The k in use.
    offset_ : float
        Threshold: `decision_function` is `score_samples` less this.
    n_features_in_ : int
        Width of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names in `fit`.

    References
    ----------
    Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.
    https://arxiv.org/abs/2204.06507
    """

    _parameter_constraints = {
        **PeerDetector._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, n_neighbors: int = 50, contamination: float = 0.05) -> None:
        self.n_neighbors = n_neighbors
        self.contamination = contamination

    def _learn(self, rows, labels):
        self.bank_ = np.empty((len(rows), rows.n_features), dtype=np.float32)
        for part, features in self._chunks(rows):
            self.bank_[part] = normalize(features)
        self.n_neighbors_ = min(self.n_neighbors, len(rows))
        self.neighbors_ = NearestNeighbors(n_neighbors=self.n_neighbors_, algorithm="brute")
        self.neighbors_.fit(self.bank_)

    @property
    def _n_relations(self):
        return self.n_neighbors

    def _score_features(self, features):
        directions = normalize(features).astype(np.float32)
        farthest = self._nearest(directions)[:, -1]
        # The distances that kneighbors returns depend on the last digit on the other rows.
        difference = directions.astype(np.float64) - self.bank_[farthest]
        return -np.linalg.norm(difference, axis=1)

    @one_blas_thread
    def _nearest(self, directions):
        # scikit-learn limits BLAS here too, but does not restore it where it is interrupted.
        return self.neighbors_.kneighbors(directions, return_distance=False)

    @property
    def _n_threads(self):
        return 1  # scikit-learn's search has threads of its own
