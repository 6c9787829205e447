"""Agreement with the scores that OpenOOD's own code gave on the bundled features.

The tolerance of each method is the file's `suggested_atol`. Where OpenOOD computes something
else than the published method, its quirk is put back here.
"""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.pipeline import make_pipeline

from skweiper import baselines
from skweiper.datasets import load_clinc150
from skweiper.shaping import VRA
from tests.openood import DATA, LOGIT_SCORES, SHAPERS, Golden, openood_temperature

GOLDEN = Golden.load(DATA, "golden_openood_clinc150")
DETECTORS = {
    "mds": (baselines.MahalanobisDetector(labels="y"), "train"),
    "rmds": (baselines.RelativeMahalanobisDetector(labels="y"), "train"),
    "she": (baselines.SHEDetector(labels="y"), "train"),
    "klm": (baselines.KLMatchingDetector(), "validation"),
    "dice": (baselines.DICEDetector(percentile=90), "train"),
    "residual": (baselines.ResidualDetector(n_components=128), "validation"),
    "vim": (baselines.ViMDetector(n_components=128), "train"),
    "nci": (baselines.NCIDetector(), "train"),
    "nnguide_alpha1": (baselines.NNGuideDetector(), "train"),
    "relation": (baselines.RelationGraphDetector(), "train"),
}
WITH_A_QUIRK = {"temp_scaling", "vra_low15", "knn", "gradnorm", "fdbd"}


@pytest.fixture(scope="module")
def data():
    return load_clinc150()


@pytest.fixture(scope="module")
def rows(data):
    return np.concatenate([data.test[::5], data.test_oos[:450]])


def test_every_method_of_the_file_is_compared():
    compared = {*LOGIT_SCORES, *SHAPERS, *DETECTORS, *WITH_A_QUIRK}
    assert compared == set(GOLDEN.scores) == set(GOLDEN.methods)


@pytest.mark.parametrize("name", LOGIT_SCORES)
def test_logit_scores(data, rows, name):
    detector = baselines.LogitDetector(data.weight, data.bias, method=LOGIT_SCORES[name])
    GOLDEN.assert_agrees(name, detector.fit(data.train).score_samples(rows))


@pytest.mark.parametrize("name", SHAPERS)
def test_shapers_before_energy(data, rows, name):
    energy = baselines.LogitDetector(data.weight, data.bias, method="energy")
    # OpenOOD takes its percentiles from the validation split.
    pipeline = make_pipeline(SHAPERS[name], energy).fit(data.validation)
    GOLDEN.assert_agrees(name, pipeline.score_samples(rows))


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(data, rows, name):
    detector, split = DETECTORS[name]
    detector.set_params(weight=data.weight, bias=data.bias)
    detector.fit(data[split], data[f"{split}_label"])
    GOLDEN.assert_agrees(name, detector.score_samples(rows))


def test_vra_raises_small_features_in_openood_where_the_paper_zeroes_them(data, rows):
    shaper = VRA(percentile_low=15, percentile_high=90).fit(data.validation)
    thresholds = GOLDEN.methods["vra_low15"]["fitted"]["thresholds"]
    np.testing.assert_allclose([shaper.low_, shaper.high_], thresholds, rtol=1e-6)
    clipped = np.clip(rows.astype(np.float64), shaper.low_, shaper.high_)
    energy = baselines.LogitDetector(data.weight, data.bias, method="energy").fit(data.train)
    GOLDEN.assert_agrees("vra_low15", energy.score_samples(clipped))
    # The paper's form is another one here.
    published = energy.score_samples(shaper.transform(rows))
    assert GOLDEN.error("vra_low15", published) > GOLDEN.methods["vra_low15"]["suggested_atol"]


def test_temperature_scaling_is_not_converged_in_openood(data, rows):
    scaling = baselines.TemperatureScalingDetector(data.weight, data.bias)
    scaling.fit(data.validation, data.validation_label)
    logits = data.validation @ data.weight.T.astype(np.float64) + data.bias
    unconverged = openood_temperature(logits, data.validation_label)
    # 1.326 on these features; the 1.3555 of the file's note belongs to the full ones.
    fitted = GOLDEN.methods["temp_scaling"]["fitted"]["temperature"]
    assert unconverged == pytest.approx(fitted, abs=1e-6)

    def log_likelihood(temperature):
        own = log_softmax(logits / temperature, axis=1)
        return own[np.arange(len(own)), data.validation_label].mean()

    assert log_likelihood(scaling.temperature_) > log_likelihood(unconverged) + 1e-3
    scaling.set_params(temperature=unconverged).fit(data.validation)
    GOLDEN.assert_agrees("temp_scaling", scaling.score_samples(rows))


def test_knn_is_squared_in_openood(data, rows):
    # Its epsilon of 1e-10, added outside the division, is below single precision.
    scores = baselines.KNNDetector(n_neighbors=50).fit(data.train).score_samples(rows)
    GOLDEN.assert_agrees("knn", -np.square(scores))


def test_gradnorm_targets_sum_to_the_number_of_classes_in_openood(data, rows):
    detector = baselines.GradNormDetector(data.weight, data.bias).fit(data.train)
    GOLDEN.assert_agrees("gradnorm", 150 * detector.score_samples(rows))


def test_fdbd_sums_over_the_boundaries_in_openood(data, rows):
    detector = baselines.FDBDDetector(data.weight, data.bias).fit(data.train)
    GOLDEN.assert_agrees("fdbd", 149 * detector.score_samples(rows))


def test_vim_does_not_hang_on_a_covariance_in_single_precision(data, rows):
    # OpenOOD sums its covariance in float32; that moves its scores by a third of the tolerance.
    detector = baselines.ViMDetector(data.weight, data.bias, n_components=128).fit(data.train)
    centred = data.train.astype(np.float32) - detector.origin_.astype(np.float32)
    _, directions = np.linalg.eigh((centred.T @ centred / len(centred)).astype(np.float64))
    detector.residual_basis_ = directions[:, :128]
    GOLDEN.assert_agrees("vim", detector.score_samples(rows))
    alpha = GOLDEN.methods["vim"]["fitted"]["alpha"]
    assert detector.alpha_ == pytest.approx(alpha, rel=1e-4)
