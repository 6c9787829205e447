"""What a dump, a head, a model or a detector is, as results for machines and lines for people."""

import numpy as np
import pandas as pd

from skweiper.cli.data import split_key
from skweiper.cli.fingerprints import sampled_rows
from skweiper.cli.hyperparameters import hyperparameters_of
from skweiper.cli.model_files import load_model
from skweiper.cli.output import plain
from skweiper.cli.tables import records

__all__ = ["about_all_detectors", "about_detector", "about_file", "about_model"]

N_BLOCKS, BLOCK_ROWS = 8, 256
"""Rows that ranges are taken of, spread over a file."""
TABLES = ("csv", "parquet", "feather")


def about_all_detectors():
    """The registry as a table."""
    from skweiper.registry import all_detectors

    table = pd.DataFrame(
        {"detector": entry.name, "head": yes(entry.needs_head), "paper": entry.paper}
        for entry in all_detectors()
    )
    hint = "skweiper info DETECTOR shows its hyperparameters; fit takes it as --detector."
    return {"detectors": records(table)}, [table, "", hint]


def yes(flag):
    return "yes" if flag else "no"


def about_detector(name):
    """A detector's hyperparameters as a table."""
    from skweiper.cli.detectors import entry_named

    entry = entry_named(name)
    table = pd.DataFrame(
        {
            "option": each.option,
            "value": each.form,
            "default": each.default_text,
            "meaning": each.text,
        }
        for each in hyperparameters_of(entry.estimator).values()
    )
    results = {
        "detector": name,
        "class": f"{entry.estimator.__module__}.{entry.estimator.__qualname__}",
        "needs_head": entry.needs_head,
        "needs_labels": entry.needs_labels,
        "paper": entry.paper,
        "link": entry.link,
        "hyperparameters": records(table),
    }
    return results, [f"{name}: {results['class']}", f"{entry.paper}. {entry.link}", "", table]


def about_model(path, trusted):
    """What was fitted on what, and how its threshold was set."""
    from skweiper.cli.detectors import name_of

    saved = load_model(path, trusted=trusted)
    detector = saved.detector
    results = {
        "model": path,
        "detector": name_of(detector),
        **saved.about,
        "n_features": plain(getattr(detector, "n_features_in_", None)),
        "threshold": plain(getattr(detector, "offset_", None)),
        "has_p_values": hasattr(detector, "conformal_scores_"),
    }
    lines = [f"{name}: {_worded(value)}" for name, value in results.items()]
    return results, [*lines, "", *_uses_of_model(path, results)]


def _worded(value):
    if isinstance(value, dict):
        return ", ".join(f"{name}={_worded(each)}" for name, each in value.items())
    return "none" if value is None else str(value)


def _uses_of_model(path, results):
    width = results["n_features"]
    lines = [
        f"Score features of {width} columns: skweiper score {path} FEATURES -o scores.parquet",
        f"Decide on them: skweiper predict {path} FEATURES -o decisions.parquet",
    ]
    if not results["has_p_values"]:
        lines.append(f"Set its threshold and p-values: skweiper calibrate {path} HELD_OUT")
    return lines


def about_file(subject, reading):
    """Arrays or columns of a file with shapes, dtypes and ranges, and what they can be used as."""
    from skweiper.io import describe
    from skweiper.io.choosing import described_arrays

    path, key = split_key(subject)
    described = describe(path, shape=reading.numbers(), dtype=reading.dtype, format=reading.format)
    contents = [each for each in described.contents if key in (None, each.name)]
    if not contents:
        raise ValueError(
            f"{path} has no array or columns {key!r}, got {described_arrays(described.contents)}. "
            "Name one of these after ::, or none."
        )
    rows = [
        each._asdict() | range_of(named(path, each, described.format), each.role, reading)
        for each in contents
    ]
    table = pd.DataFrame(rows).astype({"sampled_rows": "Int64", "not_finite": "Int64"})
    results = {
        "path": subject,
        "format": described.format,
        "n_files": described.n_files,
        "note": described.note or None,
        "contents": records(table),
    }
    parts = f", {described.n_files} files" if described.n_files > 1 else ""
    note = [described.note] if described.note else []
    return results, [f"{subject}: {described.format}{parts}", table, *note, "", *_uses(path, rows)]


def named(path, content, format):
    """The path of one array of a file; of a table, whose columns belong together, its own."""
    return path if format in TABLES or not content.name else f"{path}::{content.name}"


def range_of(path, role, reading):
    """Lowest and highest of a sample of values, and how many of them are not finite."""
    if role not in ("features", "weight"):
        return dict.fromkeys(("lowest", "highest", "not_finite", "sampled_rows"))
    dump = reading.features(path)
    firsts = sampled_rows(len(dump), N_BLOCKS, BLOCK_ROWS)
    values = np.concatenate([dump[first : first + BLOCK_ROWS] for first in firsts])
    finite = values[np.isfinite(values)]
    return {
        "lowest": float(finite.min()) if finite.size else None,
        "highest": float(finite.max()) if finite.size else None,
        "not_finite": int(values.size - finite.size),
        "sampled_rows": len(values),
    }


def _uses(path, rows):
    """What each array of a file can be used as."""
    several = sum(row["role"] == "features" for row in rows) > 1
    lines = []
    for row in rows:
        if row["role"] == "weight":
            n_classes, n_features = row["shape"]
            lines.append(f"Head of {n_classes} classes on {n_features} features: --head {path}")
        elif row["role"] == "labels":
            lines.append(f"Class of each row: --y {path}")
        elif row["role"] == "features":
            place = f"{path}::{row['name']}" if several else path
            lines.append(f"Features: skweiper fit {place} --head HEAD -o model.skops")
    return lines or ["Nothing in it looks like features, a head or labels."]
