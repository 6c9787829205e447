"""The hyperparameters of a detector, from its signature and its docstring, and their values from
text."""

import re
from collections.abc import Sequence
from inspect import Parameter, getdoc, signature
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

__all__ = ["Hyperparameter", "hyperparameters_of"]

NOT_OPTIONS = ("weight", "bias", "random_state", "verbose")
"""What comes from a file (--head), has a name of its own (--seed), or is a bar on a terminal."""

NAMES_OF_TYPES = {int: "INTEGER", float: "NUMBER", NoneType: "none"}
TRUTHS = {"true": True, "false": False}
PARAMETERS = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-{3,}$|\Z)", re.DOTALL | re.MULTILINE)
ONE_PARAMETER = re.compile(r"^(\w+)(?: *: *([^\n]*))?\n((?:[ ]+[^\n]*\n?|\n)*)", re.MULTILINE)


class Hyperparameter(NamedTuple):
    """A parameter of a detector as an option.

    Attributes
    ----------
    name : str
    kinds : list of type
        Types that a value may have, choices as `typing.Literal`.
    default : object
        The library's.
    text : str
        What its docstring says, on one line.
    """

    name: str
    kinds: list[Any]
    default: Any
    text: str

    @property
    def option(self) -> str:
        """How the command line calls it."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> dict[str, Any]:
        """The values that are named, by their names."""
        named = {
            str(value): value
            for kind in self.kinds
            if get_origin(kind) is Literal
            for value in get_args(kind)
        }
        return named | (TRUTHS if bool in self.kinds else {})

    @property
    def takes_detectors(self) -> bool:
        """Whether the value is a list of detectors."""
        return any(get_origin(kind) is Sequence for kind in self.kinds)

    @property
    def form(self) -> str:
        """What a value looks like, such as "auto|NUMBER" or "NUMBER:NUMBER"."""
        if self.takes_detectors:
            return "DETECTOR"
        others = [name for kind, name in NAMES_OF_TYPES.items() if kind in self.kinds]
        several = [":".join(NAMES_OF_TYPES[of] for of in parts) for parts in self.tuples]
        return "|".join([*self.choices, *others, *several])

    @property
    def tuples(self) -> list[tuple[Any, ...]]:
        """The types of the parts, of each kind that is a tuple."""
        return [get_args(kind) for kind in self.kinds if get_origin(kind) is tuple]

    @property
    def default_text(self) -> str:
        """The default as it would be typed."""
        if isinstance(self.default, tuple):
            return ":".join(map(str, self.default))
        is_word = self.default is None or isinstance(self.default, bool)
        return str(self.default).lower() if is_word else str(self.default)

    def value_of(self, text: str) -> Any:
        """The value that a text stands for.

        Parameters
        ----------
        text : str

        Returns
        -------
        object

        Raises
        ------
        ValueError
            No value of this parameter.
        """
        if text in self.choices:
            return self.choices[text]
        if NoneType in self.kinds and text.lower() == "none":
            return None
        numbers = [(kind,) for kind in (int, float) if kind in self.kinds]
        for kinds in [*numbers, *self.tuples]:
            try:
                values = [kind(t) for kind, t in zip(kinds, text.split(":"), strict=True)]
            except ValueError:
                continue
            return tuple(values) if kinds in self.tuples else values[0]
        raise ValueError(f"{self.option} must be {self.form}, got {text!r}.")


def hyperparameters_of(estimator: type) -> dict[str, Hyperparameter]:
    """The hyperparameters of a detector that the command line can set.

    Parameters
    ----------
    estimator : type
        A detector's class.

    Returns
    -------
    dict of str to Hyperparameter, in the order of its signature
    """
    texts = documented(estimator)
    return {
        name: Hyperparameter(
            name, members_of(parameter.annotation), parameter.default, texts.get(name, "")
        )
        for name, parameter in signature(estimator, eval_str=True).parameters.items()
        if name not in NOT_OPTIONS and parameter.kind is not Parameter.VAR_KEYWORD
    }


def members_of(annotation):
    """The types that a union is made of."""
    if get_origin(annotation) in (Union, UnionType):
        return [member for part in get_args(annotation) for member in members_of(part)]
    return [annotation]


def documented(estimator):
    """What a numpydoc docstring says of each parameter, on one line.

    Parameters
    ----------
    estimator : type

    Returns
    -------
    dict of str to str
        Empty where docstrings are stripped (python -OO).
    """
    section = PARAMETERS.search(getdoc(estimator) or "")
    if section is None:
        return {}
    return {
        name: " ".join(text.split()) for name, _, text in ONE_PARAMETER.findall(section[1] + "\n")
    }
