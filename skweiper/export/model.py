"""to_onnx: a fitted detector as a model from features to score, p-value and decision."""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skweiper.export.arithmetic import number_not_above, zero_or_nan
from skweiper.export.detectors import check_exported, detector_score
from skweiper.export.graph import FIRST_OPSET, Graph
from skweiper.version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["to_onnx"]

OPSET = 18
"""Read by onnxruntime 1.14 (2023) and later."""
IR_VERSION = 8
"""The file format of that time."""


def to_onnx(
    detector: Any,
    *,
    alpha: float | None = None,
    behind: "ModelProto | None" = None,
    opset: int | None = None,
) -> "ModelProto":
    """A fitted detector as an ONNX model, from features to score, p-value and decision.

    Parameters
    ----------
    detector : detector
        Fitted: `WeiPerDetector` with any projection and any method but a callable of one's own,
        `MahalanobisDetector`, `RelativeMahalanobisDetector`, `ViMDetector`, `ResidualDetector`,
        `LogitDetector`, `TemperatureScalingDetector`, `DICEDetector`, `GradNormDetector`,
        `KLMatchingDetector`, `NCIDetector`, `NECODetector`, or an `EnsembleDetector` of these.
    alpha : float, default=None
        In (0, 1): a sample is called OOD where its p-value is at most alpha. None: where its
        score is below the threshold `offset_`, as `predict` has it.
    behind : onnx.ModelProto, default=None
        The network behind which the model will stand by `onnx.compose.merge_models`, which takes
        two models of one operator set and one file format: those of the network.
    opset : int, default=None
        Version of the standard operators, 16 or higher. None: that of `behind`, or 18.

    Returns
    -------
    onnx.ModelProto
        Input `features`, float32 of shape (n_samples, n_features), any number of rows. Outputs,
        each of shape (n_samples,): `score` (float64, higher = more in-distribution), `p_value`
        (float64, small = OOD; only after `calibrate_p_values`) and `decision` (int64, +1 = ID,
        -1 = OOD). Only standard operators. All other names begin with "skweiper/".

    Raises
    ------
    TypeError
        A detector, a member or a method that cannot be exported.
    ValueError
        `alpha` without `calibrate_p_values`, or smaller than any p-value; an operator set that is
        too old; a graph of 2 GiB or more.
    NotFittedError
        The detector is not fitted.
    ImportError
        The package onnx is not installed.

    Notes
    -----
    Scores agree with `score_samples` to float32 rounding. "kld" counts values in bins: a perturbed
    logit that rounds to the other side of a bin's edge is counted one bin further. Rows that
    `score_samples` refuses, as those with NaN or infinity or with a score that overflows, have the
    score NaN, the least p-value and the decision -1. All perturbed logits of a batch are in memory
    at once, several times: pass batches of moderate size.

    Examples
    --------
    >>> from skweiper import WeiPerDetector
    >>> from skweiper.datasets import load_clinc150
    >>> from skweiper.export import to_onnx
    >>> data = load_clinc150()
    >>> detector = WeiPerDetector(data.weight, data.bias, random_state=0).fit(data.train)
    >>> model = to_onnx(detector.calibrate_p_values(data.validation), alpha=0.05)
    >>> [output.name for output in model.graph.output]
    ['score', 'p_value', 'decision']
    """
    check_exported(detector)
    check_is_fitted(detector)
    calibration = getattr(detector, "conformal_scores_", None)
    check_alpha(alpha, calibration)
    graph = Graph(checked_opset(opset, behind))
    score = add_score(graph, detector_score(graph, "features", detector))
    outputs = ["score"]
    if calibration is not None:
        outputs.append(add_p_value(graph, score, calibration))
    outputs.append(add_decision(graph, score, detector.offset_, alpha))
    ir_version = IR_VERSION if behind is None else behind.ir_version
    model = model_of(graph, detector.n_features_in_, outputs, ir_version)
    describe(model, detector, alpha)
    return model


