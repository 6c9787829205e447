"""benchmarks/reproduce_paper.py: from a folder of features to the paper's table."""

import sys
from pathlib import Path

import numpy as np
import pytest

from skweiper import PRESETS, WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import auroc, fpr95

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import reproduce_paper

ROWS = slice(0, None, 12)


@pytest.fixture(scope="module")
def data():
    return load_clinc150()


@pytest.fixture
def folder(data, tmp_path):
    """A small dump in the form that OpenOOD writes."""
    np.savez(tmp_path / "head.npz", **{"fc.weight": data.weight, "fc.bias": data.bias})
    for name in ("train", "test"):
        labels = data[f"{name}_label"][ROWS]
        np.savez(tmp_path / f"{name}.npz", feat_list=data[name][ROWS], label_list=labels)
    for group, name, start in [("near", "a", 0), ("near", "b", 3), ("far", "c", 6)]:
        (tmp_path / group).mkdir(exist_ok=True)
        features = data.test_oos[start::20]
        labels = np.full(len(features), -1)
        np.savez(tmp_path / group / f"{name}.npz", feat_list=features, label_list=labels)
    return tmp_path


def test_its_figures_are_those_of_the_detector_and_the_paper(data, folder, capsys):
    command = [str(folder), "--preset", "cifar10-resnet18", "--seeds", "1"]
    reproduce_paper.main([*command, "--projection", "implicit", "--output", str(folder / "out")])
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.strip().splitlines()
    ]
    table = {tuple(line[:2]): line[2:] for line in lines[2:]}
    settings = {**PRESETS["cifar10-resnet18"], "projection": "implicit"}
    detector = WeiPerDetector(data.weight, data.bias, **settings, random_state=0)
    known, unknown = (
        detector.fit(data.train[ROWS]).score_samples(rows)
        for rows in (data.test[ROWS], data.test_oos[6::20])
    )
    expected = [f"{100 * metric(known, unknown):.2f}" for metric in (auroc, fpr95)]
    assert table["far", "c"] == [*expected, ""]
    assert table["far", "mean"] == [*expected, "93.12"]
    assert table["near", "mean"][2] == "90.54"
    pair = [float(table["near", name][0]) for name in "ab"]
    assert float(table["near", "mean"][0]) == pytest.approx(np.mean(pair), abs=0.011)
    assert {path.name for path in (folder / "out").iterdir()} == {
        "paper_cifar10-resnet18.json",
        "paper_cifar10-resnet18.md",
    }


def test_a_folder_that_lacks_a_file_is_told_which(folder):
    (folder / "train.npz").rename(folder / "training.npz")
    with pytest.raises(SystemExit, match=r"must hold one train\.\*, got none"):
        reproduce_paper.main([str(folder), "--preset", "cifar10-resnet18"])


def test_reported_figures_belong_to_the_presets():
    assert reproduce_paper.REPORTED.keys() == PRESETS.keys()
