"""`skweiper calibrate`: the threshold and the p-values of a model, from held-out features."""

from typing import Annotated

import numpy as np
import typer

from skweiper._support.notice import warn_caller
from skweiper.cli.arguments import Device, HeldOut, Json, Model, Trusted
from skweiper.cli.data import Reading, described_data
from skweiper.cli.model_files import load_model, require, save_model
from skweiper.cli.output import print_json, print_lines
from skweiper.cli.outputs import check_output
from skweiper.cli.scoring import on_device

__all__ = ["calibrate", "warn_of_training_data"]


def calibrate(
    model: Model,
    held_out: HeldOut,
    reading: Reading,
    tpr: Annotated[
        float,
        typer.Option("--tpr", metavar="SHARE", help="Share of these rows to accept, in (0, 1]."),
    ] = 0.95,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Model file to write. Default: the same."
        ),
    ] = None,
    device: Device = None,
    trusted: Trusted = False,
    as_json: Json = False,
):
    """Set the threshold, and what p-values are counted from, by held-out in-distribution features.

    The model file is replaced, unless --output names another.
    """
    check_output(output, held_out)
    saved = load_model(model, trusted=trusted)
    detector = saved.detector
    require(detector, "calibrate", model)
    before = detector.offset_
    dump = reading.features(held_out)
    data = described_data(dump)
    warn_of_training_data(saved, dump.path, data["fingerprint"])
    on_device(detector, device)
    detector.calibrate(dump, tpr=tpr).calibrate_p_values(dump)
    calibration = {**data, "tpr": tpr}
    accepted = np.mean(detector.conformal_scores_ >= detector.offset_)
    save_model(output or model, saved._replace(about={**saved.about, "calibration": calibration}))
    results = {"model": output or model, "threshold": detector.offset_, "threshold_before": before}
    if as_json:
        return print_json({**results, "calibration": calibration})
    print_lines(
        f"Threshold {detector.offset_:.6g} (before: {before:.6g}): it accepts {accepted:.1%} of "
        f"the {len(dump):,} rows of {dump.path}.",
        f"Saved to {output or model}.",
    )


def warn_of_training_data(saved, path, fingerprint):
    """Warn where features that should be held out are those that the model was fitted on.

    Parameters
    ----------
    saved : SavedModel
    path : str
    fingerprint : str
        Of the features.
    """
    training = saved.about.get("training")
    if training is not None and training["fingerprint"] == fingerprint:
        warn_caller(
            f"{path} holds the rows that the model was fitted on, which it scores better than "
            "others. Pass held-out features.",
        )
