"""Candidates of a parameter grid, grouped by what has to be measured once for all of them."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from skweiper._support.parameters import validate_params
from skweiper._weiper.flips import is_auto
from skweiper._weiper.rules import KLDTerms, rule_of

PASS_PARAMETERS = ("delta", "flip_rate", "n_repeats", "projection", "random_state")
"""Each distinct combination of these takes a pass over the data of its own."""
DOWNSTREAM_PARAMETERS = (
    "method",
    "n_bins",
    "value_range",
    "smoothing",
    "smoothing_perturbed",
    "epsilon",
    "epsilon_perturbed",
    "lambda_1",
    "lambda_2",
)
"""All values of these are computed from one pass."""

TERM_KINDS = ("feature", "logit", "score")


def grid_candidates(param_grid, template):
    """The candidates of a grid, checked.

    Parameters
    ----------
    param_grid : dict or list of dict
        As `sklearn.model_selection.ParameterGrid` takes it.
    template : WeiPerDetector
        Supplies the parameters that the grid leaves open.

    Returns
    -------
    grid : list of dict
        The candidates as the grid names them, in `ParameterGrid`'s order.
    complete : list of dict
        The same with every parameter of the sweep filled in.

    Raises
    ------
    ValueError
        No candidate, a parameter that the sweep cannot vary, or a value out of range.
    """
    grid = list(ParameterGrid(param_grid))
    if not grid:
        raise ValueError("param_grid has no candidates, got an empty list. Pass [{}] for one.")
    allowed = PASS_PARAMETERS + DOWNSTREAM_PARAMETERS
    unknown = sorted({name for params in grid for name in params} - set(allowed))
    if unknown:
        raise ValueError(
            f"param_grid varies {unknown}, expected only names among {sorted(allowed)}. "
            "Pass other parameters to the constructor, or use GridSearchCV."
        )
    defaults = template.get_params(deep=False)
    trial = clone(template)
    complete = []
    for params in grid:
        complete.append({name: params.get(name, defaults[name]) for name in allowed})
        validate_params(trial.set_params(**complete[-1]))
    return grid, complete


def _numbers(values):
    """Positions of values in the order of their first appearance, as they are met."""
    seen = {}
    return [seen.setdefault(value, len(seen)) for value in values], list(seen)


@dataclass
class PassGroup:
    """Candidates that share one perturbation, and what to compute for them.

    Attributes
    ----------
    positions : ndarray of shape (n_candidates,), int
        Which candidates of the grid these are.
    candidates : list of dict
        Their complete parameters.
    """

    positions: np.ndarray
    candidates: list
    rules: list = field(init=False)

    def __post_init__(self):
        self.rules = [rule_of(params) for params in self.candidates]
        keys = dict.fromkeys(key for rule in self.rules for key in rule.term_keys)
        self.feature_terms, self.logit_terms, scores = (
            [tuple(rest) for kind, *rest in keys if kind == wanted] for wanted in TERM_KINDS
        )
        self.scores = [score for (score,) in scores]
        self.binnings = list(dict.fromkeys(binning for binning, *_ in self.feature_terms))
        self.places = {
            (kind, *term): place
            for place, (kind, term) in enumerate(
                [("feature", term) for term in self.feature_terms]
                + [("logit", term) for term in self.logit_terms]
                + [("score", score) for score in scores]
            )
        }

    @property
    def pass_parameters(self):
        """The parameters of the perturbation that the candidates share."""
        return {name: self.candidates[0][name] for name in PASS_PARAMETERS}

    @property
    def n_terms(self):
        """Numbers per sample from which all candidates' scores follow."""
        return len(self.places)

    def within(self, most_terms):
        """The group in parts of at most `most_terms` terms each, and of at least one candidate.

        Each part takes passes of its own.

        Parameters
        ----------
        most_terms : int

        Returns
        -------
        list of PassGroup
        """
        if self.n_terms <= most_terms:
            return [self]
        keys = [rule.term_keys for rule in self.rules]
        ranks, _ = _numbers(keys)
        parts, held = [], set()
        for i in np.argsort(ranks, kind="stable"):
            more = held | set(keys[i])
            if not parts or len(more) > most_terms:
                parts.append([])
                more = set(keys[i])
            parts[-1].append(i)
            held = more
        return [
            PassGroup(self.positions[part], [self.candidates[i] for i in part]) for part in parts
        ]

    def candidate_scores(self, terms, chosen):
        """Scores of some of the candidates, by the formula of `WeiPerDetector`.

        Parameters
        ----------
        terms : ndarray of shape (n_terms, n_samples)
            Feature divergences, logit divergences and mean logit scores, in this order.
        chosen : slice
            Which of the candidates.

        Returns
        -------
        ndarray of shape (n_chosen, n_samples), higher = more in-distribution
        """
        return np.stack([rule.combine(*self._terms_of(rule, terms)) for rule in self.rules[chosen]])

    def _terms_of(self, rule, terms):
        return [terms[self.places[key]] for key in rule.term_keys]

    def term(self, terms, position, name):
        """One term of a "kld" candidate's score alone, higher = more in-distribution.

        Parameters
        ----------
        terms : ndarray of shape (n_terms, n_samples)
            As for `candidate_scores`.
        position : int
            Which of the candidates.
        name : {"feature_divergence", "logit_divergence", "msp"}

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        values = KLDTerms(*self._terms_of(self.rules[position], terms))
        return values.msp if name == "msp" else -getattr(values, name)


def _pass_key(params):
    """Equal seeds share a pass; None and generators are the same only as the same object."""
    seed = params["random_state"]
    is_number = isinstance(seed, (int, np.integer))
    seed_key = ("seed", int(seed)) if is_number else ("object", id(seed))
    # A flip rate says nothing where delta is a number.
    length = ("auto", params["flip_rate"]) if is_auto(params["delta"]) else params["delta"]
    return (length, params["n_repeats"], params["projection"], seed_key)


def pass_groups(candidates):
    """Candidates grouped by their perturbation.

    Parameters
    ----------
    candidates : list of dict
        Complete parameters.

    Returns
    -------
    list of PassGroup
    """
    members = {}
    for position, params in enumerate(candidates):
        members.setdefault(_pass_key(params), []).append(position)
    return [
        PassGroup(np.array(positions), [candidates[position] for position in positions])
        for positions in members.values()
    ]
