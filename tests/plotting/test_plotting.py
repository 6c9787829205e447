"""Displays draw what they claim: the data of their artists."""

import sys
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from skweiper import WeiPerDetector, scores  # noqa: E402
from skweiper._weiper.density import smooth  # noqa: E402
from skweiper.baselines import KNNDetector  # noqa: E402
from skweiper.datasets import load_clinc150  # noqa: E402
from skweiper.metrics import fpr95  # noqa: E402
from skweiper.model_selection import WeiPerDetectorCV  # noqa: E402
from skweiper.plotting import (  # noqa: E402
    DensityDisplay,
    OODRocDisplay,
    PerturbationDisplay,
    ScoreDistributionDisplay,
    SweepDisplay,
)


@pytest.fixture(scope="module")
def data():
    return load_clinc150()


@pytest.fixture(scope="module")
def detector(data):
    return WeiPerDetector(data.weight, data.bias, n_repeats=5, random_state=0).fit(data.train)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_score_distribution_draws_histograms_of_area_one_and_the_threshold(data, detector):
    display = ScoreDistributionDisplay.from_estimator(
        detector, data.test[:200], {"oos": data.test_oos[:100]}, bins=30
    )
    for name, X in {"ID": data.test[:200], "oos": data.test_oos[:100]}.items():
        drawn = display.histograms_[name].get_data()
        heights, _ = np.histogram(detector.score_samples(X), drawn.edges, density=True)
        assert len(heights) == 30
        assert np.allclose(drawn.values, heights)
        assert np.sum(drawn.values * np.diff(drawn.edges)) == pytest.approx(1)
    assert display.threshold_line_.get_xdata()[0] == detector.offset_


def test_score_distribution_over_edges_has_the_share_within_as_area():
    edges = np.array([0.0, 1.0, 3.0])
    display = ScoreDistributionDisplay.from_predictions(
        [0.5, 2.0, 2.5, 2.9], {"far": [-1000.0, 0.5]}, bins=edges
    )
    heights = {name: patch.get_data().values for name, patch in display.histograms_.items()}
    np.testing.assert_allclose(heights["ID"], [1 / 4, 3 / 8])
    np.testing.assert_allclose(heights["far"], [1 / 2, 0])


def test_score_distribution_draws_on_the_axes_given_and_no_threshold_unasked():
    _, axes = plt.subplots()
    display = ScoreDistributionDisplay.from_predictions([1.0, 2], {"a": [0.0]}, ax=axes)
    assert display.ax_ is axes
    assert display.threshold_line_ is None


def test_roc_curve_has_the_auroc_as_area_and_the_fpr_marked():
    rng = np.random.RandomState(0)
    scores_id, scores_ood = rng.normal(1, 1, 90), rng.normal(0, 1, 70)
    display = OODRocDisplay.from_predictions(scores_id, {"a": scores_ood})
    area = np.trapezoid(display.lines_["a"].get_ydata(), display.lines_["a"].get_xdata())
    y = np.repeat([1, 0], [90, 70])
    assert area == pytest.approx(roc_auc_score(y, np.concatenate([scores_id, scores_ood])))
    assert display.markers_["a"].get_xdata()[0] == fpr95(scores_id, scores_ood)


def test_roc_of_an_estimator_is_that_of_its_scores(data, detector):
    found = OODRocDisplay.from_estimator(detector, data.test[:50], {"oos": data.test_oos[:40]})
    scores = [detector.score_samples(X) for X in (data.test[:50], data.test_oos[:40])]
    expected = OODRocDisplay.from_predictions(scores[0], {"oos": scores[1]})
    assert np.array_equal(found.lines_["oos"].get_xydata(), expected.lines_["oos"].get_xydata())


@pytest.mark.parametrize(
    ("unperturbed", "said"), [(0.5, "30.0 points less"), (0.2, "no gain"), (0.1, "no gain")]
)
def test_a_perturbation_without_a_gain_is_said_to_have_none(unperturbed, said):
    points, directions = np.random.RandomState(0).normal(size=(2, 5, 2))
    display = PerturbationDisplay(points, points, directions, np.full(5, 0.2), unperturbed, (0, 1))
    assert display.plot().chosen_.get_label() == f"the median one: FPR@95 20.0%, {said}"


