"""WeiPer in a graph: the perturbed logits, WeiPer+KLD, and the mean of a logit score."""

import numpy as np

from skweiper._weiper.perturbation import ImplicitBlock
from skweiper.export.arithmetic import lengths
from skweiper.export.graph import PREFIX, check_size
from skweiper.export.histograms import bin_counts, divergence
from skweiper.export.logit_scores import Logits, logit_score

FEATURE_COUNTS, LOGIT_COUNTS = PREFIX + "feature_counts", PREFIX + "logit_counts"
"""Names of both histograms, (n_samples, n_bins + 1), for whoever makes them outputs."""


def weiper_score(graph, features, detector):
    """Score of a fitted `WeiPerDetector`, (n_samples,), float64.

    Parameters
    ----------
    graph : Graph
    features : str
        (n_samples, n_features), float32.
    detector : WeiPerDetector
    """
    learnt = detector.rule_
    logits = perturbed_logits(graph, features, learnt.perturbation)
    if learnt.rule.needs_ranges:
        return kld_score(graph, features, logits, learnt)
    return mean_score(graph, logits, learnt.perturbation, learnt.rule.method)


def perturbed_logits(graph, features, perturbation):
    """Perturbed logits, (n_samples, n_repeats, n_classes), float32."""
    check_size(perturbation.nbytes)
    (block,) = perturbation.blocks(perturbation.nbytes)
    if isinstance(block, ImplicitBlock):
        return implicit_logits(graph, features, block)
    directions = block.weight.reshape(-1, block.weight.shape[2])
    products = graph.node("MatMul", features, graph.constant(directions.T))
    shape = graph.constant([-1, block.n_repeats, block.n_classes])
    return graph.node("Add", graph.node("Reshape", products, shape), graph.constant(block.bias))


def implicit_logits(graph, features, block):
    """`logits + norm * offsets`; the norm in double precision, where no square overflows."""
    logits = features
    if block.weight is not None:
        products = graph.node("MatMul", features, graph.constant(block.weight.T))
        logits = graph.node("Add", products, graph.constant(block.bias))
    norms = graph.cast(lengths(graph, graph.cast(features, np.float64)), np.float32)
    shape = graph.constant([-1, 1, 1])
    shifts = graph.node("Mul", graph.node("Reshape", norms, shape), graph.constant(block.offsets))
    return graph.node("Add", shifts, graph.node("Unsqueeze", logits, graph.constant([1])))


def mean_score(graph, logits, perturbation, method):
    """Mean of a logit score over the repeats, (n_samples,), float64."""
    logits = Logits(logits, np.float32, perturbation.head.n_classes)
    scores = graph.cast(logit_score(graph, logits, method), np.float64)
    return graph.reduced("ReduceMean", scores)


def kld_score(graph, features, logits, learnt):
    """Score of WeiPer+KLD (equation 9 of the paper), (n_samples,), float64."""
    rule, perturbation, request = learnt.rule, learnt.perturbation, learnt.request
    n_features, n_logits = perturbation.head.n_features, perturbation.n_logits
    flat = graph.node("Reshape", logits, graph.constant([-1, n_logits]))
    feature_counts = bin_counts(graph, features, request.feature_bins[0], FEATURE_COUNTS)
    logit_counts = bin_counts(graph, flat, request.logit_bins[0], LOGIT_COUNTS)
    feature, logit = learnt.training
    of_features = divergence(
        graph, feature_counts, n_features, rule.smoothing, feature, rule.epsilon
    )
    of_logits = divergence(
        graph, logit_counts, n_logits, rule.smoothing_perturbed, logit, rule.epsilon_perturbed
    )
    mean_msp = mean_score(graph, logits, perturbation, "msp")
    terms = ((-1, of_features), (-rule.lambda_1, of_logits), (rule.lambda_2, mean_msp))
    return weighted_sum(graph, terms)


def weighted_sum(graph, terms):
    """Sum of (weight, name) pairs."""
    weighted = [
        graph.node("Mul", values, graph.constant(weight, np.float64)) for weight, values in terms
    ]
    return graph.node("Sum", *weighted)
