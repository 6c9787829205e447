"""
Grid search in a pipeline
=========================

Shapers and detectors are scikit-learn estimators: they stand in pipelines, and searches set the
parameters of all steps. Known outliers are labelled -1. They are scored in the test folds and
take no part in any fit, the final one included.
"""

import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc, auroc_scorer, fpr95_scorer
from skweiper.model_selection import train_validation_split_for_ood
from skweiper.plotting import SweepDisplay
from skweiper.shaping import ReAct

data = load_clinc150()

# %%
# One split: fit on the training rows, score the validation rows, known and unknown ones.
X, y, cv = train_validation_split_for_ood(data.train, data.validation, data.validation_oos)
pipeline = Pipeline(
    [
        ("react", ReAct()),
        ("weiper", WeiPerDetector(data.weight, data.bias, n_repeats=30, random_state=0)),
    ]
)
grid = {"react__percentile": [80, 90, 99], "weiper__method": ["msp", "entropy", "energy"]}
search = GridSearchCV(
    pipeline,
    grid,
    cv=cv,
    scoring={"auroc": auroc_scorer, "fpr95": fpr95_scorer},
    refit="auroc",
)
search.fit(X, y)
print(search.best_params_)

# %%
# The mean test scores of all combinations, FPR@95 negated as scikit-learn wants it:
results = pd.DataFrame(search.cv_results_)
columns = [name for name in results if name.startswith("param_")]
results[[*columns, "mean_test_auroc", "mean_test_fpr95"]].round(3)

# %%
# The same as a picture:
display = SweepDisplay.from_cv_results(
    search.cv_results_, "react__percentile", "weiper__method", metric="auroc"
)

# %%
# What was chosen by some out-of-distribution (OOD) rows is not measured by them. Other rows say
# how good it is:
scores = (search.best_estimator_.score_samples(rows) for rows in (data.test, data.test_oos))
print(f"AUROC on test rows: {auroc(*scores):.3f}")
