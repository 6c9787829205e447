"""Random perturbations of a head's class projections, drawn from a seed.

A perturbation is described by a few numbers and rebuilt from its seed: the same seed gives the
same draws on every machine, since `numpy.random.RandomState`'s stream is frozen. What the engines
work with are blocks: some consecutive repeats of the perturbation, drawn.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv

from skweiper._support.memory import rows_within
from skweiper._support.row_products import weights_together
from skweiper._support.rows import row_slices
from skweiper.head import Head

PROJECTIONS = ("implicit", "explicit", "random")
FLOAT32_BYTES = 4
LARGEST_SEED = np.iinfo(np.int32).max
QUANTILE_BYTES = 2**18
DRAW_BYTES = 3 * 8  # float64 normal draws, their squares, and the directions made of them


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


def sphere_marginal_quantile(probability, n_features):
    """Quantile function of one coordinate of a uniform point on the unit sphere of R^n_features.

    (1 + t) / 2 follows Beta((n_features - 1) / 2, (n_features - 1) / 2).

    Parameters
    ----------
    probability : ndarray, in [0, 1]
    n_features : int
        Dimension of the space. In one dimension the sphere is the two points -1 and 1.

    Returns
    -------
    ndarray of the shape of `probability`, in [-1, 1]
    """
    if n_features == 1:
        return np.where(probability < 0.5, -1.0, 1.0)
    shape = (n_features - 1) / 2
    return 2.0 * betaincinv(shape, shape, probability) - 1.0


def draw_stratified_uniform(n_repeats, n_classes, random_state):
    """Latin hypercube: in each column one uniform draw per stratum [i/r, (i+1)/r), shuffled.

    Returns
    -------
    ndarray of shape (n_repeats, n_classes), in [0, 1)
    """
    strata = np.argsort(random_state.random_sample((n_repeats, n_classes)), axis=0)
    uniform = random_state.random_sample((n_repeats, n_classes))
    uniform += strata
    uniform /= n_repeats
    return uniform


def draw_directions(n_directions, n_features, random_state):
    """Uniform directions: normal draws divided by their length.

    Returns
    -------
    ndarray of shape (n_directions, n_features), rows of unit length
    """
    directions = random_state.standard_normal((n_directions, n_features))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions


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
            yield self.lengthened(self._offsets_block(), budget)
            return
        random_state = np.random.RandomState(self.seed)
        together = weights_together(self.head.n_classes)
        fitting = rows_within(budget, self.bytes_per_repeat, self.n_repeats)
        is_whole = fitting == self.n_repeats
        repeats = fitting if is_whole else max(1, fitting // together) * together
        for first in range(0, self.n_repeats, repeats):
            n_repeats = min(repeats, self.n_repeats - first)
            yield self.lengthened(self._directions_block(n_repeats, budget, random_state), budget)

    # What overflows is refused with the logits or the scores that it makes infinite.
    @np.errstate(over="ignore", invalid="ignore")
    def lengthened(self, block, budget):
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
        matrix, lengths = self.head.matrix, self.delta * self.head.norms[:, None]
        for repeat in block.weight:
            for part in self._class_slices(budget):
                repeat[part] = matrix[part] + lengths[part] * repeat[part]
        return ExplicitBlock(block.weight, self.head.bias.astype(np.float32))

    def _class_slices(self, budget):
        """Classes whose draws in double precision fit a quarter of the budget."""
        n_bytes, n_classes = DRAW_BYTES * self.head.n_features, self.head.n_classes
        return row_slices(n_classes, rows_within(budget // 4, n_bytes, n_classes))

    @np.errstate(over="ignore", invalid="ignore")
    def _offsets_block(self):
        head = self.head
        random_state = np.random.RandomState(self.seed)
        uniform = draw_stratified_uniform(self.n_repeats, head.n_classes, random_state)
        norms, offsets = head.norms, np.empty(uniform.shape, np.float32)
        # Part by part, for no further double precision copies of the whole.
        together = rows_within(QUANTILE_BYTES, uniform.itemsize * head.n_classes, self.n_repeats)
        for part in row_slices(self.n_repeats, together):
            offsets[part] = norms * sphere_marginal_quantile(uniform[part], head.n_features)
        return replace(self.head_block(), offsets=offsets)

    def _directions_block(self, n_repeats, budget, random_state):
        head = self.head
        weight = np.empty((n_repeats, head.n_classes, head.n_features), np.float32)
        for repeat in weight:
            for part in self._class_slices(budget):
                n_directions = part.stop - part.start
                repeat[part] = draw_directions(n_directions, head.n_features, random_state)
        return ExplicitBlock(weight, np.zeros(head.n_classes, np.float32))
