"""Kernel PCA against its authors' steps, written slowly, against scikit-learn, and at its edges."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA, KernelPCA
from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from sklearn.preprocessing import normalize

from skweiper.baselines import KernelPCADetector

KERNELS = ("cosine", "cosine_gaussian")


@pytest.fixture(scope="module")
def problem():
    """Rectified features on a few directions with noise, more rows than features."""
    rng = np.random.RandomState(0)
    low = np.maximum(rng.randn(260, 4), 0)
    X = np.maximum(low @ rng.randn(4, 12) + 0.3 * rng.randn(260, 12), 0) + 0.01
    return X[:200], X[200:]


def reference_map(rows, weights, offset):
    """Unit vectors, then sqrt(2 / M) cos(w z + u) for each of M frequencies and phases."""
    mapped = [row / np.linalg.norm(row) for row in rows]
    if len(weights):
        scale = np.sqrt(2 / len(weights))
        mapped = [
            scale * np.cos([w @ z + u for w, u in zip(weights, offset, strict=True)])
            for z in mapped
        ]
    return np.array(mapped)


def reference_scores(X, queries, weights, offset, share):
    """The authors' steps: centre, decompose the scatter, keep a share, reconstruct."""
    train, test = (reference_map(rows, weights, offset) for rows in (X, queries))
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    directions, variances, _ = np.linalg.svd(train.T @ train)
    kept = 1
    while variances[:kept].sum() / variances.sum() < share:
        kept += 1
    leading = directions[:, :kept]
    reconstructed = np.array([leading @ (leading.T @ row) for row in test])
    return kept, -np.linalg.norm(test - reconstructed, axis=1)


@pytest.mark.parametrize("n_rows", [40, 200])  # fewer than mapped features, and more
@pytest.mark.parametrize("n_components", [None, 0.5, 0.95])
@pytest.mark.parametrize("kernel", KERNELS)
def test_authors_steps(kernel, n_components, n_rows, problem):
    X, queries = problem[0][:n_rows], problem[1]
    options = {"kernel": kernel, "gamma": 1.5, "n_random_features": 50, "random_state": 0}
    detector = KernelPCADetector(n_components=n_components, **options).fit(X)
    share = n_components or {"cosine": 0.85, "cosine_gaussian": 0.8}[kernel]
    drawn = detector.random_weights_, detector.random_offset_
    kept, expected = reference_scores(X, queries, *drawn, share)
    assert detector.n_components_ == kept
    assert_allclose(detector.score_samples(queries), expected, rtol=1e-9)


