"""Axes to draw on, and the detector to draw."""

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skweiper.detector import WeiPerDetector


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


def innermost(detector, *feature_sets):
    """The detector inside fitted searches and pipelines, and the features that it sees.

    Parameters
    ----------
    detector : estimator
        Fitted; of a search the best detector is taken, of a pipeline the last step.
    *feature_sets : array-like of shape (n_samples, n_features)
        As `detector` takes them.

    Returns
    -------
    detector : estimator
    feature_sets : list
        The same after the steps before the detector.
    """
    check_is_fitted(detector)
    while True:
        if hasattr(detector, "best_estimator_"):
            detector = detector.best_estimator_
        elif isinstance(detector, Pipeline):
            before = detector[:-1]
            feature_sets = (
                [before.transform(X) for X in feature_sets] if len(before) else feature_sets
            )
            detector = detector[-1]
        else:
            return detector, list(feature_sets)


def weiper_inside(detector, *feature_sets):
    """As `innermost`, if a WeiPerDetector is inside.

    Raises
    ------
    TypeError
        Another estimator is.
    """
    detector, feature_sets = innermost(detector, *feature_sets)
    if not isinstance(detector, WeiPerDetector):
        raise TypeError(
            "detector must be a WeiPerDetector, a search over one, or a Pipeline that ends in one, "
            f"got {type(detector).__name__}."
        )
    return detector, *feature_sets
