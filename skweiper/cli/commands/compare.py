"""`skweiper compare`: several detectors, fitted and evaluated on the same features."""

from typing import Annotated

import typer

from skweiper._support.notice import warn_caller
from skweiper.cli.arguments import (
    Bootstrap,
    Confidence,
    Head,
    HeldOut,
    Json,
    Labels,
    Ood,
    Picture,
    Shifted,
    Train,
)
from skweiper.cli.data import Reading, head_for, labels_of, named_paths
from skweiper.cli.output import print_json, print_lines, progress_bar
from skweiper.cli.pictures import check_picture, draw_comparison, picture_line, save_picture

__all__ = ["compare"]


def compare(
    train: Train,
    held_out: HeldOut,
    ood: Ood,
    reading: Reading,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            "--detector",
            metavar="NAME[:PARAMETER=VALUE,...]",
            help="Repeat for several, as --detector knn:n_neighbors=10. Default: all that can be "
            "fitted on these features.",
            show_default=False,
        ),
    ] = None,
    head: Head = None,
    y: Labels = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Fit with so many seeds, counted from --seed.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first seed.")] = 0,
    shifted: Shifted = None,
    n_boot: Bootstrap = 0,
    confidence: Confidence = 0.95,
    plot: Picture = None,
    as_json: Json = False,
):
    """Fit several detectors on the same features and report on each, best first."""
    from skweiper.cli.reports import shown_comparison
    from skweiper.cli.tables import records

    check_picture(plot)
    named, moved = named_paths(ood, "--ood"), named_paths(shifted or [], "--covariate-shifted")
    X_train = reading.features(train)
    detectors = chosen_detectors(detector, head, X_train)
    data = {
        "X_train": X_train,
        "X_id": reading.features(held_out),
        "X_ood": reading.all_features(named.paths),
        "groups": named.groups,
        "covariate_shifted": reading.all_features(moved.paths) or None,
        "y_train": labels_of(y),
        "seeds": range(seed, seed + seeds),
    }
    options = {"n_boot": n_boot, "confidence": confidence, "random_state": seed}
    table = compared(detectors, {**data, **options}, leave_out=detector is None)
    save_picture(plot, draw_comparison, table)
    if as_json:
        return print_json({"report": records(table), "picture": plot})
    print_lines(shown_comparison(table), *picture_line(plot))


def chosen_detectors(specs, head, dump):
    """The detectors asked for, or all of the library, by what they were called."""
    from skweiper.cli.detectors import detector_from_spec, entry_named
    from skweiper.registry import all_detectors

    specs = specs or [entry.name for entry in all_detectors()]
    entries = [entry_named(spec.partition(":")[0]) for spec in specs]
    layer = head_for(head, dump, entries)
    return {spec: detector_from_spec(spec, layer) for spec in specs}


def compared(detectors, data, leave_out):
    """The table of all detectors, those with the best AUROC of the last row's mean first.

    Parameters
    ----------
    detectors : dict of str to estimator
    data : dict
        Keywords of `skweiper.evaluation.compare`.
    leave_out : bool
        Whether detectors that cannot be fitted are left out, with a warning, or are an error.
    """
    import pandas as pd

    from skweiper.evaluation import compare as compare_detectors

    tables = []
    with progress_bar("detectors", len(detectors)) as advance:
        for name, detector in detectors.items():
            try:
                tables.append(compare_detectors({name: detector}, **data))
            except ValueError as error:
                if not leave_out:
                    raise ValueError(f"{name}: {error}") from error
                warn_caller(f"{name} is left out: {error}")
            advance(1)
    if not tables:
        raise ValueError("No detector can be fitted on these features; the warnings say why.")
    return best_first(pd.concat(tables, ignore_index=True))


def best_first(table):
    """The same rows, detectors with the highest mean AUROC over groups first."""
    means = table[table.level == "group"].groupby("detector").auroc.mean()
    order = table.detector.map(means.rank(ascending=False, method="first"))
    return table.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
