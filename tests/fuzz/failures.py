"""Calls that must fail: in fit, in its midst too, and in scoring."""

import numpy as np


class InterruptedRows:
    """Rows on disk, as h5py's, during whose reading the user presses Ctrl-C.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    n_reads : int
        Reads that succeed before.
    """

    def __init__(self, X, n_reads):
        self.X, self.n_reads = X, n_reads
        self.shape, self.dtype, self.ndim = X.shape, X.dtype, X.ndim

    def read_direct(self):
        raise NotImplementedError

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        if self.n_reads == 0:
            raise KeyboardInterrupt
        self.n_reads -= 1
        return self.X[rows]


def with_value(X, value):
    """Features of which one, in the last row, is another."""
    X = X.astype(np.float64)
    X[-1, 0] = value
    return X


BAD_ROWS = {
    "NaN": lambda X: with_value(X, np.nan),
    "infinity": lambda X: with_value(X, np.inf),
    "one column too many": lambda X: np.c_[X, X[:, :1]],
    "one row": lambda X: X[0],
    "no rows": lambda X: X[:0],
    "text": lambda X: X.astype(str),
}
BAD_LABELS = {
    "one too few": lambda y: y[1:],
    "None inside": lambda y: np.append(y[1:].astype(object), None),
    "all outliers": lambda y: np.full(len(y), -1),
    "text": lambda y: np.full(len(y), "-1"),
}
