"""Options that belong together as one parameter of a command."""

from functools import wraps
from inspect import Parameter, Signature, signature
from typing import get_type_hints

__all__ = ["expanded"]


def expanded(function):
    """A command with an option for each field of those parameters that are named tuples.

    Parameters
    ----------
    function : callable
        A parameter annotated with a class derived from `typing.NamedTuple` gets an instance of it;
        the fields are annotated and have defaults as typer wants them.

    Returns
    -------
    callable
        With a flat signature, for `typer.Typer.command`.
    """
    groups, flat = {}, []
    for name, parameter in signature(function).parameters.items():
        if hasattr(parameter.annotation, "_fields"):
            groups[name] = parameter.annotation
            flat += _options(parameter.annotation)
        else:
            flat.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(function)
    def command(**values):
        for name, group in groups.items():
            values[name] = group(**{field: values.pop(field) for field in group._fields})
        return function(**values)

    return with_signature(command, flat)


def _options(group):
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field,
            Parameter.KEYWORD_ONLY,
            default=group._field_defaults[field],
            annotation=hints[field],
        )
        for field in group._fields
    ]


def with_signature(function, parameters):
    """A function as if it had been written with these parameters.

    Parameters
    ----------
    function : callable
        Changed in place.
    parameters : list of inspect.Parameter

    Returns
    -------
    callable
    """
    vars(function).pop("__wrapped__", None)
    function.__signature__ = Signature(parameters)
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    return function
