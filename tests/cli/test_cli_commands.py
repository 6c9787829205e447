"""What the commands compute, write and refuse, run in this process."""

import json
import os

import joblib
import numpy as np
import pandas as pd
import pytest

from skweiper import EnsembleDetector, WeiPerDetector
from skweiper.baselines import KNNDetector
from skweiper.cli import load_model
from skweiper.evaluation import compare, evaluate
from skweiper.model_selection import WeiPerDetectorCV, train_validation_split_for_ood
from skweiper.presets import PRESETS
from tests.cli.conftest import run

HEAD = ("--head", "head.safetensors")
OOD = ("--ood", "near/tin=tin.parquet", "--ood", "far/mnist=mnist.parquet")


@pytest.fixture(scope="module")
def head(clinc150):
    return np.asarray(clinc150.weight, np.float32), np.asarray(clinc150.bias, np.float32)


def frame(rows):
    return pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])])


def test_fit_passes_every_option_to_the_class(folder, rows, head):
    from skweiper.cli.output import plain

    options = ("--method", "entropy", "--n-repeats", 4, "--delta", 1.5, "--engine", "numpy")
    fitted = run("fit", "train.parquet", *HEAD, "--seed", 3, *options, "-o", "m.skops", "--json")
    assert fitted.code == 0, fitted.err
    expected = WeiPerDetector(
        *head, method="entropy", n_repeats=4, delta=1.5, engine="numpy", random_state=3
    ).fit(frame(rows["train"]))
    assert fitted.json["threshold"] == expected.offset_
    loaded = load_model("m.skops")
    for name, value in expected.get_params().items():
        if name not in ("weight", "bias"):
            assert fitted.json["settings"].get(name, plain(value)) == plain(value)
            assert loaded.detector.get_params()[name] == value
    assert loaded.about["training"]["n_samples"] == len(rows["train"])
    assert loaded.about["head"]["n_classes"] == 150


def test_features_in_the_place_of_the_head_are_noticed(folder):
    result = run("fit", "train.parquet", "--head", "train.parquet", "-o", "no_head.skops")
    assert "are these features?" in " ".join(result.err.split())


def test_fit_of_another_detector_needs_no_head(folder, rows):
    fitted = run("fit", "train.parquet", "--detector", "knn", "--n-neighbors", 7, "-o", "k.skops")
    assert (fitted.code, fitted.err) == (0, "")
    expected = KNNDetector(n_neighbors=7).fit(frame(rows["train"]))
    assert load_model("k.skops").detector.offset_ == expected.offset_


def test_labels_mark_classes_and_known_outliers(folder, rows, head, tmp_path):
    y = np.repeat([-1, 1], [50, len(rows["train"]) - 50])
    np.save(tmp_path / "y.npy", y)
    options = ("--detector", "knn", "--y", tmp_path / "y.npy", "-o", "k.skops")
    assert run("fit", "train.parquet", *options).code == 0
    assert len(load_model("k.skops").detector.bank_) == len(y) - 50
    options = (*HEAD, "--detector", "openmax", "--labels", "y", "-o", "o.skops")
    refused = run("fit", "train.parquet", *options)
    assert refused.code == 1
    assert "pass --y" in refused.err
    assert run("fit", "train.parquet", *options, "--y", "train.parquet::label").code == 0


def test_presets_are_the_published_settings_which_options_change(folder):
    options = ("--preset", "imagenet-vit-b16", "--n-repeats", 2, "--engine", "numpy")
    assert run("fit", "train.parquet", *HEAD, *options, "-o", "p.skops").code == 0
    parameters = load_model("p.skops").detector.get_params()
    for name, value in PRESETS["imagenet-vit-b16"].items():
        assert parameters[name] == (2 if name == "n_repeats" else value)


def test_the_ensemble_takes_members_with_their_own_hyperparameters(folder):
    members = ("knn:n_neighbors=5", "weiper:method=msp,n-repeats=2,engine=numpy")
    options = ("--detector", "ensemble", "--combine", "mean", "--seed", 0)
    given = [each for member in members for each in ("--detectors", member)]
    fitted = run("fit", "train.parquet", *HEAD, *options, *given, "-o", "e.skops")
    assert fitted.code == 0, fitted.err
    ensemble = load_model("e.skops").detector
    assert isinstance(ensemble, EnsembleDetector)
    assert list(ensemble.named_detectors_) == list(members)
    assert ensemble.detectors_[0].n_neighbors == 5
    assert ensemble.detectors_[1].head_.n_classes == 150


