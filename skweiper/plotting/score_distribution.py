"""Histograms of ID and OOD scores."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from skweiper._score_sets import check_named, checked_sets
from skweiper._typing import NamedSets, Scoring
from skweiper.metrics import scores_of
from skweiper.plotting.axes import innermost, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreDistributionDisplay:
    """Distribution of the scores of ID samples and of OOD datasets, with the threshold.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Higher = more in-distribution.
    scores_ood : dict of str to array-like of shape (n_ood,)
        Scores of each OOD dataset by its name.
    threshold : float, default=None
        Samples below it are called OOD.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    histograms_ : dict of str to matplotlib StepPatch
        Of "ID" and each OOD dataset, over the same bins; the area of each is the share of its
        scores within the bins, one unless edges were passed.
    threshold_line_ : matplotlib Line2D or None
    """

    def __init__(
        self, scores_id: ArrayLike, scores_ood: NamedSets, threshold: float | None = None
    ) -> None:
        self.scores_id = scores_id
        self.scores_ood = scores_ood
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls,
        detector: Scoring,
        X_id: ArrayLike,
        X_ood: NamedSets,
        *,
        bins: ArrayLike = 60,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot the scores of a fitted detector, with its `offset_` as threshold.

        Parameters
        ----------
        detector : estimator
            A detector, a search over detectors, or a Pipeline that ends in one.
        X_id : array-like of shape (n_id, n_features)
        X_ood : dict of str to array-like of shape (n_ood, n_features)
        bins : int or array-like of edges, default=60
        ax : matplotlib Axes, default=None

        Returns
        -------
        ScoreDistributionDisplay
        """
        check_named(X_ood, "X_ood")
        scores = {name: scores_of(detector, X) for name, X in X_ood.items()}
        threshold = getattr(innermost(detector)[0], "offset_", None)
        return cls.from_predictions(
            scores_of(detector, X_id), scores, threshold=threshold, bins=bins, ax=ax
        )

    @classmethod
    def from_predictions(
        cls,
        scores_id: ArrayLike,
        scores_ood: NamedSets,
        *,
        threshold: float | None = None,
        bins: ArrayLike = 60,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot scores.

        Parameters
        ----------
        scores_id : array-like of shape (n_id,)
        scores_ood : dict of str to array-like of shape (n_ood,)
        threshold : float, default=None
        bins : int or array-like of edges, default=60
        ax : matplotlib Axes, default=None

        Returns
        -------
        ScoreDistributionDisplay
        """
        return cls(scores_id, scores_ood, threshold).plot(bins=bins, ax=ax)

    def plot(self, *, bins: ArrayLike = 60, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        bins : int or array-like of edges, default=60
            A number of equal bins from the smallest to the largest score of all sets, or their
            edges, where a few far scores would leave the others in one bin.
        ax : matplotlib Axes, default=None

        Returns
        -------
        ScoreDistributionDisplay

        Raises
        ------
        ValueError
            Scores that are empty or not finite, or no OOD dataset.
        """
        scores_id, scores_ood = checked_sets(self.scores_id, self.scores_ood)
        if "ID" in scores_ood:
            raise ValueError(
                "scores_ood has a dataset named 'ID', as the ID scores are. Rename it."
            )
        sets = {"ID": scores_id, **scores_ood}
        (self.ax_,) = new_axes(axes=ax)
        self.figure_ = self.ax_.figure
        edges = np.histogram_bin_edges(np.concatenate(list(sets.values())), bins)
        self.histograms_ = {}
        for i, (name, scores) in enumerate(sets.items()):
            # Over all scores of the set, those outside of the edges too.
            heights = np.histogram(scores, edges)[0] / (len(scores) * np.diff(edges))
            self.histograms_[name] = self.ax_.stairs(
                heights, edges, fill=True, alpha=0.4, color=f"C{i}", label=name
            )
            self.ax_.stairs(heights, edges, color=f"C{i}", linewidth=1.2)
        self.threshold_line_ = self._draw_threshold()
        self.ax_.set(xlabel="score (higher = more in-distribution)", ylabel="density")
        self.ax_.legend()
        return self

    def _draw_threshold(self):
        if self.threshold is None:
            return None
        style = {"color": "black", "linestyle": "--", "linewidth": 1}
        return self.ax_.axvline(self.threshold, label="threshold", **style)
