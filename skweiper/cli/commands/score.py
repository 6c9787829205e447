"""`skweiper score` and `skweiper predict`: scores and decisions, written as they come."""

from contextlib import ExitStack
from time import perf_counter
from typing import Annotated

import numpy as np
import typer

from skweiper.cli.arguments import Device, Features, Json, Model, ScoreOutput, Trusted
from skweiper.cli.data import Reading
from skweiper.cli.errors import TOO_MANY_OOD
from skweiper.cli.model_files import load_model, require
from skweiper.cli.output import print_json, print_lines, tell
from skweiper.cli.outputs import check_output
from skweiper.cli.scoring import on_device, scored_parts

__all__ = ["predict", "score"]


def score(
    model: Model,
    features: Features,
    output: ScoreOutput,
    reading: Reading,
    device: Device = None,
    trusted: Trusted = False,
    as_json: Json = False,
):
    """Score features; a higher score is more in-distribution.

    Scores are written as they come, with what names the rows: the features may be larger than
    memory. The file appears when all of it is written.
    """
    from skweiper.io import ScoreWriter

    check_output(output, model, features)
    detector = load_model(model, trusted=trusted).detector
    on_device(detector, device)
    dump = reading.features(features)
    lowest, highest, start = np.inf, -np.inf, perf_counter()
    with ScoreWriter(output) as writer:
        for scores, index in scored_parts(detector, dump):
            writer.write(scores, index)
            lowest, highest = min(lowest, scores.min()), max(highest, scores.max())
    seconds = perf_counter() - start
    results = {"scores": output, "n_samples": len(dump), "seconds": seconds}
    if as_json:
        return print_json({**results, "lowest": lowest, "highest": highest})
    print_lines(
        f"Scored {len(dump):,} rows in {seconds:.1f} s, from {lowest:.6g} to {highest:.6g}.",
        f"Saved to {output}.",
    )


def predict(
    model: Model,
    features: Features,
    reading: Reading,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Scores, p-values and predictions to write: .parquet, .csv or .feather.",
            show_default=False,
        ),
    ] = None,
    fail_on_ood: Annotated[
        float | None,
        typer.Option(
            "--fail-on-ood",
            metavar="RATE",
            min=0,
            max=1,
            help="End with exit code 3 where a larger share of the rows is OOD.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    trusted: Trusted = False,
    as_json: Json = False,
):
    """Decide which rows are in-distribution (+1) and which are OOD (-1).

    Writes the columns score, p_value (where the model was calibrated) and prediction.
    """
    check_output(output, model, features)
    detector = load_model(model, trusted=trusted).detector
    require(detector, "offset_", model)
    on_device(detector, device)
    dump = reading.features(features)
    n_ood = sum(write_decisions(detector, dump, output))
    rate = n_ood / len(dump)
    results = {"n_samples": len(dump), "n_ood": n_ood, "ood_rate": rate, "predictions": output}
    if as_json:
        print_json(results)
    else:
        saved = [] if output is None else [f"Saved to {output}."]
        print_lines(f"{n_ood:,} of {len(dump):,} rows are OOD ({rate:.2%}).", *saved)
    if fail_on_ood is not None and rate > fail_on_ood:
        tell(f"More rows are OOD ({rate:.2%}) than --fail-on-ood allows ({fail_on_ood:.2%}).")
        raise typer.Exit(TOO_MANY_OOD)


def write_decisions(detector, dump, output):
    """Yield how many rows of each part are OOD, and write the decisions where a path is given."""
    from skweiper.io import ScoreWriter

    with ExitStack() as context:
        writer = None if output is None else context.enter_context(ScoreWriter(output))
        for scores, index in scored_parts(detector, dump, "deciding"):
            columns = decisions(detector, scores)
            if writer is not None:
                writer.write(columns, index)
            yield int(np.sum(columns["prediction"] == -1))


def decisions(detector, scores):
    """Scores, p-values where there are calibration scores, and predictions, by name."""
    from skweiper.conformal import conformal_p_values

    columns = {"score": scores}
    if hasattr(detector, "conformal_scores_"):
        columns["p_value"] = conformal_p_values(detector.conformal_scores_, scores)
    return {**columns, "prediction": np.where(scores - detector.offset_ >= 0, 1, -1)}
