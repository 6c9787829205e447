"""Rows in blocks that lie elsewhere, such as on a cluster: what is learnt of them goes where they
are, and comes back merged.

The same functions take rows in memory, which are a single block.
"""

import numpy as np

from skweiper._support.row_views import RowView

REMEDY = (
    "Fit on a subsample that fits the memory: detector.fit(skweiper.distributed.subsample(X, "
    "100_000)); then skweiper.distributed.score_samples(detector, X) scores all rows."
)


class BlockColumn:
    """What belongs to each row, or the rows themselves, in blocks that lie elsewhere.

    A subclass defines

    - `mapped(work, columns)`: column of what `work` makes of each block of some columns;
    - `merged(work, columns)`: the same, merged into one, here;
    - `gathered()`: the blocks, ndarrays, one behind the other, here.
    """


class BlockMatrix(RowView):
    """A feature matrix whose rows lie elsewhere; it cannot be read.

    Parameters
    ----------
    rows : BlockColumn
        Of `FeatureRows`, with `take(numbers)` and `split(numbers)`.
    labels : BlockColumn or None
    shape : (int, int)
        Rows that take part, and features.
    dtype : dtype
    columns : list of str or None
    """

    def __init__(self, rows, labels, shape, dtype, columns=None):
        self.rows = rows
        self.labels = labels
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.columns = columns

    def __getitem__(self, rows):
        raise TypeError(f"This reads the rows themselves, which lie on a cluster. {REMEDY}")


def is_elsewhere(column):
    """Whether rows, or what belongs to them, lie elsewhere."""
    return isinstance(column, BlockColumn)


def mapped(work, *columns):
    """work(*columns), block by block where these lie elsewhere.

    Parameters
    ----------
    work : callable
        Can be pickled.
    *columns : FeatureRows, ndarray or object, or BlockColumn of such
        Of the same rows.

    Returns
    -------
    What `work` returns, or a BlockColumn of it
    """
    return columns[0].mapped(work, columns) if is_elsewhere(columns[0]) else work(*columns)


def merged(work, *columns):
    """work(*columns); where these lie elsewhere, merged over all blocks.

    Parameters
    ----------
    work : callable
        Can be pickled; what it returns is merged by `merge`, or by a sum.
    *columns : FeatureRows, ndarray or object, or BlockColumn of such

    Returns
    -------
    What `work` returns
    """
    return columns[0].merged(work, columns) if is_elsewhere(columns[0]) else work(*columns)


def gathered(column):
    """An ndarray, from wherever it lies."""
    return column.gathered() if is_elsewhere(column) else column


def split(rows, numbers):
    """Row numbers as a column of the rows: of each block its own, counted from its first row.

    Parameters
    ----------
    rows : FeatureRows or BlockColumn
    numbers : ndarray of int, ascending

    Returns
    -------
    ndarray or BlockColumn
    """
    return rows.split(numbers) if is_elsewhere(rows) else numbers
