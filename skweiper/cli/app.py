"""All commands together."""

from typing import Annotated

import typer

from skweiper.cli.commands.calibrate import calibrate
from skweiper.cli.commands.compare import compare
from skweiper.cli.commands.demo import demo
from skweiper.cli.commands.evaluate import evaluate
from skweiper.cli.commands.fit import fit
from skweiper.cli.commands.info import info
from skweiper.cli.commands.score import predict, score
from skweiper.cli.commands.sweep import sweep
from skweiper.cli.commands.watch import watch
from skweiper.cli.detector_options import DetectorCommand, SweepCommand
from skweiper.cli.errors import ReportingGroup
from skweiper.cli.expanding import expanded
from skweiper.cli.monitor_options import MonitorCommand
from skweiper.version import __version__

__all__ = ["app"]

COMMANDS = {
    demo: None,
    fit: DetectorCommand,
    calibrate: None,
    score: None,
    predict: None,
    evaluate: None,
    compare: None,
    sweep: SweepCommand,
    watch: MonitorCommand,
    info: None,
}
"""The functions, in the order in which help shows them, and what makes options for them."""

EPILOG = (
    "Exit codes: 0 done, 1 bad input, 2 wrong usage, 3 more OOD rows than predict --fail-on-ood "
    "allows or an alarm of watch --fail-on-alarm, 130 interrupted."
)

app = typer.Typer(
    name="skweiper",
    cls=ReportingGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=EPILOG,
)
for function, command in COMMANDS.items():
    app.command(cls=command)(expanded(function))


def show_version(is_asked):
    """Print the version and end."""
    if is_asked:
        print(f"skweiper {__version__}")
        raise typer.Exit


@app.callback()
def skweiper(
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="SKWEIPER_DEBUG", help="Show the traceback of an error."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
):
    """Out-of-distribution detection on precomputed features.

    fit learns what in-distribution features look like, score and predict judge others.
    """
