"""Pictures in files, drawn without a screen."""

import os

import typer

from skweiper._support.whole_files import written_whole
from skweiper.cli.outputs import check_output

__all__ = [
    "check_picture",
    "draw_comparison",
    "draw_monitor",
    "draw_scores",
    "draw_sweep",
    "picture_line",
    "save_picture",
]

DPI = 120


def check_picture(path):
    """Refuse, before anything is computed, a picture that could not be drawn.

    Parameters
    ----------
    path : str or None
    """
    if path is None:
        return
    check_output(path, option="--plot")
    ending = _ending(path)
    plt = _pyplot()
    known = plt.figure().canvas.get_supported_filetypes()
    plt.close()
    if ending not in known:
        raise typer.BadParameter(
            f"pictures are drawn as {', '.join(f'.{each}' for each in sorted(known))}, got "
            f"{path!r}.",
            param_hint="--plot",
        )


def _ending(path):
    return os.path.splitext(path)[1].lstrip(".").lower()


def _pyplot():
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "--plot needs matplotlib, which is not installed. Run: pip install 'skweiper[plot]'."
        ) from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def save_picture(path, draw, *data):
    """Draw a picture and write it to a file, whole or not at all.

    Parameters
    ----------
    path : str or None
        Nothing is drawn without one.
    draw : callable
        draw(plt, *data) returns a figure.
    *data : object
    """
    if path is None:
        return
    plt = _pyplot()
    figure = draw(plt, *data)
    with written_whole(path) as file:
        figure.savefig(file, format=_ending(path), dpi=DPI)
    plt.close(figure)


def picture_line(path):
    """The line that says where a picture is; none without one."""
    return [] if path is None else [f"Picture: {path}"]


def draw_scores(plt, scores_id, scores_ood, threshold):
    """Distributions of scores with the threshold, and ROC curves beside them."""
    from skweiper.plotting import OODRocDisplay, ScoreDistributionDisplay

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    ScoreDistributionDisplay.from_predictions(scores_id, scores_ood, threshold=threshold, ax=left)
    OODRocDisplay.from_predictions(scores_id, scores_ood, ax=right)
    return figure


def draw_comparison(plt, table):
    """AUROC of each detector, best first: a point for each group, its interval where there is one.

    Parameters
    ----------
    plt : module
    table : DataFrame
        As `skweiper.evaluation.compare` gives it.
    """
    groups = table[(table.level == "group") & (table.spectrum == "standard")]
    means = groups.groupby("detector").auroc.mean().sort_values()
    place = {name: i for i, name in enumerate(means.index)}
    height = 1.2 + 0.3 * len(place)
    figure, ax = plt.subplots(figsize=(7, height), layout="constrained")
    for number, (group, rows) in enumerate(groups.groupby("group", sort=False)):
        color, y = f"C{number}", rows.detector.map(place)
        ax.plot(100 * rows.auroc, y, "o", color=color, label=group, alpha=0.8)
        if "auroc_low" in rows:
            ax.hlines(y, 100 * rows.auroc_low, 100 * rows.auroc_high, color=color, linewidth=1)
    ax.set_yticks(list(place.values()), list(place))
    ax.set(xlabel="AUROC (%), mean over the sets of a group")
    ax.grid(axis="x", alpha=0.3)
    ax.legend(fontsize="small")
    return figure


def draw_sweep(plt, results, varied):
    """Best score along each hyperparameter that was varied; of two, a map over both beside them."""
    from skweiper.plotting import SweepDisplay

    plots = [(name, None) for name in varied] + ([tuple(varied)] if len(varied) == 2 else [])
    n_columns = min(3, len(plots))
    n_rows = -(-len(plots) // n_columns)
    size = (4.8 * n_columns, 3.8 * n_rows)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=size, squeeze=False, layout="constrained"
    )
    for (x, y), ax in zip(plots, axes.flat, strict=False):
        SweepDisplay.from_cv_results(results, x, y, ax=ax)
    for ax in axes.flat[len(plots) :]:
        ax.remove()
    return figure


def draw_monitor(plt, monitor):
    """What a `StreamMonitor` has seen: evidence of drift, and rates of OOD rows beside it."""
    from skweiper.plotting import MonitorDisplay

    return MonitorDisplay.from_monitor(monitor).figure_
