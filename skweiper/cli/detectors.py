"""From names and values on the command line to detectors."""

from inspect import signature
from typing import Any

import typer
from sklearn.utils import Bunch

from skweiper._support.parameters import validate_params
from skweiper.cli.hyperparameters import hyperparameters_of
from skweiper.registry import all_detectors

__all__ = ["built", "detector_from_spec", "entry_named"]


def entry_named(name):
    """The entry of the registry with a name.

    Parameters
    ----------
    name : str

    Returns
    -------
    DetectorEntry
    """
    entries = {entry.name: entry for entry in all_detectors()}
    if name not in entries:
        raise typer.BadParameter(
            f"no detector is called {name!r}. Choose one of {', '.join(entries)}.",
            param_hint="--detector",
        )
    return entries[name]


def name_of(detector):
    """The registry's name of a detector, or that of its class."""
    names = {entry.estimator: entry.name for entry in all_detectors()}
    return names.get(type(detector), type(detector).__name__)


def built(entry, head, values, seed=None):
    """A detector, its hyperparameters checked.

    Parameters
    ----------
    entry : DetectorEntry
    head : tuple of (weight, bias)
        Both None without one; left out where the detector takes none.
    values : dict of str to object
        Hyperparameters by name; detectors inside another as specifications.
    seed : int, default=None

    Returns
    -------
    estimator
        Not yet fitted.
    """
    known = hyperparameters_of(entry.estimator)
    values = {
        name: [(spec, detector_from_spec(spec, head)) for spec in value]
        if known[name].takes_detectors and value is not None
        else value
        for name, value in values.items()
    }
    available = Bunch(weight=head[0], bias=head[1], random_state=seed)
    taken = signature(entry.estimator).parameters
    given = {name: value for name, value in available.items() if name in taken}
    detector = entry.estimator(**given, **values)
    try:
        validate_params(detector)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return detector


def detector_from_spec(spec, head=(None, None), seed=None) -> Any:
    """A detector from NAME or NAME:PARAMETER=VALUE,PARAMETER=VALUE.

    Parameters
    ----------
    spec : str
    head : tuple of (weight, bias)
    seed : int, default=None

    Returns
    -------
    estimator
        Not yet fitted.
    """
    name, _, settings = spec.partition(":")
    entry = entry_named(name)
    known, values = hyperparameters_of(entry.estimator), {}
    for setting in filter(None, settings.split(",")):
        key, _, text = setting.partition("=")
        parameter = known.get(key.strip().replace("-", "_"))
        if parameter is None:
            raise typer.BadParameter(lacking(entry, [key]), param_hint=spec)
        try:
            values[parameter.name] = parameter.value_of(text.strip())
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=spec) from error
    return built(entry, head, values, seed)


def lacking(entry, names):
    """What to say of parameters that a detector does not have."""
    own = ", ".join(each.option for each in hyperparameters_of(entry.estimator).values())
    return f"{entry.name} has no {', '.join(names)}. It has {own}."
