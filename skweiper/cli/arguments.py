"""Arguments and options that several commands have."""

from typing import Annotated, Literal

import typer

__all__ = [
    "Bootstrap",
    "Confidence",
    "Device",
    "Features",
    "Head",
    "HeldOut",
    "Json",
    "Labels",
    "Model",
    "ModelOutput",
    "Ood",
    "Picture",
    "ScoreOutput",
    "Seed",
    "Shifted",
    "Train",
    "Trusted",
]

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Model file, as fit writes it.", show_default=False)
]
Train = Annotated[
    str,
    typer.Argument(
        metavar="TRAIN",
        help="In-distribution features to fit on: a file, a folder of parts or a glob.",
        show_default=False,
    ),
]
HeldOut = Annotated[
    str,
    typer.Argument(
        metavar="FEATURES",
        help="In-distribution features that took no part in fit.",
        show_default=False,
    ),
]
Features = Annotated[
    str,
    typer.Argument(
        metavar="FEATURES",
        help="Features to score: a file, a folder of parts or a glob.",
        show_default=False,
    ),
]
Head = Annotated[
    str | None,
    typer.Option(
        "--head",
        metavar="PATH",
        help="The classifier's final layer (weight and bias). Without it, features are logits.",
        show_default=False,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--y",
        metavar="PATH",
        help="Class of each training row, for detectors that learn classes; -1 marks known "
        "outliers, which are left out. PATH::NAME names the column or array.",
        show_default=False,
    ),
]
Ood = Annotated[
    list[str],
    typer.Option(
        "--ood",
        metavar="[GROUP/]NAME=PATH",
        help="An OOD set, such as near/tin=tin.parquet. Repeat for several.",
        show_default=False,
    ),
]
Shifted = Annotated[
    list[str] | None,
    typer.Option(
        "--covariate-shifted",
        metavar="NAME=PATH",
        help="In-distribution rows with covariate shift, for the full spectrum. May be repeated.",
        show_default=False,
    ),
]
Bootstrap = Annotated[
    int, typer.Option("--n-boot", min=0, help="Bootstrap samples behind intervals; 0 gives none.")
]
Confidence = Annotated[float, typer.Option("--confidence", help="Coverage of the intervals.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Of all that is drawn. Pass one for reproducible results."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option("--device", help="Where to compute; as it was saved where it is not given."),
]
Trusted = Annotated[
    bool,
    typer.Option("--trusted", help="Load a model that is a pickle (.joblib), which runs its code."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, and nothing else, to stdout.")
]
Picture = Annotated[
    str | None,
    typer.Option(
        "--plot", metavar="PATH", help="Draw a picture (.png, .svg, .pdf).", show_default=False
    ),
]
ModelOutput = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Model file to write, such as model.skops.",
        show_default=False,
    ),
]
ScoreOutput = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Scores to write: .parquet, .csv, .feather or .npy.",
        show_default=False,
    ),
]
