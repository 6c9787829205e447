"""Reports of metrics as tables for people."""

import numpy as np
import pandas as pd

from skweiper.cli.output import percent

__all__ = ["shown_comparison", "shown_report"]

METRICS = {
    "auroc": "AUROC %",
    "aupr_in": "AUPR-in %",
    "aupr_out": "AUPR-out %",
    "fpr95": "FPR@95 %",
}


def shown_report(report):
    """A report of `ood_report` as people read it: shares in percent, means of several sets only.

    Parameters
    ----------
    report : DataFrame

    Returns
    -------
    DataFrame
    """
    sizes = report[report.level == "dataset"].groupby(["spectrum", "group"]).size()
    keys = zip(report.spectrum, report.group, strict=True)
    has_one_set = np.array([sizes.get(key, 0) == 1 for key in keys])
    shown = report[(report.level == "dataset") | ~has_one_set]
    columns = without_constant(shown, ["spectrum", "group"])
    columns |= {"dataset": shown.dataset.fillna("(mean)"), "n_ood": shown.n_ood}
    return pd.DataFrame(columns | {title: shares(shown, name) for name, title in METRICS.items()})


def shown_comparison(table):
    """A table of `compare` as people read it: a line for each detector and seed.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    DataFrame
        Means over the sets of each group.
    """
    groups = table[table.level == "group"]
    names = list(dict.fromkeys(groups.group))
    parts = {name: groups[groups.group == name].reset_index(drop=True) for name in names}
    first = parts[names[0]]
    columns = {"detector": first.detector} | without_constant(first, ["seed", "spectrum"])
    for name, part in parts.items():
        prefix = "" if len(names) == 1 else f"{name} "
        columns |= {f"{prefix}{METRICS[m]}": shares(part, m) for m in ("auroc", "fpr95")}
    for name in ("fit_seconds", "score_seconds"):
        columns[name.replace("_", " ")] = [f"{seconds:.2f}" for seconds in first[name]]
    return pd.DataFrame(columns)


def without_constant(table, names):
    """Those columns, by name, that tell rows apart."""
    return {name: table[name] for name in names if len(table[name].dropna().unique()) > 1}


def shares(table, metric):
    """A metric in percent, with its intervals where there are any."""
    ends = [table.get(f"{metric}_{end}", [None] * len(table)) for end in ("low", "high")]
    return [percent(*each) for each in zip(table[metric], *ends, strict=True)]
