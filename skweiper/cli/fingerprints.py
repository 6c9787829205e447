"""Whether data is the same as before: a hash of its form and of a sample of its rows."""

import hashlib
import json

import numpy as np

__all__ = ["fingerprint"]

N_BLOCKS, BLOCK_ROWS = 8, 16
"""Neighbouring rows, since what lies far apart in a file may have to be decoded from there on."""


def fingerprint(X, names=None) -> str:
    """Hash of the shape, dtype and names of features, and of rows spread over them.

    Parameters
    ----------
    X : ndarray, or rows that are read by slices, of shape (n_samples, ...)
    names : sequence of str, default=None

    Returns
    -------
    str of 16 hexadecimal digits
        The same for equal data in any format and number of parts.
    """
    form = {"shape": list(X.shape), "dtype": np.dtype(X.dtype).str, "names": list(names or [])}
    digest = hashlib.sha256(json.dumps(form).encode())
    for first in sampled_rows(X.shape[0], N_BLOCKS, BLOCK_ROWS):
        rows = np.ascontiguousarray(X[first : first + BLOCK_ROWS])
        digest.update(rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()[:16]


def sampled_rows(n_rows, n_blocks, block_rows):
    """First rows of blocks that are spread evenly from the first row to the last, none twice.

    Parameters
    ----------
    n_rows, n_blocks, block_rows : int

    Returns
    -------
    list of int
    """
    last = max(0, n_rows - block_rows)
    n_blocks = min(n_blocks, -(-n_rows // block_rows))
    return np.unique(np.linspace(0, last, n_blocks).astype(int)).tolist()