def test_density_draws_training_and_smoothed_sample(data, detector):
    display = DensityDisplay.from_estimator(detector, data.test[:2], ["one", "two"])
    densities = detector.densities(data.test[:2])
    drawn = display.training_["logit"].get_data()
    assert np.array_equal(drawn.values, detector.logit_density_)
    assert np.allclose([drawn.edges[0], drawn.edges[-1]], detector.logit_range_)
    sample = display.samples_["feature", "two"].get_data().values
    assert np.allclose(sample, smooth(densities.feature[1], detector.smoothing))


CV_RESULTS = {
    "param_delta": np.ma.array([1.0, 1.0, 2.0, 2.0], dtype=object),
    "param_lambda_1": np.ma.array([0.1, 5, 0.1, 5], dtype=object),
    "mean_test_score": np.array([0.7, 0.9, 0.8, 0.6]),
}


def test_sweep_profile_is_the_best_over_the_other_parameters():
    display = SweepDisplay.from_cv_results(CV_RESULTS, "delta")
    assert display.line_.get_ydata().tolist() == [0.9, 0.8]
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["1", "2"]


def test_sweep_heat_map_has_x_along_columns():
    display = SweepDisplay.from_cv_results(CV_RESULTS, "delta", "lambda_1")
    assert display.image_.get_array().tolist() == [[0.7, 0.8], [0.9, 0.6]]
    assert display.ax_.get_xlabel() == "delta"


def test_a_learnt_delta_stands_beside_numbers():
    deltas = np.ma.array([0.5, "auto", 2.0, "auto"], dtype=object)
    display = SweepDisplay.from_cv_results(CV_RESULTS | {"param_delta": deltas}, "delta")
    assert display.line_.get_ydata().tolist() == [0.7, 0.9, 0.8]
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["0.5", "auto", "2"]
    assert display.line_.get_linestyle() == "None"  # "auto" has no place among them


def test_the_cone_has_the_length_that_was_learnt(data, detector):
    given = clone(detector).set_params(delta=detector.delta_).fit(data.train)
    other = clone(detector).set_params(delta=3 * detector.delta_).fit(data.train)
    learnt, same, longer = (
        PerturbationDisplay.from_estimator(one, data.test, data.test_oos[:50], n_perturbed=3)
        for one in (detector, given, other)
    )
    assert np.array_equal(learnt.directions, same.directions)
    # Without the perturbation the share of the first class's own weight would be 1, and 0 other.
    np.testing.assert_allclose(
        longer.directions - [1, 0], 3 * (learnt.directions - [1, 0]), atol=1e-9
    )


def test_sweep_names_a_parameter_that_was_not_searched():
    with pytest.raises(ValueError, match=r"no \['param_n_bins'\]; it has \['param_delta'"):
        SweepDisplay.from_cv_results(CV_RESULTS, "n_bins")


@pytest.fixture(scope="module")
def search(data):
    X = np.concatenate([data.train[::40], data.validation_oos[:40]])
    y = np.repeat([1, -1], [len(X) - 40, 40])
    warm = partial(scores.energy, temperature=2.0)
    grid = [
        {"method": ["msp", warm, scores.entropy], "random_state": [None, 0], "n_repeats": [2]},
        {"method": ["kld"], "n_bins": [30, 60], "lambda_1": [5, 0.1], "n_repeats": [2]},
    ]
    return WeiPerDetectorCV(
        data.weight, data.bias, param_grid=grid, cv=StratifiedKFold(2), random_state=0
    ).fit(X, y)


def candidates_with(search, **values):
    """Mean test scores of the candidates that name these values."""
    return [
        score
        for score, params in zip(
            search.cv_results_["mean_test_score"], search.cv_results_["params"], strict=True
        )
        if all(name in params and params[name] == value for name, value in values.items())
    ]