@pytest.mark.parametrize("part_rows", [2**18, 7])
@pytest.mark.parametrize("ending", [".parquet", ".csv", ".feather"])
def test_scores_are_the_librarys_part_by_part(folder, model, rows, ending, part_rows, monkeypatch):
    monkeypatch.setattr("skweiper.cli.scoring.PART_ROWS", part_rows)
    scored = run("score", model, "new.parquet", "-o", f"scores{ending}")
    assert (scored.code, scored.err) == (0, "")
    read = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".feather": pd.read_feather}[ending]
    found = read(f"scores{ending}")
    found = found.reset_index() if "id" not in found else found
    assert list(found.id) == [f"new-{i}" for i in range(len(rows["new"]))]
    expected = load_model(model).detector.score_samples(frame(rows["new"]))
    np.testing.assert_array_equal(found.score, expected)


def test_predict_decides_as_the_library_and_closes_the_gate(folder, model, rows):
    decided = run("predict", model, "tin.parquet", "-o", "decisions.csv", "--json")
    assert (decided.code, decided.err) == (0, "")
    detector, X = load_model(model).detector, frame(rows["tin"])
    found = pd.read_csv("decisions.csv")
    assert list(found.columns) == ["id", "score", "p_value", "prediction"]
    np.testing.assert_array_equal(found.prediction, detector.predict(X))
    np.testing.assert_allclose(found.p_value, detector.p_value(X), rtol=1e-12)
    rate = np.mean(detector.predict(X) == -1)
    assert decided.json["ood_rate"] == rate
    assert 0 < rate < 1
    assert run("predict", model, "tin.parquet", "--fail-on-ood", rate).code == 0
    closed = run("predict", model, "tin.parquet", "--fail-on-ood", rate - 0.01, "--json")
    assert closed.code == 3
    assert "--fail-on-ood" in closed.err
    assert closed.json["n_ood"] == int(np.sum(detector.predict(X) == -1))


def test_calibrate_sets_the_threshold_in_the_file_or_in_another(folder, model, rows):
    before = load_model(model).detector.offset_
    options = ("--tpr", 0.5, "-o", "half.skops", "--json")
    done = run("calibrate", model, "validation.parquet", *options)
    assert done.code == 0
    assert load_model(model).detector.offset_ == before == done.json["threshold_before"]
    half = load_model("half.skops")
    expected = load_model(model).detector.calibrate(frame(rows["validation"]), tpr=0.5)
    assert half.detector.offset_ == done.json["threshold"] == expected.offset_
    assert half.about["calibration"]["tpr"] == 0.5
    assert half.about["training"] == load_model(model).about["training"]


def test_calibrate_says_what_share_is_accepted_in_fact(folder, model, rows):
    frame(rows["validation"][:10]).to_parquet("ten.parquet")
    done = run("calibrate", model, "ten.parquet", "--tpr", 0.85, "-o", "ten.skops")
    assert "it accepts 90.0% of the 10 rows of ten.parquet" in done.out


@pytest.mark.parametrize("command", ["calibrate", "evaluate"])
def test_training_rows_where_held_out_ones_belong_are_noticed(folder, model, command):
    more = OOD if command == "evaluate" else ("-o", "again.skops")
    done = run(command, model, "train.parquet", *more)
    assert done.code == 0
    assert "Warning: train.parquet holds the rows that the model was fitted on" in done.err


