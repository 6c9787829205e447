"""The registry of detectors agrees with what the package exports."""

import inspect
import pkgutil
import re
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import skweiper
from skweiper import all_detectors, baselines
from skweiper.base import BaseDetector
from skweiper.baselines.base import ClassDetector, HeadDetector, MembersDetector, PeerDetector

ENTRIES = all_detectors()
pytestmark = pytest.mark.filterwarnings("ignore:EnsembleDetector leaves out")


def test_registry_holds_every_exported_detector_once():
    exported = {
        value
        for module in (skweiper, baselines)
        for name in module.__all__
        if inspect.isclass(value := getattr(module, name))
        and issubclass(value, BaseEstimator)
        and name.endswith("Detector")
    }
    registered = [entry.estimator for entry in ENTRIES]
    assert set(registered) == exported
    assert len(registered) == len(exported)
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


def test_every_detector_that_a_module_of_baselines_defines_is_registered():
    defined = {
        value
        for info in pkgutil.iter_modules(baselines.__path__, "skweiper.baselines.")
        for value in vars(import_module(info.name)).values()
        if inspect.isclass(value) and issubclass(value, BaseDetector)
    }
    abstract = {BaseDetector, PeerDetector, HeadDetector, ClassDetector, MembersDetector}
    registered = {entry.estimator for entry in ENTRIES}
    assert defined - abstract == registered - {skweiper.WeiPerDetector, skweiper.EnsembleDetector}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entry_tells_the_truth_about_its_class(entry):
    assert entry.link.startswith("https://")
    assert re.fullmatch(r"[A-Z].+, .*(19|20)[0-9]{2}", entry.paper)
    if entry.needs_head:
        assert entry.estimator(weight=np.eye(3)).weight.shape == (3, 3)
    else:
        with pytest.raises(TypeError, match="weight"):
            entry.estimator(weight=np.eye(3))


def test_published_facts_are_read_from_the_class():
    by_name = {entry.name: entry for entry in ENTRIES}
    weiper = by_name["weiper"]
    assert weiper.paper == "Granz, Heurich, Landgraf, NeurIPS 2024"
    assert weiper.link == "https://arxiv.org/abs/2405.17164"
    assert [entry.name for entry in ENTRIES if entry.needs_labels] == ["temperature_scaling"]
    assert [entry.name for entry in ENTRIES if not entry.needs_head] == ["knn", "kernel_pca"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_labels_are_needed_where_the_entry_says_so(entry):
    X = np.random.RandomState(0).rand(40, 4)
    if entry.needs_labels:
        with pytest.raises(ValueError, match="y"):
            entry.estimator().fit(X)
    else:
        assert np.isfinite(entry.estimator().fit(X).score_samples(X)).all()


def test_registry_reads_as_a_table():
    table = pd.DataFrame(ENTRIES)
    columns = ["name", "estimator", "needs_head", "needs_labels", "paper", "link"]
    assert list(table.columns) == columns
