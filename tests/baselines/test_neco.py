"""NECO against the authors' code in scikit-learn's own pieces, and its edges."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skweiper.baselines import NECODetector
from skweiper.datasets import load_clinc150


@pytest.fixture(scope="module")
def problem():
    """Correlated features of four classes, a head, and other rows."""
    rng = np.random.RandomState(0)
    mixing = rng.randn(8, 8) * np.geomspace(3, 0.2, 8)[:, None]
    X = (4 * np.eye(4, 8))[np.arange(150) % 4] + rng.randn(150, 8) @ mixing
    return X + 2, rng.randn(4, 8), 9 + rng.randn(4), 5 * rng.randn(40, 8)


def published(train, rows, n_components, standardize=True):
    """Share of each row's length in the principal subspace, row by row."""
    if standardize:
        scaler = StandardScaler().fit(train)
        train, rows = scaler.transform(train), scaler.transform(rows)
    pca = PCA(train.shape[1], svd_solver="full").fit(train)
    reduced = pca.transform(rows)[:, :n_components]
    return np.array(
        [
            np.linalg.norm(part) / np.linalg.norm(row)
            for part, row in zip(reduced, rows, strict=True)
        ]
    )


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("n_components", [1, 3, 8])
def test_it_is_the_published_score(n_components, standardize, problem):
    X, weight, bias, rows = problem
    options = {"n_components": n_components, "standardize": standardize}
    share = published(X, rows, n_components, standardize)
    detector = NECODetector(weight, bias, **options).fit(X)
    expected = share * (rows @ weight.T + bias).max(axis=1)
    np.testing.assert_allclose(detector.score_samples(rows), expected, rtol=1e-9)
    detector = NECODetector(weight, bias, scale_by_max_logit=False, **options).fit(X)
    np.testing.assert_allclose(detector.score_samples(rows), share, rtol=1e-9)


def test_it_is_the_published_score_on_real_features():
    data = load_clinc150()
    train, rows = data.train[::5].astype(np.float64), data.test_oos[::10].astype(np.float64)
    detector = NECODetector(data.weight, data.bias).fit(data.train[::5])
    pca = PCA(0.9, svd_solver="full").fit(StandardScaler().fit_transform(train))
    assert detector.n_components_ == pca.n_components_
    expected = published(train, rows, pca.n_components_)
    expected *= (rows @ data.weight.T.astype(np.float64) + data.bias).max(axis=1)
    np.testing.assert_allclose(detector.score_samples(data.test_oos[::10]), expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99999999])
def test_a_share_of_the_variance_is_the_dimension_that_a_pca_takes(share, problem):
    X, weight, bias, rows = problem
    by_share = NECODetector(weight, bias, n_components=share).fit(X)
    pca = PCA(share, svd_solver="full").fit(StandardScaler().fit_transform(X))
    assert by_share.n_components_ == pca.n_components_
    by_number = NECODetector(weight, bias, n_components=pca.n_components_).fit(X)
    np.testing.assert_array_equal(by_share.score_samples(rows), by_number.score_samples(rows))


def test_standardised_scores_do_not_depend_on_the_units(problem):
    X, weight, bias, rows = problem
    units = np.geomspace(1e-3, 1e3, 8)
    scores = NECODetector(weight, bias).fit(X).score_samples(rows)
    other = NECODetector(weight / units, bias).fit(X * units).score_samples(rows * units)
    np.testing.assert_allclose(other, scores, rtol=1e-9)


def test_what_lies_across_the_training_rows_has_no_share(problem):
    X = problem[0].copy()
    X[:, 5:] = [1.0, -2.0, 3.0]
    detector = NECODetector(scale_by_max_logit=False, n_components=0.999).fit(X)
    np.testing.assert_array_equal(detector.scale_[5:], 1)
    np.testing.assert_allclose(detector.score_samples(X), 1, rtol=1e-2)
    across = detector.mean_ + 10 * np.eye(8)[6:7]
    np.testing.assert_allclose(detector.score_samples(across), 0, atol=1e-12)


@pytest.mark.parametrize("standardize", [True, False])
def test_a_row_of_length_zero_has_no_share(standardize, problem):
    detector = NECODetector(scale_by_max_logit=False, standardize=standardize).fit(problem[0])
    origin = detector.mean_ if standardize else np.zeros(8)
    assert detector.score_samples(origin[None]) == 0


def test_more_components_than_features_are_refused(problem):
    with pytest.raises(ValueError, match=r"at most n_features=8, or a share .* got 9"):
        NECODetector(n_components=9).fit(problem[0])


@pytest.mark.parametrize("n_components", [0, 1.5, 0.0, 1.0, "all"])
def test_other_values_are_refused(n_components, problem):
    with pytest.raises(ValueError, match="'n_components' parameter"):
        NECODetector(n_components=n_components).fit(problem[0])


def test_more_components_than_the_rows_span_are_refused(problem):
    X = problem[0]
    with pytest.raises(ValueError, match=r"n_samples=4\) span 3 dimensions, fewer than .*=4"):
        NECODetector(n_components=4).fit(X[:4])
    assert np.isfinite(NECODetector(n_components=4).fit(X[:5]).score_samples(X)).all()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("n_components", [0.9, 1])
def test_rows_that_do_not_differ_are_refused(n_components, standardize, problem):
    X = np.tile(problem[0][:1], (5, 1))
    with pytest.raises(ValueError, match="span 0 dimensions"):
        NECODetector(n_components=n_components, standardize=standardize).fit(X)


def test_logits_that_turn_the_order_round_are_said(problem):
    X, weight, bias, _ = problem
    with pytest.warns(UserWarning, match="100% of the training rows is not positive") as caught:
        NECODetector(weight, bias - 100).fit(X)
    assert caught[0].filename == __file__
    NECODetector(weight, bias - 100, scale_by_max_logit=False).fit(X)


def test_chunks_and_known_outliers_do_not_matter(problem):
    X, weight, bias, rows = problem
    spoiled, y = np.vstack([X, np.full((9, 8), 1e4)]), np.repeat([1, -1], [150, 9])
    whole = NECODetector(weight, bias).fit(X)
    without = NECODetector(weight, bias).fit(spoiled, y)
    np.testing.assert_array_equal(without.score_samples(rows), whole.score_samples(rows))
    with config_context(working_memory=0.02):
        chunked = NECODetector(weight, bias).fit(X)
    np.testing.assert_allclose(chunked.score_samples(rows), whole.score_samples(rows), rtol=1e-10)
