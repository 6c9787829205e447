"""recommend: every detector on a user's own features, with OOD rows or without."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skweiper import WeiPerDetector, all_detectors, recommend
from skweiper.baselines import (
    KNNDetector,
    LogitDetector,
    TemperatureScalingDetector,
    ViMDetector,
)
from skweiper.metrics import auroc
from skweiper.shaping import ReAct

pytestmark = pytest.mark.filterwarnings("ignore:temperature_scaling is left out")


@pytest.fixture(scope="module")
def train(clinc150):
    order = np.random.RandomState(0).permutation(len(clinc150.train))
    return clinc150.train[order[:400]].astype(np.float32)


@pytest.fixture
def detectors(clinc150):
    head = clinc150.weight, clinc150.bias
    return {"msp": LogitDetector(*head), "vim": ViMDetector(*head), "knn": KNNDetector()}


def test_with_ood_rows_the_best_comes_first(clinc150, train, detectors):
    sets = {"a": clinc150.validation_oos, "b": clinc150.test_oos[:100]}
    table = recommend(train, X_ood=sets, detectors=detectors, random_state=0)
    assert set(table.index) == set(detectors)
    assert table.auroc.is_monotonic_decreasing
    assert (table.worst_auroc <= table.auroc).all()
    assert table.stability["msp"] == pytest.approx(1)  # it learns nothing
    assert ((table.agreement > -1) & (table.agreement < 1)).all()
    assert (table[["fit_seconds", "score_microseconds"]] > 0).all(axis=None)
    again = recommend(train, X_ood=sets, detectors=detectors, random_state=0)
    np.testing.assert_array_equal(again.auroc, table.auroc)


def test_the_figures_are_those_of_held_out_rows(clinc150, train, detectors):
    sets = {"a": clinc150.validation_oos}
    table = recommend(train, X_ood=sets, detectors=detectors, random_state=0, holdout=0.25)
    held_out = np.random.RandomState(0).permutation(len(train))[:100]
    msp = detectors["msp"].fit(train)
    expected = auroc(msp.score_samples(train[held_out]), msp.score_samples(sets["a"]))
    assert table.auroc["msp"] == pytest.approx(expected)


def test_without_ood_rows_it_says_what_it_cannot(train, detectors):
    with pytest.warns(UserWarning, match="Without OOD rows nothing can say"):
        table = recommend(train, detectors=detectors, random_state=0)
    assert list(table) == ["stability", "agreement", "fit_seconds", "score_microseconds"]
    assert table.stability.is_monotonic_decreasing


@pytest.mark.filterwarnings("ignore:Without OOD rows", "ignore:vim is left out")
@pytest.mark.filterwarnings("ignore:EnsembleDetector leaves out")
def test_all_detectors_are_compared(clinc150, train):
    # The logits of few classes are negative for rows of others, of which some would warn.
    small = {"weight": clinc150.weight[:7], "bias": clinc150.bias[:7] + 10}
    table = recommend(train, **small, random_state=0)
    assert set(table.index) >= {entry.name for entry in all_detectors() if not entry.needs_labels}


def test_what_cannot_be_fitted_is_left_out_with_the_reason(clinc150, train, detectors):
    detectors["temperature"] = TemperatureScalingDetector(clinc150.weight, clinc150.bias)
    sets = {"a": clinc150.validation_oos}
    with pytest.warns(UserWarning, match="temperature is left out: .*pass y"):
        table = recommend(train, X_ood=sets, detectors=detectors, random_state=0)
    assert "temperature" not in table.index
    alone = {"temperature": detectors["temperature"]}
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="No detector can be fitted"),
    ):
        recommend(train, X_ood=sets, detectors=alone)


def test_known_outliers_take_no_part(clinc150, train, detectors):
    sets = {"a": clinc150.validation_oos}
    X = np.concatenate([train, clinc150.test_oos])
    y = np.r_[np.full(len(train), 1), np.full(len(clinc150.test_oos), -1)]
    del detectors["vim"]
    table = recommend(X, X_ood=sets, y=y, detectors=detectors, random_state=0)
    clean = recommend(train, X_ood=sets, detectors=detectors, random_state=0)
    np.testing.assert_array_equal(table.auroc, clean.auroc)


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow"])
def test_tables_of_every_library_are_compared(package, clinc150, train):
    columns = {f"f{i}": column for i, column in enumerate(train.T.copy())}
    library = pytest.importorskip(package)
    table = library.table(columns) if package == "pyarrow" else library.DataFrame(columns)
    detectors = {"knn": KNNDetector()}
    with pytest.warns(UserWarning, match="Without OOD rows"):
        found = recommend(table, detectors=detectors, random_state=0)
    with pytest.warns(UserWarning, match="Without OOD rows"):
        expected = recommend(train, detectors=detectors, random_state=0)
    np.testing.assert_array_equal(found.stability, expected.stability)


@pytest.mark.parametrize("sets", [{}, np.zeros((5, 256)), [np.zeros((5, 256))]])
def test_what_is_no_dict_of_datasets_is_refused(train, detectors, sets):
    with pytest.raises(ValueError, match=r"X_ood must be a dict .*Pass \{'name': data\}"):
        recommend(train, X_ood=sets, detectors=detectors)


def test_detectors_inside_of_others_are_seeded_too(clinc150, train):
    weiper = WeiPerDetector(clinc150.weight, clinc150.bias, n_repeats=5)
    detectors = {"weiper": weiper, "within": make_pipeline(ReAct(percentile=100), weiper)}
    sets = {"a": clinc150.validation_oos}
    table = recommend(train, X_ood=sets, detectors=detectors, random_state=0)
    assert table.auroc["within"] == table.auroc["weiper"]


def test_too_few_rows_are_refused(train, detectors):
    with pytest.raises(ValueError, match="5 rows are too few"):
        recommend(train[:5], detectors=detectors)
    with pytest.raises(ValueError, match="holdout"):
        recommend(train, detectors=detectors, holdout=1.5)
