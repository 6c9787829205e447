"""The length of a perturbation at which it changes a share of the predictions: delta="auto".

Along fixed draws a perturbed logit is linear in delta. So in every repeat each training row has one
flip length, from which on another class than the predicted one has the largest logit.
"""

from functools import partial

import numpy as np

from skweiper._support.notice import warn_caller
from skweiper._support.quantile import pooled_quantile, quantile_of
from skweiper._weiper.execution import Execution
from skweiper._weiper.passes import Pass, check_divisible, halves
from skweiper._weiper.perturbation import FLOAT32_BYTES, Perturbation
from skweiper._weiper.statistics import ROUNDING

MOST_ROWS = 1000
"""Training rows to learn delta from. It then varies by 1 to 4 % with the seed, on real features;
all rows in place of these would take a percent or two off that."""
UNLEARNT_DELTA = 2.0
"""Where no prediction can change; published settings lie around it."""
ROWS_STREAM = 1
"""Tells the random numbers that choose rows from those that draw the perturbation."""
KEPT_BYTES = 4 * FLOAT32_BYTES
"""Of a flip length, where all are kept while their quantile is found."""
BYTES_PER_LENGTH = 10 * FLOAT32_BYTES
"""Of a flip length in a chunk: itself, what it is made of, and what finds its place in order."""


def is_auto(delta):
    """Whether a `delta` is to be learnt, and no length."""
    return isinstance(delta, str)


def perturbed(rows, head, parameters, engine, random_state):
    """A head's perturbation on an engine, as long as asked for, or as the training rows say.

    Parameters
    ----------
    rows : FeatureRows, or BlockColumn of such
        In-distribution rows.
    head : Head
    parameters : dict
        `projection`, `n_repeats`, `delta` and `flip_rate` of `WeiPerDetector`.
    engine : Engine
    random_state : RandomState
        Gives the perturbation's seed, and nothing more where delta is learnt: a number in place of
        "auto" changes no other draw.

    Returns
    -------
    Execution
    """
    projection, n_repeats = parameters["projection"], parameters["n_repeats"]
    delta = UNLEARNT_DELTA if is_auto(parameters["delta"]) else parameters["delta"]
    perturbation = Perturbation.draw(head, projection, delta, n_repeats, random_state)
    has_no_flips = projection == "random" or head.n_classes == 1
    if has_no_flips or not is_auto(parameters["delta"]):
        return Execution(perturbation, engine)
    directions = Execution(perturbation.directions(), engine)
    delta = learnt_delta(rows, directions, parameters["flip_rate"])
    return directions.turned_into(perturbation.of_length(delta))


def learnt_delta(rows, directions, flip_rate):
    """The length at which a share of the perturbed heads changes the prediction of training rows.

    Parameters
    ----------
    rows : FeatureRows
    directions : Execution
        Of the `directions()` of a perturbation.
    flip_rate : float, in (0, 1)

    Returns
    -------
    float

    Warns
    -----
    UserWarning
        Fewer predictions change, at whatever length.
    """
    perturbation = directions.perturbation
    sampled = rows.take(stratified_rows(len(rows), MOST_ROWS, perturbation.seed))
    lengths = partial(flip_lengths, sampled, directions)
    n_bytes = KEPT_BYTES * len(sampled) * perturbation.n_repeats
    if n_bytes <= directions.plan().sample_bytes:
        delta = quantile_of(np.concatenate(list(lengths())), flip_rate)
    else:  # computed again for each digit
        delta = pooled_quantile(lengths, flip_rate, digit_bits=8)
    if np.isfinite(delta):
        return delta
    _warn_of_few_flips(lengths(), flip_rate)
    return UNLEARNT_DELTA


def stratified_rows(n_rows, most, seed):
    """One row of each of `most` stretches of equal length, so that rows in any order are all met.

    Parameters
    ----------
    n_rows, most : int
    seed : int
        Of a perturbation.

    Returns
    -------
    ndarray of shape (n_sampled,), int, ascending; all rows where there are no more than `most`
    """
    if n_rows <= most:
        return np.arange(n_rows)
    ends = np.arange(most + 1) * n_rows // most
    place = np.random.RandomState([seed, ROWS_STREAM]).random_sample(most)
    return ends[:-1] + (place * np.diff(ends)).astype(np.intp)


