"""The logit scores of `skweiper.scores` as parts of a graph; each reduces the last axis."""

from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import NamedTuple

from skweiper.scores import LOGIT_SCORES


class Logits(NamedTuple):
    """Logits in a graph.

    Attributes
    ----------
    values : str
        (..., n_classes).
    dtype : dtype
    n_classes : int
    """

    values: str
    dtype: type
    n_classes: int


class Softmax(NamedTuple):
    """A softmax in its parts, each with the last axis kept; the names of values.

    Attributes
    ----------
    exponentials : str
        exp(shifted), of which at least one is 1.
    total : str
        Their sum, (..., 1).
    shifted : str
        Logits less the largest.
    largest : str
        Largest logit, (..., 1).
    """

    exponentials: str
    total: str
    shifted: str
    largest: str


def softmax_parts(graph, logits):
    """The `Softmax` of logits by name."""
    largest = graph.reduced("ReduceMax", logits, keepdims=True)
    shifted = graph.node("Sub", logits, largest)
    exponentials = graph.node("Exp", shifted)
    total = graph.reduced("ReduceSum", exponentials, keepdims=True)
    return Softmax(exponentials, total, shifted, largest)


def softmax(graph, logits):
    """Softmax probabilities of logits by name."""
    parts = softmax_parts(graph, logits)
    return graph.node("Div", parts.exponentials, parts.total)


def without_last_axis(graph, values):
    """The last axis, of length one, left out."""
    return graph.node("Squeeze", values, graph.constant([-1]))


def msp(graph, logits):
    """As `skweiper.scores.msp`."""
    total = softmax_parts(graph, logits.values).total
    return graph.node("Reciprocal", without_last_axis(graph, total))


def max_logit(graph, logits):
    """As `skweiper.scores.max_logit`."""
    return graph.reduced("ReduceMax", logits.values)


def energy(graph, logits, temperature=1.0):
    """As `skweiper.scores.energy`."""
    scale = graph.constant(temperature, logits.dtype)
    parts = softmax_parts(graph, graph.node("Div", logits.values, scale))
    free = graph.node("Add", graph.node("Log", parts.total), parts.largest)
    return without_last_axis(graph, graph.node("Mul", free, scale))


def entropy(graph, logits):
    """As `skweiper.scores.entropy`."""
    parts = softmax_parts(graph, logits.values)
    weighted = graph.node("Mul", parts.exponentials, parts.shifted)
    mean = graph.node("Div", graph.reduced("ReduceSum", weighted, keepdims=True), parts.total)
    return without_last_axis(graph, graph.node("Sub", mean, graph.node("Log", parts.total)))


def gen(graph, logits, gamma=0.1, top_classes=100):
    """As `skweiper.scores.gen`."""
    zero, half, one = (graph.constant(value, logits.dtype) for value in (0.0, 0.5, 1.0))
    probabilities = softmax(graph, logits.values)
    others = graph.node("Where", graph.node("Greater", probabilities, half), zero, probabilities)
    rest = graph.reduced("ReduceSum", others, keepdims=True)
    if top_classes < logits.n_classes:
        probabilities = graph.largest(probabilities, top_classes)
    is_large = graph.node("Greater", probabilities, half)
    complements = graph.node("Where", is_large, rest, graph.node("Sub", one, probabilities))
    products = graph.node("Mul", probabilities, complements)
    powers = graph.node("Pow", products, graph.constant(gamma, logits.dtype))
    return graph.node("Neg", graph.reduced("ReduceSum", powers))


SCORES = MappingProxyType(
    {"msp": msp, "max_logit": max_logit, "energy": energy, "entropy": entropy, "gen": gen}
)
"""By name in `skweiper.scores.LOGIT_SCORES`."""


def logit_score(graph, logits, method):
    """A logit score in a graph, (...).

    Parameters
    ----------
    graph : Graph
    logits : Logits
    method : str or callable
        A name, a function of `skweiper.scores`, or a `functools.partial` of one.
    """
    name, options = name_and_options(method)
    return SCORES[name](graph, logits, **options)


def name_and_options(method):
    """The name of a logit score, and the options that a `functools.partial` sets.

    Raises
    ------
    TypeError
        A callable of another kind, of which nothing is known but how to call it.
    """
    if isinstance(method, str):
        return method, {}
    function, options = method, {}
    if isinstance(method, partial) and not method.args:
        function, options = method.func, dict(method.keywords)
    for name, score in LOGIT_SCORES.items():
        if function is score and options.keys() <= signature(score).parameters.keys() - {"logits"}:
            return name, options
    raise TypeError(
        f"The method {method!r} cannot be exported: expected one of {sorted(LOGIT_SCORES)}, its "
        "function in skweiper.scores, or a functools.partial of that with options by name. Other "
        "callables are known to Python alone."
    )
