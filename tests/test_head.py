from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDOneClassSVM,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC

from skweiper import EnsembleDetector, WeiPerDetector, WeiPerTransformer
from skweiper.baselines import LogitDetector, MahalanobisDetector
from skweiper.head import check_head, head_from_classifier, head_from_torch, penultimate_features
from skweiper.scores import softmax


@pytest.fixture(params=[2, 4], ids=["binary", "multiclass"])
def problem(request):
    return make_classification(200, 8, n_informative=6, n_classes=request.param, random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_the_head_of_a_network_gives_its_probabilities(problem, activation):
    X, y = problem
    mlp = MLPClassifier((7, 5), activation=activation, max_iter=20, random_state=0).fit(X, y)
    weight, bias = head_from_classifier(mlp)
    features = penultimate_features(mlp, X)
    assert features.shape == (200, 5)
    np.testing.assert_allclose(
        softmax(features @ weight.T + bias), mlp.predict_proba(X), atol=1e-10
    )


def test_the_head_of_logistic_regression_gives_its_probabilities(problem):
    X, y = problem
    classifier = LogisticRegression().fit(X, y)
    weight, bias = head_from_classifier(classifier)
    np.testing.assert_allclose(
        softmax(X @ weight.T + bias), classifier.predict_proba(X), atol=1e-10
    )


@pytest.mark.parametrize(
    "classifier",
    [
        RidgeClassifier(),
        LinearSVC(),
        SGDClassifier(random_state=0),
        LogisticRegression(fit_intercept=False),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_any_linear_classifier_predicts_by_its_head(problem, classifier):
    X, y = problem
    weight, bias = head_from_classifier(classifier.fit(X, y))
    np.testing.assert_array_equal(np.argmax(X @ weight.T + bias, axis=1), classifier.predict(X))


def test_sparse_coefficients_are_taken(problem):
    X, y = problem
    dense = SGDClassifier(random_state=0).fit(X, y)
    expected = head_from_classifier(dense)
    for part, same in zip(head_from_classifier(dense.sparsify()), expected, strict=True):
        np.testing.assert_array_equal(part, same)


def test_a_detector_from_a_classifier(problem):
    X, y = problem
    detector = WeiPerDetector.from_classifier(LogisticRegression().fit(X, y), method="msp")
    assert detector.fit(X).head_.n_classes == len(np.unique(y))
    assert detector.get_params()["method"] == "msp"


def test_classifiers_without_one_row_per_class(problem):
    X, y = problem
    with pytest.raises(TypeError, match="fitted linear classifier"):
        head_from_classifier(OneVsRestClassifier(LogisticRegression()).fit(X, y))
    with pytest.raises(NotFittedError):
        head_from_classifier(LogisticRegression())


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("classifier", [SVC(kernel="linear"), NuSVC(kernel="linear")])
def test_rows_of_pairs_of_classes_are_no_head(classifier, n_classes):
    X, y = make_classification(200, 8, n_informative=6, n_classes=n_classes, random_state=0)
    with pytest.raises(TypeError, match="one-against-one"):
        head_from_classifier(classifier.fit(X, y))


def test_the_head_of_a_binary_support_vector_machine():
    X, y = make_classification(200, 8, n_informative=6, random_state=0)
    classifier = SVC(kernel="linear").fit(X, y)
    weight, bias = head_from_classifier(classifier)
    np.testing.assert_array_equal(np.argmax(X @ weight.T + bias, axis=1), classifier.predict(X))


@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(), SGDOneClassSVM()])
def test_what_predicts_no_class_has_no_head(estimator):
    X, y = make_classification(200, 8, n_informative=6, random_state=0)
    with pytest.raises(TypeError, match=f"{type(estimator).__name__} predicts no class"):
        head_from_classifier(estimator.fit(X, y))


class Tensor:
    """As much of a torch tensor as a head needs: numpy() only off the gradient and the device."""

    def __init__(self, array, attached=True):
        self.array, self.attached = np.asarray(array, np.float32), attached

    @property
    def shape(self):
        return self.array.shape

    def detach(self):
        return Tensor(self.array, attached=False)

    def cpu(self):
        return self

    def numpy(self):
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.array


class Linear:
    def __init__(self, weight, bias):
        self.weight, self.bias = Tensor(weight), None if bias is None else Tensor(bias)


WEIGHT, BIAS = np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0])


def test_a_torch_layer():
    weight, bias = head_from_torch(Linear(WEIGHT, BIAS))
    np.testing.assert_array_equal(weight, WEIGHT)
    np.testing.assert_array_equal(bias, BIAS)
    np.testing.assert_array_equal(head_from_torch(Linear(WEIGHT, None))[1], [0, 0])


def test_a_torch_state_dict():
    state = {
        "conv.weight": Tensor(np.ones((2, 3, 4, 4))),
        "hidden.weight": Tensor(np.ones((3, 3))),
        "fc.weight": Tensor(WEIGHT),
        "fc.bias": Tensor(BIAS),
    }
    weight, bias = head_from_torch(state, prefix="fc.")
    np.testing.assert_array_equal(weight, WEIGHT)
    np.testing.assert_array_equal(bias, BIAS)
    with pytest.raises(ValueError, match=r"2 two-dimensional weights .* prefix='fc\.'"):
        head_from_torch(state)


