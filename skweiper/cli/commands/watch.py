"""`skweiper watch`: decisions on files of features as they arrive, and an alarm at drift."""

import os
from typing import Annotated

import typer

from skweiper.cli.arguments import Device, Model, Picture, Seed, Trusted
from skweiper.cli.data import Reading
from skweiper.cli.errors import BAD_INPUT, TOO_MANY_OOD
from skweiper.cli.model_files import load_model
from skweiper.cli.output import print_json_line, print_lines, tell
from skweiper.cli.pictures import check_picture, draw_monitor, save_picture
from skweiper.cli.scoring import on_device

__all__ = ["watch"]

ENDINGS = (".parquet", ".csv", ".tsv", ".feather", ".arrow")
"""Of files that hold several columns."""


def watch(
    ctx: typer.Context,
    model: Model,
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="Folder in which files of features arrive.", show_default=False
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder for the decisions on each file, and for what the watch remembers.",
            show_default=False,
        ),
    ],
    reading: Reading,
    once: Annotated[
        bool, typer.Option("--once", help="Take the files that are there, and end.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            metavar="SECONDS",
            min=0,
            help="Time between two looks at the folder. A file is read when two looks in a row "
            "find the same size and time of change.",
        ),
    ] = 2.0,
    ending: Annotated[
        str | None,
        typer.Option(
            "--ending",
            metavar="ENDING",
            help=f"Kind of the files of decisions: {', '.join(ENDINGS)}. \\[default: .parquet]",
            show_default=False,
        ),
    ] = None,
    seed: Seed = None,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help="End with exit code 3 at the alarm.")
    ] = False,
    plot: Picture = None,
    device: Device = None,
    trusted: Trusted = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON object on a line for each file, nothing else."),
    ] = False,
):
    """Score files as they arrive in a folder, decide on each row, and watch the stream for drift.

    Started again after whatever end, it goes on where it was: no file is taken twice, none is lost.
    The model must have been calibrated.
    """
    from skweiper.cli.watch_state import opened_state
    from skweiper.cli.watching import Watch, looks

    check_picture(plot)
    check_places(folder, output, ending)
    detector = load_model(model, trusted=trusted).detector
    require_p_values(detector, model)
    on_device(detector, device)
    given = {"ending": ending, "random_state": seed, **ctx.obj}
    n_set_aside = n_drawn = 0
    with opened_state(output, detector, {k: v for k, v in given.items() if v is not None}) as state:
        watched = Watch(reading, detector, state, output, set())
        show = print_json_line if as_json else print_in_words
        if not (as_json or once):
            tell(f"Watching {folder}, every {interval:g} s. Ctrl-C ends it.")
        for ready in looks(folder, interval, once):
            n_set_aside += taken(watched, ready, show)
            if len(state.monitor.history) > n_drawn:
                save_picture(plot, draw_monitor, state.monitor)
                n_drawn = len(state.monitor.history)
            if fail_on_alarm and state.monitor.alarm_row is not None:
                tell(f"The alarm was raised at row {state.monitor.alarm_row} of the stream.")
                raise typer.Exit(TOO_MANY_OOD)
    if n_set_aside:
        raise typer.Exit(BAD_INPUT)


def check_places(folder, output, ending):
    """Refuse a folder that is none, or that is both read and written, and unknown endings."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(2, "No such folder to watch", folder)
    if os.path.realpath(folder) == os.path.realpath(output):
        raise typer.BadParameter(
            f"{output} is the folder that is watched; its decisions would be read as features. "
            "Name another one.",
            param_hint="--output",
        )
    if ending not in (None, *ENDINGS):
        raise typer.BadParameter(
            f"must be one of {', '.join(ENDINGS)}, got {ending!r}.", param_hint="--ending"
        )


def require_p_values(detector, model):
    """Refuse a model without calibration scores.

    Raises
    ------
    ValueError
    """
    if not hasattr(detector, "conformal_scores_"):
        raise ValueError(
            f"{model} is not calibrated, so it has no p-values. Run: skweiper calibrate {model} "
            "HELD_OUT, with in-distribution features that took no part in fit."
        )


def taken(watched, ready, show):
    """Take all files that wait, and show each; how many were set aside."""
    from skweiper.cli.watching import take

    tell_of_changed(watched, ready)
    n_set_aside = 0
    for arrival in watched.waiting(ready):
        alarm_before = watched.state.monitor.alarm_row
        record = take(watched, arrival)
        if record is None:
            continue
        if record.problem is not None:
            n_set_aside += 1
            tell(f"Set aside: {record.problem}")
        show(about(watched, arrival, record, alarm_before))
    return n_set_aside


def tell_of_changed(watched, ready):
    """Say once which files are others now than they were when they were scored."""
    for arrival in watched.changed(ready):
        if arrival not in watched.told:
            watched.told.add(arrival)
            tell(
                f"Warning: {arrival.path} changed after it was scored, and is not scored again. "
                "Write new rows to files with new names."
            )


def about(watched, arrival, record, alarm_before):
    """What became of a file, and how the stream stands after it."""
    if record.problem is not None:
        return {"file": arrival.name, "problem": record.problem}
    monitor = watched.state.monitor
    return {
        "file": arrival.name,
        "decisions": watched.decisions_of(arrival),
        "first_row": record.first_row,
        "n_samples": record.n_samples,
        "n_ood": record.n_ood,
        **monitor.history.iloc[-1].to_dict(),
        "alarm_row": monitor.alarm_row,
        "is_new_alarm": alarm_before is None and monitor.alarm_row is not None,
    }


def print_in_words(results):
    """The same for people; a problem was told already."""
    if "problem" in results:
        return
    rate, found = results["ood_rate"], results["discovery_rate"]
    print_lines(
        f"{results['file']}: {results['n_ood']:,} of {results['n_samples']:,} rows are OOD. "
        f"Window: {rate:.2%} OOD, {found:.2%} discoveries. "
        f"Evidence of drift: 10^{results['log10_wealth']:.2f}."
    )
    if results["is_new_alarm"]:
        print_lines(f"ALARM at row {results['alarm_row']:,}: the stream is not what it was.")
