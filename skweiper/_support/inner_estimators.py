"""What estimators inside of others need: labels, and seeds."""

from sklearn.base import BaseEstimator, MetaEstimatorMixin


def needs_labels(estimator):
    """Whether an estimator, or the last one inside of pipelines and searches, needs y to fit.

    scikit-learn's own tags of a pipeline do not tell.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    bool
    """
    if hasattr(estimator, "steps"):
        return needs_labels(estimator.steps[-1][1])
    inner = getattr(estimator, "estimator", None)
    if isinstance(inner, BaseEstimator) and isinstance(estimator, MetaEstimatorMixin):
        return needs_labels(inner)
    has_tags = hasattr(estimator, "__sklearn_tags__")
    return has_tags and estimator.__sklearn_tags__().target_tags.required


def seeds_of(estimator):
    """The parameters that take a seed, those of estimators inside among them.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    dict of str to object
        Their values by name, in alphabetical order.
    """
    parameters = estimator.get_params(deep=True)
    names = [name for name in sorted(parameters) if name.rpartition("__")[2] == "random_state"]
    return {name: parameters[name] for name in names}
