"""Options made from the classes: names, defaults, texts and values."""

from inspect import signature

import pytest
from numpydoc.docscrape import ClassDoc

from skweiper.cli.hyperparameters import NOT_OPTIONS, hyperparameters_of
from skweiper.registry import all_detectors

DETECTORS = {entry.name: entry.estimator for entry in all_detectors()}


@pytest.mark.parametrize("name", DETECTORS)
def test_every_hyperparameter_is_an_option_with_its_default_and_text(name):
    found = hyperparameters_of(DETECTORS[name])
    parameters = signature(DETECTORS[name]).parameters
    assert list(found) == [each for each in parameters if each not in NOT_OPTIONS]
    documented = {each.name: each.desc for each in ClassDoc(DETECTORS[name])["Parameters"]}
    for each in found.values():
        assert each.default is parameters[each.name].default
        assert each.text == " ".join(" ".join(documented[each.name]).split()) != ""
        assert each.form


@pytest.mark.parametrize("name", DETECTORS)
def test_the_text_of_a_default_is_the_default(name):
    for each in hyperparameters_of(DETECTORS[name]).values():
        if not each.takes_detectors:
            value = each.value_of(each.default_text)
            assert value == each.default
            # As sklearn's checks tell an int from a float.
            assert type(value) is type(each.default) or isinstance(each.default, int)


def of(name, parameter):
    return hyperparameters_of(DETECTORS[name])[parameter]


def test_values_are_numbers_choices_and_none():
    assert of("weiper", "method").value_of("energy") == "energy"
    assert of("weiper", "n_bins").value_of("60") == 60
    assert of("vim", "n_components").value_of("none") is None
    assert of("vim", "n_components").value_of("8") == 8
    assert of("weiper", "value_range").value_of("0.01:0.99") == (0.01, 0.99)
    assert of("weiper", "value_range").form == "NUMBER:NUMBER"
    assert of("knn", "n_neighbors").option == "--n-neighbors"
    assert set(of("weiper", "projection").choices) == {"implicit", "explicit", "random"}
    assert of("ensemble", "detectors").takes_detectors


@pytest.mark.parametrize(
    ("name", "parameter", "text"),
    [
        ("weiper", "n_bins", "60.5"),
        ("weiper", "n_bins", "none"),
        ("weiper", "lambda_1", "much"),
        ("weiper", "method", "mps"),
        ("weiper", "value_range", "0.1"),
        ("weiper", "value_range", "0:1:1"),
    ],
)
def test_other_values_are_refused_with_what_is_expected(name, parameter, text):
    each = of(name, parameter)
    with pytest.raises(ValueError, match=rf"{each.option} must be .*got '{text}'"):
        each.value_of(text)
