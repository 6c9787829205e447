"""Two logits, and what perturbations of one class projection do (figure 1 of the paper)."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skweiper._support.parameters import Interval, validate_parameter_constraints
from skweiper._support.rows import checked_rows
from skweiper._weiper.draws import draw_directions
from skweiper.metrics import fpr_at_tpr
from skweiper.plotting.axes import new_axes, weiper_inside

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class PerturbationDisplay:
    """Samples on two logit axes, the cone of perturbed projections of the first, and their FPR@95.

    A perturbed projection w of the first class is a combination of the weights of both classes
    and a rest orthogonal to them; the cone shows the combination. Its FPR@95 tells OOD samples
    from the ID samples predicted as the first class by w @ z alone.

    Parameters
    ----------
    points_id, points_ood : ndarray of shape (n_samples, 2)
        Both logits of the ID samples predicted as either class, and of the OOD samples.
    directions : ndarray of shape (n_perturbed, 2)
        Share of either class's weight in each perturbed projection.
    fprs : ndarray of shape (n_perturbed,)
        FPR@95 of each perturbed projection, ID positive: the share of OOD samples accepted where
        95 % of the ID samples of the first class are.
    fpr_unperturbed : float
        FPR@95 of the first class's own weight.
    classes : (int, int)

    Attributes
    ----------
    axes_ : list of two matplotlib Axes
    figure_ : matplotlib Figure
    id_, ood_ : matplotlib Line2D
        The samples.
    cone_ : list of matplotlib Line2D
        The perturbed projections, from the mean of the OOD samples.
    chosen_ : matplotlib Line2D
        The perturbed projection of median FPR@95.
    fpr_histogram_ : matplotlib StepPatch

    References
    ----------
    Granz, Heurich, Landgraf, "WeiPer: OOD Detection using Weight Perturbations of Class
    Projections", NeurIPS 2024, figure 1. https://arxiv.org/abs/2405.17164
    """

    def __init__(
        self,
        points_id: NDArray[Any],
        points_ood: NDArray[Any],
        directions: NDArray[Any],
        fprs: NDArray[Any],
        fpr_unperturbed: float,
        classes: tuple[int, int],
    ) -> None:
        self.points_id = points_id
        self.points_ood = points_ood
        self.directions = directions
        self.fprs = fprs
        self.fpr_unperturbed = fpr_unperturbed
        self.classes = classes

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X_id: ArrayLike,
        X_ood: ArrayLike,
        classes: tuple[int, int] = (0, 1),
        *,
        n_perturbed: int = 100,
        random_state: int = 0,
        ax: "Sequence[Axes] | None" = None,
    ) -> Self:
        """Draw perturbations of the length that a detector uses.

        Parameters
        ----------
        detector : WeiPerDetector, a search over one, or a Pipeline that ends in one
            Fitted; gives head and `delta_`.
        X_id : array-like of shape (n_id, n_features)
        X_ood : array-like of shape (n_ood, n_features)
        classes : (int, int), default=(0, 1)
            Rows of the head: the class that is perturbed, and the one beside it.
        n_perturbed : int, default=100
        random_state : int, default=0
            Seed of the directions.
        ax : sequence of two matplotlib Axes, default=None

        Returns
        -------
        PerturbationDisplay

        Raises
        ------
        TypeError
            Another detector.
        ValueError
            `classes` are not two rows of the head, or no sample of X_id is predicted as the first.
        """
        detector, X_id, X_ood = weiper_inside(detector, X_id, X_ood)
        head, chosen = detector.head_, _checked_classes(classes, detector.head_.n_classes)
        constraints = {"n_perturbed": [Interval(Integral, 1, None, closed="left")]}
        given = {"n_perturbed": n_perturbed}
        validate_parameter_constraints(constraints, given, "PerturbationDisplay.from_estimator")
        X_id, X_ood = (checked_rows(detector, X).load_copied(slice(None)) for X in (X_id, X_ood))
        logits_id, logits_ood = (X @ head.matrix.T + head.bias for X in (X_id, X_ood))
        predicted = logits_id.argmax(axis=1)
        X_first = X_id[predicted == chosen[0]]
        if len(X_first) == 0:
            raise ValueError(
                f"No sample of X_id is predicted as class {chosen[0]}. Choose other classes."
            )
        weights = _perturbed(head, detector.delta_, chosen[0], n_perturbed, random_state)
        fprs = np.array([_fpr(X_first, X_ood, w) for w in weights])
        own = head.matrix[chosen[0]]
        return cls(
            logits_id[np.isin(predicted, chosen)][:, chosen],
            logits_ood[:, chosen],
            _shares(weights, head.matrix[chosen]),
            fprs,
            _fpr(X_first, X_ood, own),
            tuple(chosen),
        ).plot(ax=ax)

    def plot(self, *, ax: "Sequence[Axes] | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, default=None

        Returns
        -------
        PerturbationDisplay
        """
        self.axes_ = new_axes(2, ax)
        self.figure_ = self.axes_[0].figure
        self._draw_plane(self.axes_[0])
        self._draw_fprs(self.axes_[1])
        return self

    @property
    def _median(self):
        """Position of the perturbed projection of median FPR."""
        return np.argsort(self.fprs, kind="stable")[len(self.fprs) // 2]

    @property
    def _gain(self):
        """How far the median perturbed projection is below the unperturbed one, as text."""
        gain = self.fpr_unperturbed - self.fprs[self._median]
        return f"{100 * gain:.1f} points less" if gain > 0 else "no gain"

    def _rays(self):
        """Both ends of each direction, from the mean OOD sample on, (n_perturbed, 2, 2)."""
        start = self.points_ood.mean(axis=0)
        reach = np.abs(self.points_id[:, 0] - start[0]).max()
        lengths = np.linalg.norm(self.directions, axis=1, keepdims=True)
        tips = start + reach * self.directions / lengths
        return np.stack([np.broadcast_to(start, tips.shape), tips], axis=2)

    def _draw_plane(self, axes):
        style = {"linestyle": "none", "marker": ".", "alpha": 0.6, "zorder": 3}
        (self.ood_,) = axes.plot(*self.points_ood.T, color="C1", label="OOD", **style)
        (self.id_,) = axes.plot(*self.points_id.T, color="C0", label="ID, both classes", **style)
        rays = self._rays()
        self.cone_ = [axes.plot(*ray, color="grey", linewidth=0.6, alpha=0.4)[0] for ray in rays]
        self.cone_[0].set_label("perturbed projections")
        label = f"the median one: FPR@95 {self.fprs[self._median]:.1%}, {self._gain}"
        (self.chosen_,) = axes.plot(*rays[self._median], color="C3", zorder=4, label=label)
        axes.set(
            xlabel=f"logit of class {self.classes[0]}", ylabel=f"logit of class {self.classes[1]}"
        )
        axes.legend(fontsize="small")

    def _draw_fprs(self, axes):
        from matplotlib.ticker import PercentFormatter

        counts, edges = np.histogram(self.fprs, 20)
        self.fpr_histogram_ = axes.stairs(
            counts, edges, fill=True, color="lightgrey", label="perturbed"
        )
        axes.axvline(self.fprs[self._median], color="C3", label="the median one")
        axes.axvline(self.fpr_unperturbed, color="black", linestyle="--", label="unperturbed")
        axes.set(xlabel="FPR@95 of one projection (lower = better)", ylabel="projections")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(fontsize="small")


def _checked_classes(classes, n_classes):
    """Two different rows of the head."""
    chosen = list(classes)
    if len(set(chosen)) != 2 or len(chosen) != 2 or not set(chosen) <= set(range(n_classes)):
        raise ValueError(
            f"classes must be two different class numbers in [0, {n_classes}), got {classes!r}."
        )
    return chosen


def _perturbed(head, delta, row, n_perturbed, seed):
    """Perturbations of one row of the head, ndarray of shape (n_perturbed, n_features)."""
    directions = draw_directions(n_perturbed, head.n_features, np.random.RandomState(seed))
    return head.matrix[row] + delta * head.norms[row] * directions


def _fpr(X_id, X_ood, projection):
    """FPR@95 of one projection; ID positive, since one class has few ID samples to count."""
    return fpr_at_tpr(X_id @ projection, X_ood @ projection, convention="openood-id")


def _shares(weights, pair):
    """Least-squares coordinates of weights in the plane of two, (n_weights, 2)."""
    return np.linalg.lstsq(pair.T, weights.T, rcond=None)[0].T