def test_sweep_draws_callables_and_none_of_a_real_search(search):
    display = SweepDisplay.from_estimator(search, "method", "random_state")
    names = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert names == ["msp", "energy(temperature=2.0)", "entropy"]
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["None", "0"]
    assert display.ax_.get_xticklabels()[0].get_rotation() == 30
    drawn = display.image_.get_array()
    for column, method in enumerate(search.param_grid[0]["method"]):
        for row, seed in enumerate([None, 0]):
            assert [drawn[row, column]] == candidates_with(search, method=method, random_state=seed)


def test_sweep_leaves_out_candidates_that_do_not_name_the_parameter(search):
    display = SweepDisplay.from_estimator(search, "lambda_1")
    best = [max(candidates_with(search, lambda_1=value)) for value in (0.1, 5)]
    assert display.line_.get_ydata().tolist() == best
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["0.1", "5"]


def test_sweep_leaves_cells_without_a_candidate_empty():
    results = {name: column[:3] for name, column in CV_RESULTS.items()}
    display = SweepDisplay.from_cv_results(results, "delta", "lambda_1")
    assert np.isnan(display.scores.to_numpy()[1, 1])
    assert len(display.ax_.texts) == 3


def grid_results(n_x, n_y):
    x, y = np.meshgrid(np.linspace(0, 4, n_x), np.linspace(0, 4, n_y))
    return {
        "param_delta": np.ma.array(x.ravel()),
        "param_lambda_1": np.ma.array(y.ravel()),
        "mean_test_score": x.ravel() / 8 + y.ravel() / 9,
    }


def overlapping(texts):
    """Pairs of texts whose boxes, as drawn, overlap."""
    renderer = texts[0].figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize(("n_x", "n_y"), [(5, 5), (9, 8), (21, 12), (60, 40)])
def test_numbers_and_ticks_of_a_heat_map_do_not_overlap(n_x, n_y):
    display = SweepDisplay.from_cv_results(grid_results(n_x, n_y), "delta", "lambda_1")
    display.figure_.canvas.draw()
    assert display.image_.get_array().shape == (n_y, n_x)
    assert len(display.ax_.texts) == (n_x * n_y if n_x < 10 else 0)
    assert not overlapping(display.ax_.get_yticklabels())
    if n_x < 10:
        assert not overlapping(display.ax_.texts)
    labels = display.ax_.get_xticklabels()
    assert len(labels) <= 12
    if labels[0].get_rotation() == 0:
        assert not overlapping(labels)
    for label in labels:
        position = label.get_position()[0]
        assert float(label.get_text()) == pytest.approx(4 * position / (n_x - 1), rel=1e-3)


def test_a_profile_of_names_has_no_line_between_them(search):
    display = SweepDisplay.from_estimator(search, "method")
    assert display.line_.get_linestyle() == "None"
    assert SweepDisplay.from_estimator(search, "lambda_1").line_.get_linestyle() == "-"


def test_legend_of_the_curves_hides_no_tick_label():
    rng = np.random.RandomState(0)
    sets = {f"a dataset with a long name {i}": rng.normal(-1, 1, 90) for i in range(4)}
    display = OODRocDisplay.from_predictions(rng.normal(1, 1, 90), sets)
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    for label in [*display.ax_.get_xticklabels(), *display.ax_.get_yticklabels()]:
        assert not legend.overlaps(label.get_window_extent())


def test_displays_take_a_search_for_its_best_detector(data, search):
    best = WeiPerDetector(data.weight, data.bias, n_repeats=2, random_state=0)
    holder = clone(search).set_params(param_grid={"n_repeats": [2]})
    X = np.concatenate([data.train[::40], data.validation_oos[:40]])
    y = np.repeat([1, -1], [len(X) - 40, 40])
    holder.fit(X, y), best.fit(X, y)
    drawn = [DensityDisplay.from_estimator(one, data.test[:1]) for one in (holder, best)]
    values = [one.samples_["logit", "sample 0"].get_data().values for one in drawn]
    assert np.array_equal(*values)
    cones = [
        PerturbationDisplay.from_estimator(one, data.test, data.test_oos[:50], n_perturbed=3)
        for one in (holder, best)
    ]
    assert np.array_equal(cones[0].fprs, cones[1].fprs)