def test_random_features_are_those_of_scikit_learn(problem):
    detector = KernelPCADetector(gamma=0.7, n_random_features=30, random_state=3).fit(problem[0])
    sampler = RBFSampler(gamma=0.7, n_components=30, random_state=3).fit(problem[0])
    assert_array_equal(detector.random_weights_, sampler.random_weights_.T)
    assert_array_equal(detector.random_offset_, sampler.random_offset_)
    mapped = sampler.transform(normalize(problem[0]))
    assert_allclose(detector.mean_, mapped.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("n_components", [3, 0.5, 0.9])
def test_the_cosine_kernel_is_scikit_learns_pca_of_unit_vectors(n_components, problem):
    X, queries = (normalize(rows) for rows in problem)
    detector = KernelPCADetector(kernel="cosine", n_components=n_components).fit(X)
    pca = PCA(n_components, svd_solver="full").fit(X)
    assert detector.n_components_ == pca.n_components_
    reconstructed = pca.inverse_transform(pca.transform(queries))
    distance = np.linalg.norm(queries - reconstructed, axis=1)
    assert_allclose(detector.score_samples(queries), -distance, rtol=1e-9)


def exact_distances(kernel, X, queries, n_components):
    """Distance to the principal subspace in a kernel's own feature space, by kernel values."""
    exact = KernelPCA(n_components, kernel="precomputed").fit(kernel(X, X))
    between, within = kernel(queries, X), kernel(X, X)
    to_mean = 1 - 2 * between.mean(axis=1) + within.mean()
    projected = np.square(exact.transform(between)).sum(axis=1)
    return np.sqrt(np.maximum(to_mean - projected, 0))


@pytest.mark.parametrize("n_components", [1, 5])
def test_it_is_kernel_pca_of_the_cosine_kernel(n_components, problem):
    X, queries = problem
    detector = KernelPCADetector(kernel="cosine", n_components=n_components).fit(X)
    exact = exact_distances(cosine_similarity, X, queries, n_components)
    assert_allclose(detector.score_samples(queries), -exact, atol=1e-6)


def test_random_features_come_near_the_cosine_gaussian_kernel(problem):
    X, queries = problem[0][:60], problem[1]

    def kernel(rows, others):
        return rbf_kernel(normalize(rows), normalize(others), gamma=2)

    exact = exact_distances(kernel, X, queries, 5)
    errors = []
    for n_random_features in (50, 8_000):
        detector = KernelPCADetector(
            n_components=5, n_random_features=n_random_features, random_state=0
        ).fit(X)
        errors.append(np.abs(detector.score_samples(queries) + exact).max())
    assert errors[1] < 0.03 < errors[0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_the_direction_of_a_row_counts(kernel, problem):
    X, queries = problem
    detector = KernelPCADetector(kernel=kernel, n_random_features=20, random_state=0).fit(X)
    scores = detector.score_samples(queries)
    assert_allclose(detector.score_samples(7 * queries), scores, rtol=1e-10)
    assert (scores <= 0).all()
    assert np.isfinite(detector.score_samples(np.zeros((1, 12)))).all()


def test_fit_draws_from_the_seed_and_scoring_never_draws(problem):
    X, queries = problem

    def scores(seed):
        options = {"n_random_features": 20, "random_state": seed}
        return KernelPCADetector(**options).fit(X).score_samples(queries)

    assert_array_equal(scores(0), scores(0))
    assert_array_equal(scores(0), scores(np.random.RandomState(0)))
    assert (scores(0) != scores(1)).any()
    rng = np.random.RandomState(5)
    detector = KernelPCADetector(n_random_features=20, random_state=rng).fit(X)
    before = rng.get_state()[1].copy()
    assert_array_equal(detector.score_samples(queries), detector.score_samples(queries))
    assert_array_equal(rng.get_state()[1], before)


def test_a_refit_forgets_the_random_features(problem):
    X, queries = problem
    detector = KernelPCADetector(n_random_features=20, random_state=0).fit(X)
    detector.set_params(kernel="cosine").fit(X)
    fresh = KernelPCADetector(kernel="cosine").fit(X)
    assert set(vars(detector)) == set(vars(fresh))
    assert detector.random_weights_.size == detector.random_offset_.size == 0
    assert_array_equal(detector.score_samples(queries), fresh.score_samples(queries))


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_that_leave_no_residual(kernel, problem):
    X = problem[0]
    detector = KernelPCADetector(kernel=kernel, n_random_features=20, random_state=0)
    for alike in (X[:1], np.outer([1.0, 2, 3], X[0]), np.zeros((5, 12))):
        with pytest.raises(ValueError, match="do not differ in direction"):
            detector.fit(alike)
    with pytest.raises(ValueError, match=r"in 1 dimensions.*leaves no residual\. Pass more rows"):
        detector.fit(X[:2])
    assert detector.fit(X[:3]).n_components_ == 1
    # All that a share could ask for, less one direction for the residual.
    assert detector.set_params(n_components=1 - 1e-9).fit(X[:8]).n_components_ == 6
    with pytest.raises(ValueError, match=r"n_samples=8.* 7 dimensions, so n_components=7 leaves"):
        detector.set_params(n_components=7).fit(X[:8])
    assert detector.set_params(n_components=6).fit(X[:8]).n_components_ == 6


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 0},
        {"n_components": 1.0},
        {"n_components": 0.0},
        {"gamma": 0.0},
        {"n_random_features": 1},
        {"kernel": "rbf"},
    ],
    ids=str,
)
def test_parameters_out_of_range(parameters, problem):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        KernelPCADetector(**parameters).fit(problem[0])