def flip_lengths(rows, directions):
    """Yield the flip lengths of some rows in some repeats, ndarray of shape (n,), float32.

    Those of all rows that have one largest logit and any feature but zeros, on the host; infinite
    where no length changes the prediction.
    """
    perturbation, engine = directions.perturbation, directions.engine
    with np.errstate(over="ignore"):  # a head beyond float32 is refused with its logits
        norms = perturbation.head.norms.astype(np.float32)
    with engine.working():
        norms = engine.xp.asarray(norms)
    is_implicit = perturbation.projection == "implicit"
    head_block = None if is_implicit else engine.prepare(perturbation.head_block())
    parts = directions.parts(len(rows), more_bytes=BYTES_PER_LENGTH * perturbation.n_repeats)
    for block in directions.blocks():
        work = partial(chunk_flip_lengths, Pass(rows, engine, block), head_block or block, norms)
        yield from directions.map(work, parts)


def chunk_flip_lengths(on, head_block, class_norms, part):
    """`flip_lengths` of a slice of the rows, in the repeats of one block."""
    engine = on.engine
    try:
        with engine.working(), np.errstate(all="ignore"):
            features, norms, _ = engine.load(on.rows, part)
            logits, norms = engine.unperturbed(features, head_block, norms)
            check_no_overflow(logits, norms, on.rows.row_numbers(part), engine.xp)
            if head_block is not on.block:  # explicit slopes are as long as the features already
                norms = (norms > 0).astype(np.float32)
            gains, predicted, is_usable = gains_over(logits, norms, engine.xp)
            flips = engine.flips(features, on.block, gains, predicted, class_norms)
            return engine.to_host(1 / flips[is_usable]).reshape(-1)
    except engine.out_of_memory:
        check_divisible(part)
    done = [chunk_flip_lengths(on, head_block, class_norms, half) for half in halves(part)]
    return np.concatenate(done)


def check_no_overflow(logits, norms, row_numbers, xp):
    """Refuse rows whose logits or lengths are beyond float32, by the number of the first one."""
    is_finite = xp.isfinite(logits).all(axis=1) & xp.isfinite(norms)
    if not is_finite.all():
        row = row_numbers[int(xp.argmin(is_finite))]
        raise ValueError(
            f"The logits of row {row} of X overflow float32. Remove the row, or rescale X and "
            "weight together."
        )


def gains_over(logits, norms, xp):
    """How much of its lead over each class a row loses per unit that the class's slope is larger.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes), float32
    norms : ndarray of shape (n_samples,), float32
        By which slopes are to be multiplied.
    xp : module
        numpy or cupy.

    Returns
    -------
    gains : ndarray of shape (n_samples, n_classes), float32
        norm / (largest logit - logit), and 0 for the predicted class and in rows not to be used.
    predicted : ndarray of shape (n_samples,), int
    is_usable : ndarray of shape (n_samples,), bool
        False where the largest logit is, to rounding, that of two classes, and where the norm is 0.
    """
    places, predicted = xp.arange(logits.shape[0]), xp.argmax(logits, axis=1)
    leads = logits[places, predicted][:, None] - logits
    leads[places, predicted] = np.inf
    rounding = ROUNDING * xp.max(xp.abs(logits), axis=1)
    is_usable = (leads.min(axis=1) > rounding) & (norms > 0)
    leads[~is_usable] = np.inf
    return xp.where(is_usable, norms, np.float32(0))[:, None] / leads, predicted, is_usable


def _warn_of_few_flips(lengths, flip_rate):
    """Warn that a share of flips is out of reach, and what it would take."""
    flips = [(len(each), np.count_nonzero(np.isfinite(each))) for each in lengths]
    n_heads, n_flips = np.sum(flips, axis=0)
    warn_caller(
        f"delta='auto' looks for the length at which flip_rate={flip_rate} of the perturbed heads "
        f"change the prediction of a training row, but only {n_flips} of {n_heads} ever do, so "
        f"delta_={UNLEARNT_DELTA} is taken. Pass a number as delta or a lower flip_rate, and check "
        "weight and X for zeros: rows without one largest logit are not counted.",
    )