def test_densities_are_drawn_in_the_bins_of_the_fit(data, detector):
    changed = clone(detector).fit(data.train)
    changed.set_params(n_bins=40, smoothing=1, smoothing_perturbed=2)
    drawn = [DensityDisplay.from_estimator(one, data.test[:1]) for one in (detector, changed)]
    for space in ("feature", "logit"):
        before, after = (one.samples_[space, "sample 0"].get_data() for one in drawn)
        np.testing.assert_array_equal(after.edges, before.edges)
        np.testing.assert_array_equal(after.values, before.values)


@pytest.fixture(scope="module")
def pipeline(data, detector):
    """Halved features, doubled again, before the same detector."""
    halve, double = FunctionTransformer(lambda X: X / 2), FunctionTransformer(lambda X: X * 2)
    return make_pipeline(halve, double, clone(detector)).fit(data.train)


def test_displays_take_a_pipeline_for_its_last_step(data, detector, pipeline):
    drawn = [DensityDisplay.from_estimator(one, data.test[:1]) for one in (pipeline, detector)]
    values = [one.samples_["logit", "sample 0"].get_data().values for one in drawn]
    assert np.array_equal(*values)
    cones = [
        PerturbationDisplay.from_estimator(one, data.test, data.test_oos[:50], n_perturbed=3)
        for one in (pipeline, detector)
    ]
    assert np.array_equal(cones[0].fprs, cones[1].fprs)


def test_threshold_of_pipelines_and_searches_is_drawn(data, detector, pipeline):
    X = np.concatenate([data.train, data.validation_oos])
    y = np.repeat([1, -1], [len(data.train), len(data.validation_oos)])
    search = GridSearchCV(
        pipeline, {"weiperdetector__n_repeats": [5]}, scoring="roc_auc", cv=StratifiedKFold(2)
    ).fit(X, y)
    for holder in (pipeline, search):
        display = ScoreDistributionDisplay.from_estimator(holder, data.test, {"oos": data.test_oos})
        assert display.threshold_line_.get_xdata()[0] == detector.offset_


def test_displays_of_weiper_refuse_other_detectors(data):
    knn = KNNDetector().fit(data.train[:100])
    with pytest.raises(TypeError, match=r"must be a WeiPerDetector, .* got KNNDetector"):
        DensityDisplay.from_estimator(knn, data.test[:1])
    with pytest.raises(TypeError, match=r"must be a WeiPerDetector, .* got KNNDetector"):
        PerturbationDisplay.from_estimator(knn, data.test, data.test_oos)
    with pytest.raises(TypeError, match=r"must have cv_results_, .* got KNNDetector"):
        SweepDisplay.from_estimator(knn, "n_neighbors")


@pytest.mark.parametrize("display", [ScoreDistributionDisplay, OODRocDisplay])
def test_data_sets_without_names_are_refused(data, detector, display):
    with pytest.raises(ValueError, match=r"X_ood must be a dict .* got ndarray"):
        display.from_estimator(detector, data.test, data.test_oos)


@pytest.mark.parametrize("classes", [(0, 0), (0, 150), (1,), (-1, 2)])
def test_classes_that_are_not_two_of_the_head_are_refused(data, detector, classes):
    with pytest.raises(ValueError, match=r"classes must be two different .* \[0, 150\)"):
        PerturbationDisplay.from_estimator(detector, data.test, data.test_oos, classes)