def test_evaluate_is_the_librarys_report(folder, model, rows):
    pytest.importorskip("matplotlib")
    shifted = ("--covariate-shifted", "moved=validation.parquet")
    options = (*OOD, *shifted, "--n-boot", 5, "--seed", 1, "--plot", "report.png")
    done = run("evaluate", model, "test.parquet", *options, "--json")
    assert (done.code, done.err) == (0, "")
    detector = load_model(model).detector
    sets = {name: frame(rows[name]) for name in ("tin", "mnist")}
    expected = evaluate(
        detector,
        frame(rows["test"]),
        sets,
        {"near": ["tin"], "far": ["mnist"]},
        {"moved": frame(rows["validation"])},
        n_boot=5,
        random_state=1,
    )
    found = pd.DataFrame(done.json["report"])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert done.json["threshold"] == detector.offset_
    rejected = np.mean(detector.predict(sets["tin"]) == -1)
    assert done.json["ood_rejected"]["tin"] == rejected
    assert os.path.getsize("report.png") > 1000
    shown = run("evaluate", model, "test.parquet", *OOD)
    assert f"{100 * expected.auroc[0]:.2f}" in shown.out
    assert "(mean)" not in shown.out  # of one set each


def test_compare_is_the_librarys_table_best_first(folder, rows, head):
    pytest.importorskip("matplotlib")
    specs = ("knn:n_neighbors=50", "logit:method=energy")
    chosen = [each for spec in specs for each in ("--detector", spec)]
    options = (*HEAD, *OOD, *chosen, "--plot", "compared.svg")
    done = run("compare", "train.parquet", "test.parquet", *options, "--json")
    assert (done.code, done.err) == (0, "")
    found = pd.DataFrame(done.json["report"])
    knn = compare(
        {specs[0]: KNNDetector(n_neighbors=50)},
        frame(rows["train"]),
        frame(rows["test"]),
        {name: frame(rows[name]) for name in ("tin", "mnist")},
    )
    of_knn = found[(found.detector == specs[0]) & (found.level == "dataset")]
    np.testing.assert_array_equal(of_knn.auroc, knn.auroc[knn.level == "dataset"])
    means = found[found.level == "group"].groupby("detector").auroc.mean()
    assert list(found.detector.unique()) == list(means.sort_values(ascending=False).index)
    assert "</svg>" in (folder / "compared.svg").read_text()


def test_compare_leaves_out_only_what_was_not_asked_for(folder, monkeypatch):
    few = {"temperature_scaling": "TemperatureScalingDetector", "knn": "KNNDetector"}
    few = {name: f"skweiper.baselines.{of}" for name, of in few.items()}
    monkeypatch.setattr("skweiper.registry.CLASSES", few)
    done = run("compare", "train.parquet", "test.parquet", *HEAD, "--ood", "tin=tin.parquet")
    assert done.code == 0
    assert "temperature_scaling is left out" in done.err
    assert "Pass --y" in done.err
    assert "knn" in done.out
    asked = ("--detector", "temperature_scaling")
    options = (*HEAD, "--ood", "tin=tin.parquet")
    assert run("compare", "train.parquet", "test.parquet", *options, *asked).code == 1


def test_sweep_finds_what_the_search_finds(folder, rows, head):
    pytest.importorskip("matplotlib")
    grid = {"method": ["msp", "entropy"], "delta": [1.0, 2.0], "n_repeats": [3]}
    given = [
        e for k, v in grid.items() for e in (f"--{k.replace('_', '-')}", ",".join(map(str, v)))
    ]
    options = (*HEAD, "--ood", "tin=tin.parquet", *given, "--seed", 0)
    files = ("-o", "best.skops", "--plot", "sweep.png")
    done = run("sweep", "train.parquet", "validation.parquet", *options, *files, "--json")
    assert (done.code, done.err) == (0, "")
    X, y, cv = train_validation_split_for_ood(rows["train"], rows["validation"], rows["tin"])
    search = WeiPerDetectorCV(*head, param_grid=grid, cv=cv, random_state=0).fit(X, y)
    assert done.json["best_params"] == search.best_params_
    assert done.json["best_auroc"] == search.best_score_
    assert [each["auroc"] for each in done.json["candidates"]] == sorted(
        search.cv_results_["mean_test_score"], reverse=True
    )
    best = load_model("best.skops").detector
    assert best.offset_ == search.best_estimator_.offset_
    assert os.path.getsize("sweep.png") > 1000
    nothing = run("sweep", "train.parquet", "validation.parquet", *HEAD, *OOD, "--delta", 2)
    assert nothing.code == 2


