"""Means and covariances of rows that come in chunks, by sums that merge."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array

from skweiper._support.containers import as_host, beside, is_device_array
from skweiper._support.row_products import row_products
from skweiper.baselines.dominance import Deviations, warn_of_dominant_rows


class ClassSums(NamedTuple):
    """Sums of the features of each class; those of parts add up.

    Attributes
    ----------
    sums : ndarray of shape (n_classes, n_features)
    counts : ndarray of shape (n_classes,), int
    """

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, chunks, members, n_classes):
        """Of some rows.

        Parameters
        ----------
        chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
        members : ndarray of shape (n_samples,), int
            Class of each row, from 0; negative for rows that belong to none.
        n_classes : int
        """
        sums = 0.0
        for part, features in chunks:
            sums = sums + indicator(members[part], n_classes, features) @ features
        return cls(as_host(sums), np.bincount(members[members >= 0], minlength=n_classes))

    def merge(self, other):
        """Of the rows of both."""
        return ClassSums(self.sums + other.sums, self.counts + other.counts)

    @property
    def means(self):
        """ndarray of shape (n_classes, n_features); zero for classes without a row."""
        return self.sums / np.maximum(self.counts, 1)[:, None]


def indicator(members, n_classes, features):
    """Matrix whose product with features is their sum in each class.

    Parameters
    ----------
    members : ndarray of shape (n_rows,), int
        Class of each row, negative for none.
    n_classes : int
    features : ndarray of shape (n_rows, n_features)
        Beside which the matrix is made.

    Returns
    -------
    csr_array, or cupy.ndarray beside features on a GPU, of shape (n_classes, n_rows), of 0 and 1
    """
    if is_device_array(features):
        numbers = beside(features, np.arange(n_classes))
        return (numbers[:, None] == beside(features, members)).astype(features.dtype)
    own = np.flatnonzero(members >= 0)
    places = (members[own], own)
    return csr_array((np.ones(len(own)), places), shape=(n_classes, len(members)))


def class_means(chunks, members, n_classes):
    """Mean features of each class, and its number of rows, of rows in this process.

    Parameters
    ----------
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    members : ndarray of shape (n_samples,), int
        As `ClassSums.of` takes them.
    n_classes : int

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        Zero for classes without a row.
    counts : ndarray of shape (n_classes,), int
    """
    found = ClassSums.of(chunks, members, n_classes)
    return found.means, found.counts


def overall_sums(chunks, n_samples):
    """Sums over all rows, as of a single class.

    Parameters
    ----------
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    n_samples : int

    Returns
    -------
    ClassSums
    """
    return ClassSums.of(chunks, np.zeros(n_samples, dtype=np.intp), 1)


def overall_mean(chunks, n_samples):
    """Mean features of all rows, ndarray of shape (n_features,).

    Parameters
    ----------
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    n_samples : int
    """
    return overall_sums(chunks, n_samples).means[0]


class Scatter(NamedTuple):
    """Sum of the outer products of rows less their centres; those of parts add up.

    Attributes
    ----------
    total : ndarray of shape (n_features, n_features)
    n_samples : int
    deviations : Deviations
    """

    total: np.ndarray
    n_samples: int
    deviations: Deviations

    @classmethod
    def of(cls, rows, chunks, centres, members=None):
        """Of some rows.

        Parameters
        ----------
        rows : FeatureRows
        chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
            Of these rows.
        centres : ndarray of shape (n_classes, n_features)
        members : ndarray of shape (n_samples,), int, or None
            Which of the centres is that of each row; None where there is one only.
        """
        total, deviations = 0.0, Deviations()
        for part, features in chunks:
            own = beside(features, centres)
            centred = features - (own if members is None else own[members[part]])
            total = total + centred.T @ centred
            deviations = deviations.merge(Deviations.of(centred, rows.row_numbers(part)))
        return cls(as_host(total), len(rows), deviations)

    def merge(self, other):
        """Of the rows of both."""
        n_samples = self.n_samples + other.n_samples
        return Scatter(self.total + other.total, n_samples, self.deviations.merge(other.deviations))

    def covariance(self, centre):
        """Mean outer product (maximum likelihood covariance).

        Parameters
        ----------
        centre : str
            What the centres are, for the warning.

        Returns
        -------
        ndarray of shape (n_features, n_features)

        Warns
        -----
        UserWarning
            Few rows carry most of the variance, see `Deviations.dominant`.
        """
        warn_of_dominant_rows(self.deviations, centre)
        return self.total / self.n_samples


def covariance_about(rows, chunks, centre, name):
    """Covariance of rows in this process about a centre; see `Scatter`.

    Parameters
    ----------
    rows : FeatureRows
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    centre : ndarray of shape (n_features,)
    name : str
        What the centre is, for the warning.

    Returns
    -------
    ndarray of shape (n_features, n_features)
    """
    return Scatter.of(rows, chunks, centre[None]).covariance(name)


def check_spread(covariance, means, n_samples):
    """Refuse a covariance within classes that is zero, to rounding.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
    means : ndarray of shape (n_classes_seen, n_features)
    n_samples : int

    Raises
    ------
    ValueError
        No class has two training rows that differ.
    """
    rounding = np.square(8 * np.finfo(np.float64).eps * np.abs(means).max())
    if np.diagonal(covariance).max() <= rounding:
        raise ValueError(
            f"The training rows (n_samples={n_samples}, in {len(means)} classes) do not differ "
            "within any class, so they have no covariance. Pass at least two different rows of a "
            "class."
        )


def whitening(covariance):
    """Matrix V with V V' the pseudo-inverse of a covariance.

    Directions without variance, to rounding, are left out, as `scipy.linalg.pinvh` leaves them
    out.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)

    Returns
    -------
    ndarray of shape (n_features, rank)
    """
    variances, directions = eigh(covariance)
    cut = np.abs(variances).max() * len(variances) * np.finfo(np.float64).eps
    kept = variances > cut
    return directions[:, kept] / np.sqrt(variances[kept])


def squared_distances(whitened, whitened_means):
    """Squared Euclidean distances of rows to means.

    Parameters
    ----------
    whitened : ndarray of shape (n_samples, rank)
    whitened_means : ndarray of shape (n_classes, rank)

    Returns
    -------
    ndarray of shape (n_samples, n_classes), at least 0
    """
    distances = -2.0 * row_products(whitened, whitened_means)
    distances += np.square(whitened).sum(axis=1)[:, None]
    distances += beside(distances, np.square(whitened_means).sum(axis=1))
    return np.maximum(distances, 0.0, out=distances)
