import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn import config_context
from sklearn.metrics import roc_auc_score

from skweiper import PRESETS, WeiPerDetector
from skweiper._weiper.density import bins_over
from skweiper._weiper.perturbation import Perturbation
from skweiper._weiper.statistics import ROUNDING
from skweiper.baselines import LogitDetector
from skweiper.head import check_head
from skweiper.scores import LOGIT_SCORES, energy
from tests import reference

PROJECTIONS = ["implicit", "explicit", "random"]


def fitted(small, **params):
    params = {"n_repeats": 7, "random_state": 0, **params}
    return WeiPerDetector(small["weight"], small["bias"], **params).fit(small["X"])


def true_logits(detector, X):
    """Perturbed logits in float64, by the definition of the projection."""
    X = X.astype(np.float64)
    head = detector.head_
    if detector.perturbation_.projection == "implicit":
        (block,) = detector.perturbation_.blocks(np.inf)
        norms = np.linalg.norm(X, axis=1)[:, None, None]
        return head.logits(X)[:, None] + norms * block.offsets
    bias = head.bias if detector.perturbation_.projection == "explicit" else 0 * head.bias
    return np.array([reference.perturbed_logits(z, detector.perturbed_weight_, bias) for z in X])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_kld_agrees_with_the_reference(small, projection):
    detector = fitted(small, projection=projection, n_bins=20, lambda_1=0.7, lambda_2=1.3)
    X = small["X"]
    logits = true_logits(detector, X)
    slow = reference.WeiPerKLD(20, 4, 15, 0.7, 1.3, (0.01, 0.025)).fit(X, logits, ROUNDING)
    expected = [slow.score(z, v) for z, v in zip(X, logits, strict=True)]
    np.testing.assert_allclose(detector.feature_range_, slow.ranges[0], rtol=1e-6)
    np.testing.assert_allclose(detector.logit_range_, slow.ranges[1], rtol=1e-6)
    found = detector.score_samples(X)
    # A value on a bin edge may fall on either side in single precision.
    assert np.mean(np.abs(found - expected) < 1e-5) > 0.9
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("method", sorted(LOGIT_SCORES))
def test_averaged_logit_scores_agree_with_the_reference(small, projection, method):
    detector = fitted(small, projection=projection, method=method)
    logits = true_logits(detector, small["X"])
    expected = [reference.mean_score(getattr(reference, method), v) for v in logits]
    np.testing.assert_allclose(detector.score_samples(small["X"]), expected, rtol=2e-5, atol=1e-5)


def test_a_callable_is_a_score(small):
    named = fitted(small, method="energy").score_samples(small["X"])
    np.testing.assert_array_equal(fitted(small, method=energy).score_samples(small["X"]), named)


@pytest.mark.parametrize("of_class", [WeiPerDetector, LogitDetector])
@pytest.mark.parametrize(
    ("method", "got"),
    [(np.max, "shape \\(\\)"), (lambda logits: logits, "shape"), (lambda logits: "msp", "str")],
)
def test_a_callable_that_is_no_score_is_refused(small, of_class, method, got):
    detector = of_class(small["weight"], small["bias"], method=method)
    with pytest.raises(ValueError, match=rf"must reduce the last axis, .*, got {got}"):
        detector.fit(small["X"])


@pytest.mark.parametrize("method", sorted(LOGIT_SCORES))
def test_without_perturbation_the_score_is_the_plain_one(small, method):
    found = fitted(small, method=method, delta=0.0).score_samples(small["X"])
    logits = small["X"] @ small["weight"].T + small["bias"]
    np.testing.assert_allclose(found, LOGIT_SCORES[method](logits), rtol=1e-5, atol=1e-5)


def test_no_weight_means_that_X_holds_logits(small):
    logits = (small["X"] @ small["weight"].T).astype(np.float32)
    found = WeiPerDetector(method="msp", random_state=0).fit(logits).score_samples(logits)
    identity = WeiPerDetector(np.eye(5), method="msp", random_state=0).fit(logits)
    np.testing.assert_allclose(found, identity.score_samples(logits), rtol=1e-5)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_scoring_twice_gives_the_same_bits(small, projection):
    detector = fitted(small, projection=projection)
    first = detector.score_samples(small["X"])
    np.testing.assert_array_equal(first, detector.score_samples(small["X"]))


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("method", ["kld", "msp"])
@pytest.mark.parametrize("working_memory", [0.0001, 0.003, 0.02])
def test_chunked_equals_whole(small, projection, method, working_memory):
    X = np.random.RandomState(2).normal(size=(531, 12)).astype(np.float32)
    detector = fitted({**small, "X": X}, projection=projection, method=method)
    whole = detector.score_samples(X)
    with config_context(working_memory=working_memory):
        chunked = detector.score_samples(X)
    # One value on an edge, of 12 features or 35 logits, moves a density by a whole count.
    assert np.mean(np.isclose(chunked, whole, rtol=1e-4, atol=1e-5)) > 0.98