def test_info_tells_what_each_thing_is(folder, model, rows):
    dump = run("info", "train.parquet", "--json").json["contents"]
    features = next(each for each in dump if each["role"] == "features")
    assert features["shape"] == list(rows["train"].shape)
    assert (features["lowest"], features["not_finite"]) == (rows["train"].min(), 0)
    assert {each["role"] for each in dump} == {"features", "labels", "index"}
    assert "150 classes on 256 features" in run("info", "head.safetensors").out
    about = run("info", model, "--json").json
    assert about["detector"] == "weiper"
    assert about["threshold"] == load_model(model).detector.offset_
    assert about["settings"]["method"] == "msp"
    assert about["calibration"]["n_samples"] == len(rows["validation"])
    knn = run("info", "knn", "--json").json
    assert knn["hyperparameters"][0]["option"] == "--n-neighbors"
    assert not knn["needs_head"]
    assert "relation_graph" in run("info").out


def test_info_counts_values_that_are_not_finite(folder, rows, tmp_path):
    X = rows["new"].copy()
    X[3, 4], X[5, 6] = np.nan, np.inf
    np.savez(tmp_path / "two.npz", features=X, other=X[:, :5])
    found = run("info", tmp_path / "two.npz", "--json").json["contents"]
    assert [each["not_finite"] for each in found] == [2, 1]
    assert found[0]["highest"] == X[np.isfinite(X)].max()
    assert f"{tmp_path / 'two.npz'}::other" in run("info", tmp_path / "two.npz").out


@pytest.mark.parametrize("name", ["head.safetensors", "train.parquet"])
def test_info_on_what_is_not_in_a_file_says_what_is(folder, name):
    missing = run("info", f"{name}::third")
    assert missing.code == 1
    assert f"Error: {name} has no array or columns 'third', got '" in missing.err


def test_no_figure_stays_open(folder, model):
    plt = pytest.importorskip("matplotlib.pyplot")
    before = plt.get_fignums()
    ended = run("evaluate", model, "test.parquet", *OOD, "--plot", "closed.png")
    assert (ended.code, plt.get_fignums()) == (0, before)


def test_arrays_are_named_behind_the_path_or_for_all_files(folder, rows, head, tmp_path):
    np.savez(tmp_path / "all.npz", train=rows["train"], new=rows["new"], w=head[0], b=head[1])
    path = tmp_path / "all.npz"
    options = ("--detector", "logit", "--head", f"{path}::w", "-o", "l.skops")
    assert run("fit", f"{path}::train", *options).code == 0
    assert run("score", "l.skops", path, "--key", "new", "-o", "s.npy").code == 0
    detector = load_model("l.skops").detector
    np.testing.assert_array_equal(np.load("s.npy"), detector.score_samples(rows["new"]))
    unnamed = run("score", "l.skops", path, "-o", "s.npy")
    assert unnamed.code == 1
    assert "Pass --key with the name" in unnamed.err
    rows["new"].astype(np.float16).tofile(tmp_path / "new.bin")
    plain = ("--shape", "-1,256", "--dtype", "float16")
    assert run("score", "l.skops", tmp_path / "new.bin", *plain, "-o", "s.npy").code == 0
    expected = detector.score_samples(rows["new"].astype(np.float16))
    np.testing.assert_array_equal(np.load("s.npy"), expected)


def test_columns_and_ids_of_a_table_are_chosen(folder, rows):
    options = ("--columns", "f1?", "--index", "label")
    assert run("fit", "train.parquet", "--detector", "knn", *options, "-o", "c.skops").code == 0
    names = list(load_model("c.skops").detector.feature_names_in_)
    assert names == [f"f{i}" for i in range(10, 20)]


