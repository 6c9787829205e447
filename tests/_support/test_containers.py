"""Features and heads in the containers of other libraries: same scores, names honoured, no whole
copies."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweiper import WeiPerDetector, WeiPerTransformer
from skweiper._support.containers import as_host
from skweiper._support.row_views import StoredRows
from skweiper.baselines import KNNDetector
from skweiper.head import head_from_torch
from skweiper.model_selection import synthetic_outliers, train_validation_split_for_ood
from skweiper.shaping import ReAct
from tests.tensors import BFloat16Tensor

NAMES = [f"f{i}" for i in range(12)]


def polars_frame(X, names):
    return pytest.importorskip("polars").DataFrame(dict(zip(names, X.T.copy(), strict=True)))


def pyarrow_table(X, names):
    return pytest.importorskip("pyarrow").table(dict(zip(names, X.T.copy(), strict=True)))


def pyarrow_batch(X, names):
    return pyarrow_table(X, names).to_batches()[0]


def nullable_frame(X, names):
    return pd.DataFrame(X, columns=names).astype("Float32")


FRAMES = [polars_frame, pyarrow_table, pyarrow_batch, nullable_frame]


@pytest.fixture
def estimators(small):
    head = small["weight"], small["bias"]
    return [WeiPerDetector(*head, n_repeats=3, random_state=0), KNNDetector(n_neighbors=5)]


def reordered(make, X):
    return make(X[:, ::-1], NAMES[::-1])


@pytest.mark.parametrize("make", FRAMES)
def test_frames_score_as_their_values(make, small, estimators):
    X = small["X"]
    labels = np.where(np.arange(len(X)) % 7, 1, -1)
    for estimator in estimators:
        expected = clone(estimator).fit(X, labels).score_samples(X)
        fitted = clone(estimator).fit(make(X, NAMES), labels)
        np.testing.assert_array_equal(fitted.score_samples(make(X, NAMES)), expected)
        assert list(fitted.feature_names_in_) == NAMES


@pytest.mark.parametrize("make", FRAMES)
def test_columns_in_another_order_are_named(make, small, estimators):
    for estimator in [*estimators, WeiPerTransformer(small["weight"]), ReAct()]:
        estimator.fit(make(small["X"], NAMES))
        score = getattr(estimator, "score_samples", getattr(estimator, "transform", None))
        with pytest.raises(ValueError, match=r"(?s)same order.*Column 0 is 'f11', .* saw 'f0'"):
            score(reordered(make, small["X"]))


@pytest.mark.parametrize("make", [*FRAMES, lambda X, names: pd.DataFrame(X, columns=names)])
def test_columns_that_are_missing_or_new_are_named(make, small, estimators):
    X = small["X"]
    for estimator in estimators:
        estimator.fit(make(X, NAMES))
        with pytest.raises(ValueError, match=r"now missing:\n- f11"):
            estimator.score_samples(make(X[:, :11], NAMES[:11]))
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- new"):
            estimator.score_samples(make(np.c_[X, X[:, 0]], [*NAMES, "new"]))


def test_columns_in_a_pipeline_that_hands_on_polars(small, estimators):
    pytest.importorskip("polars")
    X = small["X"]
    if not hasattr(StandardScaler().fit(polars_frame(X, NAMES)), "feature_names_in_"):
        pytest.skip("this scikit-learn reads no names of this polars, and hands on none")
    for estimator in estimators:
        pipeline = make_pipeline(StandardScaler(), estimator).set_output(transform="polars")
        pipeline.fit(polars_frame(X, NAMES))
        assert list(pipeline[-1].feature_names_in_) == NAMES
        scaled = StandardScaler().fit_transform(X)
        np.testing.assert_allclose(
            pipeline.score_samples(polars_frame(X, NAMES)),
            clone(estimator).fit(scaled).score_samples(scaled),
            rtol=1e-4,
            atol=1e-5,
        )
        with pytest.raises(ValueError, match="Column 0 is 'f11'"):
            pipeline[-1].score_samples(reordered(polars_frame, X))


@pytest.mark.parametrize("make", [polars_frame, pyarrow_table])
def test_columns_that_are_no_numbers_are_named(make, small, estimators):
    table = make(np.arange(6).reshape(3, 2), ["a", "b"])
    text = make(np.array([["x", "y", "z"]]).T, ["c"])
    wrong = (
        table.hstack(text.get_columns())
        if hasattr(table, "hstack")
        else table.append_column("c", text["c"])
    )
    with pytest.raises(ValueError, match=r"columns of other types: \{'c': "):
        estimators[0].fit(wrong)


@pytest.mark.parametrize("make", [polars_frame, pyarrow_table])
def test_missing_values_are_named(make, small, estimators):
    table = make(np.array([["1", "2"], ["3", "no"]]), ["a", "b"])
    if hasattr(table, "cast") and hasattr(table, "get_columns"):
        import polars

        table = table.with_columns(polars.all().cast(polars.Float64, strict=False))
    else:
        import pyarrow

        table = pyarrow.table({"a": [1.0, 3.0], "b": [2.0, None]})
    with pytest.raises(ValueError, match="NaN at row 1, column 1"):
        KNNDetector(n_neighbors=1).fit(table)


@pytest.mark.parametrize("make", FRAMES)
def test_helpers_of_model_selection_keep_the_columns(make, small):
    X = small["X"]
    outliers = synthetic_outliers(make(X, NAMES), random_state=0)
    assert list(outliers) == NAMES
    stacked, _, _ = train_validation_split_for_ood(*[make(X, NAMES)] * 3)
    assert list(stacked) == NAMES
    with pytest.raises(ValueError, match=r"X_val_id must have .* in the same order"):
        train_validation_split_for_ood(make(X, NAMES), reordered(make, X), make(X, NAMES))


class Stored:
    """As much of an h5py data set as is read here: counts the rows of each read."""

    def __init__(self, values):
        self.values, self.reads = values, []
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def read_direct(self):
        raise NotImplementedError

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all(), "Indexing elements must be in increasing order"
        self.reads.append(len(self.values[rows]))
        return self.values[rows]


@pytest.mark.parametrize("every", [2, 50])
def test_a_data_set_on_disk_is_read_slice_by_slice(every, estimators):
    X = np.random.RandomState(0).normal(size=(1000, 12)).astype(np.float16)
    y = np.where(np.arange(1000) % every, -1, 1)
    with config_context(working_memory=0.1):
        for estimator in [*estimators, ReAct()]:
            score = "transform" if isinstance(estimator, ReAct) else "score_samples"
            stored = Stored(X)
            expected = getattr(clone(estimator).fit(X, y), score)(X)
            found = getattr(clone(estimator).fit(stored, y), score)(stored)
            np.testing.assert_array_equal(found, expected)
            assert max(stored.reads) < 1000


def test_rows_of_a_data_set_in_any_order(small):
    view = StoredRows(Stored(small["X"]))
    for rows in ([7, 3, 3, 50], [5, 4, 3], [], np.arange(10)):
        np.testing.assert_array_equal(view[np.array(rows, int)], small["X"][np.array(rows, int)])


def test_a_data_set_of_h5py(small, estimators, tmp_path):
    h5py = pytest.importorskip("h5py")
    y = np.where(np.arange(60) % 5, 1, -1)
    with h5py.File(tmp_path / "dump.h5", "w") as file:
        stored = file.create_dataset("features", data=small["X"])
        text = file.create_dataset("names", data=[[b"a"], [b"b"]])
        for estimator in estimators:
            expected = clone(estimator).fit(small["X"], y).score_samples(small["X"])
            found = clone(estimator).fit(stored, y).score_samples(stored)
            np.testing.assert_array_equal(found, expected)
            with pytest.raises(ValueError, match="X must be a real array"):
                estimator.fit(text)


def arrow_lists():
    pyarrow = pytest.importorskip("pyarrow")
    return pd.ArrowDtype(pyarrow.list_(pyarrow.float64()))


LIST_COLUMNS = {
    "Series": lambda X: pd.Series(list(X)),
    "Series of lists": lambda X: pd.Series(X.tolist()),
    "frame": lambda X: pd.DataFrame({"embedding": list(X)}),
    "objects": lambda X: pd.Series(list(X)).to_numpy(),
    "polars": lambda X: pytest.importorskip("polars").DataFrame({"embedding": X.tolist()}),
    "polars Series": lambda X: pytest.importorskip("polars").Series(X.tolist()),
    "polars array": lambda X: pytest.importorskip("polars").DataFrame({"embedding": X}),
    "pyarrow": lambda X: pytest.importorskip("pyarrow").table({"embedding": X.tolist()}),
    "pyarrow column": lambda X: pytest.importorskip("pyarrow").chunked_array([X.tolist()]),
    "pyarrow in pandas": lambda X: pd.Series(X.tolist(), dtype=arrow_lists()),
}


@pytest.mark.parametrize("kind", LIST_COLUMNS)
def test_a_column_of_lists_is_stacked(kind, small, estimators):
    column = LIST_COLUMNS[kind](small["X"])
    for estimator in estimators:
        expected = clone(estimator).fit(small["X"]).score_samples(small["X"])
        np.testing.assert_array_equal(estimator.fit(column).score_samples(column), expected)


@pytest.mark.parametrize("spoiled", [None, [1.0, 2.0]])
def test_a_column_of_lists_of_different_lengths(spoiled, small, estimators):
    column = pd.Series([*small["X"][:3], spoiled])
    got = "no list" if spoiled is None else r"a list of shape \(2,\)"
    with pytest.raises(ValueError, match=rf"lists of shape \(12,\), but row 3 holds {got}"):
        estimators[0].fit(column)


def bfloat16_of_torch(values):
    return pytest.importorskip("torch").tensor(np.asarray(values)).bfloat16().requires_grad_()


@pytest.mark.parametrize("tensor", [BFloat16Tensor, bfloat16_of_torch])
def test_bfloat16_becomes_float32(tensor, small):
    X, weight, bias = (tensor(small[name]) for name in ("X", "weight", "bias"))
    plain = [as_host(part) for part in (X, weight, bias)]
    assert plain[0].dtype == np.float32
    detector = WeiPerDetector(weight, bias, n_repeats=3, random_state=0).fit(X)
    expected = WeiPerDetector(*plain[1:], n_repeats=3, random_state=0).fit(plain[0])
    np.testing.assert_array_equal(detector.score_samples(X), expected.score_samples(plain[0]))
    layer = type("Linear", (), {"weight": weight, "bias": bias})()
    np.testing.assert_array_equal(head_from_torch(layer)[0], plain[1])


def test_a_tensor_with_a_gradient_is_read(small, estimators):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(small["X"]).requires_grad_()
    for estimator in estimators:
        expected = clone(estimator).fit(small["X"]).score_samples(small["X"])
        np.testing.assert_array_equal(estimator.fit(tensor).score_samples(tensor), expected)


@pytest.mark.parametrize("kind", ["datetime64[s]", "timedelta64[s]"])
def test_dates_are_no_features(kind, small, estimators):
    dates = np.arange(60).reshape(20, 3).astype(kind)
    for estimator in [*estimators, ReAct()]:
        with pytest.raises(ValueError, match=f"X must hold numbers only.*{kind[:8]}"):
            estimator.fit(dates)
