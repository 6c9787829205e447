"""The model around the score: p-values, decisions, names, operator sets, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skweiper import EnsembleDetector, WeiPerDetector, baselines
from skweiper.conformal import conformal_p_values
from skweiper.export import to_onnx
from skweiper.shaping import ReAct
from tests.onnx_graphs import onnx, run, session  # skips the module where onnx is missing


@pytest.fixture(scope="module")
def detector(clinc150):
    head = (clinc150.weight, clinc150.bias)
    detector = WeiPerDetector(*head, n_repeats=10, random_state=0).fit(clinc150.train[::3])
    return detector.calibrate(clinc150.validation).calibrate_p_values(clinc150.validation)


@pytest.fixture(scope="module")
def queries(clinc150):
    return np.concatenate([clinc150.test[:200], clinc150.test_oos[:200]]).astype(np.float32)


def network(opset, ir_version=8, n_inputs=20, n_features=256):
    """A network of one layer and ReLU, its features an output."""
    weight = np.random.RandomState(0).normal(size=(n_inputs, n_features)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("MatMul", ["inputs", "weight"], ["hidden"]),
        onnx.helper.make_node("Relu", ["hidden"], ["penultimate"]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", width])
        for name, width in (("inputs", n_inputs), ("penultimate", n_features))
    ]
    constants = [onnx.numpy_helper.from_array(weight, "weight")]
    graph = onnx.helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    imports = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def test_p_values_are_the_conformal_ones_of_the_scores(detector, queries):
    found = run(to_onnx(detector), queries)
    expected = conformal_p_values(detector.conformal_scores_, found["score"])
    np.testing.assert_array_equal(found["p_value"], expected)
    assert np.abs(found["p_value"] - detector.p_value(queries)).max() <= 5 / 1201


def test_decisions_are_those_of_predict(detector, queries):
    found = run(to_onnx(detector), queries)
    np.testing.assert_array_equal(
        found["decision"], np.where(found["score"] >= detector.offset_, 1, -1)
    )
    far = np.abs(detector.decision_function(queries)) > 1e-3
    np.testing.assert_array_equal(found["decision"][far], detector.predict(queries)[far])
    assert set(found["decision"]) == {1, -1}


def test_alpha_decides_by_p_values(detector, queries):
    for alpha in (0.05, 0.3, 60 / 1201):
        found = run(to_onnx(detector, alpha=alpha), queries)
        np.testing.assert_array_equal(found["decision"] == -1, found["p_value"] <= alpha)
        assert set(found["decision"]) == {1, -1}


def test_calibration_scores_tie_with_themselves(clinc150):
    head = (clinc150.weight, clinc150.bias)
    detector = baselines.LogitDetector(*head, method="max_logit").fit(clinc150.train[:100])
    detector.calibrate_p_values(clinc150.validation)
    found = run(to_onnx(detector), clinc150.validation.astype(np.float32))
    # Of scores in double precision, whose last digits may differ.
    near = np.abs(found["p_value"] - detector.p_value(clinc150.validation)) <= 1 / 1201
    assert near.all()


def test_without_calibration_there_is_no_p_value(small):
    detector = baselines.LogitDetector(small["weight"], small["bias"]).fit(small["X"])
    assert list(run(to_onnx(detector), small["X"])) == ["score", "decision"]


def test_any_number_of_rows_and_each_by_itself(detector, queries):
    ready = session(to_onnx(detector))
    together = ready.run(["score"], {"features": queries[:9]})[0]
    alone = [ready.run(["score"], {"features": row[None]})[0][0] for row in queries[:9]]
    np.testing.assert_allclose(alone, together, rtol=1e-2)  # a value on an edge may move
    assert ready.run(["score"], {"features": queries[:0]})[0].shape == (0,)


ALL_KINDS = [
    WeiPerDetector(delta=1, n_repeats=3, random_state=0),
    WeiPerDetector(delta=1, n_repeats=3, projection="explicit", random_state=0),
    WeiPerDetector(delta=1, n_repeats=3, random_state=0, method="max_logit"),
    baselines.LogitDetector(method="max_logit"),
    baselines.MahalanobisDetector(normalize=True),
    baselines.NECODetector(standardize=False, scale_by_max_logit=False),
    baselines.ResidualDetector(),
    baselines.NCIDetector(),
    EnsembleDetector(random_state=0),
    EnsembleDetector(combine="mean", random_state=0),
]


@pytest.fixture(scope="module", params=ALL_KINDS, ids=repr)
def any_kind(request, small):
    detector = request.param.set_params(weight=small["weight"], bias=small["bias"])
    return detector.fit(small["X"]).calibrate_p_values(small["X"][:49])


def test_rows_that_the_library_refuses_are_never_inliers(any_kind, small):
    X = small["X"][:5].copy()
    expected = run(to_onnx(any_kind), X)["score"][[0, 4]]
    X[1, 7], X[2, 0], X[3, 3] = np.nan, np.inf, -np.inf
    found = run(to_onnx(any_kind, alpha=0.05), X)
    np.testing.assert_allclose(found["score"][[0, 4]], expected, rtol=1e-6)
    assert np.isnan(found["score"][1:4]).all()
    assert (found["p_value"][1:4] == 0.02).all()
    assert (found["decision"][1:4] == -1).all()
    assert (run(to_onnx(any_kind), X)["decision"][1:4] == -1).all()


def test_rows_whose_scores_overflow_are_no_inliers(small):
    detector = baselines.LogitDetector(1e30 * small["weight"], method="max_logit")
    detector.fit(small["X"])
    X = np.full((1, 12), 3e38, np.float32)
    assert run(to_onnx(detector), X)["decision"] == 1  # a large score, and finite
    implicit = WeiPerDetector(small["weight"], method="max_logit", n_repeats=3).fit(small["X"])
    found = run(to_onnx(implicit), X)
    assert np.isnan(found["score"]).all()
    assert found["decision"] == -1


@pytest.mark.parametrize("opset", [16, 17, 21])
def test_all_operator_sets_compute_the_same(any_kind, small, opset):
    model = to_onnx(any_kind, opset=opset)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    expected = run(to_onnx(any_kind), small["X"])
    np.testing.assert_array_equal(run(model, small["X"])["score"], expected["score"])


def test_the_standard_s_own_evaluator_agrees(any_kind, small):
    """So only what the standard says is relied on."""
    from onnx.reference import ReferenceEvaluator

    model, X = to_onnx(any_kind), small["X"][:4]
    score, p_value, decision = ReferenceEvaluator(model).run(None, {"features": X})
    found = run(model, X)
    np.testing.assert_allclose(score, found["score"], rtol=1e-5, atol=1e-6)
    assert np.abs(p_value - found["p_value"]).max() <= 0.02 + 1e-9
    assert decision.dtype == np.int64


@pytest.mark.parametrize(("opset", "ir_version"), [(16, 8), (18, 9), (21, 10)])
def test_it_stands_behind_a_network(detector, opset, ir_version):
    front = network(opset, ir_version)
    model = to_onnx(detector, behind=front)
    both = onnx.compose.merge_models(front, model, io_map=[("penultimate", "features")])
    onnx.checker.check_model(both, full_check=True)
    inputs = np.random.RandomState(1).normal(size=(7, 20), scale=0.2).astype(np.float32)
    features = session(front).run(None, {"inputs": inputs})[0]
    found = session(both).run(["score", "p_value"], {"inputs": inputs})
    np.testing.assert_allclose(found[0], run(model, features)["score"], rtol=1e-3)


def test_two_detectors_stand_behind_one_network(detector, small):
    front = network(18)
    for number in range(2):
        model = to_onnx(detector, behind=front)
        front = onnx.compose.merge_models(
            *(front, model),
            io_map=[("penultimate", "features")],
            prefix2=f"detector{number}_",
            outputs=[*(each.name for each in front.graph.output), f"detector{number}_score"],
        )
    inputs = np.zeros((3, 20), np.float32)
    one, other = session(front).run(["detector0_score", "detector1_score"], {"inputs": inputs})
    np.testing.assert_array_equal(one, other)


def test_shapes_are_what_the_checker_infers(detector):
    model = onnx.shape_inference.infer_shapes(to_onnx(detector), strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    (rows, width) = model.graph.input[0].type.tensor_type.shape.dim
    assert (rows.dim_param, width.dim_value) == ("n_samples", 256)


def test_names_within_the_graph_begin_with_the_package(detector):
    graph = to_onnx(detector).graph
    ends = {each.name for each in (*graph.input, *graph.output)}
    names = [name for node in graph.node for name in (node.name, *node.output)]
    names += [constant.name for constant in graph.initializer]
    assert all(name.startswith("skweiper/") for name in names if name not in ends)
    outputs = [name for node in graph.node for name in node.output]
    assert len(set(outputs)) == len(outputs)


def test_a_model_says_what_made_it(detector):
    model = to_onnx(detector, alpha=0.05)
    assert model.producer_name == "skweiper"
    properties = {each.key: each.value for each in model.metadata_props}
    assert properties["skweiper_detector"] == "WeiPerDetector"
    assert properties["skweiper_decision"] == "alpha=0.05"


def test_the_same_detector_gives_the_same_bytes(detector):
    serialised = [to_onnx(detector).SerializeToString(deterministic=True) for _ in range(2)]
    assert serialised[0] == serialised[1]


def test_a_model_outlives_a_file(detector, queries, tmp_path):
    onnx.save(to_onnx(detector), tmp_path / "detector.onnx")
    loaded = onnx.load(tmp_path / "detector.onnx")
    expected = run(to_onnx(detector), queries[:5])["score"]
    np.testing.assert_array_equal(run(loaded, queries[:5])["score"], expected)


@pytest.mark.parametrize(
    "refused",
    [
        baselines.KNNDetector(),
        make_pipeline(ReAct(), WeiPerDetector()),
        WeiPerDetector,
        None,
    ],
    ids=repr,
)
def test_other_detectors_are_refused_by_name(refused):
    with pytest.raises(TypeError, match=r"detector is a .* cannot be exported.*ViMDetector"):
        to_onnx(refused)


def test_members_that_cannot_be_exported_are_named(small):
    members = [("logit", baselines.LogitDetector()), ("knn", baselines.KNNDetector(n_neighbors=3))]
    ensemble = EnsembleDetector(members, random_state=0).fit(small["X"])
    with pytest.raises(TypeError, match="member 'knn' is a KNNDetector"):
        to_onnx(ensemble)


def test_a_callable_method_is_refused(small):
    detector = baselines.LogitDetector(small["weight"], method=lambda logits: logits.max(axis=-1))
    with pytest.raises(TypeError, match="known to Python alone"):
        to_onnx(detector.fit(small["X"]))


def test_an_unfitted_detector_is_refused():
    for unfitted in (WeiPerDetector(), EnsembleDetector(), baselines.ViMDetector()):
        with pytest.raises(NotFittedError):
            to_onnx(unfitted)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, "0.05", True, np.nan])
def test_alpha_is_a_share(detector, alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got"):
        to_onnx(detector, alpha=alpha)


def test_alpha_needs_calibration_and_enough_of_it(small):
    detector = baselines.LogitDetector(small["weight"], small["bias"]).fit(small["X"])
    with pytest.raises(ValueError, match="no calibration scores"):
        to_onnx(detector, alpha=0.05)
    detector.calibrate_p_values(small["X"][:18])
    with pytest.raises(ValueError, match="at least 19 samples"):
        to_onnx(detector, alpha=0.05)
    assert to_onnx(detector.calibrate_p_values(small["X"][:19]), alpha=0.05)


@pytest.mark.parametrize("opset", [15, 0, 16.0, "18"])
def test_an_operator_set_that_cannot_count_is_refused(detector, opset):
    with pytest.raises(ValueError, match="opset must be an integer of at least 16, got"):
        to_onnx(detector, opset=opset)


def test_a_network_that_does_not_fit_is_refused(detector):
    with pytest.raises(ValueError, match=r"at least 16, got 15.*version_converter"):
        to_onnx(detector, behind=network(15))
    with pytest.raises(ValueError, match="opset=18 differs from the network's, 17"):
        to_onnx(detector, behind=network(17), opset=18)


def test_the_module_is_imported_without_onnx():
    code = "import sys; sys.modules['onnx'] = None; import skweiper.export; print('fine')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "fine"
