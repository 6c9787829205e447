"""Compiled loops over the classes that a perturbation may take a prediction to."""

from skweiper._weiper.engines.numba_compilers import compiled, inlined


@inlined
def _raise_to_both(largest, own, values, gain, others, other_gain):
    """Two classes at a time: a largest that may stay as it was would be written under a mask."""
    for j in range(largest.shape[0]):
        known = largest[j]
        value, other = gain * (values[j] - own[j]), other_gain * (others[j] - own[j])
        known = value if value > known else known
        largest[j] = other if other > known else known


@compiled
def flip_rows(found, gains, predicted, slopes):
    """`flips_of`, raising `found`, which holds zeros; slopes of shape (n_classes, n_repeats)."""
    last = slopes.shape[0] - 1
    for k in range(found.shape[0]):
        largest, own = found[k], slopes[predicted[k]]
        for c in range(0, last + 1, 2):
            d = min(c + 1, last)
            _raise_to_both(largest, own, slopes[c], gains[k, c], slopes[d], gains[k, d])
