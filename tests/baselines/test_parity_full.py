"""The same on the full CLINC150 features, for who has them: more methods and variants.

    SKWEIPER_FULL_DATA=/folder/of/the/files python -m pytest tests/baselines/test_parity_full.py -s

The folder holds clinc150_full.npz and golden_openood_clinc150_full.npz and .json.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skweiper import baselines
from skweiper.shaping import VRA
from tests.openood import LOGIT_SCORES, SHAPERS, Golden, openood_temperature

FOLDER = os.environ.get("SKWEIPER_FULL_DATA")
FILES = ("clinc150_full.npz", "golden_openood_clinc150_full.npz")
IS_THERE = FOLDER is not None and all((Path(FOLDER) / name).exists() for name in FILES)
pytestmark = pytest.mark.skipif(
    not IS_THERE, reason=f"SKWEIPER_FULL_DATA names no folder with {' and '.join(FILES)}"
)

NOT_IN_THE_LIBRARY = {
    "cfood": "ranks of distances on a grid of 230 points, to a random tenth of the rows",
    "gmm": "a mixture fitted to 50 principal components, without their mean",
}
DETECTORS = {
    "mds": (baselines.MahalanobisDetector(labels="y"), "train"),
    "rmds": (baselines.RelativeMahalanobisDetector(labels="y"), "train"),
    "she": (baselines.SHEDetector(labels="y"), "train"),
    "she_euclidean": (baselines.SHEDetector(labels="y", metric="euclidean"), "train"),
    "she_cosine": (baselines.SHEDetector(labels="y", metric="cosine"), "train"),
    "klm": (baselines.KLMatchingDetector(), "validation"),
    "openmax": (baselines.OpenMaxDetector(n_ranked=3, labels="y"), "train"),
    "dice": (baselines.DICEDetector(percentile=90), "train"),
    "residual": (baselines.ResidualDetector(n_components=256), "validation"),
    "vim": (baselines.ViMDetector(n_components=256), "train"),
    "nci": (baselines.NCIDetector(), "train"),
    "nnguide_alpha1": (baselines.NNGuideDetector(), "train"),
    "relation": (baselines.RelationGraphDetector(), "train"),
    "relation_pow4": (baselines.RelationGraphDetector(power=4), "train"),
}
WITH_A_QUIRK = {"temp_scaling", "vra_low15", "knn", "gradnorm", "fdbd", "fdbd_norm", "nnguide"}


@pytest.fixture(scope="module")
def data():
    with np.load(Path(FOLDER) / FILES[0], allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def rows(data):
    return np.concatenate([data["test"][:500], data["test_oos"][:500]])


@pytest.fixture(scope="module")
def golden():
    return Golden.load(Path(FOLDER), "golden_openood_clinc150_full")


@pytest.fixture
def agrees(golden):
    def check(name, scores):
        atol = golden.methods[name]["suggested_atol"]
        print(f"{name}: largest difference {golden.error(name, scores):.1e}, allowed {atol:.1e}")
        golden.assert_agrees(name, scores)

    return check


def with_head(detector, data):
    return detector.set_params(weight=data["weight"], bias=data["bias"])


def test_every_method_of_the_file_is_compared_or_named(golden):
    compared = {*LOGIT_SCORES, *SHAPERS, *DETECTORS, *WITH_A_QUIRK}
    assert compared | set(NOT_IN_THE_LIBRARY) == set(golden.methods)


@pytest.mark.parametrize("name", LOGIT_SCORES)
def test_logit_scores(data, rows, agrees, name):
    detector = with_head(baselines.LogitDetector(method=LOGIT_SCORES[name]), data)
    agrees(name, detector.fit(data["validation"]).score_samples(rows))


@pytest.mark.parametrize("name", SHAPERS)
def test_shapers_before_energy(data, rows, agrees, name):
    energy = with_head(baselines.LogitDetector(method="energy"), data)
    pipeline = make_pipeline(SHAPERS[name], energy).fit(data["validation"])
    agrees(name, pipeline.score_samples(rows))


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(data, rows, agrees, name):
    detector, split = DETECTORS[name]
    with_head(detector, data).fit(data[split], data[f"{split}_label"])
    agrees(name, detector.score_samples(rows))


def test_vra_with_small_features_raised(data, rows, agrees):
    shaper = VRA(percentile_low=15, percentile_high=90).fit(data["validation"])
    energy = with_head(baselines.LogitDetector(method="energy"), data).fit(data["validation"])
    clipped = np.clip(rows.astype(np.float64), shaper.low_, shaper.high_)
    agrees("vra_low15", energy.score_samples(clipped))


def test_temperature_scaling_not_converged(data, rows, agrees):
    logits = data["validation"] @ data["weight"].T.astype(np.float64) + data["bias"]
    temperature = openood_temperature(logits, data["validation_label"])
    assert temperature == pytest.approx(1.3555, abs=5e-5)
    detector = with_head(baselines.TemperatureScalingDetector(temperature=temperature), data)
    agrees("temp_scaling", detector.fit(data["validation"]).score_samples(rows))
    detector.set_params(temperature=None).fit(data["validation"], data["validation_label"])
    assert detector.temperature_ == pytest.approx(1.1390, abs=5e-5)


def test_knn_squared(data, rows, agrees):
    scores = baselines.KNNDetector().fit(data["train"]).score_samples(rows)
    agrees("knn", -np.square(scores))


def test_gradnorm_with_targets_that_sum_to_the_number_of_classes(data, rows, agrees):
    detector = with_head(baselines.GradNormDetector(), data).fit(data["train"])
    agrees("gradnorm", 150 * detector.score_samples(rows))


def test_fdbd_summed_over_the_boundaries(data, rows, agrees):
    detector = with_head(baselines.FDBDDetector(), data).fit(data["train"])
    scores = 149 * detector.score_samples(rows)
    agrees("fdbd", scores)
    to_mean = np.linalg.norm(rows - detector.mean_, axis=1)
    agrees("fdbd_norm", scores * to_mean / np.linalg.norm(rows, axis=1))


def test_nnguide_with_the_first_batches_as_its_bank(data, rows, agrees, golden):
    # alpha=0.01 asks for 150 rows; OpenOOD takes whole batches from the start of the loader.
    detector = with_head(baselines.NNGuideDetector(), data)
    agrees("nnguide", detector.fit(data["train"][:500]).score_samples(rows))
    other_batches = detector.fit(data["train"][:200]).score_samples(rows)
    assert golden.error("nnguide", other_batches) > 30
