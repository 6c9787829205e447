"""How fast perturbations change predictions, in plain operations that NumPy and CuPy share."""


def flips_of(slopes, gains, predicted, xp):
    """The largest over the classes c of `gains[c] * (slopes[..., c] - slopes[..., predicted])`.

    Parameters
    ----------
    slopes : ndarray of shape (n_repeats, n_classes) or (n_samples, n_repeats, n_classes)
    gains : ndarray of shape (n_samples, n_classes)
        0 for the predicted class.
    predicted : ndarray of shape (n_samples,), int
    xp : module
        numpy or cupy.

    Returns
    -------
    ndarray of shape (n_samples, n_repeats), at least 0
    """
    if slopes.ndim == 2:
        own = slopes.T[predicted]
    else:
        own = xp.take_along_axis(slopes, predicted[:, None, None], axis=2)[:, :, 0]
    tile = slopes - own[:, :, None]
    tile *= gains[:, None, :]
    return tile.max(axis=2)
