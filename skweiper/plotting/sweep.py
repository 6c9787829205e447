"""Profiles and heat maps of cv_results_."""

from collections.abc import Mapping
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skweiper.plotting.axes import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONG_LABEL = 8  # characters; longer ones would run into their neighbours
MOST_LABELS = 12  # ticks along an axis; of more values every second, third, ... is labelled
MOST_NUMBERS = 80  # numbers in the cells of a heat map, of at most ten columns


class SweepDisplay:
    """Best mean test score over all other hyperparameters, along one or two of them.

    Parameters
    ----------
    scores : Series indexed by one hyperparameter, or DataFrame by two
        What to draw: a profile or a heat map.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D or None
        The profile.
    image_ : matplotlib AxesImage or None
        The heat map.
    """

    def __init__(self, scores: Any) -> None:
        self.scores = scores

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        x: str,
        y: str | None = None,
        *,
        metric: str = "score",
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot the results of a search.

        Parameters
        ----------
        cv_results : dict
            `cv_results_` of any scikit-learn search.
        x : str
            Hyperparameter along the horizontal axis.
        y : str, default=None
            Hyperparameter along the vertical axis; None draws a profile.
        metric : str, default="score"
            Which `mean_test_...` column.
        ax : matplotlib Axes, default=None

        Returns
        -------
        SweepDisplay

        Raises
        ------
        ValueError
            A hyperparameter or metric that was not searched, or no finite score.

        Notes
        -----
        Candidates of a list of grids that do not name a drawn hyperparameter are left out. Values
        that cannot be sorted (None, callables) stand in the order of the grid, all at equal
        distances. Large heat maps show colours only, without numbers.
        """
        columns = [f"param_{name}" for name in (y, x) if name is not None]
        column = f"mean_test_{metric}"
        missing = [name for name in [*columns, column] if name not in cv_results]
        if missing:
            known = [name for name in cv_results if name.startswith(("param_", "mean_test_"))]
            raise ValueError(f"cv_results has no {missing}; it has {known}.")
        searched = {name: cv_results[name] for name in columns}
        return cls(_best_scores(searched, cv_results[column])).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        x: str,
        y: str | None = None,
        *,
        metric: str = "score",
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot a fitted search, see `from_cv_results`.

        Parameters
        ----------
        search : estimator with `cv_results_`
        x : str
        y : str, default=None
        metric : str, default="score"
        ax : matplotlib Axes, default=None

        Returns
        -------
        SweepDisplay

        Raises
        ------
        TypeError
            An estimator without `cv_results_`.
        """
        check_is_fitted(search)
        if not hasattr(search, "cv_results_"):
            raise TypeError(
                f"search must have cv_results_, as GridSearchCV and WeiPerDetectorCV, got "
                f"{type(search).__name__}."
            )
        return cls.from_cv_results(search.cv_results_, x, y, metric=metric, ax=ax)

    def plot(self, *, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        SweepDisplay
        """
        (self.ax_,) = new_axes(axes=ax)
        self.figure_ = self.ax_.figure
        self.line_ = self.image_ = None
        if self.scores.ndim == 1:
            self._draw_profile()
        else:
            self._draw_heat_map()
        return self

    def _draw_profile(self):
        position = np.arange(len(self.scores))
        # No line between values that have no order, such as names of scores.
        style = "o-" if _is_sorted(self.scores.index) else "o"
        (self.line_,) = self.ax_.plot(position, self.scores.to_numpy(), style)
        _label_ticks(self.ax_, self.scores.index)
        self.ax_.grid(axis="y", alpha=0.3)
        self.ax_.set(xlabel=_bare(self.scores.index.name), ylabel="best mean test score")

    def _draw_heat_map(self):
        values = self.scores.to_numpy(dtype=float)
        self.image_ = self.ax_.imshow(values, origin="lower", aspect="auto")
        rows, columns = self.scores.index, self.scores.columns
        _label_ticks(self.ax_, columns)
        self.ax_.set_yticks(*_ticks(rows))
        self.ax_.set(xlabel=_bare(columns.name), ylabel=_bare(rows.name))
        if values.size <= MOST_NUMBERS and values.shape[1] <= 10:
            self._write_numbers(values)
        self.figure_.colorbar(self.image_, ax=self.ax_, label="best mean test score")

    def _write_numbers(self, values):
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for row, column in np.argwhere(np.isfinite(values)):
            value = values[row, column]
            color = "white" if value < middle else "black"
            self.ax_.text(column, row, f"{value:.3f}", color=color, ha="center", va="center")


def _best_scores(searched, test_scores):
    """Best score for every value of one hyperparameter, or pair of values of two.

    Parameters
    ----------
    searched : dict of str to masked array of shape (n_candidates,)
        One or two columns of `cv_results_`.
    test_scores : ndarray of shape (n_candidates,)

    Returns
    -------
    Series or DataFrame, NaN where no candidate has the pair of values
    """
    if not np.isfinite(test_scores).any():
        raise ValueError(
            "cv_results has no finite mean test score, so there is nothing to draw. "
            "Were ID and OOD rows in every test fold?"
        )
    columns = [np.ma.asarray(column) for column in searched.values()]
    named = ~np.logical_or.reduce([np.ma.getmaskarray(column) for column in columns])
    columns = [column[named].tolist() for column in columns]
    levels = [_levels(values) for values in columns]
    positions = tuple(
        [known.index(value) for value in values]
        for values, known in zip(columns, levels, strict=True)
    )
    best = np.full([len(known) for known in levels], np.nan)
    np.fmax.at(best, positions, np.asarray(test_scores)[named])
    axes = [
        pd.Index(known, dtype=object, name=name)
        for known, name in zip(levels, searched, strict=True)
    ]
    return pd.Series(best, *axes) if len(axes) == 1 else pd.DataFrame(best, *axes)


def _levels(values):
    """Distinct values, sorted where they can be, else as they first appear."""
    levels = list(dict.fromkeys(values))
    try:
        return sorted(levels)
    except TypeError:
        return levels


def _is_sorted(values):
    """Whether the values are numbers, which stand in their order."""
    return all(isinstance(value, Real) and not isinstance(value, bool) for value in values)


def _label_ticks(ax, values):
    positions, labels = _ticks(values)
    longest = max(map(len, labels))
    is_tight = longest > LONG_LABEL or longest * len(labels) > MOST_LABELS * 4
    ax.set_xticks(positions, labels, **({"rotation": 30, "ha": "right"} if is_tight else {}))


def _ticks(values):
    """Positions and labels of at most `MOST_LABELS` ticks, evenly spread."""
    positions = range(0, len(values), -(-len(values) // MOST_LABELS))
    return positions, [_label(values[i]) for i in positions]


def _label(value):
    """What a value is called on an axis: a callable by its name and options."""
    if isinstance(value, partial):
        options = [*map(str, value.args), *(f"{k}={v}" for k, v in value.keywords.items())]
        return f"{_label(value.func)}({', '.join(options)})"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return getattr(value, "__name__", str(value))


def _bare(column):
    return column.removeprefix("param_")
