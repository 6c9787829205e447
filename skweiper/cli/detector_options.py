"""Commands whose options are the hyperparameters of a detector, made when they are asked for."""

from functools import cache
from inspect import Parameter
from typing import Annotated, Any, NamedTuple

import typer
from rich.markup import escape
from typer.core import TyperCommand

from skweiper.cli.expanding import with_signature

__all__ = ["DetectorCommand", "DetectorOptions", "SweepCommand"]

PREFIX = "hyperparameter_"
"""Keeps hyperparameters apart from what else a command calls so."""
WEIPER = "weiper"


class DetectorOptions(NamedTuple):
    """What was asked for; `ctx.obj` of the command.

    Attributes
    ----------
    entry : DetectorEntry
    values : dict of str to object
        Hyperparameters, where given or in the preset.
    """

    entry: Any
    values: dict[str, Any]


class DetectorCommand(TyperCommand):
    """A command with --detector, --preset and the hyperparameters of the detector named."""

    def parse_args(self, ctx, args):
        ctx.meta[PREFIX] = entry = self._entry(ctx, args)
        if not ctx.resilient_parsing:  # as in shell completion
            refuse_options_of_others(ctx, entry, args)
        return super().parse_args(ctx, args)

    def _entry(self, ctx, args):
        from skweiper.cli.detectors import entry_named

        return entry_named(last_value("--detector", args) or WEIPER)

    def get_params(self, ctx):
        return [*super().get_params(ctx), *self._generated(ctx.meta[PREFIX].name)]

    def _generated(self, name):
        return options_of_detector(name)

    def invoke(self, ctx):
        chosen = ctx.meta[PREFIX]
        ctx.params.pop("detector", None)
        names = [name for name in ctx.params if name.startswith(PREFIX)]
        given = {name.removeprefix(PREFIX): ctx.params.pop(name) for name in names}
        values = self._preset(ctx.params.pop("preset"), chosen)
        values |= {name: unwrapped(value) for name, value in given.items() if value}
        ctx.obj = DetectorOptions(chosen, values)
        return super().invoke(ctx)

    def _preset(self, name, entry):
        return {} if name is None else preset_named(name, entry)


class SweepCommand(DetectorCommand):
    """A command with the hyperparameters that a sweep varies, several values of each."""

    def _entry(self, ctx, args):
        from skweiper.cli.detectors import entry_named

        return entry_named(WEIPER)

    def _generated(self, name):
        return options_of_sweep()

    def _preset(self, name, entry):
        return {key: [value] for key, value in super()._preset(name, entry).items()}


class Given(NamedTuple):
    """A value from the command line, which may be None."""

    value: Any


def unwrapped(value):
    """A value that was given; of an option that may be repeated, all of them."""
    return value.value if isinstance(value, Given) else list(value)


def last_value(option, args):
    """The value of an option among arguments, before they are parsed; None where it is not."""
    value = None
    for argument, following in zip(args, [*args[1:], None], strict=True):
        if argument == option:
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
    return value


def refuse_options_of_others(ctx, entry, args):
    """Say what a detector has where an option of another detector is given."""
    from skweiper.cli.detectors import lacking
    from skweiper.cli.hyperparameters import hyperparameters_of
    from skweiper.registry import all_detectors

    own = {parameter.option for parameter in hyperparameters_of(entry.estimator).values()}
    others = {
        parameter.option
        for other in all_detectors()
        for parameter in hyperparameters_of(other.estimator).values()
    }
    given = [argument.partition("=")[0] for argument in args]
    strange = [option for option in dict.fromkeys(given) if option in others - own]
    if strange:
        raise typer.BadParameter(lacking(entry, strange), ctx=ctx, param_hint="--detector")


