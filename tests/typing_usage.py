"""What a user writes, for the type checker alone: mypy must accept every line."""

from functools import partial
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import skweiper
from skweiper import PRESETS, WeiPerDetector, WeiPerTransformer, all_detectors
from skweiper.baselines import KNNDetector, LogitDetector, MahalanobisDetector, dice_weight
from skweiper.conformal import ood_discoveries
from skweiper.datasets import load_clinc150
from skweiper.evaluation import compare, evaluate, ood_report
from skweiper.head import head_from_classifier
from skweiper.io import (
    FeatureDump,
    ScoreWriter,
    describe,
    load_features,
    load_head,
    load_labels,
    open_features,
    save_scores,
)
from skweiper.metrics import OODScorer, auroc, fpr_at_tpr
from skweiper.model_selection import (
    InlierOnly,
    OODSplit,
    WeiPerDetectorCV,
    ablation,
    as_inlier_labels,
    synthetic_outliers,
    train_validation_split_for_ood,
)
from skweiper.plotting import OODRocDisplay, ScoreDistributionDisplay
from skweiper.scores import energy
from skweiper.shaping import ASH, ReAct


def detectors(weight: NDArray[np.float32], X: NDArray[np.float16]) -> None:
    detector = WeiPerDetector(weight, method="msp", delta=1.8, random_state=0).fit(X)
    assert_type(detector, WeiPerDetector)
    assert_type(detector.score_samples(X), NDArray[np.float64])
    assert_type(detector.predict(X), NDArray[np.int_])
    assert_type(detector.score(X, [1, -1]), float)
    WeiPerDetector(weight, delta="auto", flip_rate=0.2)
    detector.calibrate(X, tpr=0.9).calibrate_p_values(X)
    ood_discoveries(detector.p_value(X), 0.1, method="by")
    WeiPerDetector(weight, None, **PRESETS["cifar10-resnet18"])
    WeiPerDetector(weight, method=partial(energy, temperature=2))
    assert_type(KNNDetector(n_neighbors=5).fit(X), KNNDetector)
    LogitDetector(weight, [0.0, 1.0], method="gen").fit(X, y=[0, 1])
    MahalanobisDetector(weight, labels="y")
    WeiPerTransformer(dice_weight(weight, X), projection="explicit").fit(X).transform(X)
    ASH(variant="b").fit(ReAct().fit(X).transform(X))
    for entry in all_detectors():
        entry.estimator().fit(X)


def evaluation(detector: WeiPerDetector, X: NDArray[np.float32]) -> None:
    scores = detector.score_samples(X)
    assert_type(skweiper.metrics.auroc(scores, [0.0, 1.0]), float)
    fpr_at_tpr(scores, scores, 0.9, convention="vim")
    evaluate(detector, X, {"svhn": X}, {"far": ["svhn"]}, n_boot=10, random_state=0)
    compare({"knn": KNNDetector()}, X, X, {"svhn": X}, seeds=range(3))
    ood_report(scores, {"svhn": scores})
    OODScorer(auroc)(detector, X, [1, -1])
    OODRocDisplay.from_estimator(detector, X, {"svhn": X}).plot()
    ScoreDistributionDisplay.from_predictions(scores, {"svhn": scores}, threshold=0.5)


def files(path: Path) -> None:
    X = open_features(path, columns=["f*"], index="id")
    assert_type(X, FeatureDump)
    detector = WeiPerDetector(*load_head("head.safetensors", n_features=X.shape[1]))
    detector.fit(load_features([path], mmap=False), load_labels(path, key="label"))
    with ScoreWriter(path) as writer:
        for part in X.parts(1000):
            writer.write({"score": detector.score_samples(part)}, index=part.index)
    save_scores("scores.csv", detector.score_samples(X))
    assert_type(describe(path).contents[0].shape, tuple[int, ...])


def search(X: NDArray[np.float32], classifier: object) -> None:
    weight, bias = head_from_classifier(classifier)
    grid = {"method": ["msp", "kld"], "delta": [1.0, 2.0]}
    found = WeiPerDetectorCV(weight, bias, param_grid=grid, cv=OODSplit(3)).fit(X, [1, -1])
    assert_type(found, WeiPerDetectorCV)
    InlierOnly(found, convention="pyod").fit(X, as_inlier_labels([0, 1], "pyod"))
    outliers = synthetic_outliers(X, weight, method="mixture", random_state=0)
    train_validation_split_for_ood(X, X, {"made": outliers})
    ablation(X, X, X, weight, bias, seeds=[0], studies={"bins": [{"n_bins": 50}]})
    data = load_clinc150()
    WeiPerDetector.from_classifier(classifier, method="energy").fit(data.train)


def export(detector: WeiPerDetector) -> None:
    skweiper.export.to_onnx(detector, alpha=0.05, opset=18)
