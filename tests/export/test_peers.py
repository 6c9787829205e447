"""Peers and ensembles as graphs: onnxruntime agrees with `score_samples` on the bundled data."""

from functools import partial

import numpy as np
import pytest

from skweiper import EnsembleDetector, WeiPerDetector, baselines
from skweiper.ensemble import COMBINATIONS
from skweiper.export import to_onnx
from skweiper.export.detectors import EXPORTED
from skweiper.scores import gen
from tests.onnx_graphs import run  # skips the module where onnx is missing

DETECTORS = (
    baselines.DICEDetector(percentile=50),
    baselines.GradNormDetector(),
    baselines.KLMatchingDetector(),
    *(
        baselines.LogitDetector(method=method, temperature=1.7)
        for method in ("msp", "max_logit", "energy", "entropy", "gen", partial(gen, gamma=0.3))
    ),
    *(baselines.MahalanobisDetector(normalize=normalize) for normalize in (False, True)),
    baselines.NCIDetector(alpha=0.01),
    *(
        baselines.NECODetector(standardize=standardize, scale_by_max_logit=scale)
        for standardize in (False, True)
        for scale in (False, True)
    ),
    *(baselines.RelativeMahalanobisDetector(normalize=normalize) for normalize in (False, True)),
    baselines.ResidualDetector(),
    baselines.TemperatureScalingDetector(),
    baselines.ViMDetector(),
)


@pytest.fixture(scope="module")
def queries(clinc150):
    rows = [clinc150.test[::5], clinc150.test_oos[::5], np.zeros((1, 256))]
    return np.concatenate(rows).astype(np.float32)


def fitted(detector, data):
    head = {"weight": data.weight, "bias": data.bias}
    return detector.set_params(**head).fit(data.train[::3], data.train_label[::3])


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: type(detector).__name__)
def test_peers_agree(clinc150, queries, detector):
    detector = fitted(detector, clinc150)
    found = run(to_onnx(detector), queries)["score"]
    np.testing.assert_allclose(found, detector.score_samples(queries), rtol=1e-9, atol=1e-12)


def test_every_exported_peer_is_tested():
    tested = {type(detector) for detector in DETECTORS}
    assert tested | {WeiPerDetector, EnsembleDetector} == set(EXPORTED)


@pytest.fixture(scope="module", params=["fisher", "mean"])
def ensemble(request, clinc150):
    head = {"weight": clinc150.weight, "bias": clinc150.bias}
    members = [
        ("msp", WeiPerDetector(**head, method="msp", n_repeats=20)),
        ("dropped", "drop"),
        ("vim", baselines.ViMDetector(**head)),
    ]
    ensemble = EnsembleDetector(members, combine=request.param, random_state=0)
    return ensemble.fit(clinc150.train[::3], clinc150.train_label[::3])


def test_ensembles_put_together_what_their_members_score(ensemble, queries):
    standardise, together = COMBINATIONS[ensemble.combine]
    pairs = zip(ensemble.detectors_, ensemble.standards_, strict=True)
    scores = [standardise(run(to_onnx(each), queries)["score"], std) for each, std in pairs]
    found = run(to_onnx(ensemble), queries)["score"]
    np.testing.assert_allclose(found, together(scores, axis=0), rtol=1e-9, atol=1e-12)


def test_ensembles_agree(ensemble, queries):
    found = run(to_onnx(ensemble), queries)["score"]
    # A p-value rises steeply between two held-out scores that are nearly the same.
    np.testing.assert_allclose(found, ensemble.score_samples(queries), rtol=1e-4, atol=1e-4)


def test_ensembles_may_hold_ensembles_and_several_histograms(clinc150, queries):
    head = {"weight": clinc150.weight, "bias": clinc150.bias}
    kld = [(f"kld{seed}", WeiPerDetector(**head, n_repeats=3, delta=seed)) for seed in (1, 2)]
    inner = EnsembleDetector(kld, combine="mean")
    both = EnsembleDetector([("inner", inner), ("vim", baselines.ViMDetector(**head))])
    both.set_params(random_state=0).fit(clinc150.train[::3], clinc150.train_label[::3])
    found = run(to_onnx(both), queries)["score"]
    # A value on the edge of a bin is the 450th part of a density.
    np.testing.assert_allclose(found, both.score_samples(queries), rtol=1e-2)


def test_parameters_changed_after_the_fit_change_nothing(clinc150):
    detector = fitted(baselines.MahalanobisDetector(normalize=True), clinc150)
    before = to_onnx(detector)
    assert to_onnx(detector.set_params(normalize=False)) == before
