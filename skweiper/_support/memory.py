"""Who may take how much memory beyond the input and the output.

All of it is a share of scikit-learn's `working_memory`, on a device of the memory that is free
there. Nothing else in this package names a share, and a test adds them up.
"""

from typing import NamedTuple

from sklearn import get_config

MEBIBYTE = 2**20

# Of the budget.
KEPT_PERTURBATION = 0.8
"""A drawn perturbation that is kept between calls; a larger one is drawn again, block by block."""
STREAMED_BLOCK = 1 / 16
"""A block that is drawn again. The next one is drawn beside it, by as much again."""
N_STREAMED_BLOCKS = 3
PEER_CHUNKS = SHAPER_CHUNKS = 1 / 4
"""The chunks of all threads of another detector, or of a shaper."""
SWEEP_TERMS = 1 / 4
"""The terms of all candidates' scores, of every row of a split."""
SWEEP_SCORES = 1 / 4
"""The scores of some candidates, their ranks, and the temporaries of both."""
TRANSFORMED_BLOCK = TRANSFORMED_CHUNK = 1 / 4
"""A block of repeats, with as much again for the next one, and a chunk of its perturbed logits."""
DRAWN_PARTS = 1 / 32
"""The directions that all threads draw at a time, with three times as much for temporaries."""
GATHERED_BLOCK = 1 / 4
"""A block on its way to a device that keeps all of them."""
FILE_BLOCKS = 1 / 8
"""Decoded rows of a file that can only be read forwards. They count as part of the input."""
LEAST_FILE_BLOCKS = 16 * MEBIBYTE
"""In smaller blocks, a row group of hundreds of columns takes far longer to decode."""
UNSHARED_TILES = 1 / 8
"""The tiles of an engine that nobody told how much is left."""

# Of what the perturbation leaves.
CHUNKS = TILES = SUMS = SAMPLE = 1 / 4

# Of what is free on a device.
N_STREAMS = 2
"""One copies while the other computes."""
DEVICE_PERTURBATION = 1 / 2
DEVICE_TILES = 1 / 4
DEVICE_CHUNKS = 1 / 8
LARGEST_DEVICE_CHUNK = 512 * MEBIBYTE
"""Enough to outweigh the launches of its kernels, little enough for several chunks to overlap."""
LARGEST_DEVICE_TILE = 4096 * MEBIBYTE


def memory_budget(share=1.0):
    """A share of scikit-learn's `working_memory` setting, in bytes."""
    return int(share * int(get_config()["working_memory"] * MEBIBYTE))


def rows_within(budget, bytes_per_row, most):
    """How many rows of `bytes_per_row` fit `budget` bytes: at least 1, at most `most`."""
    return int(max(1, min(most, budget // max(1, bytes_per_row))))


def file_budget():
    """Bytes of decoded rows that a file may keep."""
    return max(memory_budget(FILE_BLOCKS), LEAST_FILE_BLOCKS)


class HostShares(NamedTuple):
    """Bytes that a pass over rows in host memory may take, all its threads together.

    Attributes
    ----------
    perturbation : int
        The drawn perturbation, or the blocks of it that are drawn again.
    chunks : int
        The chunks in flight.
    tiles : int
        The tiles of perturbed logits and their temporaries.
    sums : int
        Counts that are summed over blocks, or the unperturbed logits that a fit keeps for its
        second pass.
    sample : int
        The flip lengths that delta is learnt from, and then what a fit keeps of the rows whose
        scores set its threshold.
    """

    perturbation: int
    chunks: int
    tiles: int
    sums: int
    sample: int


def host_shares(perturbation_bytes):
    """Shares beside a perturbation of so many bytes, which is kept where it fits.

    Parameters
    ----------
    perturbation_bytes : int

    Returns
    -------
    HostShares
    """
    budget, taken = memory_budget(), perturbation_bytes
    if taken > int(KEPT_PERTURBATION * budget):
        taken = int(N_STREAMED_BLOCKS * STREAMED_BLOCK * budget)
    spare = budget - taken
    return HostShares(taken, *(int(share * spare) for share in (CHUNKS, TILES, SUMS, SAMPLE)))


def fits_host(perturbation_bytes):
    """Whether a drawn perturbation may be kept in host memory."""
    return perturbation_bytes <= memory_budget(KEPT_PERTURBATION)


class DeviceShares(NamedTuple):
    """Bytes of a device's free memory that one of its streams may take."""

    tile: int
    chunk: int


def device_shares(free_bytes):
    """Shares for a tile and for a chunk with its temporaries.

    Half of the free memory is left to the drawn perturbation, an eighth to everything else.

    Parameters
    ----------
    free_bytes : int

    Returns
    -------
    DeviceShares
    """
    tile = min(LARGEST_DEVICE_TILE, int(DEVICE_TILES * free_bytes) // N_STREAMS)
    return DeviceShares(
        tile, min(LARGEST_DEVICE_CHUNK, int(DEVICE_CHUNKS * free_bytes) // N_STREAMS)
    )
