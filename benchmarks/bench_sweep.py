"""Time per candidate: WeiPerDetectorCV on the authors' grid against GridSearchCV.

GridSearchCV runs a part of the grid, as its time per candidate does not depend on their number.

    python benchmarks/bench_sweep.py [--grid-search-candidates 4] [--n-repeats 100]
"""

import argparse

import numpy as np
from dumps import AUTHORS_GRID
from reporting import timed
from sklearn.model_selection import GridSearchCV

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.model_selection import WeiPerDetectorCV, train_validation_split_for_ood


def timed_fit(search, X, y):
    """Seconds of a search in all and per candidate; it must not refit."""
    _, seconds = timed(lambda: search.fit(X, y))
    return seconds, seconds / len(search.cv_results_["params"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid-search-candidates", type=int, default=4)
    parser.add_argument("--n-repeats", type=int, default=100)
    arguments = parser.parse_args()
    data = load_clinc150()
    X, y, cv = train_validation_split_for_ood(data.train, data.validation, data.validation_oos)
    sweep = WeiPerDetectorCV(
        data.weight,
        data.bias,
        param_grid={**AUTHORS_GRID, "n_repeats": [arguments.n_repeats]},
        cv=cv,
        refit=False,
        random_state=0,
    )
    sweep_total, sweep_each = timed_fit(sweep, X, y)
    candidates = sweep.cv_results_["params"]
    chosen = np.linspace(0, len(candidates) - 1, arguments.grid_search_candidates).astype(int)
    part = [{name: [value] for name, value in candidates[i].items()} for i in chosen]
    detector = WeiPerDetector(data.weight, data.bias, random_state=0)
    slow = GridSearchCV(detector, part, cv=cv, scoring="roc_auc", refit=False)
    slow_total, slow_each = timed_fit(slow, X, y)
    same = sweep.cv_results_["mean_test_score"][chosen] - slow.cv_results_["mean_test_score"]
    print(f"WeiPerDetectorCV  {len(candidates):5d} candidates {sweep_total:8.2f} s", end="")
    print(f"  {1e3 * sweep_each:9.3f} ms each")
    print(f"GridSearchCV      {len(part):5d} candidates {slow_total:8.2f} s", end="")
    print(f"  {1e3 * slow_each:9.3f} ms each")
    print(f"ratio per candidate {slow_each / sweep_each:.0f}", end="")
    print(f", largest difference in AUROC {np.abs(same).max():.1e}")


if __name__ == "__main__":
    main()
