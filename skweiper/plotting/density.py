"""The densities that WeiPer+KLD compares (figure 3 of the paper)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike, NDArray

from skweiper._weiper.density import bins_over, smooth
from skweiper.base import as_fitted
from skweiper.plotting.axes import new_axes, weiper_inside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST_SHARE = 1e-4
"""Lower end of the axis: far below the usual epsilon, what is smaller plays no part in a score."""


class DensityDisplay:
    """Mean training density and one sample's, in feature space and in WeiPer space.

    Parameters
    ----------
    edges : dict of str to ndarray of shape (n_bins + 1,)
        Bin edges of "feature" and "logit".
    training : dict of str to ndarray of shape (n_bins,)
        Mean training densities: probability per bin.
    samples : dict of str to dict of str to ndarray of shape (n_bins,)
        Smoothed densities of each sample to show, by its name.

    Attributes
    ----------
    axes_ : list of two matplotlib Axes
    figure_ : matplotlib Figure
    training_ : dict of str to matplotlib StepPatch
        Of "feature" and "logit".
    samples_ : dict of (str, str) to matplotlib StepPatch
        Of each (space, sample name).

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024, figure 3. https://arxiv.org/abs/2405.17164
    """

    def __init__(
        self,
        edges: dict[str, NDArray[Any]],
        training: dict[str, NDArray[Any]],
        samples: dict[str, dict[str, NDArray[Any]]],
    ) -> None:
        self.edges = edges
        self.training = training
        self.samples = samples

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: ArrayLike,
        names: Sequence[str] | None = None,
        *,
        ax: "Sequence[Axes] | None" = None,
    ) -> Self:
        """Plot the densities of some samples, smoothed as the score smooths them.

        Parameters
        ----------
        detector : WeiPerDetector, a search over one, or a Pipeline that ends in one
            Fitted, with method="kld".
        X : array-like of shape (n_samples, n_features)
            A few samples.
        names : list of str, default=None
            Names of the samples. None means "sample 0", "sample 1", ...
        ax : sequence of two matplotlib Axes, default=None

        Returns
        -------
        DensityDisplay

        Raises
        ------
        TypeError
            Another detector.
        ValueError
            Another method than "kld", or names that are not one per sample.
        """
        detector, X = weiper_inside(detector, X)
        found = detector.densities(X)
        detector = as_fitted(detector)  # the bins and windows of the fit, whatever was set since
        names = _checked_names(names, len(found.feature))
        ranges = {"feature": detector.feature_range_, "logit": detector.logit_range_}
        windows = {"feature": detector.smoothing, "logit": detector.smoothing_perturbed}
        edges = {space: bins_over(ends, detector.n_bins).edges for space, ends in ranges.items()}
        training = {"feature": detector.feature_density_, "logit": detector.logit_density_}
        rows = {space: smooth(found[space], windows[space]) for space in edges}
        samples = {name: {space: rows[space][i] for space in edges} for i, name in enumerate(names)}
        return cls(edges, training, samples).plot(ax=ax)

    def plot(self, *, ax: "Sequence[Axes] | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, default=None

        Returns
        -------
        DensityDisplay
        """
        self.axes_ = new_axes(2, ax)
        self.figure_ = self.axes_[0].figure
        self.training_, self.samples_ = {}, {}
        labels = {"feature": "penultimate feature", "logit": "perturbed logit"}
        for axes, (space, label) in zip(self.axes_, labels.items(), strict=True):
            edges = self.edges[space]
            self.training_[space] = axes.stairs(
                self.training[space], edges, fill=True, color="lightgrey", label="training mean"
            )
            for i, (name, densities) in enumerate(self.samples.items()):
                self.samples_[space, name] = axes.stairs(
                    densities[space], edges, color=f"C{i}", linewidth=1.3, label=name
                )
            axes.set(xlabel=label, ylabel="share of values per bin (log)", yscale="log")
            shown = [self.training[space], *(of[space] for of in self.samples.values())]
            axes.set_ylim(SMALLEST_SHARE, 2 * max(density.max() for density in shown))
        self.axes_[0].legend()
        return self


def _checked_names(names, n_samples):
    """One name per sample, all different: they are keys of what is drawn."""
    if names is None:
        return [f"sample {i}" for i in range(n_samples)]
    names = list(names)
    if len(names) != n_samples or len(set(names)) != n_samples:
        raise ValueError(f"names must be {n_samples} different names, one per row, got {names}.")
    return names
