"""Training rows that alone carry most of a covariance: remembered as it is summed, warned of."""

from dataclasses import dataclass

import numpy as np

from skweiper._support.containers import as_host
from skweiper._support.notice import warn_caller
from skweiper._support.row_products import row_dots

MOST_OF_IT = 0.5
RARE_SHARE = 0.001
"""Of the rows, that are few enough to be called outliers."""
FEWEST_RARE = 2
"""A row and the other one of its class, which deviates from their mean as much."""
MOST_RARE = 100
LEAST_ROWS = 50
"""Rows that deviate; of fewer, two may carry half of the variance by chance."""
MOST_NAMED = 5


@dataclass(frozen=True)
class Deviations:
    """Squared deviations of rows from their centres. Merging is associative and commutative.

    Attributes
    ----------
    total : float
        Sum over all rows: the number of rows times the trace of their covariance.
    n_rows : int
        Rows that deviate.
    largest : tuple of (float, int)
        The largest squared deviations and the numbers of their rows in X, in descending order.
    """

    total: float = 0.0
    n_rows: int = 0
    largest: tuple = ()

    @classmethod
    def of(cls, centred, rows):
        """Of rows less their centres.

        Parameters
        ----------
        centred : ndarray of shape (n_rows, n_features)
        rows : sequence of int
            Their numbers in X.
        """
        squares = as_host(row_dots(centred, centred))
        order = np.argsort(-squares, kind="stable")[:MOST_RARE]
        largest = zip(squares[order].tolist(), np.asarray(rows)[order].tolist(), strict=True)
        return cls(float(squares.sum()), int(np.count_nonzero(squares)), tuple(largest))

    def merge(self, other):
        """Of the rows of both."""
        largest = sorted(self.largest + other.largest, key=lambda item: (-item[0], item[1]))
        total, n_rows = self.total + other.total, self.n_rows + other.n_rows
        return Deviations(total, n_rows, tuple(largest[:MOST_RARE]))

    def dominant(self):
        """The fewest rows that carry more than half of the total, if they are few enough.

        At most two, or 0.1 % of all rows and a hundred, where more than two. None is, where fewer
        than 50 rows deviate.

        Returns
        -------
        rows : list of int
            In descending order of their deviations; empty where there are none.
        share : float
            Of the total, that they carry together.
        """
        n_rare = int(np.clip(RARE_SHARE * self.n_rows, FEWEST_RARE, MOST_RARE))
        if self.n_rows < LEAST_ROWS:
            return [], 0.0
        squares, rows = zip(*self.largest[:n_rare], strict=True)
        shares = np.cumsum(squares) / self.total
        n_dominant = int(np.searchsorted(shares, MOST_OF_IT, side="right")) + 1
        if n_dominant > len(shares):
            return [], 0.0
        return list(rows[:n_dominant]), float(shares[n_dominant - 1])


def warn_of_dominant_rows(deviations, centre):
    """Warn of rows that alone carry most of the variance, naming them and what to do.

    Parameters
    ----------
    deviations : Deviations
    centre : str
        What the rows deviate from.

    Warns
    -----
    UserWarning
    """
    rows, share = deviations.dominant()
    if not rows:
        return
    named = ", ".join(map(str, rows[:MOST_NAMED])) + (", ..." if len(rows) > MOST_NAMED else "")
    which = f"Row {named} of X carries" if len(rows) == 1 else f"Rows {named} of X carry"
    warn_caller(
        f"{which} {share:.1%} of the squared deviation of {deviations.n_rows} training rows from "
        f"{centre}, and so most of their covariance, in which the others hardly count. Remove from "
        "X what does not belong, or label it y == -1."
    )
