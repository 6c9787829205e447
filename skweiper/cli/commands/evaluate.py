"""`skweiper evaluate`: how well a model tells OOD sets from in-distribution features."""

import numpy as np

from skweiper.cli.arguments import (
    Bootstrap,
    Confidence,
    Device,
    HeldOut,
    Json,
    Model,
    Ood,
    Picture,
    Seed,
    Shifted,
    Trusted,
)
from skweiper.cli.commands.calibrate import warn_of_training_data
from skweiper.cli.data import Reading, described_data, named_paths
from skweiper.cli.model_files import load_model
from skweiper.cli.output import print_json, print_lines
from skweiper.cli.pictures import check_picture, draw_scores, picture_line, save_picture
from skweiper.cli.scoring import on_device, scores_of_dump

__all__ = ["evaluate"]


def evaluate(
    model: Model,
    held_out: HeldOut,
    ood: Ood,
    reading: Reading,
    shifted: Shifted = None,
    n_boot: Bootstrap = 0,
    confidence: Confidence = 0.95,
    seed: Seed = None,
    plot: Picture = None,
    device: Device = None,
    trusted: Trusted = False,
    as_json: Json = False,
):
    """Report AUROC, AUPR and FPR@95 of a model for each OOD set and group of sets.

    A group is what stands before the slash in --ood near/tin=tin.parquet.
    """
    from skweiper.cli.reports import shown_report
    from skweiper.cli.tables import records
    from skweiper.evaluation import ood_report

    check_picture(plot)
    named, moved = named_paths(ood, "--ood"), named_paths(shifted or [], "--covariate-shifted")
    saved = load_model(model, trusted=trusted)
    detector = saved.detector
    on_device(detector, device)
    test = reading.features(held_out)
    sets, shifted_sets = reading.all_features(named.paths), reading.all_features(moved.paths)
    warn_of_training_data(saved, test.path, described_data(test)["fingerprint"])
    scores_id = scores_of_dump(detector, test, "in-distribution")
    scores_ood = {name: scores_of_dump(detector, dump, name) for name, dump in sets.items()}
    scores_shifted = {n: scores_of_dump(detector, dump, n) for n, dump in shifted_sets.items()}
    report = ood_report(
        scores_id,
        scores_ood,
        named.groups,
        scores_covariate_shifted=scores_shifted or None,
        n_boot=n_boot,
        confidence=confidence,
        random_state=seed,
    )
    threshold = getattr(detector, "offset_", None)
    decided = {"threshold": threshold} | shares(scores_id, scores_ood, threshold)
    save_picture(plot, draw_scores, scores_id, scores_ood, threshold)
    if as_json:
        return print_json({"report": records(report), **decided, "picture": plot})
    print_lines(shown_report(report), *lines_of(decided), *picture_line(plot))


def shares(scores_id, scores_ood, threshold):
    """What the threshold does: shares of the rows that it accepts, and rejects of each OOD set."""
    if threshold is None:
        return {}
    return {
        "id_accepted": np.mean(scores_id >= threshold),
        "ood_rejected": {name: np.mean(each < threshold) for name, each in scores_ood.items()},
    }


def lines_of(decided):
    """The same in words."""
    if decided["threshold"] is None:
        return []
    rejected = ", ".join(f"{name} {share:.1%}" for name, share in decided["ood_rejected"].items())
    return [
        "",
        f"The threshold {decided['threshold']:.6g} accepts {decided['id_accepted']:.1%} of the "
        f"in-distribution rows. It rejects of {rejected}.",
    ]
