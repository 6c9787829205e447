"""Model files: what was saved comes back, and nothing else does."""

import functools
import warnings

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweiper import WeiPerDetector, all_detectors
from skweiper.baselines import KNNDetector
from skweiper.cli import SavedModel, load_model, save_model
from skweiper.cli.model_files import TRUSTED
from skweiper.scores import energy
from tests.quick import quick

sio = pytest.importorskip("skops.io")

EXTRA = [{"method": "msp"}, {"projection": "explicit"}]


@pytest.fixture(scope="module")
def fitted(clinc150):
    """Every detector of the library, with what else WeiPer can be, fitted and used."""
    X, y = clinc150.train[::6], clinc150.train_label[::6]
    detectors = [quick(entry.estimator()) for entry in all_detectors()]
    detectors += [WeiPerDetector(**options) for options in EXTRA]
    head = {"weight": clinc150.weight, "bias": clinc150.bias}
    for detector in detectors:
        parameters = detector.get_params(deep=False)
        detector.set_params(**{name: head[name] for name in head if name in parameters})
        if "n_repeats" in parameters:
            detector.set_params(n_repeats=3)
        if "random_state" in parameters:
            detector.set_params(random_state=0)
        detector.fit(X, y).score_samples(clinc150.test[:9])
        detector.calibrate_p_values(clinc150.validation[:30])
    return detectors


def test_every_detector_comes_back_to_the_bit(fitted, clinc150, tmp_path):
    path = tmp_path / "model.skops"
    for detector in fitted:
        save_model(path, SavedModel(detector, {"detector": "x"}))
        loaded = load_model(path)
        assert loaded.about["detector"] == "x"
        assert type(loaded.detector) is type(detector)
        assert loaded.detector.offset_ == detector.offset_
        X = clinc150.test[:20]
        np.testing.assert_array_equal(loaded.detector.p_value(X), detector.p_value(X))
        np.testing.assert_array_equal(loaded.detector.score_samples(X), detector.score_samples(X))


def test_the_trusted_types_are_those_of_the_library_and_no_more(fitted):
    needed = {name for d in fitted for name in sio.get_untrusted_types(data=sio.dumps(d))}
    assert needed == set(TRUSTED)


def test_a_function_is_not_saved_where_it_could_not_be_loaded(small, tmp_path):
    method = functools.partial(energy, temperature=2)
    detector = WeiPerDetector(small["weight"], small["bias"], method=method, n_repeats=2)
    detector.fit(small["X"])
    with pytest.raises(TypeError, match=r"skweiper\.scores\.energy.*\.joblib.*--trusted"):
        save_model(tmp_path / "model.skops", SavedModel(detector, {}))
    assert list(tmp_path.iterdir()) == []
    save_model(tmp_path / "model.joblib", SavedModel(detector, {}))
    loaded = load_model(tmp_path / "model.joblib", trusted=True).detector
    np.testing.assert_array_equal(
        loaded.score_samples(small["X"]), detector.score_samples(small["X"])
    )


class Touch:
    """A pickle that does something when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("ending", [".joblib", ".pkl"])
def test_a_pickle_is_not_opened_unless_it_is_trusted(tmp_path, ending):
    joblib.dump(Touch(tmp_path / "touched"), tmp_path / f"model{ending}")
    with pytest.raises(ValueError, match=r"pickle.*--trusted"):
        load_model(tmp_path / f"model{ending}")
    assert not (tmp_path / "touched").exists()


def test_types_of_others_are_refused_by_name(small, tmp_path):
    path = tmp_path / "model.skops"
    detector = KNNDetector().fit(small["X"])
    detector.extra_ = energy
    sio.dump(detector, path)
    with pytest.raises(ValueError, match=r"skweiper\.scores\.energy"):
        load_model(path)


def test_a_detector_saved_alone_is_a_model(small, tmp_path):
    detector = make_pipeline(StandardScaler(), KNNDetector()).fit(small["X"])
    sio.dump(detector, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert loaded.about == {}
    np.testing.assert_array_equal(
        loaded.detector.score_samples(small["X"]), detector.score_samples(small["X"])
    )


def test_what_is_no_model_is_refused(small, tmp_path):
    path = tmp_path / "model.skops"
    with pytest.raises(FileNotFoundError, match=r"model\.skops"):
        load_model(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="no model file"):
        load_model(path)
    np.savez(path.with_suffix(".npz"), np.zeros(3))
    with pytest.raises(ValueError, match="cannot be read as a model"):
        load_model(path.with_suffix(".npz"))
    sio.dump(LogisticRegression(), path)
    with pytest.raises(ValueError, match="holds no detector but LogisticRegression"):
        load_model(path)


def test_a_file_cut_short_is_refused_and_a_failed_save_leaves_the_old_one(small, tmp_path):
    path = tmp_path / "model.skops"
    detector = KNNDetector().fit(small["X"])
    save_model(path, SavedModel(detector, {}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no model file"):
        load_model(path)
    path.write_bytes(whole)
    detector.extra_ = energy
    with pytest.raises(TypeError):
        save_model(path, SavedModel(detector, {}))
    assert path.read_bytes() == whole
    assert [each.name for each in tmp_path.iterdir()] == ["model.skops"]


def test_a_model_of_another_version_warns(small, tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    with monkeypatch.context() as patch:
        patch.setattr("skweiper.base.__version__", "0.0.7")
        save_model(path, SavedModel(KNNDetector().fit(small["X"]), {}))
    with pytest.warns(UserWarning, match=r"saved by skweiper 0\.0\.7"):
        load_model(path)
    save_model(path, SavedModel(KNNDetector().fit(small["X"]), {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(path)


def test_a_later_format_is_refused(small, tmp_path):
    path = tmp_path / "model.skops"
    content = {"kind": "skweiper model", "format": 2, "about": {"skweiper": "9.0"}, "detector": 1}
    sio.dump(content, path)
    with pytest.raises(ValueError, match=r"skweiper 9\.0.*format"):
        load_model(path)
