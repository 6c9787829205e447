"""Scores of ID samples and of several OOD datasets, checked."""

from skweiper._support.score_vectors import finite_vector


def checked_sets(scores_id, scores_ood):
    """Scores of ID samples and of OOD datasets by name, as finite float64 vectors.

    Parameters
    ----------
    scores_id : array-like of shape (n_id,)
    scores_ood : dict of str to array-like of shape (n_ood,)

    Returns
    -------
    scores_id : ndarray of shape (n_id,)
    scores_ood : dict of str to ndarray of shape (n_ood,)

    Raises
    ------
    ValueError
        No dataset, or scores that are empty, not finite or not one-dimensional.
    """
    check_named(scores_ood, "scores_ood")
    ood = {
        name: finite_vector(scores, f"scores_ood[{name!r}]") for name, scores in scores_ood.items()
    }
    return finite_vector(scores_id, "scores_id"), ood


def check_named(ood, ood_name):
    """Refuse what is no dict of datasets by name, or an empty one.

    Raises
    ------
    ValueError
    """
    if not is_dict(ood) or not ood:
        got = "an empty one" if is_dict(ood) else type(ood).__name__
        raise ValueError(
            f"{ood_name} must be a dict of at least one dataset by its name, got {got}. "
            "Pass {'name': data}."
        )


def is_dict(sets):
    """Whether sets are passed by name; pandas' objects have `items` as well."""
    return hasattr(sets, "items") and not hasattr(sets, "iloc")
