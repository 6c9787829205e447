"""Each figure of an ablation is the AUROC of the detector it names."""

import pytest

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc
from skweiper.model_selection import ablation
from skweiper.model_selection.ablation import STUDIES


@pytest.fixture(scope="module")
def data():
    return load_clinc150()


def test_rows_equal_separately_fitted_detectors(data):
    train, held_out = data.train[::30], data.validation[:60]
    ood = {"a": data.validation_oos[:50], "b": data.test_oos[:40]}
    studies = {
        "delta": [{"delta": 0.5}, {"delta": "auto", "flip_rate": 0.3}],
        "terms": [{"lambda_2": 0.0}, {"method": "msp"}],
        "projection": [{"projection": "random"}],
    }
    base = {"n_repeats": 3, "n_bins": 40}
    table = ablation(
        train, held_out, ood, data.weight, data.bias, base=base, studies=studies, seeds=[3, 4]
    )
    assert len(table) == (1 + 5) * 2 * 2
    settings = {"base": {}} | {
        ", ".join(f"{k}={v}" for k, v in one.items()): one
        for all_ in studies.values()
        for one in all_
    }
    for row in table.itertuples():
        detector = WeiPerDetector(data.weight, data.bias, random_state=row.seed, **base)
        detector.set_params(**settings[row.setting]).fit(train)
        scores_id, scores_ood = map(detector.score_samples, (held_out, ood[row.dataset]))
        wins = (scores_id[:, None] > scores_ood).mean() + (
            scores_id[:, None] == scores_ood
        ).mean() / 2
        assert row.auroc == pytest.approx(wins, abs=1e-9)


def test_standard_studies_cover_every_term(data):
    table = ablation(
        data.train[:40],
        data.validation[:20],
        data.validation_oos[:20],
        data.weight,
        data.bias,
        seeds=[0],
    )
    assert set(table.study) == {"base", *STUDIES}
    assert table.auroc.between(0, 1).all()
    assert (table.dataset == "ood").all()


@pytest.mark.parametrize(("seeds", "base_score"), [([0], "msp"), ([2, 5], "kld")])
def test_each_term_alone_is_that_of_score_components(data, seeds, base_score):
    train, held_out, ood = data.train[::30], data.validation[:60], data.validation_oos[:50]
    names = ["feature_divergence", "logit_divergence", "msp"]
    studies = {
        "mixed": [{"method": "energy"}, {"n_bins": 30, "term": "logit_divergence"}],
        "terms": [{"term": name} for name in names],
    }
    table = ablation(
        train,
        held_out,
        ood,
        data.weight,
        data.bias,
        base={"n_repeats": 3, "n_bins": 40, "method": base_score},
        studies=studies,
        seeds=seeds,
    )
    assert len(table) == 6 * len(seeds)
    assert table[table.study == "terms"].groupby("setting").auroc.mean().nunique() == 3
    for row in table[table.setting.str.contains("term=")].itertuples():
        detector = WeiPerDetector(data.weight, data.bias, n_repeats=3, random_state=row.seed)
        detector.set_params(n_bins=30 if "n_bins" in row.setting else 40).fit(train)
        name = row.setting.split("term=")[1]
        sign = 1 if name == "msp" else -1
        scores = [sign * detector.score_components(X)[name] for X in (held_out, ood)]
        assert row.auroc == pytest.approx(auroc(*scores), abs=1e-9)


def ablate(data, **options):
    return ablation(
        data.train[:40],
        data.validation[:20],
        data.validation_oos[:20],
        data.weight,
        data.bias,
        **{"seeds": [0], "base": {"n_repeats": 2}, **options},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"studies": {"s": [{"term": "energy"}]}}, "term must be one of .* got 'energy'"),
        ({"studies": {"s": [{"term": "msp", "method": "msp"}]}}, "with method='kld'"),
        ({"seeds": []}, "seeds is empty"),
    ],
)
def test_bad_options_are_named(data, options, message):
    with pytest.raises(ValueError, match=message):
        ablate(data, **options)


@pytest.mark.parametrize("name", ["contamination", "detla", "random_state"])
def test_unknown_parameter_is_named(data, name):
    with pytest.raises(ValueError, match=rf"studies\['s'\] has unknown names \['{name}'\]"):
        ablate(data, studies={"s": [{name: 0.2}]})


def test_unknown_parameter_of_the_base_is_named(data):
    with pytest.raises(ValueError, match=r"base has unknown names \['detla'\]"):
        ablate(data, base={"detla": 0.2})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"studies": [{"delta": 1.0}]}, "studies must be a dict of lists of dicts"),
        ({"studies": {"delta": {"delta": 1.0}}}, "studies must be a dict of lists of dicts"),
        ({"studies": {"delta": ["delta"]}}, "studies must be a dict of lists of dicts"),
        ({"seeds": 3}, "seeds must be several ints, got 3"),
    ],
)
def test_options_of_another_form_are_named(data, options, message):
    with pytest.raises(TypeError, match=message):
        ablate(data, **options)
