"""EnsembleDetector: standardised by rows that the members did not see, and nobody's unit rules."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweiper import EnsembleDetector, WeiPerDetector
from skweiper.baselines import KNNDetector, LogitDetector, MahalanobisDetector, ViMDetector
from skweiper.ensemble import LARGEST_Z, Standard, clipped_z_scores, default_detectors, log_p_values
from skweiper.metrics import auroc
from skweiper.shaping import ReAct

N_TRAIN = 300


@pytest.fixture(scope="module")
def data(clinc150):
    rng = np.random.RandomState(0)
    train = clinc150.train[rng.permutation(len(clinc150.train))[:N_TRAIN]].astype(np.float32)
    return train, clinc150.test[::20].astype(np.float32), clinc150.test_oos[::20].astype(np.float32)


@pytest.fixture
def members(clinc150):
    head = clinc150.weight, clinc150.bias
    return [("vim", ViMDetector(*head)), ("knn", KNNDetector()), ("msp", LogitDetector(*head))]


def reference_log_p(score, held_out):
    """The definition, in loops: interpolated ranks, and the z-score below the least."""
    held_out, n_held_out = sorted(held_out), len(held_out)
    scale = float(np.std(held_out)) or 1.0
    if score <= held_out[0]:
        return -np.log(n_held_out + 1) + (score - held_out[0]) / scale
    below, rank = held_out[0], 1.0
    for known in sorted(set(held_out))[1:]:
        known_rank = sum(other <= known for other in held_out)
        if score < known:
            share = (score - below) / (known - below)
            return np.log((rank + share * (known_rank - rank)) / (n_held_out + 1))
        below, rank = known, known_rank
    return np.log(rank / (n_held_out + 1))


def test_log_p_values_agree_with_the_definition():
    rng = np.random.RandomState(0)
    for held_out in (rng.randn(40), np.repeat(rng.randn(7), 3), np.array([2.0]), np.zeros(5)):
        scores = np.concatenate([held_out, 4 * rng.randn(50), [-1e3, 1e3]])
        expected = [reference_log_p(score, held_out) for score in scores]
        found = log_p_values(scores, Standard.of(held_out))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_log_p_values_rise_with_the_score_without_a_jump():
    standard = Standard.of(np.random.RandomState(0).randn(100))
    scores = np.linspace(-8, 4, 20_000)
    values = log_p_values(scores, standard)
    assert (np.diff(values) >= 0).all() and values.max() < 0
    assert np.diff(values).max() < 0.02


@pytest.mark.parametrize("standardise", [log_p_values, clipped_z_scores])
def test_no_unit_rules(standardise):
    rng = np.random.RandomState(0)
    held_out, scores = rng.randn(60), 3 * rng.randn(40)
    expected = standardise(scores, Standard.of(held_out))
    found = standardise(1e6 * scores + 5, Standard.of(1e6 * held_out + 5))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_z_scores_are_clipped():
    standard = Standard.of(np.array([0.0, 2.0]))
    found = clipped_z_scores(np.array([-1e9, 1.0, 3.0, 1e9]), standard)
    np.testing.assert_allclose(found, [-LARGEST_Z, 0, 2, LARGEST_Z])


@pytest.mark.parametrize("combine", ["fisher", "mean"])
def test_the_score_is_the_standardised_scores_together(combine, data, members):
    train, rows, _ = data
    ensemble = EnsembleDetector(members, combine=combine, random_state=0).fit(train)
    standardise = {"fisher": log_p_values, "mean": clipped_z_scores}[combine]
    columns = {
        name: standardise(member.score_samples(rows), standard)
        for (name, member), standard in zip(
            ensemble.named_detectors_.items(), ensemble.standards_, strict=True
        )
    }
    pd.testing.assert_frame_equal(ensemble.score_components(rows), pd.DataFrame(columns))
    together = np.sum if combine == "fisher" else np.mean
    expected = together(np.column_stack(list(columns.values())), axis=1)
    np.testing.assert_array_equal(ensemble.score_samples(rows), expected)


def test_members_see_their_rows_only(data, members):
    train, rows, _ = data
    ensemble = EnsembleDetector(members, random_state=0).fit(train)
    n_held_out = len(ensemble.standards_[0].scores)
    assert n_held_out == round(0.2 * N_TRAIN)
    shuffled = np.random.RandomState(0)
    order = shuffled.permutation(N_TRAIN)
    seen, held_out = np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
    for (_, member), fitted, standard in zip(
        members, ensemble.detectors_, ensemble.standards_, strict=True
    ):
        alone = clone(member).fit(train[seen])
        np.testing.assert_array_equal(fitted.score_samples(rows), alone.score_samples(rows))
        held_out_scores = np.sort(alone.score_samples(train[held_out]))
        np.testing.assert_array_equal(standard.scores, held_out_scores)


def test_rows_to_standardise_by_may_be_given(data, members):
    train, rows, _ = data
    given = EnsembleDetector(members).fit(train, X_cal=rows)
    for (_, member), fitted, standard in zip(
        members, given.detectors_, given.standards_, strict=True
    ):
        alone = clone(member).fit(train)
        np.testing.assert_array_equal(fitted.score_samples(rows), alone.score_samples(rows))
        np.testing.assert_array_equal(standard.scores, np.sort(alone.score_samples(rows)))


def test_held_out_rows_are_checked_before_anything_is_fitted(data, members, monkeypatch):
    train, rows, _ = data
    monkeypatch.setattr(ViMDetector, "fit", None)
    with pytest.raises(ValueError, match="features"):
        EnsembleDetector(members).fit(train, X_cal=rows[:, :5])


def test_known_outliers_take_no_part(data, members):
    train, rows, ood = data
    clean = EnsembleDetector(members, random_state=0).fit(train)
    both = np.concatenate([train, ood])
    y = np.r_[np.ones(len(train)), -np.ones(len(ood))]
    with_outliers = EnsembleDetector(members, random_state=0).fit(both, y)
    np.testing.assert_array_equal(with_outliers.score_samples(rows), clean.score_samples(rows))
    assert with_outliers.offset_ == clean.offset_


@pytest.mark.filterwarnings("error")
def test_members_within_pipelines_read_classes_too(data, clinc150):
    train, *_ = data
    learner = MahalanobisDetector(clinc150.weight, clinc150.bias, labels="y")
    members = [("scaled", make_pipeline(StandardScaler(), learner)), ("knn", KNNDetector())]
    ensemble = EnsembleDetector(members, random_state=0)
    of_two = np.arange(N_TRAIN) % 2  # classes, and no marks of outliers
    assert ensemble.fit(train, of_two).detectors_[0][-1].classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"'scaled' .*learns from the class of each row\. Pass y"):
        ensemble.fit(train)


@pytest.mark.parametrize("kind", ["numbers", "uint8", "text"])
def test_members_learn_classes_from_y(kind, clinc150, data):
    train, rows, _ = data
    y = np.random.RandomState(0).randint(0, 3, len(train))
    labels = {"numbers": y, "uint8": y.astype(np.uint8), "text": np.array(["a", "b", "c"])[y]}[kind]
    member = MahalanobisDetector(clinc150.weight, clinc150.bias, labels="y")
    ensemble = EnsembleDetector([("mahalanobis", member)], random_state=0)
    assert ensemble.__sklearn_tags__().target_tags.required
    ensemble.fit(train, labels)
    seen = np.sort(np.random.RandomState(0).permutation(len(train))[60:])
    alone = clone(member).fit(train[seen], labels[seen])
    fitted = ensemble.named_detectors_.mahalanobis
    np.testing.assert_array_equal(fitted.score_samples(rows), alone.score_samples(rows))
    with pytest.raises(ValueError, match="Member 'mahalanobis' of EnsembleDetector"):
        ensemble.fit(train)


def test_pipelines_and_detectors_of_scikit_learn_are_members(clinc150, data):
    train, rows, ood = data
    head = clinc150.weight, clinc150.bias
    members = [
        ("react", make_pipeline(ReAct(), LogitDetector(*head, method="energy"))),
        ("scaled", make_pipeline(StandardScaler(), IsolationForest(n_estimators=10))),
    ]
    ensemble = EnsembleDetector(members, random_state=0).fit(train)
    again = EnsembleDetector(members, random_state=0).fit(train)
    np.testing.assert_array_equal(ensemble.score_samples(rows), again.score_samples(rows))
    scaler = ensemble.named_detectors_.scaled[0]
    seen = np.random.RandomState(0)
    seen.randint(np.iinfo(np.int32).max, size=1)  # the forest's seed
    kept = seen.permutation(len(train))[60:]
    np.testing.assert_allclose(scaler.mean_, train[kept].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert auroc(ensemble.score_samples(rows), ensemble.score_samples(ood)) > 0.7


def test_frames_keep_their_names(data, members):
    train, rows, _ = data
    names = [f"f{i}" for i in range(train.shape[1])]
    frame = pd.DataFrame(train, columns=names)
    scaled = ("scaled", make_pipeline(StandardScaler(), IsolationForest(n_estimators=5)))
    ensemble = EnsembleDetector([*members, scaled], random_state=0).fit(frame)
    queries = pd.DataFrame(rows, columns=names, index=np.arange(len(rows)) + 7)
    assert ensemble.score_components(queries).index.equals(queries.index)
    with pytest.raises(ValueError, match="same order"):
        ensemble.score_samples(queries[names[::-1]])


def test_tables_of_polars_are_taken(data, members):
    polars = pytest.importorskip("polars")
    train, rows, _ = data
    names = [f"f{i}" for i in range(train.shape[1])]
    scaled = ("scaled", make_pipeline(StandardScaler(), IsolationForest(n_estimators=5)))
    ensemble = EnsembleDetector([*members, scaled], random_state=0)
    tables = [polars.DataFrame(values, schema=names) for values in (train, rows)]
    found = ensemble.fit(tables[0]).score_samples(tables[1])
    np.testing.assert_array_equal(found, ensemble.fit(train).score_samples(rows))


def test_a_head_in_a_file_is_taken_by_the_default_members(data, clinc150, tmp_path):
    h5py = pytest.importorskip("h5py")
    train, rows, _ = data
    expected = EnsembleDetector(weight=clinc150.weight, bias=clinc150.bias, random_state=0)
    with h5py.File(tmp_path / "head.h5", "w") as file:
        head = {"weight": file.create_dataset("weight", data=clinc150.weight)}
        head["bias"] = file.create_dataset("bias", data=clinc150.bias)
        found = EnsembleDetector(**head, random_state=0).fit(train).score_samples(rows)
    np.testing.assert_array_equal(found, expected.fit(train).score_samples(rows))


def test_parameters_of_members_are_at_hand(members):
    ensemble = EnsembleDetector(members)
    assert ensemble.get_params()["knn__n_neighbors"] == members[1][1].n_neighbors
    ensemble.set_params(knn__n_neighbors=3, combine="mean")
    assert ensemble.detectors[1][1].n_neighbors == 3
    ensemble.set_params(vim="drop")
    assert [name for name, _ in ensemble._members(9, 5)] == ["knn", "msp"]
    assert EnsembleDetector().get_params(deep=True)["detectors"] is None


def test_a_fitted_ensemble_is_what_was_fitted(data, members):
    train, rows, _ = data
    ensemble = EnsembleDetector(members, random_state=0).fit(train)
    before = ensemble.score_samples(rows)
    ensemble.set_params(knn__n_neighbors=1, vim="drop", combine="mean")
    np.testing.assert_array_equal(ensemble.score_samples(rows), before)
    assert list(ensemble.score_components(rows)) == ["vim", "knn", "msp"]


def test_jobs_and_saving_change_nothing(data, members, tmp_path):
    train, rows, _ = data
    ensemble = EnsembleDetector(members, random_state=0).fit(train)
    expected = ensemble.score_samples(rows)
    two, three = (
        EnsembleDetector(members, random_state=0, n_jobs=n_jobs).fit(train).score_samples(rows)
        for n_jobs in (2, 3)
    )
    np.testing.assert_array_equal(two, three)
    # Beside other members BLAS has one thread, and a fit's sums another order.
    np.testing.assert_allclose(two, expected, rtol=1e-9)
    joblib.dump(ensemble, tmp_path / "ensemble")
    np.testing.assert_array_equal(joblib.load(tmp_path / "ensemble").score_samples(rows), expected)


def test_a_search_tunes_a_member(data, members, clinc150):
    train, _, ood = data
    X, y = np.concatenate([train, ood]), np.r_[np.ones(len(train)), -np.ones(len(ood))]
    order = np.random.RandomState(0).permutation(len(X))
    search = GridSearchCV(
        EnsembleDetector(members[1:], random_state=0), {"knn__n_neighbors": [1, 20]}, cv=2
    )
    search.fit(X[order], y[order])
    assert 0.5 < search.best_score_ <= 1


def test_thresholds_and_p_values(data, members):
    train, rows, ood = data
    ensemble = EnsembleDetector(members, random_state=0).fit(train)
    ensemble.calibrate(rows, tpr=0.9).calibrate_p_values(rows)
    assert np.mean(ensemble.predict(rows) == 1) == pytest.approx(0.9, abs=0.01)
    assert np.median(ensemble.p_value(ood)) < 0.2


def test_default_members(clinc150, data):
    train, _, _ = data
    # The logits of 37 classes are negative for rows of others, of which ViM would warn.
    head = clinc150.weight[:37], clinc150.bias[:37] + 10
    ensemble = EnsembleDetector(weight=head[0], bias=head[1], random_state=0).fit(train)
    assert list(ensemble.named_detectors_) == ["weiper", "mahalanobis", "vim"]
    assert ensemble.named_detectors_.mahalanobis.normalize
    assert list(dict(default_detectors())) == ["weiper", "mahalanobis"]
    with pytest.warns(UserWarning, match="'vim', which needs more features than classes"):
        few = EnsembleDetector(weight=clinc150.weight[:, :100], random_state=0).fit(train[:, :100])
    assert list(few.named_detectors_) == ["weiper", "mahalanobis"]
    with pytest.warns(UserWarning, match="more training rows than its subspace has dimensions"):
        EnsembleDetector(weight=head[0], random_state=0).fit(train[:100])


class NoDetector(BaseEstimator):
    """It can be fitted and does not score."""

    def fit(self, X, y=None):
        return self


def test_what_cannot_be_fitted_is_refused(data, members):
    train, _, _ = data
    with pytest.raises(ValueError, match="has no member"):
        EnsembleDetector([]).fit(train)
    with pytest.raises(ValueError, match="has no member"):
        EnsembleDetector([("knn", "drop")]).fit(train)
    with pytest.raises(TypeError, match="Member 'none' of EnsembleDetector must be a detector"):
        EnsembleDetector([("none", NoDetector())]).fit(train)
    with pytest.raises(ValueError, match="unique"):
        EnsembleDetector([members[0], members[0]]).fit(train)
    with pytest.raises(ValueError, match="conflict"):
        EnsembleDetector([("holdout", KNNDetector())]).fit(train)
    with pytest.raises(ValueError, match="cannot hold out"):
        EnsembleDetector(members).fit(train[:1])
    with pytest.raises(ValueError, match="holdout"):
        EnsembleDetector(members, holdout=1.0).fit(train)


def test_default_ensemble_beats_its_members_on_the_bundled_data(clinc150):
    ensemble = EnsembleDetector(weight=clinc150.weight, bias=clinc150.bias, random_state=0)
    ensemble.fit(clinc150.train)
    figures = {
        name: auroc(member.score_samples(clinc150.test), member.score_samples(clinc150.test_oos))
        for name, member in [("ensemble", ensemble), *ensemble.named_detectors_.items()]
    }
    assert max(figures, key=figures.get) == "ensemble"
    assert isinstance(ensemble.named_detectors_.weiper, WeiPerDetector)