class Module:
    """A model or a Sequential: it has parameters, but no weight of its own."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state


class Sequential(Module):
    def __getitem__(self, index):
        return Linear(WEIGHT, BIAS)


MANY = {f"layer{i}.weight": Tensor(np.ones((3, 3))) for i in range(300)}
STATE = {**MANY, "norm.weight": Tensor(np.ones(3)), "fc.weight": Tensor(WEIGHT)}
NO_WEIGHTS = {
    "sequential": (
        Sequential(STATE),
        TypeError,
        r"a Sequential.*sequential\[-1\] as \*head_from",
    ),
    "model": (Module(STATE), TypeError, r"a Module.*model\.fc as \*head_from_torch\(layer\)"),
    "state dict": (STATE, TypeError, r"a dict.*\*head_from_torch\(state_dict, prefix="),
    "path": ("resnet.pt", TypeError, r"the path 'resnet\.pt'.*torch\.load"),
    "Path": (Path("resnet.pt"), TypeError, r"the path 'resnet\.pt'.*torch\.load"),
    "pair": ((WEIGHT, BIAS), TypeError, r"A star is missing: WeiPerDetector\(\*head_from_torch"),
    "pair without bias": ([Tensor(WEIGHT), None], TypeError, "A star is missing"),
    "classifier": (LogisticRegression(), TypeError, r"\*head_from_classifier\(classifier\)"),
    "masked": (np.ma.masked_greater(WEIGHT, 3), ValueError, r"2 masked values.*\.filled"),
}


@pytest.mark.parametrize("kind", NO_WEIGHTS)
@pytest.mark.parametrize("estimator", [WeiPerDetector, WeiPerTransformer, MahalanobisDetector])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_what_is_no_array_is_told_what_to_pass(kind, estimator, name):
    thing, error, message = NO_WEIGHTS[kind]
    if kind == "masked" and name == "bias":
        thing, message = np.ma.masked_greater(BIAS, 0), message.replace("2", "1")
    head = {"weight": WEIGHT, name: thing}
    with pytest.raises(error, match=rf"{name} is .*{message}"):
        estimator(**head).fit(np.eye(3))


NO_LAYERS = {
    "none": (None, "got None"),
    "path": ("resnet.pt", r"got the path 'resnet\.pt'.*torch\.load"),
    "sequential": (Sequential(STATE), r"got a Sequential.*sequential\[-1\].*'fc\.weight'\]"),
    "model": (Module(STATE), r"got a Module.*model\.fc.*'fc\.weight'\] and 296 before them"),
    "pair": ((WEIGHT, BIAS), "got a tuple"),
    "array": (WEIGHT, "got a ndarray"),
    "checkpoint": ({"epoch": 3, "model": STATE}, r"\['model'\] hold.*checkpoint\['model'\]"),
}


@pytest.mark.parametrize("kind", NO_LAYERS)
def test_what_is_no_layer_is_told_what_to_pass(kind):
    thing, message = NO_LAYERS[kind]
    with pytest.raises(TypeError, match=f"layer must be a linear layer.*{message}"):
        head_from_torch(thing)


@pytest.mark.parametrize("prefix", ["", "layer", "head."])
def test_a_state_dict_error_lists_likely_heads_only(prefix):
    with pytest.raises(ValueError, match="two-dimensional weights under prefix=") as caught:
        head_from_torch({**STATE, "epoch": 3}, prefix=prefix)
    assert len(str(caught.value)) < 400
    assert ("fc.weight" in str(caught.value)) == (prefix != "layer")


def test_layers_of_torch():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with pytest.raises(TypeError, match=r"got a Sequential.*\['0\.weight', '2\.weight'\]"):
        head_from_torch(model)
    with pytest.raises(TypeError, match=r"weight is a Sequential.*sequential\[-1\]"):
        WeiPerDetector(model).fit(np.eye(4))
    with pytest.raises(TypeError, match=r"weight is a Linear.*\*head_from_torch\(layer\)"):
        WeiPerDetector(model[-1]).fit(np.eye(4))
    for part in ({"layer": model[-1]}, {"layer": model.state_dict(), "prefix": "2."}):
        np.testing.assert_array_equal(head_from_torch(**part)[0], model[-1].weight.detach())


def test_a_head_of_tensors_goes_straight_into_the_detector():
    layer = Linear(WEIGHT, BIAS)
    X = np.random.RandomState(0).normal(size=(20, 3))
    detector = WeiPerDetector(layer.weight, layer.bias, random_state=0).fit(X)
    expected = WeiPerDetector(WEIGHT, BIAS, random_state=0).fit(X).score_samples(X)
    np.testing.assert_array_equal(detector.score_samples(X), expected)


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), MLPClassifier())]
)
def test_estimators_without_penultimate_features_are_named(estimator, problem):
    with pytest.raises(TypeError, match=r"mlp must be an MLPClassifier, got .*pipeline\[-1\]"):
        penultimate_features(estimator, problem[0])


def ensemble_of_one(weight):
    return EnsembleDetector([("msp", LogitDetector(weight))])


@pytest.mark.parametrize(
    "make", [WeiPerDetector, WeiPerTransformer, LogitDetector, ensemble_of_one]
)
@pytest.mark.parametrize("container", [np.asarray, np.float16, pd.DataFrame])
def test_features_in_the_place_of_the_head_are_told(make, container):
    X = np.random.RandomState(0).normal(size=(40, 50)).astype(np.float16).astype(np.float64)
    y = np.where(np.arange(40) < 3, -1, 1)
    with pytest.warns(UserWarning, match="weight holds the 40 rows of X") as caught:
        make(X).fit(container(X), y)
    assert {each.filename for each in caught} == {__file__}


@pytest.mark.filterwarnings("error:weight holds")
def test_a_class_of_each_row_is_no_mistake():
    weight, X = np.random.RandomState(0).normal(size=(2, 40, 5))
    WeiPerDetector(weight, random_state=0).fit(X)


def test_a_transposed_weight_is_told_before_the_bias():
    with pytest.raises(ValueError, match=r"pass weight\.T"):
        check_head(np.ones((5, 3)), np.ones(3), 5)
