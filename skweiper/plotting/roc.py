"""ROC curves of OOD datasets."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from skweiper._score_sets import check_named, checked_sets
from skweiper._typing import NamedSets, Scoring
from skweiper.metrics import auroc, fpr_at_tpr, scores_of
from skweiper.plotting.axes import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class OODRocDisplay:
    """ROC curve of each OOD dataset against the ID samples, OOD positive, with FPR@95 marked.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
        Higher = more in-distribution.
    scores_ood : dict of str to array-like of shape (n_ood,)
        Scores of each OOD dataset by its name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        The curves: x, the share of ID samples rejected; y, of OOD samples rejected.
    markers_ : dict of str to matplotlib Line2D
        The points (FPR@95, 0.95), in OpenOOD's convention.
    """

    def __init__(self, scores_id: ArrayLike, scores_ood: NamedSets) -> None:
        self.scores_id = scores_id
        self.scores_ood = scores_ood

    @classmethod
    def from_estimator(
        cls, detector: Scoring, X_id: ArrayLike, X_ood: NamedSets, *, ax: "Axes | None" = None
    ) -> Self:
        """Plot the curves of a fitted detector.

        Parameters
        ----------
        detector : estimator
            A detector, a search over detectors, or a Pipeline that ends in one.
        X_id : array-like of shape (n_id, n_features)
        X_ood : dict of str to array-like of shape (n_ood, n_features)
        ax : matplotlib Axes, default=None

        Returns
        -------
        OODRocDisplay
        """
        check_named(X_ood, "X_ood")
        scores = {name: scores_of(detector, X) for name, X in X_ood.items()}
        return cls.from_predictions(scores_of(detector, X_id), scores, ax=ax)

    @classmethod
    def from_predictions(
        cls, scores_id: ArrayLike, scores_ood: NamedSets, *, ax: "Axes | None" = None
    ) -> Self:
        """Plot the curves of scores.

        Parameters
        ----------
        scores_id : array-like of shape (n_id,)
        scores_ood : dict of str to array-like of shape (n_ood,)
        ax : matplotlib Axes, default=None

        Returns
        -------
        OODRocDisplay
        """
        return cls(scores_id, scores_ood).plot(ax=ax)

    def plot(self, *, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        OODRocDisplay

        Raises
        ------
        ValueError
            Scores that are empty or not finite, or no OOD dataset.
        """
        scores_id, scores_ood = checked_sets(self.scores_id, self.scores_ood)
        (self.ax_,) = new_axes(axes=ax)
        self.figure_ = self.ax_.figure
        self.lines_: dict[str, Any] = {}
        self.markers_: dict[str, Any] = {}
        for name, scores in scores_ood.items():
            self._draw_curve(name, scores_id, scores)
        self.ax_.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
        self.ax_.axhline(0.95, color="grey", linewidth=0.6)
        self.ax_.set(
            xlabel="ID samples rejected (false positive rate)",
            ylabel="OOD samples rejected (true positive rate)",
        )
        self.ax_.legend(loc="lower right", fontsize="small")
        return self

    def _draw_curve(self, name, scores_id, scores_ood):
        is_ood = np.repeat([0, 1], [len(scores_id), len(scores_ood)])
        fprs, tprs, _ = roc_curve(is_ood, -np.concatenate([scores_id, scores_ood]))
        area, fpr = auroc(scores_id, scores_ood), fpr_at_tpr(scores_id, scores_ood)
        label = f"{name}: AUROC {area:.1%}, FPR@95 {fpr:.1%}"
        (line,) = self.ax_.plot(fprs, tprs, label=label)
        (marker,) = self.ax_.plot([fpr], [0.95], "o", color=line.get_color(), markersize=5)
        self.lines_[name], self.markers_[name] = line, marker
