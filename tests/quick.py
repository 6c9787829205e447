"""Estimators less costly than at their defaults, for tests of all that lose nothing by it."""

QUICK = {"n_random_features": 64}


def quick(estimator):
    """The estimator, with less of what takes long."""
    names = estimator.get_params(deep=False)
    return estimator.set_params(**{name: value for name, value in QUICK.items() if name in names})