def test_fit_within_a_small_budget_samples_the_threshold(small):
    X = np.random.RandomState(2).normal(size=(2000, 12)).astype(np.float32)
    whole = fitted({**small, "X": X})
    with config_context(working_memory=1):
        sampled = fitted({**small, "X": X})
    np.testing.assert_allclose(sampled.logit_density_, whole.logit_density_, atol=1e-5)
    assert sampled.offset_ != whole.offset_
    assert np.mean(whole.score_samples(X) < sampled.offset_) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, bool])
def test_any_real_dtype_equals_its_float32(small, dtype):
    X = (4 * small["X"]).astype(dtype)
    detector = fitted(small)
    expected = detector.score_samples(X.astype(np.float32))
    np.testing.assert_array_equal(detector.score_samples(X), expected)


def test_layout_does_not_matter(small):
    X, detector = small["X"], fitted(small)
    wide = np.zeros((60, 24), np.float32)
    wide[:, ::2] = X
    expected = detector.score_samples(X)
    for same in (np.asfortranarray(X), wide[:, ::2], X[::-1].copy()[::-1]):
        np.testing.assert_array_equal(detector.score_samples(same), expected)


def test_read_only_and_memory_mapped_input(small, tmp_path):
    np.save(tmp_path / "X.npy", small["X"])
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    detector = WeiPerDetector(small["weight"], small["bias"], random_state=0).fit(mapped)
    expected = fitted(small, n_repeats=100).score_samples(small["X"])
    np.testing.assert_array_equal(detector.score_samples(mapped), expected)


def test_known_outliers_take_no_part(small):
    X = small["X"]
    outliers = np.full((9, 12), 1e3, np.float32)
    y = np.r_[np.ones(30), -np.ones(9), np.ones(30)]
    both = np.concatenate([X[:30], outliers, X[30:]])
    detector = WeiPerDetector(small["weight"], small["bias"], n_repeats=7, random_state=0)
    expected = fitted(small).score_samples(X)
    np.testing.assert_allclose(detector.fit(both, y).score_samples(X), expected, atol=1e-6)


def test_one_row_and_constant_features_work(small):
    one = WeiPerDetector(small["weight"], small["bias"], random_state=0).fit(small["X"][:1])
    assert np.isfinite(one.score_samples(small["X"])).all()
    constant = np.full((20, 12), 3.0)
    detector = WeiPerDetector(np.zeros((5, 12)), delta=2.0, random_state=0).fit(constant)
    assert np.isfinite(detector.score_samples(constant)).all()
    np.testing.assert_allclose(detector.densities(constant).feature.sum(axis=1), 1)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_one_feature_works(projection):
    X = np.linspace(-1, 1, 40)[:, None]
    detector = WeiPerDetector([[1.0], [-1.0]], projection=projection, random_state=0).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()


def test_components_make_up_the_score(small):
    frame = pd.DataFrame(small["X"], index=np.arange(60) + 500).add_prefix("f")
    detector = WeiPerDetector(small["weight"], small["bias"], random_state=0, lambda_1=2).fit(frame)
    terms = detector.score_components(frame)
    assert terms.index.equals(frame.index)
    total = -(terms.feature_divergence + 2 * terms.logit_divergence - terms.msp)
    np.testing.assert_allclose(total, detector.score_samples(frame), rtol=1e-12)


@pytest.mark.parametrize("method", ["kld", "energy"])
def test_components_that_overflow_are_refused_as_scores_are(small, method):
    detector = fitted(small, method=method)
    X = small["X"][:3].copy()
    X[1] = 3e38
    for call in (detector.score_samples, detector.score_components):
        with pytest.raises(ValueError, match="score of row 1 of X is"):
            call(X)


def test_densities_are_shares_whose_mean_is_the_training_density(small):
    detector = fitted(small)
    densities = detector.densities(small["X"])
    np.testing.assert_allclose(densities.feature.mean(axis=0), detector.feature_density_)
    np.testing.assert_allclose(densities.logit.mean(axis=0), detector.logit_density_)
    assert (densities.logit.sum(axis=1) <= 1 + 1e-12).all()


def test_threshold_follows_contamination_and_calibration(small):
    detector = fitted(small, contamination=0.2)
    assert np.mean(detector.predict(small["X"]) == -1) == pytest.approx(0.2)
    before = {key: value for key, value in vars(detector).items() if key != "offset_"}
    for tpr in (0.05, 0.5, 0.95, 1.0):
        detector.calibrate(small["X"], tpr=tpr)
        accepted = np.mean(detector.predict(small["X"]) == 1)
        assert tpr <= accepted + 1e-12 and accepted < tpr + 1 / 60 + 1e-12
    assert all(vars(detector)[key] is value for key, value in before.items())