@pytest.mark.parametrize("display", [ScoreDistributionDisplay, OODRocDisplay])
@pytest.mark.parametrize(
    ("scores_id", "scores_ood", "message"),
    [
        ([1.0, np.nan], {"a": [0.0]}, "scores_id must be .* 1 not finite"),
        ([1.0], {"a": []}, r"scores_ood\['a'\] must be a non-empty"),
        ([1.0], [0.0], "scores_ood must be a dict .* got list"),
        ([1.0], {}, "scores_ood must be a dict .* an empty one"),
    ],
)
def test_scores_that_cannot_be_drawn_are_named(display, scores_id, scores_ood, message):
    before = plt.get_fignums()
    with pytest.raises(ValueError, match=message):
        display.from_predictions(scores_id, scores_ood)
    assert plt.get_fignums() == before


def test_a_data_set_cannot_take_the_place_of_the_id_scores():
    with pytest.raises(ValueError, match="named 'ID'"):
        ScoreDistributionDisplay.from_predictions([1.0], {"ID": [0.0]})


def test_estimators_that_are_not_fitted_are_refused(data):
    detector = WeiPerDetector(data.weight, data.bias)
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid={"delta": [1]})
    drawings = [
        lambda: SweepDisplay.from_estimator(search, "delta"),
        lambda: DensityDisplay.from_estimator(detector, data.test[:1]),
        lambda: PerturbationDisplay.from_estimator(search, data.test, data.test_oos),
    ]
    for draw in drawings:
        with pytest.raises(NotFittedError):
            draw()


def test_samples_that_cannot_be_projected_are_named(data, detector):
    with pytest.raises(ValueError, match="X has 5 features"):
        PerturbationDisplay.from_estimator(detector, data.test[:, :5], data.test_oos)
    with pytest.raises(ValueError, match="n_perturbed"):
        PerturbationDisplay.from_estimator(detector, data.test, data.test_oos, n_perturbed=0)


@pytest.mark.parametrize("names", [["one"], ["same", "same"]])
def test_names_that_are_not_one_per_sample_are_refused(data, detector, names):
    with pytest.raises(ValueError, match="names must be 2 different names"):
        DensityDisplay.from_estimator(detector, data.test[:2], names)


def test_sweep_refuses_results_without_a_score():
    results = {**CV_RESULTS, "mean_test_score": np.full(4, np.nan)}
    with pytest.raises(ValueError, match="nothing to draw"):
        SweepDisplay.from_cv_results(results, "delta")


def test_perturbation_draws_logits_cone_and_median_fpr(data, detector):
    display = PerturbationDisplay.from_estimator(
        detector, data.test, data.test_oos[:100], (3, 7), n_perturbed=21
    )
    X = data.test_oos[:100].astype(float)
    logits = X @ data.weight[[3, 7]].T + data.bias[[3, 7]]
    assert np.allclose(display.ood_.get_xydata(), logits)
    assert len(display.cone_) == 21
    ray = np.diff(display.cone_[4].get_xydata(), axis=0)[0]
    assert ray[1] / ray[0] == pytest.approx(display.directions[4, 1] / display.directions[4, 0])
    assert display.fprs[display._median] == np.median(display.fprs)
    assert f"{np.median(display.fprs):.1%}" in display.chosen_.get_label()
    assert display.fpr_histogram_.get_data().values.sum() == 21


def test_cone_closes_on_the_axis_without_perturbation(data, detector):
    still = WeiPerDetector(data.weight, data.bias, delta=0.0, n_repeats=1).fit(data.train[:100])
    display = PerturbationDisplay.from_estimator(
        still, data.test, data.test_oos[:50], n_perturbed=3
    )
    assert np.allclose(display.directions, [1, 0])
    assert np.ptp(display.cone_[0].get_ydata()) == pytest.approx(0)
    assert np.allclose(display.fprs, display.fpr_unperturbed)


def test_wrong_number_of_axes_is_refused(data, detector):
    with pytest.raises(ValueError, match="ax must hold 2 matplotlib axes, got 1"):
        DensityDisplay.from_estimator(detector, data.test[:1], ax=[plt.gca()])


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'skweiper\[plot\]'"):
        ScoreDistributionDisplay.from_predictions([1.0], {"a": [0.0]})
