"""A command whose options are the parameters of a StreamMonitor, made when they are asked for."""

from functools import cache

from typer.core import TyperCommand

from skweiper.cli.detector_options import (
    PREFIX,
    click_options,
    hyperparameter_option,
    unwrapped,
)

__all__ = ["MonitorCommand"]

PANEL = "How the stream is watched"


class MonitorCommand(TyperCommand):
    """A command with the parameters of `StreamMonitor`; `ctx.obj` holds those given, by name."""

    def get_params(self, ctx):
        return [*super().get_params(ctx), *options_of_monitor()]

    def invoke(self, ctx):
        names = [name for name in ctx.params if name.startswith(PREFIX)]
        given = {name.removeprefix(PREFIX): ctx.params.pop(name) for name in names}
        ctx.obj = {name: unwrapped(value) for name, value in given.items() if value}
        return super().invoke(ctx)


@cache
def options_of_monitor():
    """An option for each parameter of a monitor but its detector and its seed."""
    from skweiper.cli.hyperparameters import hyperparameters_of
    from skweiper.monitoring import StreamMonitor

    parameters = hyperparameters_of(StreamMonitor)
    parameters.pop("detector")
    made = {PREFIX + p.name: hyperparameter_option(p, PANEL) for p in parameters.values()}
    return click_options(made)
