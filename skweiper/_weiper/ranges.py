"""Where the bins begin and end: at the extremes of the training values, or at quantiles of them."""

from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from skweiper._support.blocks import is_elsewhere, merged
from skweiper._support.progress import track
from skweiper._support.quantile import RankSearch
from skweiper._weiper.passes import KnownLogits, Pass, check_divisible, halves
from skweiper._weiper.statistics import Extremes, Ranges, TrainingExtremes, ValueRange

PUBLISHED = (0.0, 1.0)
"""The quantiles between which the published bins lie: the extremes."""
LARGEST_END = float(np.finfo(np.float32).max) / 2
"""Of bins whose ends are a float32 apart."""
RANGE_ROWS = 2048
"""Rows per chunk at most where little is done for each row, and threads would often meet."""
BYTES_PER_COUNT = 8
PER_THREAD, BESIDE_THREADS = 2, 3
"""Tables at a time: the sum and the summand of each thread, their sum, and two that wait."""


class LearntRanges(NamedTuple):
    """Ranges of the training rows' values, and what was met on the way.

    Attributes
    ----------
    ranges : list of Ranges
        Checked and ready for bins; one for each pair of quantiles.
    extremes : TrainingExtremes
    known : KnownLogits or None
        What a next pass over the same rows need not compute.
    """

    ranges: list
    extremes: TrainingExtremes | None
    known: KnownLogits | None


class DigitCounts(NamedTuple):
    """Counts of a round of both searches; those of parts add up.

    Attributes
    ----------
    features, logits : ndarray of shape (n_distinct, n_digits), int64
        `features` is 0 where they are not counted.
    """

    features: object = 0
    logits: object = 0

    def merge(self, other):
        """Of the values of both."""
        return DigitCounts(self.features + other.features, self.logits + other.logits)


NO_RANGES = LearntRanges([], None, None)
"""For a rule that has no bins."""


def learn_ranges(rows, execution, value_ranges=(PUBLISHED,), verbose=0):
    """Ranges of the training rows' features and perturbed logits.

    Parameters
    ----------
    rows : FeatureRows
    execution : Execution
    value_ranges : sequence of (float, float)
        Quantiles, as `WeiPerDetector` takes them.
    verbose : int

    Returns
    -------
    LearntRanges

    Raises
    ------
    ValueError
        The perturbed logits overflow, or values are too far apart for bins in float32.
    """
    known = known_logits(rows, execution)
    learn = partial(training_extremes, execution=execution, known=known, verbose=verbose)
    extremes = merged(learn, rows)
    if not np.isfinite(extremes.logit.range.as_array()).all():
        raise ValueError(
            "The perturbed logits of X overflow float32. Rescale X and weight together, "
            f"or lower delta={execution.perturbation.delta}."
        )
    inner = list(dict.fromkeys(each for each in value_ranges if each != PUBLISHED))
    inner_ranges = quantile_ranges(rows, execution, inner, known, verbose)
    by_quantiles = dict(zip(inner, inner_ranges, strict=True))
    by_quantiles[PUBLISHED] = Ranges(extremes.feature.range, extremes.logit.range)
    found = [by_quantiles[each] for each in value_ranges]
    ranges = [Ranges(feature, logit.widened()) for feature, logit in found]
    for each in ranges:
        check_far_below_overflow(each)
    return LearntRanges(ranges, extremes, known)


def check_far_below_overflow(ranges):
    """Refuse bins of which the distance of two values is no float32.

    Parameters
    ----------
    ranges : Ranges
    """
    remedies = (
        "Rescale the features and the head together.",
        "Rescale the weight and the bias together.",
    )
    for values, (low, high), remedy in zip(
        ("training features", "perturbed training logits"),
        (each.as_array() for each in ranges),
        remedies,
        strict=True,
    ):
        if max(-low, high) > LARGEST_END:
            raise ValueError(
                f"The {values} reach from {low:g} to {high:g}, and their differences overflow "
                f"float32: bins need values within +-{LARGEST_END:g}. {remedy}"
            )


def known_logits(rows, execution):
    """Room for unperturbed logits, which a next pass over the same rows need not compute.

    Parameters
    ----------
    rows : FeatureRows or BlockColumn of such
    execution : Execution

    Returns
    -------
    KnownLogits or None
    """
    perturbation = execution.perturbation
    is_worth_it = perturbation.projection == "implicit" and execution.engine.keeps_logits
    if is_elsewhere(rows) or not is_worth_it:
        return None
    return KnownLogits(len(rows), perturbation.head.n_classes, execution.plan().sums_bytes)


def training_extremes(rows, execution, known=None, verbose=0):
    """Extremes of all features and of all perturbed logits.

    Parameters
    ----------
    rows : FeatureRows
    execution : Execution
    known : KnownLogits or None
        Filled, where there is room.
    verbose : int

    Returns
    -------
    TrainingExtremes
    """
    parts = execution.parts(len(rows), most=RANGE_ROWS)
    engine, extremes = execution.engine, TrainingExtremes()
    for number, block in enumerate(execution.blocks()):
        work = partial(chunk_extremes, Pass(rows, engine, block, known), number == 0)
        done = track(execution.map(work, parts), len(parts), "ranges", verbose)
        extremes = reduce(TrainingExtremes.merge, done, extremes)
    return extremes


