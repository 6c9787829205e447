"""A stream over time: evidence against exchangeability, and the rate of OOD rows."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from skweiper.monitoring import StreamMonitor
from skweiper.plotting.axes import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class MonitorDisplay:
    """History of a `StreamMonitor`.

    Parameters
    ----------
    history : DataFrame
        Columns n_seen, ood_rate, discovery_rate and log10_wealth, a row per update.
    alpha : float
        Probability of a false alarm.
    alarm_row : int or None
        Row of the stream at which the alarm was raised.

    Attributes
    ----------
    axes_ : list of two matplotlib Axes
        The wealth of the martingale on the left, rates over the window on the right.
    figure_ : matplotlib Figure
    wealth_line_, alarm_level_ : matplotlib Line2D
    """

    def __init__(self, history: pd.DataFrame, alpha: float, alarm_row: int | None = None) -> None:
        self.history = history
        self.alpha = alpha
        self.alarm_row = alarm_row

    @classmethod
    def from_monitor(cls, monitor: StreamMonitor, *, ax: "list[Axes] | None" = None) -> Self:
        """Plot what a monitor has seen.

        Parameters
        ----------
        monitor : StreamMonitor
        ax : list of two matplotlib Axes, default=None

        Returns
        -------
        MonitorDisplay
        """
        return cls(monitor.history, monitor.alpha, monitor.alarm_row).plot(ax=ax)

    def plot(self, *, ax: "list[Axes] | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : list of two matplotlib Axes, default=None

        Returns
        -------
        MonitorDisplay

        Raises
        ------
        ValueError
            The monitor has seen nothing yet.
        """
        if len(self.history) == 0:
            raise ValueError("The monitor has seen no rows yet. Call update(X) first.")
        self.axes_ = new_axes(2, ax)
        self.figure_ = self.axes_[0].figure
        self._draw_wealth(self.axes_[0])
        self._draw_rates(self.axes_[1])
        return self

    def _draw_wealth(self, axes: Any) -> None:
        n_seen = np.concatenate([[0], self.history.n_seen])
        wealth = np.concatenate([[0.0], self.history.log10_wealth])
        (self.wealth_line_,) = axes.plot(n_seen, wealth, label="evidence")
        label = f"alarm level (false with probability {self.alpha:g} at most)"
        self.alarm_level_ = axes.axhline(
            -np.log10(self.alpha), color="black", linestyle="--", linewidth=1, label=label
        )
        if self.alarm_row is not None:
            axes.axvline(self.alarm_row, color="C3", linewidth=1, label=f"row {self.alarm_row}")
        axes.set(xlabel="rows of the stream", ylabel="log10 of the martingale")
        axes.legend()

    def _draw_rates(self, axes: Any) -> None:
        axes.plot(self.history.n_seen, self.history.ood_rate, label="below the threshold")
        axes.plot(self.history.n_seen, self.history.discovery_rate, label="discoveries")
        axes.set(xlabel="rows of the stream", ylabel="share of the window's rows", ylim=(0, None))
        axes.legend()
