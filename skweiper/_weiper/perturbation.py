"""Random perturbations of a head's class projections, drawn from a seed.

A perturbation is described by a few numbers and rebuilt from its seed. What the engines work with
are blocks: some consecutive repeats of the perturbation, drawn.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skweiper._support.memory import DRAWN_PARTS, memory_budget, rows_within
from skweiper._support.row_products import weights_together
from skweiper._support.rows import row_slices
from skweiper._support.threads import available_threads, map_in_order
from skweiper._weiper.draws import (
    LARGEST_PART,
    STREAM_COORDINATES,
    draw_stratified_uniform,
    numbered_stream,
    sphere_marginal_quantile,
    write_directions,
)
from skweiper.head import Head

PROJECTIONS = ("implicit", "explicit", "random")
FLOAT32_BYTES = 4
LARGEST_SEED = np.iinfo(np.int32).max
QUANTILE_BYTES = 2**18
LEAST_PER_THREAD = 2**17
"""Coordinates of directions that are worth a thread."""


@dataclass(frozen=True)
class ImplicitBlock:
    """Perturbed logits as `logits + norm * offsets`: the logit of repeat i, class c, is
    `weight[c] @ z + bias[c] + norm(z) * offsets[i, c]`.

    Attributes
    ----------
    weight : ndarray of shape (n_classes, n_features), float32, or None for the identity
    bias : ndarray of shape (n_classes,), float32
    offsets : ndarray of shape (n_repeats, n_classes), float32
    """

    weight: np.ndarray | None
    bias: np.ndarray
    offsets: np.ndarray

    @property
    def n_repeats(self):
        return self.offsets.shape[0]

    @property
    def n_classes(self):
        return self.offsets.shape[1]


@dataclass(frozen=True)
class ExplicitBlock:
    """Perturbed logits as a matrix product, `weight[i, c] @ z + bias[c]`.

    Attributes
    ----------
    weight : ndarray of shape (n_repeats, n_classes, n_features), float32
    bias : ndarray of shape (n_classes,), float32
    """

    weight: np.ndarray
    bias: np.ndarray

    @property
    def n_repeats(self):
        return self.weight.shape[0]

    @property
    def n_classes(self):
        return self.weight.shape[1]


@dataclass(frozen=True)
class Perturbation:
    """All that determines the perturbed logits: the head, four numbers and a seed.

    Attributes
    ----------
    head : Head
    projection : {"implicit", "explicit", "random"}
        "explicit" draws the directions u of w_c + delta ||w_c|| u. "implicit" draws, for every
        repeat and class, the inner product of such a direction with a unit vector, which has the
        same distribution for every sample. "random" is the paper's ablation: delta * u alone, in
        which weight and bias take no part.
    delta : float
        Length of the perturbation relative to the length of the weight.
    n_repeats : int
    seed : int

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024, equation 4. https://arxiv.org/abs/2405.17164
    """

    head: Head
    projection: str
    delta: float
    n_repeats: int
    seed: int

    @classmethod
    def draw(cls, head, projection, delta, n_repeats, random_state):
        """A perturbation of a head, its seed drawn from a `RandomState`."""
        seed = int(random_state.randint(LARGEST_SEED))
        return cls(head, projection, float(delta), int(n_repeats), seed)

    def of_length(self, delta):
        """The same draws at another length."""
        return replace(self, delta=float(delta))

    def directions(self):
        """The same draws at delta = 1, without the head's weights where they are added to these."""
        alone = "implicit" if self.projection == "implicit" else "random"
        return replace(self, projection=alone, delta=1.0)

    @np.errstate(over="ignore", invalid="ignore")
    def head_block(self):
        """The head itself in the form of a block without repeats."""
        head = self.head
        weight = None if head.weight is None else head.weight.astype(np.float32)
        no_offsets = np.empty((0, head.n_classes), np.float32)
        return ImplicitBlock(weight, head.bias.astype(np.float32), no_offsets)

    @property
    def n_logits(self):
        """Perturbed logits of one sample."""
        return self.n_repeats * self.head.n_classes

    @property
    def bytes_per_repeat(self):
        """Size of one drawn repeat in memory."""
        width = 1 if self.projection == "implicit" else self.head.n_features
        return FLOAT32_BYTES * self.head.n_classes * width

    @property
    def nbytes(self):
        """Size of all drawn repeats in memory."""
        return self.n_repeats * self.bytes_per_repeat

    def blocks(self, budget):
        """Draw the perturbation as consecutive blocks of repeats, each within `budget` bytes.

        The draws do not depend on the budget. An implicit perturbation is small and always one
        block; another holds as many repeats as are multiplied together at least.

        Yields
        ------
        ImplicitBlock or ExplicitBlock
        """
        if self.projection == "implicit":
            yield self.lengthened(self._offsets_block())
            return
        together = weights_together(self.head.n_classes)
        fitting = rows_within(budget, self.bytes_per_repeat, self.n_repeats)
        is_whole = fitting == self.n_repeats
        repeats = fitting if is_whole else max(1, fitting // together) * together
        streams = {}
        for first in range(0, self.n_repeats, repeats):
            numbers = range(first, min(first + repeats, self.n_repeats))
            yield self.lengthened(self._directions_block(numbers, streams))

    # What overflows is refused with the logits or the scores that it makes infinite.
    @np.errstate(over="ignore", invalid="ignore")
    def lengthened(self, block):
        """A block of `directions()`, turned in place into the same repeats of this perturbation.

        The bits are those of the block drawn anew.
        """
        if self.projection == "implicit":
            offsets = block.offsets
            offsets *= np.float32(self.delta)
            return block
        if self.projection == "random":
            weight = block.weight
            weight *= np.float32(self.delta)
            return block
        weight, together = block.weight, self._within_part(self._coordinates_per_repeat)
        parts = [weight[part] for part in row_slices(len(weight), together)]
        classes = row_slices(self.head.n_classes, self._within_part(self.head.n_features))
        self._for_each(partial(self._add_head, classes), parts, weight.size)
        return ExplicitBlock(weight, self.head.bias.astype(np.float32))

    @np.errstate(over="ignore", invalid="ignore")  # anew in each thread
    def _add_head(self, classes, repeats):
        """Turn the directions of some repeats into their perturbed weights."""
        matrix, lengths = self.head.matrix, self.delta * self.head.norms[:, None]
        for part in classes:
            repeats[:, part] = matrix[part] + lengths[part] * repeats[:, part]

    @property
    def _coordinates_per_repeat(self):
        return self.head.n_classes * self.head.n_features

    def _within_part(self, n_coordinates):
        """How many times so many coordinates in double precision are worked on at once.

        Asked for by the calling thread, whose `working_memory` it is.
        """
        part_bytes = min(LARGEST_PART, memory_budget(DRAWN_PARTS) // available_threads())
        return max(1, part_bytes // (8 * n_coordinates))

    def _for_each(self, work, items, n_coordinates):
        """Do something with every item, by threads where there are coordinates enough."""
        n_threads = min(available_threads(), 1 + n_coordinates // LEAST_PER_THREAD)
        for _ in map_in_order(work, items, n_threads):
            pass

    @np.errstate(over="ignore", invalid="ignore")
    def _offsets_block(self):
        head = self.head
        random_state = np.random.RandomState(self.seed)
        uniform = draw_stratified_uniform(self.n_repeats, head.n_classes, random_state)
        quantile = sphere_marginal_quantile(head.n_features)
        norms, offsets = head.norms, np.empty(uniform.shape, np.float32)
        # Part by part, for no further double precision copies of the whole.
        together = rows_within(QUANTILE_BYTES, uniform.itemsize * head.n_classes, self.n_repeats)
        for part in row_slices(self.n_repeats, together):
            offsets[part] = norms * quantile(uniform[part])
        return replace(self.head_block(), offsets=offsets)

    def _directions_block(self, numbers, streams):
        """The directions of the repeats of these consecutive numbers.

        Parameters
        ----------
        numbers : range
            From where the last block ended.
        streams : dict of int to RandomState
            That of the last block's end, by its number, if it ended within a stream.
        """
        together = max(1, STREAM_COORDINATES // self._coordinates_per_repeat)
        shape = (len(numbers), self.head.n_classes, self.head.n_features)
        weight, rows = np.empty(shape, np.float32), self._within_part(shape[2])

        def draw(number):
            stream = streams.pop(number, None) or numbered_stream(self.seed, number)
            first, last = number * together, (number + 1) * together
            repeats = slice(max(first - numbers.start, 0), last - numbers.start)
            write_directions(weight[repeats].reshape(-1, shape[2]), rows, stream)
            if last > numbers.stop:
                streams[number] = stream

        used = range(numbers.start // together, -(-numbers.stop // together))
        self._for_each(draw, used, weight.size)
        return ExplicitBlock(weight, np.zeros(shape[1], np.float32))