def check_alpha(alpha, calibration):
    """Refuse a share that is none, or by which nothing would ever be OOD.

    Raises
    ------
    ValueError
    """
    if alpha is None:
        return
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < alpha < 1:
        raise ValueError(
            f"alpha must be in (0, 1), got {alpha!r}. Pass a share of in-distribution samples to "
            "reject, such as 0.05, or None to decide by offset_."
        )
    if calibration is None:
        raise ValueError(
            f"alpha={alpha} asks for decisions by p-values, but the detector has no calibration "
            "scores. Call calibrate_p_values(X_id) with held-out in-distribution samples first."
        )
    least = 1 / (len(calibration) + 1)
    if alpha < least:
        raise ValueError(
            f"alpha={alpha} is below every p-value: with {len(calibration)} calibration samples "
            f"the least is {least:g}. Calibrate with at least {int(np.ceil(1 / alpha)) - 1} "
            "samples, or pass a larger alpha."
        )


def checked_opset(opset, behind):
    """The operator set that is asked for, or that of the network.

    Raises
    ------
    ValueError
        Too old, or another one than that of the network.
    """
    of_network = None if behind is None else standard_opset(behind)
    chosen = opset if opset is not None else of_network if of_network is not None else OPSET
    if not isinstance(chosen, Integral) or chosen < FIRST_OPSET:
        raise ValueError(
            f"opset must be an integer of at least {FIRST_OPSET}, got {chosen!r}. An older network "
            f"is brought there by onnx.version_converter.convert_version(network, {FIRST_OPSET})."
        )
    if of_network not in (None, chosen):
        raise ValueError(
            f"opset={chosen} differs from the network's, {of_network}, and onnx.compose merges "
            "models of one operator set only. Leave opset out, or convert the network first, by "
            "onnx.version_converter."
        )
    return int(chosen)


def standard_opset(model):
    """Version of the standard operators that a model imports."""
    return next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))


def add_score(graph, score):
    """The score, NaN where it or a feature is not finite, as "score".

    Such rows the library refuses; a graph cannot, and would call some of them surely ID.
    """
    unfit = graph.reduced("ReduceSum", zero_or_nan(graph, "features"))
    unfit = graph.cast(unfit, np.float64)
    return graph.node("Sum", score, zero_or_nan(graph, score), unfit, name="score")


def add_p_value(graph, score, calibration):
    """(1 + number of calibration scores at most the score) / (n_calibration + 1), as "p_value"."""
    n_below = graph.cast(number_not_above(graph, score, calibration), np.float64)
    rank = graph.node("Add", n_below, graph.constant(1, np.float64))
    n_ranks = graph.constant(len(calibration) + 1, np.float64)
    return graph.node("Div", rank, n_ranks, name="p_value")


def add_decision(graph, score, offset, alpha):
    """+1 where the score, or the p-value, is large enough, else -1, as "decision"."""
    if alpha is None:
        is_inlier = graph.node("GreaterOrEqual", score, graph.constant(offset, np.float64))
    else:
        is_inlier = graph.node("Greater", "p_value", graph.constant(alpha, np.float64))
    inlier, outlier = (graph.constant(label, np.int64) for label in (1, -1))
    return graph.node("Where", is_inlier, inlier, outlier, name="decision")


def model_of(graph, n_features, outputs, ir_version):
    """A checked model of a graph from "features" to some of the outputs."""
    from onnx import TensorProto, checker, helper

    kinds = {"score": TensorProto.DOUBLE, "p_value": TensorProto.DOUBLE}
    kinds["decision"] = TensorProto.INT64
    features = helper.make_tensor_value_info(
        "features", TensorProto.FLOAT, ["n_samples", int(n_features)]
    )
    ends = [helper.make_tensor_value_info(name, kinds[name], ["n_samples"]) for name in outputs]
    proto = helper.make_graph(graph.nodes, "skweiper", [features], ends, graph.constants)
    opset = helper.make_opsetid("", graph.opset)
    model = helper.make_model(proto, opset_imports=[opset], ir_version=ir_version)
    checker.check_model(model)
    return model


def describe(model, detector, alpha):
    """Write into a model what made it, and how it decides."""
    from onnx import helper

    model.producer_name, model.producer_version = "skweiper", __version__
    by = f"offset_={detector.offset_!r}" if alpha is None else f"alpha={alpha!r}"
    kind = type(detector).__name__
    helper.set_model_props(model, {"skweiper_detector": kind, "skweiper_decision": by})