def test_score_decision_and_label_are_steps_of_one_another(small):
    detector = fitted(small)
    scores = detector.score_samples(small["X"])
    decision = detector.decision_function(small["X"])
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(small["X"]), np.where(decision >= 0, 1, -1))


def test_perturbed_weight_keeps_its_length_and_is_rebuilt_from_the_seed(small):
    detector = fitted(small, projection="explicit", delta=1.5)
    weight = detector.perturbed_weight_
    assert weight.shape == (7, 5, 12)
    offset = np.linalg.norm(weight - small["weight"], axis=2)
    norms = np.linalg.norm(small["weight"], axis=1)
    np.testing.assert_allclose(offset, np.broadcast_to(1.5 * norms, (7, 5)), rtol=1e-5)
    np.testing.assert_array_equal(
        weight, fitted(small, projection="explicit", delta=1.5).perturbed_weight_
    )
    assert not hasattr(fitted(small), "perturbed_weight_")


def test_random_projections_know_nothing_of_the_head(small):
    other = {**small, "weight": small["weight"] * 3 + 1, "bias": small["bias"] + 5}
    one, two = (fitted(s, projection="random").score_samples(small["X"]) for s in (small, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("n_features", [2, 3, 40])
def test_implicit_logits_are_distributed_as_explicit_ones(n_features):
    rng = np.random.RandomState(0)
    weight, z = rng.normal(size=(3, n_features)), rng.normal(size=(1, n_features))
    head = check_head(weight, None, n_features)

    def pooled(projection):
        detector = WeiPerDetector(projection=projection)
        detector.head_ = head
        values = []
        for seed in range(60):
            detector.perturbation_ = Perturbation(head, projection, 1.7, 20, seed)
            values.append(true_logits(detector, z)[0, :, 0])
        return np.concatenate(values)

    assert ks_2samp(pooled("implicit"), pooled("explicit")).pvalue > 0.01


def test_each_stratum_holds_one_implicit_draw(small):
    (block,) = Perturbation(check_head(None, None, 6), "implicit", 1.0, 50, 3).blocks(np.inf)
    from scipy.stats import beta

    probability = beta.cdf((1 + block.offsets) / 2, 2.5, 2.5)
    strata = np.sort(np.floor(probability * 50 - 1e-5).astype(int), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(50)[:, None], 6, axis=1))
    assert len({tuple(column) for column in np.argsort(block.offsets, axis=0).T}) == 6


def test_implicit_auroc_equals_explicit_with_no_larger_spread(clinc150):
    """Ten seeds of WeiPer+MSP at the default number of repeats, on real features."""
    X = np.concatenate([clinc150.test[::5], clinc150.test_oos[::3]])
    y = np.repeat([1, 0], [len(clinc150.test[::5]), len(clinc150.test_oos[::3])])

    def aurocs(projection):
        detector = WeiPerDetector(
            clinc150.weight, clinc150.bias, method="msp", projection=projection, delta=1.8
        )
        return [
            roc_auc_score(y, detector.set_params(random_state=seed).fit(X[:99]).score_samples(X))
            for seed in range(10)
        ]

    implicit, explicit = np.array(aurocs("implicit")), np.array(aurocs("explicit"))
    assert implicit.std() <= explicit.std()
    assert explicit.min() - explicit.std() <= implicit.mean() <= explicit.max() + explicit.std()


def test_weiper_msp_beats_msp_on_real_data(clinc150):
    X = np.concatenate([clinc150.test, clinc150.test_oos])
    y = np.repeat([1, -1], [len(clinc150.test), len(clinc150.test_oos)])
    head = (clinc150.weight, clinc150.bias)
    plain = WeiPerDetector(*head, method="msp", delta=0.0, n_repeats=1).fit(clinc150.train)
    weiper = WeiPerDetector(*head, method="msp", delta=1.8, random_state=0).fit(clinc150.train)
    assert plain.score(X, y) == pytest.approx(0.94653, abs=1e-4)
    assert weiper.score(X, y) > plain.score(X, y) + 0.01


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_published_settings(small, name):
    detector = WeiPerDetector(small["weight"], small["bias"], **PRESETS[name], random_state=0)
    scores = detector.set_params(n_repeats=5).fit(small["X"]).score_samples(small["X"])
    assert np.isfinite(scores).all()
    assert (detector.projection, detector.epsilon_perturbed) == ("explicit", 0.025)


def test_bins_cover_the_training_range(small):
    detector = fitted(small)
    assert bins_over(detector.feature_range_, 100).high == pytest.approx(small["X"].max())


def test_a_progress_bar_on_request(small, capsys):
    pytest.importorskip("rich")
    fitted(small, verbose=1).score_samples(small["X"])
    printed = capsys.readouterr()
    assert "100%" in printed.err
    assert printed.out == ""