def preset_named(name, entry):
    """The published settings of a name, for the detector that they are for."""
    from skweiper.presets import PRESETS

    if entry.name != WEIPER:
        raise typer.BadParameter(
            f"presets are for {WEIPER}, not for {entry.name}.", param_hint="--preset"
        )
    if name not in PRESETS:
        raise typer.BadParameter(
            f"no preset is called {name!r}. Choose one of {', '.join(PRESETS)}.",
            param_hint="--preset",
        )
    return dict(PRESETS[name])


@cache
def options_of_detector(name):
    """--detector, --preset, and an option for each hyperparameter of a detector."""
    from skweiper.cli.detectors import entry_named
    from skweiper.cli.hyperparameters import hyperparameters_of

    parameters = hyperparameters_of(entry_named(name).estimator).values()
    panel = f"Hyperparameters of {name} (--detector NAME --help shows those of another)"
    made = {PREFIX + each.name: hyperparameter_option(each, panel) for each in parameters}
    return click_options({"detector": detector_option(), "preset": preset_option(), **made})


@cache
def options_of_sweep():
    """--preset, and an option for each hyperparameter that a sweep varies."""
    from skweiper.cli.detectors import entry_named
    from skweiper.cli.hyperparameters import hyperparameters_of
    from skweiper.model_selection.candidates import DOWNSTREAM_PARAMETERS, PASS_PARAMETERS

    parameters = hyperparameters_of(entry_named(WEIPER).estimator)
    names = [name for name in parameters if name in PASS_PARAMETERS + DOWNSTREAM_PARAMETERS]
    panel = "Hyperparameters, values to try separated by commas"
    made = {PREFIX + name: grid_option(parameters[name], panel) for name in names}
    return click_options({"preset": preset_option(), **made})


def detector_option():
    from skweiper.registry import CLASSES

    return str | None, typer.Option(
        "--detector",
        help=f"Which detector (skweiper info lists them). {shown_default(WEIPER)}",
        metavar="NAME",
        autocompletion=lambda: list(CLASSES),
    )


def preset_option():
    from skweiper.presets import PRESETS

    return str | None, typer.Option(
        "--preset",
        help=f"Published settings, which other options change: {', '.join(PRESETS)}.",
        metavar="NAME",
        autocompletion=lambda: list(PRESETS),
    )


def hyperparameter_option(parameter, panel):
    """The option for one value of a hyperparameter."""
    is_list = parameter.takes_detectors
    repeated = " Repeat for several, as NAME or NAME:PARAMETER=VALUE,..." if is_list else ""
    text = f"{escape(parameter.text)}{repeated} {shown_default(parameter.default_text)}"
    return (list[str] | None if is_list else str | None), typer.Option(
        parameter.option,
        help=text,
        metavar=parameter.form,
        parser=None if is_list else reader_of(parameter.value_of),
        autocompletion=lambda: list(parameter.choices),
        rich_help_panel=panel,
    )


def grid_option(parameter, panel):
    """The option for several values of a hyperparameter."""

    def values_of(text):
        return [parameter.value_of(part.strip()) for part in text.split(",")]

    return str | None, typer.Option(
        parameter.option,
        help=f"{escape(parameter.text)} {shown_default(parameter.default_text)}",
        metavar=f"{parameter.form},...",
        parser=reader_of(values_of),
        autocompletion=lambda: list(parameter.choices),
        rich_help_panel=panel,
    )


def shown_default(text):
    return escape(f"[default: {text}]")


def reader_of(value_of):
    """A parser for typer, whose None would mean that nothing was given."""

    def read(text):
        try:
            return Given(value_of(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return read


def click_options(declared):
    """Options as typer makes them from a function's signature.

    Parameters
    ----------
    declared : dict of str to (type, typer.Option)
        By the name of the parameter.

    Returns
    -------
    list of option, each None where it is not given
    """

    def declare(**values):
        """Holds the options, and is not called."""

    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
        for name, (kind, option) in declared.items()
    ]
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command()(with_signature(declare, parameters))
    return typer.main.get_command(app).params
