"""Whether a few training rows stretch the bins so far that all others share few of them."""

from functools import partial
from typing import NamedTuple

import numpy as np

from skweiper._support.notice import warn_caller
from skweiper._weiper.statistics import ValueRange

LEAST_SHARE = 0.1
"""Of the bins: in fewer, ordinary values are hardly told apart."""
RARE_SHARE = 0.001
"""Of the values, that may lie anywhere."""
RARE_SHARE_BESIDE_ZERO = 0.01
"""Of those that are not exactly zero."""
LEAST_ROWS = 3
"""Rows, of which one that lies apart from all others can be called an outlier."""
ROUNDING = 1e-12
"""Of sums of shares."""
TRIMS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares to leave out at either end, as a remedy."""


class Histogram(NamedTuple):
    """The training values in one space, and the bins that they were counted in.

    Attributes
    ----------
    name : str
        What the values are, in the plural.
    extremes : Extremes
    n_rows, n_values : int
    n_zeros : int
        Values that are exactly zero, as most features after a ReLU may be.
    bins : Bins
    density : ndarray of shape (n_bins,)
        Share of all values in each bin.
    """

    name: str
    extremes: object
    n_rows: int
    n_values: int
    n_zeros: int
    bins: object
    density: np.ndarray


class Stretch(NamedTuple):
    """A histogram that is stretched, and by whom.

    Attributes
    ----------
    histogram : Histogram
    window : ValueRange
        Where all values lie but rare ones, or but those of one row.
    n_outside : int
        How many do not.
    far : tuple of RowValue
        The extreme values far from the window, at most one at either end.
    """

    histogram: Histogram
    window: ValueRange
    n_outside: int
    far: tuple

    def __str__(self):
        histogram, reached = self.histogram, {}
        for value, row in self.far:
            reached.setdefault(row, []).append(f"{value:.6g}")
        rows = (f"row {row} reaches {' and '.join(values)}" for row, values in reached.items())
        n_filled = np.count_nonzero(touched_bins(histogram.bins, self.window))
        return (
            f"all {histogram.name} but {self.n_outside} of {histogram.n_values} lie from "
            f"{self.window.low:.4g} to {self.window.high:.4g}, in {n_filled} of "
            f"{histogram.bins.n_bins} bins, while {' and '.join(rows)}"
        )


def stretch_of(histogram):
    """Whether few training values stretch a histogram: less than a tenth of it holds all others.

    "All others" are, of the training values in this space, either

    - those of all rows but the one with the largest, or the smallest, value, if they differ at all.
      Of less than a thousand rows a single one has more than 0.1 % of the values; or
    - all but 0.1 % of them, and all but 1 % of those that are not exactly zero, in bins side by
      side. Zeros do not count alone, since nearly all values of a sparse layer are zero, which
      narrower bins would not tell apart; there it matters whether the others fill the bins.

    Parameters
    ----------
    histogram : Histogram

    Returns
    -------
    Stretch or None
    """
    window = window_beside_a_row(histogram) or narrow_window(histogram)
    if window is None:
        return None
    far = far_values(histogram.extremes, window)
    for _, row in far:  # as narrow as the other rows' values are
        window = window.within(histogram.extremes.range_beside(row))
    held = histogram.density[touched_bins(histogram.bins, window)].sum()
    n_outside = round(float(1 - held) * histogram.n_values)
    return Stretch(histogram, window, n_outside, far) if far else None


def stretches(n_rows, perturbation, request, densities, extremes):
    """The stretched histograms of the training rows, at most one in each space.

    Parameters
    ----------
    n_rows : int
    perturbation : Perturbation
    request : Request
        The bins; as many for features as for perturbed logits.
    densities : list of Densities
        In them. Empty where the rule has no bins.
    extremes : TrainingExtremes or None

    Returns
    -------
    list of Stretch
    """
    if not densities:
        return []
    features, logits = zip(*densities, strict=True)
    n_features, n_logits = n_rows * perturbation.head.n_features, n_rows * perturbation.n_logits
    of_features = "training features", extremes.feature, n_rows, n_features, extremes.n_zeros
    of_logits = "perturbed training logits", extremes.logit, n_rows, n_logits, 0
    spaces = (of_features, request.feature_bins, features), (of_logits, request.logit_bins, logits)
    found = []
    for values, all_bins, all_densities in spaces:
        each = map(partial(Histogram, *values), all_bins, all_densities)
        found += [stretch for stretch in map(stretch_of, each) if stretch is not None][:1]
    return found


def narrow_window(histogram):
    """The fewest bins side by side, less than a tenth, that hold all values but rare ones."""
    bins, density = histogram.bins, histogram.density
    widest = int(np.ceil(LEAST_SHARE * bins.n_bins)) - 1
    share_of_zeros = histogram.n_zeros / histogram.n_values
    others = density.copy()
    if bins.low <= 0 <= bins.high:
        others[bin_of_zero(bins)] -= share_of_zeros
    ends = np.cumsum(np.pad([density, others], [(0, 0), (1, 0)]), axis=1)
    of_others = (1 - RARE_SHARE_BESIDE_ZERO) * (1 - share_of_zeros)
    needed = np.array([[1 - RARE_SHARE], [of_others]]) - ROUNDING
    for width in range(1, widest + 1):
        held = ends[:, width:] - ends[:, :-width]
        found = np.flatnonzero((held >= needed).all(axis=0))
        if len(found):
            low, high = bins.edges[[found[0], found[0] + width]]
            return ValueRange(float(low), float(high))
    return None


def bin_of_zero(bins):
    """The bin that holds zero, rounded as the engines round."""
    position = np.float32(0 - np.float32(bins.low)) * np.float32(bins.scale)
    return min(int(position), bins.n_bins - 1)


def window_beside_a_row(histogram):
    """Where the values of all rows but an extreme one lie, if that is less than a tenth."""
    extremes, bins = histogram.extremes, histogram.bins
    within = ValueRange(bins.low, bins.high)
    if histogram.n_rows < LEAST_ROWS:
        return None
    for _, row in (extremes.highest, extremes.lowest):
        others = extremes.range_beside(row).within(within)
        if 0 < others.width < LEAST_SHARE * within.width:
            return others
    return None


def far_values(extremes, window):
    """The extreme values that lie farther from the window than the window is wide."""
    low, high = extremes.lowest, extremes.highest
    far = [low] if window.low - low.value > window.width else []
    far += [high] if high.value - window.high > window.width else []
    return tuple(far)


def touched_bins(bins, window):
    """Which bins have a part in the window, ndarray of shape (n_bins,), bool."""
    return (bins.edges[1:] > window.low) & (bins.edges[:-1] <= window.high)


def trim_for(stretches):
    """The share to leave out at either end, for the bins to be set by ordinary values."""
    rare = max(each.n_outside / each.histogram.n_values for each in stretches)
    return next((trim for trim in TRIMS if trim >= rare), TRIMS[-1])


def warn_of_stretch(stretches, where=""):
    """Warn of stretched histograms, naming the rows and what to do; nothing where there are none.

    Parameters
    ----------
    stretches : sequence of Stretch
    where : str
        Which rows were fitted on, where it is not all of X.

    Warns
    -----
    UserWarning
    """
    if not stretches:
        return
    trim = trim_for(stretches)
    warn_caller(
        f"Outliers among the training rows{where} stretch the histograms of method='kld': "
        f"{'; '.join(map(str, stretches))}. So few bins hardly tell samples apart. Remove the rows "
        "named from X, or label them y == -1; or pass "
        f"value_range=({trim:g}, {1 - trim:g}), which ends the bins at these quantiles."
    )
