"""Profiles and heat maps of cv_results_."""

import numpy as np
import pandas as pd

from skweiper.plotting.axes import new_axes


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

    def __init__(self, scores):
        self.scores = scores

    @classmethod
    def from_cv_results(cls, cv_results, x, y=None, *, metric="score", ax=None):
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
            Which "mean_test_..." column.
        ax : matplotlib Axes, default=None

        Returns
        -------
        SweepDisplay

        Raises
        ------
        ValueError
            A hyperparameter or metric that was not searched.
        """
        columns = [f"param_{name}" for name in (y, x) if name is not None]
        column = f"mean_test_{metric}"
        missing = [name for name in [*columns, column] if name not in cv_results]
        if missing:
            known = [name for name in cv_results if name.startswith(("param_", "mean_test_"))]
            raise ValueError(f"cv_results has no {missing}; it has {known}.")
        table = pd.DataFrame({name: cv_results[name] for name in [*columns, column]})
        table = table.infer_objects()
        if y is None:
            return cls(table.groupby(columns[0])[column].max()).plot(ax=ax)
        return cls(table.pivot_table(column, *columns, aggfunc="max")).plot(ax=ax)

    @classmethod
    def from_estimator(cls, search, x, y=None, *, metric="score", ax=None):
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
        """
        return cls.from_cv_results(search.cv_results_, x, y, metric=metric, ax=ax)

    def plot(self, *, ax=None):
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
        (self.line_,) = self.ax_.plot(position, self.scores.to_numpy(), "o-")
        self.ax_.set_xticks(position, [str(value) for value in self.scores.index])
        self.ax_.set(xlabel=_bare(self.scores.index.name), ylabel="best mean test score")

    def _draw_heat_map(self):
        values = self.scores.to_numpy(dtype=float)
        self.image_ = self.ax_.imshow(values, origin="lower", aspect="auto")
        rows, columns = self.scores.index, self.scores.columns
        self.ax_.set_xticks(range(len(columns)), [str(value) for value in columns])
        self.ax_.set_yticks(range(len(rows)), [str(value) for value in rows])
        self.ax_.set(xlabel=_bare(columns.name), ylabel=_bare(rows.name))
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for (row, column), value in np.ndenumerate(values):
            color = "white" if value < middle else "black"
            self.ax_.text(column, row, f"{value:.3f}", color=color, ha="center", va="center")
        self.figure_.colorbar(self.image_, ax=self.ax_, label="best mean test score")


def _bare(column):
    return column.removeprefix("param_")
