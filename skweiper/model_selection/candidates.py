"""Candidates of a parameter grid, grouped by what has to be measured once for all of them."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

PASS_PARAMETERS = ("delta", "n_repeats", "projection", "random_state")
"""Each distinct combination of these takes a pass over the data of its own."""
DOWNSTREAM_PARAMETERS = (
    "method",
    "n_bins",
    "smoothing",
    "smoothing_perturbed",
    "epsilon",
    "epsilon_perturbed",
    "lambda_1",
    "lambda_2",
)
"""All values of these are computed from one pass."""


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
        trial.set_params(**complete[-1])._validate_params()
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
    is_kld: np.ndarray = field(init=False)

    def __post_init__(self):
        self.is_kld = np.array([uses_kld(params) for params in self.candidates])
        kld = [params for params in self.candidates if uses_kld(params)]
        _, self.n_bins = _numbers([params["n_bins"] for params in kld])
        self.feature_index, self.feature_terms = _numbers(
            [(p["n_bins"], p["smoothing"], p["epsilon"]) for p in kld]
        )
        self.logit_index, self.logit_terms = _numbers(
            [(p["n_bins"], p["smoothing_perturbed"], p["epsilon_perturbed"]) for p in kld]
        )
        self.score_index, self.scores = _numbers(
            ["msp" if uses_kld(params) else params["method"] for params in self.candidates]
        )

    @property
    def pass_parameters(self):
        """The parameters of the perturbation that the candidates share."""
        return {name: self.candidates[0][name] for name in PASS_PARAMETERS}

    @property
    def n_terms(self):
        """Numbers per sample from which all candidates' scores follow."""
        return len(self.feature_terms) + len(self.logit_terms) + len(self.scores)

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
        keys = [_term_keys(params) for params in self.candidates]
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
        n_features, n_logits = len(self.feature_terms), len(self.logit_terms)
        scores = terms[n_features + n_logits :][self.score_index[chosen]]
        is_kld = self.is_kld[chosen]
        if not is_kld.any():
            return scores
        before = int(np.count_nonzero(self.is_kld[: chosen.start]))
        kld = slice(before, before + int(np.count_nonzero(is_kld)))
        params = [p for p in self.candidates[chosen] if uses_kld(p)]
        lambda_1 = np.array([[p["lambda_1"]] for p in params])
        lambda_2 = np.array([[p["lambda_2"]] for p in params])
        feature = terms[:n_features][self.feature_index[kld]]
        logit = terms[n_features : n_features + n_logits][self.logit_index[kld]]
        scores[is_kld] = -(feature + lambda_1 * logit - lambda_2 * scores[is_kld])
        return scores

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
        n_features, n_logits = len(self.feature_terms), len(self.logit_terms)
        if name == "msp":
            return terms[n_features + n_logits + self.score_index[position]]
        of_kld = int(np.count_nonzero(self.is_kld[:position]))
        if name == "feature_divergence":
            return -terms[self.feature_index[of_kld]]
        return -terms[n_features + self.logit_index[of_kld]]


def _term_keys(params):
    """What names the terms of a candidate's score."""
    if not uses_kld(params):
        return (("score", params["method"]),)
    names = (
        ("n_bins", "smoothing", "epsilon"),
        ("n_bins", "smoothing_perturbed", "epsilon_perturbed"),
    )
    keys = [(space, *(params[name] for name in of)) for space, of in zip("fl", names, strict=True)]
    return *keys, ("score", "msp")


def uses_kld(params):
    """Whether a candidate's method is WeiPer+KLD."""
    return isinstance(params["method"], str) and params["method"] == "kld"


def _pass_key(params):
    """Equal seeds share a pass; None and generators are the same only as the same object."""
    seed = params["random_state"]
    is_number = isinstance(seed, (int, np.integer))
    seed_key = ("seed", int(seed)) if is_number else ("object", id(seed))
    return (params["delta"], params["n_repeats"], params["projection"], seed_key)


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
