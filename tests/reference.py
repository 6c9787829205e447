"""The paper in plain loops and float64: slow, obvious, and what the library is held to."""

import math

import numpy as np


def perturbed_weight(weight, delta, directions):
    """w_c + delta ||w_c|| u for given unit directions of shape (r, C, K)."""
    result = np.empty(directions.shape)
    for i in range(directions.shape[0]):
        for c in range(directions.shape[1]):
            length = math.sqrt(sum(w * w for w in weight[c]))
            result[i, c] = weight[c] + delta * length * directions[i, c]
    return result


def perturbed_logits(z, weights, bias):
    """Perturbed logits of one sample, shape (r, C)."""
    return np.array([[w @ z + b for w, b in zip(repeat, bias, strict=True)] for repeat in weights])


def inner_quantiles(values, low, high):
    """The first of the sorted values not below one quantile, and the last not above another."""
    ordered = np.sort(values, axis=None)
    last = len(ordered) - 1
    return ordered[math.ceil(low * last)], ordered[math.floor(high * last)]


def density(values, low, high, n_bins):
    """Share of the values in each of n_bins equal bins; values outside are counted nowhere."""
    counts = [0] * n_bins
    for value in np.ravel(values):
        if low <= value <= high:
            position = math.floor((value - low) / (high - low) * n_bins)
            counts[min(position, n_bins - 1)] += 1
    return np.array(counts) / np.size(values)


def smooth(q, window):
    """Mean over (window - 1) // 2 bins to the left, the bin, and the rest to the right."""
    left = (window - 1) // 2
    right = window - 1 - left
    last = len(q) - 1
    return np.array(
        [
            sum(q[min(max(k, 0), last)] for k in range(b - left, b + right + 1)) / window
            for b in range(len(q))
        ]
    )


def divergence(p, q, epsilon):
    """Symmetric KL divergence in nats of the raised, renormalised densities."""
    p_sum = sum(p) + epsilon * len(p)
    q_sum = sum(q) + epsilon * len(q)
    total = 0.0
    for p_b, q_b in zip(p, q, strict=True):
        p_hat, q_hat = (p_b + epsilon) / p_sum, (q_b + epsilon) / q_sum
        total += (p_hat - q_hat) * (math.log(p_hat) - math.log(q_hat))
    return total


def softmax(logits):
    exponentials = [math.exp(v - max(logits)) for v in logits]
    return [e / sum(exponentials) for e in exponentials]


def msp(logits):
    return max(softmax(logits))


def max_logit(logits):
    return max(logits)


def energy(logits, temperature=1.0):
    top = max(logits)
    sums = sum(math.exp((v - top) / temperature) for v in logits)
    return top + temperature * math.log(sums)


def entropy(logits):
    return sum(p * math.log(p) for p in softmax(logits) if p > 0)


def gen(logits, gamma=0.1, top_classes=100):
    largest = sorted(softmax(logits))[-top_classes:]
    return -sum((p * (1 - p)) ** gamma for p in largest)


def mean_score(score, logits):
    """Mean over the repeats of a logit score; logits of shape (r, C)."""
    return sum(score(repeat) for repeat in logits) / len(logits)


def flip_length(logits, slopes):
    """Least delta from which on `logits + delta * slopes` has its largest entry elsewhere.

    Infinite where there is none, None where the largest logit is that of two classes.
    """
    own = max(range(len(logits)), key=lambda c: logits[c])
    if sum(v == logits[own] for v in logits) > 1:
        return None
    lengths = [
        (logits[own] - logits[c]) / (slopes[c] - slopes[own])
        for c in range(len(logits))
        if c != own and slopes[c] > slopes[own]
    ]
    return min(lengths, default=math.inf)


def learnt_delta(features, weight, bias, slopes, flip_rate):
    """The flip rate's quantile, linearly interpolated, of all flip lengths of rows beside zero.

    `slopes(z)[i][c]` is by how much the logit of class c moves in repeat i, at delta = 1.
    """
    lengths = []
    for z in features:
        logits = [w @ z + b for w, b in zip(weight, bias, strict=True)]
        for repeat in slopes(z):
            length = flip_length(logits, repeat)
            if length is not None and any(z):
                lengths.append(length)
    lengths.sort()
    position = flip_rate * (len(lengths) - 1)
    below = math.floor(position)
    if position == below:
        return lengths[below]
    return lengths[below] + (position - below) * (lengths[below + 1] - lengths[below])


class WeiPerKLD:
    """fit and score of WeiPer+KLD for given perturbed logits of shape (n, r, C)."""

    def __init__(
        self,
        n_bins,
        smoothing,
        smoothing_perturbed,
        lambda_1,
        lambda_2,
        epsilons,
        value_range=(0.0, 1.0),
    ):
        self.n_bins = n_bins
        self.windows = (smoothing, smoothing_perturbed)
        self.lambdas = (lambda_1, lambda_2)
        self.epsilons = epsilons
        self.value_range = value_range

    def fit(self, features, logits, rounding=0.0):
        """`rounding` widens the range of the logits, as a share of the largest of them."""
        low, high = inner_quantiles(logits, *self.value_range)
        room = rounding * max(abs(low), abs(high))
        self.ranges = [
            inner_quantiles(features, *self.value_range),
            (low - room, high + room),
        ]
        samples = zip(features, logits, strict=True)
        self.training = np.mean([self.densities(z, v) for z, v in samples], axis=0)
        return self

    def densities(self, z, v):
        return [
            density(values, low, high, self.n_bins)
            for values, (low, high) in zip((z, v), self.ranges, strict=True)
        ]

    def divergences(self, z, v):
        parts = zip(self.training, self.densities(z, v), self.windows, self.epsilons, strict=True)
        return [divergence(p, smooth(q, window), eps) for p, q, window, eps in parts]

    def score(self, z, v):
        feature, logit = self.divergences(z, v)
        lambda_1, lambda_2 = self.lambdas
        return -(feature + lambda_1 * logit - lambda_2 * mean_score(msp, v))
