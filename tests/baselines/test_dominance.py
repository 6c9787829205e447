"""Detectors that take a covariance warn of training rows that carry most of it alone."""

import warnings
from functools import reduce
from itertools import permutations

import numpy as np
import pytest
from sklearn.base import clone

from skweiper.baselines import (
    KernelPCADetector,
    KNNDetector,
    LogitDetector,
    MahalanobisDetector,
    NECODetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    SHEDetector,
    ViMDetector,
)
from skweiper.baselines.dominance import Deviations
from skweiper.metrics import auroc

RNG = np.random.RandomState(0)
BY_COVARIANCE = [
    MahalanobisDetector,
    RelativeMahalanobisDetector,
    ResidualDetector,
    ViMDetector,
]
ROW = 1234


def dominant(squares):
    """The rule in plain words: the fewest rows of at most two, or 0.1 % and a hundred, that carry
    more than half; none of fewer than fifty that deviate at all."""
    squares = np.asarray(squares, float)
    n_rows = np.count_nonzero(squares)
    most = min(max(2, int(n_rows / 1000)), 100)
    order = sorted(range(len(squares)), key=lambda row: (-squares[row], row))
    for n in range(1, most + 1):
        if n_rows >= 50 and squares[order[:n]].sum() > squares.sum() / 2:
            return order[:n]
    return []


def deviations_of(squares):
    """Of rows that deviate by these squares, along one feature."""
    centred = np.sqrt(np.asarray(squares, float))[:, None]
    return Deviations.of(centred, range(len(centred)))


SPREADS = {
    "normal": RNG.standard_normal(500) ** 2,
    "one": np.append(RNG.random_sample(99), 60.0),
    "one in few": np.append(RNG.random_sample(48), 1e9),
    "one that deviates in fifty": np.append(np.ones(49), 1e9),
    "half": np.append(np.ones(100), 98.0),  # with another row
    "half and a bit": np.append(np.ones(100), 98.1),
    "two": np.r_[np.ones(60), 40.0, 40.0],
    "three": np.r_[np.ones(60), 40.0, 40.0, 40.0],
    "three of four thousand": np.r_[np.ones(4000), [4000.0] * 3],
    "ten of four thousand": np.r_[np.ones(4000), [1000.0] * 10],
    "most in no class of several": np.r_[np.zeros(500), 5.0, 5.0, RNG.random_sample(6)],
    "no spread": np.zeros(100),
    "huge": np.r_[np.ones(100), 1e270],
}


@pytest.mark.parametrize("name", SPREADS)
def test_the_rule(name):
    rows, share = deviations_of(SPREADS[name]).dominant()
    assert rows == dominant(SPREADS[name])
    expected = SPREADS[name][rows].sum() / max(SPREADS[name].sum(), 1e-300)
    assert share == pytest.approx(expected, rel=1e-9)
    found = {"one", "one that deviates in fifty", "half and a bit", "two", "huge"}
    assert bool(rows) == (name in found | {"three of four thousand"})


def test_parts_merge_in_any_order():
    centred = RNG.standard_cauchy((400, 5))
    whole = Deviations.of(centred, range(400))
    parts = [Deviations.of(centred[part], part) for part in np.array_split(np.arange(400), 4)]
    for order in permutations(parts):
        merged = reduce(Deviations.merge, order)
        assert (merged.largest, merged.n_rows) == (whole.largest, whole.n_rows)
        assert merged.total == pytest.approx(whole.total, rel=1e-12)
        assert merged.dominant()[0] == whole.dominant()[0]


def fitted(cls, data, X, y=None):
    """The detector, or the error that its fit raised, and the warnings of the fit."""
    detector = cls(data.weight, data.bias)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            detector.fit(X, y)
        except ValueError as error:
            return error, caught
    return detector, caught


def with_outlier(X, value, column=17):
    X = X.astype(np.float64)
    X[ROW, column] = value
    return X


@pytest.mark.parametrize("cls", BY_COVARIANCE)
def test_a_row_that_spoils_a_detector_is_named_before_it_does(cls, clinc150):
    """From 1,000 on, of features below 3; the AUROC falls later, or fit refuses the rows."""
    clean, caught = fitted(cls, clinc150, clinc150.train)
    assert not caught
    expected = auroc_of(clean, clinc150)
    for value in (100.0, 1000.0, 1e10):
        detector, caught = fitted(cls, clinc150, with_outlier(clinc150.train, value))
        for each in caught:
            assert str(each.message).startswith(f"Row {ROW} of X carries ")
            assert "or label it y == -1" in str(each.message)
            assert each.filename == __file__
        assert bool(caught) == (value >= 1000)
        if not caught:
            assert auroc_of(detector, clinc150) == pytest.approx(expected, abs=0.1)
    assert isinstance(detector, ValueError) or auroc_of(detector, clinc150) < 60


def auroc_of(detector, data):
    return 100 * auroc(*map(detector.score_samples, (data.test[::4], data.test_oos[::2])))


def test_what_deviates_from_what_is_said(clinc150):
    X = with_outlier(clinc150.train, 1e4)
    _, caught = fitted(RelativeMahalanobisDetector, clinc150, X)
    texts = [str(each.message) for each in caught]
    assert ["class means" in text for text in texts] == [True, False]
    assert "from their mean," in texts[1]
    shares = [float(text.split("carries ")[1].split("%")[0]) for text in texts]
    centred = X - X.mean(axis=0)
    assert shares[1] == pytest.approx(100 * (centred[ROW] ** 2).sum() / (centred**2).sum(), abs=0.1)


@pytest.mark.parametrize("cls", [MahalanobisDetector, ResidualDetector, NECODetector])
def test_known_outliers_are_left_out_and_counted(cls, clinc150):
    X, y = with_outlier(clinc150.train, 1e4), np.ones(3750)
    X[5], y[5] = 1e9, -1
    _, caught = fitted(cls, clinc150, X, y)
    assert all(str(each.message).startswith(f"Row {ROW} of X carries") for each in caught)
    assert caught
    y[ROW] = -1
    assert not fitted(cls, clinc150, X, y)[1]


def test_both_rows_of_a_small_class_are_named(small):
    """They deviate from their mean as much, whichever is the outlier."""
    X, y = np.repeat(small["X"], 2, axis=0).astype(np.float64), np.repeat(np.arange(60), 2)
    X += 0.1 * RNG.standard_normal(X.shape)
    X[7, 3] = 1e4
    with pytest.warns(UserWarning, match="Rows [67], [67] of X carry 100.0% of the squared"):
        MahalanobisDetector(labels="y").fit(X, y)


@pytest.mark.parametrize("cls", [*BY_COVARIANCE, NECODetector])
@pytest.mark.parametrize("n_rows", [300, 1000])
def test_real_rows_give_no_alarm(cls, n_rows, clinc150):
    rows = np.random.RandomState(0).permutation(3750)[:n_rows]
    _, caught = fitted(cls, clinc150, clinc150.train[rows])
    assert not caught


@pytest.mark.parametrize(
    "detector",
    [
        KNNDetector(),
        KernelPCADetector(kernel="cosine"),
        LogitDetector(),
        SHEDetector(),
        MahalanobisDetector(normalize=True),
    ],
)
def test_detectors_whose_covariance_no_row_can_carry_do_not_warn(detector, clinc150):
    """They have none, or that of directions."""
    if "weight" in detector.get_params():
        detector = clone(detector).set_params(weight=clinc150.weight, bias=clinc150.bias)
    clone(detector).fit(with_outlier(clinc150.train, 1e6)[1200:1500])
