"""Synthetic outliers are what their names say."""

import numpy as np
import pandas as pd
import pytest

from skweiper.datasets import load_clinc150
from skweiper.model_selection import (
    WeiPerDetectorCV,
    synthetic_outliers,
    train_validation_split_for_ood,
)
from skweiper.model_selection.synthetic import SYNTHETIC_METHODS


@pytest.fixture(scope="module")
def data():
    return load_clinc150()


@pytest.mark.parametrize("method", list(SYNTHETIC_METHODS))
def test_shape_seed_and_sign(data, method):
    X = data.validation[:50]

    def make(seed):
        return synthetic_outliers(X, method=method, n_samples=70, random_state=seed)

    assert make(0).shape == (70, 256)
    assert np.array_equal(make(0), make(0))
    assert not np.array_equal(make(0), make(1))
    assert make(0).min() >= 0
    assert np.isfinite(make(0)).all()


@pytest.mark.parametrize("method", list(SYNTHETIC_METHODS))
def test_frames_keep_their_columns_into_the_search(data, method):
    names = [f"f{i}" for i in range(256)]
    train, held_out = (pd.DataFrame(X[:50], columns=names) for X in (data.train, data.validation))
    made = synthetic_outliers(held_out, method=method, random_state=0)
    plain = synthetic_outliers(data.validation[:50], method=method, random_state=0)
    assert np.array_equal(made.to_numpy(), plain)
    X, _, _ = train_validation_split_for_ood(train, held_out, made)
    assert X.columns.tolist() == names


def test_mixtures_are_of_two_classes():
    X = np.repeat(np.eye(3), 10, axis=0)
    mixed = synthetic_outliers(X, np.eye(3), method="mixture", n_samples=200, random_state=0)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert (np.count_nonzero(mixed, axis=1) == 2).all()
    assert mixed.max() <= 0.7 + 1e-6


def test_mixtures_need_two_classes():
    with pytest.raises(ValueError, match="two predicted classes"):
        synthetic_outliers(np.ones((4, 2)), np.array([[1.0, 1], [0, 0]]), method="mixture")


def test_permutation_keeps_marginals_and_breaks_dependence():
    first = np.random.RandomState(0).standard_normal(2000)
    made = synthetic_outliers(
        np.stack([first, first], axis=1), method="permutation", random_state=0
    )
    assert set(made[:, 0]) <= set(first.astype(np.float32))
    assert abs(np.corrcoef(made.T)[0, 1]) < 0.1


def test_scaling_keeps_directions():
    X = np.array([[3.0, 4.0]])
    made = synthetic_outliers(X, method="scaling", n_samples=100, random_state=0)
    norms = np.linalg.norm(made, axis=1)
    np.testing.assert_allclose(made / norms[:, None], np.repeat(X / 5, 100, axis=0), atol=1e-6)
    assert norms.min() >= 1.5 - 1e-6
    assert norms.max() <= 4.5 + 1e-6


def test_noise_has_each_features_spread():
    X = np.random.RandomState(0).standard_normal((4000, 2)) * [1, 10]
    made = synthetic_outliers(X, method="noise", random_state=0)
    np.testing.assert_allclose(made.std(axis=0), np.sqrt(2) * X.std(axis=0), rtol=0.1)


def test_usable_in_the_search(data):
    made = synthetic_outliers(data.validation[:40], data.weight, data.bias, random_state=0)
    X, y, cv = train_validation_split_for_ood(data.train[::40], data.validation[:40], made)
    grid = {"lambda_1": [0.1, 2.5], "n_repeats": [3]}
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid=grid, cv=cv, random_state=0)
    assert search.fit(X, y).best_score_ > 0.5


@pytest.mark.parametrize("n_samples", [2, 10, 13])
def test_all_has_equal_shares_of_every_kind(data, n_samples):
    X = data.validation[:40]
    made = synthetic_outliers(X, data.weight, n_samples=n_samples, random_state=3)
    generator, rows = np.random.RandomState(3), 0
    for i, method in enumerate(["mixture", "permutation", "noise", "scaling"]):
        size = n_samples // 4 + (i < n_samples % 4)
        if size:
            part = synthetic_outliers(
                X, data.weight, method=method, n_samples=size, random_state=generator
            )
            assert np.array_equal(made[rows : rows + size], part)
        rows += size
    assert rows == len(made) == n_samples


def test_unknown_method_is_named(data):
    with pytest.raises(ValueError, match="method"):
        synthetic_outliers(data.validation, method="other")
