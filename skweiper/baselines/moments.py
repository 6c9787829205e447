"""Means and covariances of rows that come in chunks."""

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array

from skweiper._support.row_products import row_products
from skweiper.baselines.dominance import Deviations, warn_of_dominant_rows


def class_means(chunks, members, n_classes):
    """Mean features of each class.

    Parameters
    ----------
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    members : ndarray of shape (n_samples,), int
        Class of each row, from 0; negative for rows that belong to none.
    n_classes : int

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        Zero for classes without a row.
    counts : ndarray of shape (n_classes,), int
    """
    sums = 0.0
    for part, features in chunks:
        own = np.flatnonzero(members[part] >= 0)
        places = (members[part][own], own)
        indicator = csr_array((np.ones(len(own)), places), shape=(n_classes, len(features)))
        sums = sums + indicator @ features
    counts = np.bincount(members[members >= 0], minlength=n_classes)
    return sums / np.maximum(counts, 1)[:, None], counts


def overall_mean(chunks, n_samples):
    """Mean features of all rows, ndarray of shape (n_features,).

    Parameters
    ----------
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
    n_samples : int
    """
    return class_means(chunks, np.zeros(n_samples, dtype=np.intp), 1)[0][0]


def covariance_about(rows, chunks, centre_of, centre):
    """Mean outer product of the rows less their centres (maximum likelihood covariance).

    Parameters
    ----------
    rows : FeatureRows
    chunks : iterable of (slice, ndarray of shape (n_rows, n_features))
        Of these rows.
    centre_of : callable
        From a slice of rows to their centres, broadcastable to the rows.
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
    total, deviations = 0.0, Deviations()
    for part, features in chunks:
        centred = features - centre_of(part)
        total = total + centred.T @ centred
        deviations = deviations.merge(Deviations.of(centred, rows.row_numbers(part)))
    warn_of_dominant_rows(deviations, centre)
    return total / len(rows)


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
    distances += np.square(whitened_means).sum(axis=1)
    return np.maximum(distances, 0.0, out=distances)