def chunk_extremes(on, with_features, part):
    """Extremes of a slice of the rows; its unperturbed logits are kept where there is room.

    Parameters
    ----------
    on : Pass
    with_features : bool
        Whether to look at the features too, which are the same for every block.
    part : slice

    Returns
    -------
    TrainingExtremes
    """
    engine, numbers = on.engine, on.rows.row_numbers(part)
    try:
        with engine.working(), np.errstate(over="ignore", invalid="ignore"):
            features, norms, _ = engine.load(on.rows, part)
            unperturbed = engine.unperturbed(features, on.block, norms)
            if on.known is not None:
                on.known.keep(part, unperturbed)
            ends = engine.logit_extremes(features, on.block, unperturbed)
            logits = Extremes.of(*map(engine.to_host, ends), numbers)
            if not with_features:
                return TrainingExtremes(logit=logits)
            ends = features.min(axis=1), features.max(axis=1)
            n_zeros = int(np.count_nonzero(features == 0))
            return TrainingExtremes(
                Extremes.of(*map(engine.to_host, ends), numbers), logits, n_zeros
            )
    except engine.out_of_memory:
        check_divisible(part)
    return TrainingExtremes().merge(*map(partial(chunk_extremes, on, with_features), halves(part)))


def quantile_ranges(rows, execution, value_ranges, known=None, verbose=0):
    """Ranges between quantiles of all features and of all perturbed logits, exact to float32.

    The ends are values that occur, the inner ones of the two beside a quantile, so that the bins
    never reach towards an outlier that the quantile leaves out.

    Parameters
    ----------
    rows : FeatureRows
    execution : Execution
    value_ranges : list of (float, float)
    known : KnownLogits or None
    verbose : int

    Returns
    -------
    list of Ranges
    """
    if not value_ranges:
        return []
    perturbation, plan = execution.perturbation, execution.plan()
    n_ranks, in_flight = 2 * 2 * len(value_ranges), PER_THREAD * plan.n_threads + BESIDE_THREADS
    digit_bits = digit_bits_within(plan.sample_bytes, n_ranks * in_flight)
    searches = []
    for per_row in (perturbation.head.n_features, perturbation.n_logits):
        ranks = [inner_ranks(each, per_row * len(rows)) for each in value_ranges]
        searches.append(RankSearch.of(np.ravel(ranks).tolist(), digit_bits))
    while not searches[0].is_done:
        kept = {"execution": execution, "known": known, "verbose": verbose}
        counts = merged(partial(next_digits, searches=searches, **kept), rows)
        searches = [each.narrowed(total) for each, total in zip(searches, counts, strict=True)]
    ends = [np.reshape(each.values, (-1, 2)).tolist() for each in searches]
    return [Ranges(ValueRange(*one), ValueRange(*other)) for one, other in zip(*ends, strict=True)]


def inner_ranks(value_range, n_values):
    """Ranks, from 0, of the first value not below one quantile, and the last not above another.

    As `numpy.quantile` with the methods "higher" and "lower".
    """
    low, high = np.asarray(value_range) * (n_values - 1)
    low, high = int(np.ceil(low)), int(np.floor(high))
    return low, max(low, high)


def digit_bits_within(budget, n_tables):
    """Bits of a digit whose tables of counts fit so many bytes, or the fewest."""
    return 16 if n_tables * BYTES_PER_COUNT * 2**16 <= budget else 8


def next_digits(rows, execution, searches, known, verbose):
    """A round of both searches over all rows.

    Returns
    -------
    DigitCounts
    """
    parts, engine = execution.parts(len(rows), most=RANGE_ROWS), execution.engine
    total = DigitCounts()
    for number, block in enumerate(execution.blocks()):
        work = partial(chunk_digits, Pass(rows, engine, block, known), number == 0, searches)
        for counts in track(execution.map(work, parts), len(parts), "ranges", verbose):
            total = total.merge(counts)
    return total


def chunk_digits(on, with_features, searches, part):
    """A round of both searches over a slice of the rows.

    Parameters
    ----------
    on : Pass
    with_features : bool
        Whether to count the features too, which are the same for every block.
    searches : (RankSearch, RankSearch)
        For features and for perturbed logits.
    part : slice

    Returns
    -------
    DigitCounts
    """
    engine, (of_features, of_logits) = on.engine, searches
    try:
        with engine.working(), np.errstate(over="ignore", invalid="ignore"):
            features, norms, _ = engine.load(on.rows, part)
            known = None if on.known is None else on.known.find(part)
            unperturbed = known or engine.unperturbed(features, on.block, norms)
            tiles = engine.logit_tiles(features, on.block, unperturbed)
            logits = sum(engine.digit_counts(tile, of_logits) for tile in tiles)
            counted = engine.digit_counts(features, of_features) if with_features else 0
            return DigitCounts(counted, logits)
    except engine.out_of_memory:
        check_divisible(part)
    done = map(partial(chunk_digits, on, with_features, searches), halves(part))
    return reduce(DigitCounts.merge, done)
