"""`skweiper demo`: the main job on the bundled features."""

from pathlib import Path
from typing import Annotated

import typer

from skweiper.cli.arguments import Json
from skweiper.cli.output import print_json, print_lines
from skweiper.cli.pictures import check_picture, save_picture

__all__ = ["demo"]


def demo(
    plot: Annotated[
        str, typer.Option("--plot", metavar="PATH", help="Picture of the score distributions.")
    ] = "demo/scores.png",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the perturbations.")] = 0,
    as_json: Json = False,
):
    """Compare logit scores with their WeiPer versions on the bundled CLINC150 features.

    FPR@95 is the share of out-of-scope queries that pass where 95 % of the others do.
    """
    from skweiper.cli.demonstration import draw_demonstration, measured, warm_up
    from skweiper.datasets import load_clinc150

    Path(plot).parent.mkdir(parents=True, exist_ok=True)
    check_picture(plot)
    data = load_clinc150()
    seconds = warm_up(data, seed)
    table, distributions = measured(data, seed)
    best = table["AUROC"][table.index.str.startswith("WeiPer")].idxmax()
    save_picture(plot, draw_demonstration, {name: distributions[name] for name in ("MSP", best)})
    if as_json:
        return print_json({"results": table.to_dict("index"), "picture": plot})
    print_lines(
        f"Engine ready after {seconds:.1f} s (it compiles once)",
        f"CLINC150: {len(data.test)} ID queries, {len(data.test_oos)} out-of-scope queries",
        table.round({"AUROC": 2, "FPR@95": 1, "seconds": 2}).to_string(),
        f"Score distributions of MSP and {best}: {plot}",
    )
