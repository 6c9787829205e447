"""`skweiper fit`: a detector from in-distribution features."""

from time import perf_counter

import typer

from skweiper.cli.arguments import Head, Json, Labels, ModelOutput, Seed, Train
from skweiper.cli.data import Reading, described_data, described_head, head_for, labels_of
from skweiper.cli.output import is_watched, plain, print_json, print_lines
from skweiper.cli.outputs import check_output

__all__ = ["fit"]


def fit(
    ctx: typer.Context,
    train: Train,
    output: ModelOutput,
    reading: Reading,
    head: Head = None,
    y: Labels = None,
    seed: Seed = None,
    as_json: Json = False,
):
    """Fit a detector on in-distribution features, and save it.

    The features are read part by part, and may be larger than memory for detectors that learn
    statistics of them.
    """
    from skweiper.cli.detectors import built
    from skweiper.cli.model_files import SavedModel, save_model

    entry, values = ctx.obj
    check_output(output, train, *filter(None, (head, y)))
    dump = reading.features(train)
    weight, bias = head_for(head, dump, [entry])
    detector = built(entry, (weight, bias), values, seed)
    start = perf_counter()
    fit_shown(detector, dump, labels_of(y))
    seconds = perf_counter() - start
    about = {
        "detector": entry.name,
        "settings": settings_of(detector),
        "training": described_data(dump),
        "head": described_head(head, weight, bias),
        "calibration": None,
    }
    save_model(output, SavedModel(detector, about))
    results = {"model": output, **about, "threshold": detector.offset_, "seconds": seconds}
    if as_json:
        return print_json(results)
    print_lines(
        f"Fitted {entry.name} on {dump.shape[0]:,} rows of {dump.shape[1]:,} features in "
        f"{seconds:.1f} s.",
        f"Threshold {detector.offset_:.6g}: {detector.contamination:.1%} of the training rows "
        "score below it.",
        f"Saved to {output}.",
    )


def fit_shown(detector, X, y):
    """Fit, with a progress bar where the detector has one and somebody looks."""
    is_shown = is_watched() and "verbose" in detector.get_params(deep=False)
    if is_shown:
        detector.set_params(verbose=1)
    detector.fit(X, y)
    if is_shown:
        detector.set_params(verbose=0)


def settings_of(detector):
    """The hyperparameters of a detector in JSON's types, detectors inside it by their names."""
    return {
        name: plain([member for member, _ in value] if isinstance(value, list) else value)
        for name, value in detector.get_params(deep=False).items()
        if name not in ("weight", "bias", "verbose")
    }
