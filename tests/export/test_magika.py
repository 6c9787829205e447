"""Behind a network in production: Magika, which tells the type of a file from its bytes."""

import numpy as np
import pytest
from scipy.special import softmax

from skweiper import WeiPerDetector
from skweiper.baselines import MahalanobisDetector, ViMDetector
from skweiper.conformal import conformal_p_values
from skweiper.export import to_onnx
from tests.examples import example
from tests.onnx_graphs import onnx  # skips the module where onnx is missing

pytest.importorskip("magika")
pytest.importorskip("pyarrow")
pyplot = pytest.importorskip("matplotlib.pyplot")
N_EACH = 8
ENDS = (".py", ".json", ".txt", ".h", ".so", ".pyc", ".csv", ".rst")


@pytest.fixture(scope="module")
def file_types():
    """The example, which has walked it end to end."""
    pyplot.switch_backend("Agg")
    found = example("plot_file_types")
    pyplot.close("all")
    return found


@pytest.fixture(scope="module")
def network(file_types):
    return file_types.read_network()


@pytest.fixture(scope="module")
def files(file_types):
    return file_types.installed_files(ENDS, N_EACH)


@pytest.fixture(scope="module")
def features(file_types, network, files):
    model, name, _, _ = network
    return file_types.outputs(file_types.session(model), [name], files)[0]


def test_features_and_head_give_the_network_s_own_output(file_types, network, files, features):
    model, _, weight, bias = network
    (probabilities,) = file_types.outputs(file_types.session(model), ["target_label"], files[:9])
    expected = softmax(features[:9] @ weight.T + bias, axis=1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_files_are_read_as_the_package_reads_them(file_types, files):
    from magika import Magika

    package, kinds = Magika(), file_types.KINDS
    model = file_types.session(file_types.read_network()[0])
    (found,) = file_types.outputs(model, ["target_label"], files[::5])
    raw = [str(package.identify_path(path).prediction.dl.label) for path in files[::5]]
    assert [kinds[place] for place in found.argmax(axis=1)] == raw


KINDS = [
    WeiPerDetector(method="msp", n_repeats=20, random_state=0),
    WeiPerDetector(method="gen", projection="explicit", n_repeats=3, random_state=0),
    MahalanobisDetector(normalize=True),
    ViMDetector(n_components=16),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_bytes_are_scored_end_to_end(file_types, network, files, features, kind):
    model, name, weight, bias = network
    detector = kind.set_params(weight=weight, bias=bias).fit(features[::2])
    detector.calibrate_p_values(features[1::2])
    outputs = [name, "target_label", "score", "p_value", "decision"]
    both = onnx.compose.merge_models(
        *(model, to_onnx(detector, alpha=0.05, behind=model)),
        io_map=[(name, "features")],
        outputs=outputs,
    )
    found = file_types.outputs(file_types.session(both), outputs, files)
    seen, _, score, p_value, decision = found
    # The graph is optimised as a whole: features may round otherwise than the network's alone.
    np.testing.assert_allclose(seen, features, atol=1e-4)
    np.testing.assert_allclose(score, detector.score_samples(seen), rtol=1e-5, atol=1e-9)
    expected = conformal_p_values(detector.conformal_scores_, score)
    np.testing.assert_array_equal(p_value, expected)
    np.testing.assert_array_equal(decision == -1, p_value <= 0.05)


def test_the_network_as_it_ships_is_refused_with_the_remedy(file_types, features, network):
    shipped = onnx.load(file_types.MODEL)
    detector = WeiPerDetector(*network[2:], method="msp", n_repeats=2).fit(features)
    with pytest.raises(ValueError, match=r"got 15.*version_converter"):
        to_onnx(detector, behind=shipped)


def test_the_example_tells_unseen_kinds_from_seen_ones(file_types):
    table = file_types.table
    is_unseen = table["file"].str.endswith(file_types.UNSEEN)
    assert 0 < is_unseen.sum() < len(table)
    assert table["p_value"][is_unseen].median() < table["p_value"][~is_unseen].median()
    np.testing.assert_array_equal(table["unseen"], table["p_value"] <= 0.05)


def test_the_example_s_one_model_decides_as_the_detector_does(file_types):
    (p_values,) = file_types.outputs(
        file_types.session(file_types.together), ["p_value"], file_types.new
    )
    expected = file_types.detector.p_value(file_types.features["new"])
    # A score between two held-out ones that are nearly the same may round to either side.
    np.testing.assert_allclose(p_values, expected, atol=2 / (len(file_types.held_out) + 1))


def test_the_example_s_files_are_of_one_part_only(file_types):
    parts = file_types.training, file_types.held_out, file_types.new
    assert len(set().union(*parts)) == sum(map(len, parts)) == len(file_types.seen)
