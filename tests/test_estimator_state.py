"""How every estimator of the library is saved, stamped and shown."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

import skweiper.base
from skweiper import WeiPerDetector, WeiPerTransformer, all_detectors
from skweiper.baselines import TemperatureScalingDetector
from skweiper.model_selection import InlierOnly, WeiPerDetectorCV
from skweiper.shaping import ASH, RAS, SCALE, VRA, ReAct
from tests.quick import quick
from tests.tensors import BFloat16Tensor

SEARCH = WeiPerDetectorCV(param_grid={"n_repeats": [2]}, cv=StratifiedKFold(2))
ESTIMATORS = [
    *(quick(entry.estimator()) for entry in all_detectors()),
    *(ReAct(), VRA(), ASH(), SCALE(), RAS(), WeiPerTransformer(n_repeats=2), SEARCH),
    InlierOnly(WeiPerDetector(n_repeats=2)),
]
WITH_HEAD = [estimator for estimator in ESTIMATORS if "weight" in estimator.get_params()]


def named(estimator):
    return type(estimator).__name__


def fitted(estimator, small, **params):
    """A clone, fitted on rows of classes that the head tells apart, a few of them outliers."""
    X = small["X"]
    y = (X @ small["weight"].T).argmax(axis=1)
    y[:2] = (y[:2] + 1) % 5  # a head without a mistake has no best temperature
    y[-10:] = -1
    return clone(estimator).set_params(**params).fit(X, y)


def results(estimator, X):
    return getattr(estimator, "score_samples", getattr(estimator, "transform", None))(X)


@pytest.mark.parametrize("estimator", WITH_HEAD, ids=named)
def test_a_head_of_tensors_is_saved_as_numpy(estimator, small):
    weight, bias = (BFloat16Tensor(small[name]) for name in ("weight", "bias"))
    unfitted = clone(estimator).set_params(weight=weight, bias=bias)
    assert unfitted.weight is weight
    assert clone(unfitted).fit is not None  # the clone checks that parameters stay what they are
    model = fitted(estimator, small, weight=weight, bias=bias)
    for saved in (unfitted, model):
        restored = pickle.loads(pickle.dumps(saved))
        assert type(restored.weight) is type(restored.bias) is np.ndarray
    np.testing.assert_array_equal(results(restored, small["X"]), results(model, small["X"]))


def test_a_pickle_of_a_torch_head_loads_without_torch(small, tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(12, 5).bfloat16()
    model = WeiPerDetector(layer.weight, layer.bias, n_repeats=2).fit(small["X"])
    (tmp_path / "model.pickle").write_bytes(pickle.dumps([model, clone(model)]))
    code = (
        f"import sys, pickle; pickle.load(open({str(tmp_path / 'model.pickle')!r}, 'rb')); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=named)
@pytest.mark.parametrize("stamp", ["0.99.0", "99.0", "unknown", None, 3, ("0", "1"), "", b"0.1.0"])
def test_another_or_a_tampered_version_warns(estimator, stamp):
    state = {**estimator.__getstate__(), "_skweiper_version": stamp}
    with pytest.warns(UserWarning, match="saved by skweiper .* Fit and save it again"):
        type(estimator).__new__(type(estimator)).__setstate__(state)
    del state["_skweiper_version"]
    with pytest.warns(UserWarning, match="saved by skweiper unknown"):
        type(estimator).__new__(type(estimator)).__setstate__(state)


@pytest.mark.parametrize(
    ("saved", "here", "agree"),
    [
        ("0.1.0", "0.1.5", True),
        ("0.1.0", "0.2.0", False),
        ("0.1.0", "1.1.0", False),
        ("1.2.0", "1.3.0", True),
        ("1.2.0", "2.2.0", False),
    ],
)
def test_versions_that_understand_each_other(saved, here, agree, monkeypatch, recwarn):
    monkeypatch.setattr(skweiper.base, "__version__", saved)
    state = ReAct().__getstate__()
    monkeypatch.setattr(skweiper.base, "__version__", here)
    ReAct().__setstate__(state)
    assert (len(recwarn) == 0) == agree


def test_every_changed_parameter_is_shown():
    weight, bias = np.ones((1000, 2048), np.float32), np.ones(1000).tolist()
    shown = repr(WeiPerDetector(weight, bias, delta=1.5, n_bins=60, lambda_1=0.5, epsilon=0.2))
    assert shown == (
        "WeiPerDetector(weight=array(1000\N{MULTIPLICATION SIGN}2048, float32), bias=list(1000), "
        "delta=1.5,\n               n_bins=60, lambda_1=0.5, epsilon=0.2)"
    )


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=named)
def test_what_is_shown_is_short_and_complete(estimator):
    params = estimator.get_params(deep=False)
    with config_context(print_changed_only=False):
        shown = repr(estimator)
    assert all(f"{name}=" in shown for name in params)
    if "weight" in params:
        large = clone(estimator).set_params(weight=BFloat16Tensor(np.ones((500, 700))))
        assert "weight=array(500\N{MULTIPLICATION SIGN}700, bfloat16)" in repr(large)
        assert len(repr(large)) < 300


def test_a_parameter_that_is_no_array_is_shown_as_it_is():
    assert repr(TemperatureScalingDetector()) == "TemperatureScalingDetector()"
    assert repr(ASH("p", percentile=30)) == "ASH(variant='p', percentile=30)"
    assert repr(WeiPerDetectorCV(param_grid={"delta": np.array([1, 2])})) == (
        "WeiPerDetectorCV(param_grid={'delta': array([1, 2])})"
    )
