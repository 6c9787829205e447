"""`skweiper info`: what is in a file, or what a detector can be told."""

from typing import Annotated

import typer

from skweiper.cli.arguments import Json, Trusted
from skweiper.cli.data import Reading
from skweiper.cli.model_files import is_model_file
from skweiper.cli.output import print_json, print_lines

__all__ = ["info"]


def info(
    reading: Reading,
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH|DETECTOR]",
            help="A dump, a head or a model; or the name of a detector. Without it, all detectors.",
            show_default=False,
        ),
    ] = None,
    trusted: Trusted = False,
    as_json: Json = False,
):
    """Show what a dump, a head, a model or a detector is, and what can be done with it."""
    from skweiper.cli.inspection import (
        about_all_detectors,
        about_detector,
        about_file,
        about_model,
    )
    from skweiper.registry import CLASSES

    if subject is None:
        results, lines = about_all_detectors()
    elif subject in CLASSES:
        results, lines = about_detector(subject)
    elif is_model_file(subject):
        results, lines = about_model(subject, trusted)
    else:
        results, lines = about_file(subject, reading)
    if as_json:
        return print_json(results)
    print_lines(*lines)