USAGE = {
    "no such detector": (("fit", "train.parquet", "--detector", "knm", "-o", "x"), "knm"),
    "an option of another detector": (
        ("fit", "train.parquet", "--detector", "knn", "--n-bins", "9", "-o", "x"),
        "knn has no --n-bins. It has --n-neighbors, --contamination.",
    ),
    "another one, with its value": (
        ("fit", "train.parquet", "--detector=knn", "--n-bins=9", "-o", "x"),
        "knn has no --n-bins",
    ),
    "no number": (("fit", "train.parquet", "--n-bins", "nine", "-o", "x"), "must be INTEGER"),
    "out of range": (
        ("fit", "train.parquet", "--detector", "knn", "--n-neighbors", "0", "-o", "x"),
        "[1, inf)",
    ),
    "no such preset": (("fit", "train.parquet", "--preset", "cifar", "-o", "x"), "imagenet-vit"),
    "a preset for another": (
        ("fit", "train.parquet", "--detector", "knn", "--preset", "imagenet-vit-b16", "-o", "x"),
        "presets are for weiper",
    ),
    "no such member": (
        ("fit", "train.parquet", "--detector", "ensemble", "--detectors", "knm", "-o", "x"),
        "knm",
    ),
    "a member's unknown hyperparameter": (
        ("fit", "train.parquet", "--detector", "ensemble", "--detectors", "knn:k=3", "-o", "x"),
        "knn has no k.",
    ),
    "no output": (("fit", "train.parquet"), "--output"),
    "a set without a name": (
        ("evaluate", "msp.skops", "test.parquet", "--ood", "tin.parquet"),
        "NAME=PATH",
    ),
    "a set named twice": (
        ("evaluate", "msp.skops", "test.parquet", "--ood", "a=b", "--ood", "far/a=c"),
        "named twice",
    ),
    "an unknown kind of picture": (
        ("evaluate", "msp.skops", "test.parquet", "--ood", "a=tin.parquet", "--plot", "x.txt"),
        ".png",
    ),
    "no such command": (("judge", "msp.skops"), "judge"),
    "a shape that is none": (
        ("score", "msp.skops", "x.bin", "--shape", "all", "-o", "s.csv"),
        "-1,512",
    ),
    "an input as output": (
        ("score", "msp.skops", "new.parquet", "-o", "./new.parquet"),
        "new.parquet is read, and would be overwritten",
    ),
    "the training rows as model": (
        ("fit", "train.parquet", "--detector", "knn", "-o", "train.parquet"),
        "would be overwritten",
    ),
    "a device for what has none": (
        ("score", "knn.skops", "new.parquet", "--device", "cuda", "-o", "s.csv"),
        "computes on the CPU only",
    ),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_ends_with_2_and_says_what_is_right(folder, model, case, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    arguments, said = USAGE[case]
    if "knn.skops" in arguments:
        assert run("fit", "train.parquet", "--detector", "knn", "-o", "knn.skops").code == 0
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert "Traceback" not in ended.err


MISTAKES = {
    "no such file": (("score", "msp.skops", "nothing.parquet", "-o", "s.csv"), "nothing.parquet"),
    "no such model": (("score", "nothing.skops", "new.parquet", "-o", "s.csv"), "nothing.skops"),
    "a dump as model": (("score", "new.parquet", "new.parquet", "-o", "s.csv"), "no model file"),
    "a head as dump": (("score", "msp.skops", "head.safetensors", "-o", "s.csv"), "--key"),
    "other features": (("score", "msp.skops", "other.npy", "-o", "s.csv"), "256 features"),
    "values that are missing": (("score", "msp.skops", "nan.npy", "-o", "s.csv"), "NaN"),
    "no such folder": (("score", "msp.skops", "new.parquet", "-o", "no/s.csv"), "no/s.csv"),
    "no such folder for a model": (("fit", "train.parquet", "-o", "no/m.skops"), "no/m.skops"),
    "no such folder for a picture": (
        ("evaluate", "msp.skops", "test.parquet", "--ood", "a=tin.parquet", "--plot", "no/x.png"),
        "no/x.png",
    ),
    "no such kind of scores": (("score", "msp.skops", "new.parquet", "-o", "s.txt"), ".parquet"),
    "a pickle": (("score", "model.joblib", "new.parquet", "-o", "s.csv"), "--trusted"),
    "a tpr out of range": (("calibrate", "msp.skops", "validation.parquet", "--tpr", "2"), "tpr"),
    "a head of another width": (
        ("fit", "other.npy", "--head", "head.safetensors", "-o", "x.skops"),
        "for 3 features",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_bad_input_ends_with_1_and_one_line(folder, model, case):
    np.save("other.npy", np.zeros((4, 3)))
    np.save("nan.npy", np.full((4, 256), np.nan))
    joblib.dump(KNNDetector(), "model.joblib")
    before = (folder / model).read_bytes()
    arguments, said = MISTAKES[case]
    ended = run(*arguments)
    assert (ended.code, ended.out) == (1, "")
    errors = [line for line in ended.err.splitlines() if not line.startswith("Warning: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: ")
    assert said in errors[0]
    assert not (folder / "s.csv").exists()
    assert (folder / model).read_bytes() == before
    assert not [each for each in os.listdir(folder) if each.endswith(".part")]


def test_a_bad_row_is_named_where_it_is_in_the_file(folder, model, rows, monkeypatch):
    monkeypatch.setattr("skweiper.cli.scoring.PART_ROWS", 16)
    X = rows["test"].copy()
    X[37, 5] = np.inf
    np.save("inf.npy", X)
    ended = run("score", model, "inf.npy", "-o", "s.csv")
    assert "inf.npy, rows 32 to 47 (row 0 is row 32 of the file)" in ended.err
    assert "row 5," in ended.err


def test_debug_shows_the_traceback(folder, monkeypatch):
    for arguments in (("--debug", "info", "nothing.npy"), ("info", "nothing.npy")):
        with pytest.raises(FileNotFoundError):
            run(*arguments)
        monkeypatch.setenv("SKWEIPER_DEBUG", "1")


def test_features_without_a_head_are_logits_and_that_is_said(folder):
    fitted = run("fit", "train.parquet", "--detector", "logit", "-o", "l.skops")
    assert fitted.code == 0
    assert "Without --head the 256 columns of train.parquet are taken as logits" in fitted.err
    unused = run("fit", "train.parquet", "--detector", "knn", *HEAD, "-o", "l.skops")
    assert "--head is not used" in unused.err


def test_a_pickle_of_any_detector_scores_when_it_is_trusted(folder, rows):
    detector = KNNDetector().fit(rows["train"])
    joblib.dump(detector, "k.joblib")
    options = ("--columns", "f*", "-o", "s.csv", "--trusted")
    assert run("score", "k.joblib", "new.parquet", *options).code == 0
    expected = detector.score_samples(rows["new"])
    np.testing.assert_array_equal(pd.read_csv("s.csv").score, expected)


def test_help_shows_the_options_of_the_detector_that_is_named(monkeypatch):
    pytest.importorskip("typer")
    monkeypatch.setenv("COLUMNS", "200")
    weiper, knn = run("fit", "--help"), run("fit", "--detector", "knn", "--help")
    assert (weiper.code, knn.code) == (0, 0)
    assert "--lambda-1" in weiper.out
    assert "--n-neighbors" not in weiper.out
    assert "--n-neighbors" in knn.out
    assert "--lambda-1" not in knn.out
    assert "[default: 50]" in knn.out
    assert "The k of the method" in knn.out


def test_the_fingerprint_is_of_the_data_not_of_its_file(rows, tmp_path):
    from skweiper.cli.fingerprints import fingerprint
    from skweiper.io import open_features

    X = rows["test"]
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", features=X)
    same = {fingerprint(open_features(tmp_path / name)) for name in ("a.npy", "b.npz")}
    assert same == {fingerprint(X)}
    others = [X[:-1], X[::-1], X.astype(np.float64), X + 1]
    assert len({fingerprint(each) for each in others} | same) == 5
    assert fingerprint(X, ["a", "b"]) != fingerprint(X)
    assert fingerprint(X[:3]) == fingerprint(np.array(X[:3]))


def test_json_has_null_for_what_is_no_number():
    from skweiper.cli.output import plain

    values = {"a": np.float32(0.5), "b": float("nan"), "c": np.array([1, 2]), 3: (np.True_, None)}
    text = json.dumps(plain(values), allow_nan=False)
    assert json.loads(text) == {"a": 0.5, "b": None, "c": [1, 2], "3": [True, None]}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("skweiper sc", "score"),
        ("skweiper fit --detector kn", "knn"),
        ("skweiper fit --detector knn --n-", "--n-neighbors"),
        ("skweiper fit --projection im", "implicit"),
    ],
)
def test_the_shell_completes_commands_options_and_values(folder, typed, offered, monkeypatch):
    monkeypatch.setenv("_SKWEIPER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert offered in run().out.split()
