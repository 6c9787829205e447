"""`skweiper sweep`: WeiPer's hyperparameters chosen by validation features."""

from time import perf_counter
from typing import Annotated

import typer

from skweiper.cli.arguments import Head, HeldOut, Json, Ood, Picture, Seed, Train
from skweiper.cli.commands.fit import settings_of
from skweiper.cli.data import Reading, described_data, described_head, head_for, named_paths
from skweiper.cli.model_files import SavedModel, save_model
from skweiper.cli.output import is_watched, percent, plain, print_json, print_lines
from skweiper.cli.outputs import check_output
from skweiper.cli.pictures import check_picture, draw_sweep, picture_line, save_picture

__all__ = ["sweep"]

SHOWN = 10
"""Candidates of the table, best first."""


def sweep(
    ctx: typer.Context,
    train: Train,
    validation: HeldOut,
    ood: Ood,
    reading: Reading,
    head: Head = None,
    seed: Seed = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Model file to write: the best candidate, fitted on all in-distribution rows.",
            show_default=False,
        ),
    ] = None,
    plot: Picture = None,
    as_json: Json = False,
):
    """Try all combinations of WeiPer's hyperparameters, and choose the best by validation AUROC.

    Give several values of an option, as --delta 1.8,2.4 --lambda-1 0.1,1,2.5. All combinations that
    share a perturbation are measured together. The features are held in memory. What is chosen by
    the OOD sets given here is not measured by them: evaluate it on others.
    """
    from skweiper.model_selection import train_validation_split_for_ood

    check_picture(plot)
    check_output(output, train, validation, *filter(None, (head,)))
    entry, values = ctx.obj
    grid = as_grid(values)
    dump, held_out = reading.features(train), reading.features(validation)
    sets = reading.all_features(named_paths(ood, "--ood").paths)
    layer = head_for(head, dump, [entry])
    X, y, cv = train_validation_split_for_ood(dump, held_out, sets)
    start = perf_counter()
    search = searched(X, y, layer, grid, cv, seed, refit=output is not None)
    seconds = perf_counter() - start
    if output is not None:
        save_model(output, SavedModel(search.best_estimator_, about(search, dump, head, layer)))
    results = search.cv_results_
    save_picture(plot, draw_sweep, results, varied(grid))
    summary = {
        "best_params": search.best_params_,
        "best_auroc": results["mean_test_score"][search.best_index_],
        "n_candidates": len(results["params"]),
        "seconds": seconds,
        "model": output,
        "picture": plot,
    }
    if as_json:
        return print_json({**summary, "candidates": candidates(results)})
    print_lines(
        f"{summary['n_candidates']:,} candidates in {seconds:.1f} s, best first:",
        shown(results, varied(grid)),
        *([] if output is None else [f"Saved the first to {output}."]),
        *picture_line(plot),
    )


def as_grid(values):
    """Lists of values by hyperparameter, several of at least one."""
    if not varied(values):
        raise typer.BadParameter(
            "there is nothing to try. Give several values of at least one hyperparameter, "
            "separated by commas, as --delta 1.8,2.4."
        )
    return values


def varied(grid):
    """Names of the hyperparameters with several values."""
    return [name for name, values in grid.items() if len(values) > 1]


def searched(X, y, layer, grid, cv, seed, refit):
    """The fitted search."""
    from skweiper.model_selection import WeiPerDetectorCV

    search = WeiPerDetectorCV(
        *layer,
        param_grid=grid,
        cv=cv,
        random_state=seed,
        refit=refit,
        verbose=int(is_watched()),
    )
    return search.fit(X, y)


def about(search, dump, head, layer):
    """What a model file says of the best candidate."""
    return {
        "detector": "weiper",
        "settings": settings_of(search.best_estimator_),
        "training": described_data(dump),
        "head": described_head(head, *layer),
        "calibration": None,
    }


def candidates(results):
    """All candidates as dicts, best first."""
    order = results["rank_test_score"].argsort(kind="stable")
    return [
        {"params": results["params"][i], "auroc": plain(results["mean_test_score"][i])}
        for i in order
    ]


def shown(results, names):
    """A table of the best candidates, with what was varied."""
    import pandas as pd

    return pd.DataFrame(
        {name: each["params"][name] for name in names} | {"AUROC %": percent(each["auroc"])}
        for each in candidates(results)[:SHOWN]
    )
