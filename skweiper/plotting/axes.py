"""Axes to draw on, and the detector to draw."""

from sklearn.utils.validation import check_is_fitted


def new_axes(n_axes=1, axes=None):
    """The axes passed, as a list, or new ones side by side.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        Another number of axes was passed.
    """
    if axes is not None:
        axes = [axes] if n_axes == 1 and hasattr(axes, "plot") else list(axes)
        if len(axes) != n_axes:
            raise ValueError(f"ax must hold {n_axes} matplotlib axes, got {len(axes)}.")
        return axes
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plotting needs matplotlib, which is not installed. Run: pip install 'skweiper[plot]'."
        ) from error
    size = (6.4 if n_axes == 1 else 4.8 * n_axes, 4.2)
    _, axes = plt.subplots(1, n_axes, figsize=size, squeeze=False, layout="constrained")
    return list(axes[0])


def fitted_detector(detector):
    """The best detector of a fitted search; any other fitted detector as it is."""
    check_is_fitted(detector)
    return getattr(detector, "best_estimator_", detector)
