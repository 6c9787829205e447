"""The final layer of a classifier: checked weight and bias, and where to get them from."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.base import is_classifier, is_outlier_detector, is_regressor
from sklearn.utils.validation import check_is_fitted, validate_data

from skweiper._support.containers import as_host, beside
from skweiper._support.conversion_errors import named_in_errors
from skweiper._support.head_mistakes import check_is_array, check_is_layer, listed, matrices
from skweiper._support.row_products import row_products
from skweiper._typing import FloatArray

__all__ = ["Head", "check_head", "head_from_classifier", "head_from_torch", "penultimate_features"]

LARGEST_WEIGHT = 1e140
"""Of a weight or bias: squares, and sums of them, stay far below the largest float64."""
HIDDEN_ACTIVATIONS = MappingProxyType(
    {
        "identity": lambda values: values,
        "tanh": np.tanh,
        "logistic": expit,
        "relu": lambda values: np.maximum(values, 0),
    }
)


@dataclass(frozen=True)
class Head:
    """A final layer: `logits = features @ weight.T + bias`.

    Attributes
    ----------
    weight : ndarray of shape (n_classes, n_features), float64, or None
        None is the identity: the features already are logits.
    bias : ndarray of shape (n_classes,), float64
    """

    weight: np.ndarray | None
    bias: np.ndarray

    @property
    def n_classes(self) -> int:
        return self.bias.shape[0]

    @property
    def n_features(self) -> int:
        return self.n_classes if self.weight is None else self.weight.shape[1]

    @property
    def norms(self) -> FloatArray:
        """Euclidean norm of each class's weight, ndarray of shape (n_classes,)."""
        if self.weight is None:
            return np.ones(self.n_classes)
        return np.linalg.norm(self.weight, axis=1)

    @property
    def matrix(self) -> FloatArray:
        """The weight with the identity written out, ndarray of shape (n_classes, n_features)."""
        return np.eye(self.n_classes) if self.weight is None else self.weight

    def logits(self, features: Any) -> Any:
        """Unperturbed logits, ndarray of shape (n_samples, n_classes) in the features' dtype."""
        if self.weight is None:
            return features
        weight = self.weight.astype(features.dtype, copy=False)
        logits = row_products(features, weight)
        logits += beside(features, self.bias.astype(features.dtype, copy=False))
        return logits


def _as_host_array(array):
    """A NumPy array of any array-like, a tensor or a sparse matrix."""
    array = as_host(array)
    return array.toarray() if issparse(array) else np.asarray(array)


def _real_array(array, name, shape):
    """Float64 copy of `array`, refused with its name where it is not finite and real."""
    check_is_array(array, name)
    with named_in_errors(f"{name} cannot be read as an array of shape {shape}"):
        array = _as_host_array(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must be a real numeric array of shape {shape}, got dtype {array.dtype}. "
            "Pass the final layer's parameters as plain numbers."
        )
    # A copy: the fitted head must not change when the caller's array does.
    array = np.array(array, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} contains NaN or infinity. The final layer's parameters must be finite; "
            "check the file or training run they come from."
        )
    if array.size and np.abs(array).max() > LARGEST_WEIGHT:
        raise ValueError(
            f"{name} contains a value too large to be squared in double precision "
            f"({np.abs(array).max():g}; the limit is {LARGEST_WEIGHT:g}). Rescale the features and "
            "the head together."
        )
    return array


def _check_weight(weight):
    weight = _real_array(weight, "weight", "(n_classes, n_features)")
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(
            "weight must have shape (n_classes, n_features), one row per class, "
            f"got shape {weight.shape}."
        )
    return weight


def _check_bias(bias, n_classes):
    if bias is None:
        return np.zeros(n_classes)
    bias = _real_array(bias, "bias", "(n_classes,)")
    if bias.shape != (n_classes,):
        raise ValueError(
            f"bias must have shape ({n_classes},), one entry per row of weight, "
            f"got shape {bias.shape}."
        )
    return bias


def _check_width(weight, n_features):
    if weight.shape[1] == n_features:
        return
    message = (
        f"X has {n_features} features, but weight has shape {weight.shape} "
        f"(n_classes, n_features) and expects {weight.shape[1]} features as input."
    )
    if weight.shape[0] == n_features:
        message += (
            " X is as wide as there are classes: if it holds logits, pass weight=None; if "
            "weight is (n_features, n_classes), pass weight.T."
        )
    raise ValueError(message + " Pass the penultimate features that feed this layer.")


def check_head(weight: ArrayLike | None, bias: ArrayLike | None, n_features: int) -> Head:
    """The final layer as a checked `Head`.

    Parameters
    ----------
    weight : array-like of shape (n_classes, n_features) or None
        One row per class (PyTorch's `nn.Linear.weight`, scikit-learn's `coef_`). None: the
        features already are logits.
    bias : array-like of shape (n_classes,) or None
        None means zeros. Must be None where `weight` is.
    n_features : int
        Width of the features that the layer receives.

    Returns
    -------
    Head

    Raises
    ------
    ValueError
        Wrong shapes, NaN, infinity or values above 1e140, or a bias without a weight.
    TypeError
        Arrays that are not real numbers.
    """
    if weight is None:
        if bias is not None:
            raise ValueError(
                "bias was given without weight. Pass both, or neither if X already holds logits."
            )
        return Head(None, np.zeros(n_features))
    weight = _check_weight(weight)
    # Before the bias: it would be blamed for a weight that is transposed.
    _check_width(weight, n_features)
    bias = _check_bias(bias, weight.shape[0])
    return Head(weight, bias)


def _two_class_rows(weight, bias):
    """One decision row w, b as two rows -+w/2, -+b/2: their softmax is the sigmoid of w.x + b."""
    return np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])


def _linear_layer(classifier):
    """Weight and bias of a fitted classifier's last linear map, before any expansion."""
    if hasattr(classifier, "coefs_"):
        return classifier.coefs_[-1].T, classifier.intercepts_[-1]
    if hasattr(classifier, "coef_"):
        weight = np.atleast_2d(_as_host_array(classifier.coef_))
        # scikit-learn stores a scalar intercept_ when fit_intercept=False.
        return weight, np.broadcast_to(np.ravel(classifier.intercept_), (weight.shape[0],))
    raise TypeError(
        f"A head can be taken from a fitted linear classifier (coef_, intercept_) or an "
        f"MLPClassifier, got {type(classifier).__name__}. Take the last step of a Pipeline as "
        "pipeline[-1], or pass weight and bias directly."
    )


def head_from_classifier(classifier: Any) -> tuple[FloatArray, FloatArray]:
    """Final layer of a fitted scikit-learn classifier.

    Parameters
    ----------
    classifier : estimator
        Fitted linear classifier (`coef_`, `intercept_`) or `MLPClassifier`, of which the last
        layer is taken: its inputs are `penultimate_features(classifier, X)`.

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
        A binary classifier's one row w, b becomes two rows, -w/2, -b/2 and w/2, b/2. The softmax
        of the two logits is the logistic function of the classifier's decision.

    Raises
    ------
    TypeError
        The estimator has no linear layer, is no classifier, or is a multilabel or one-against-one
        one.
    """
    if is_classifier(classifier):
        check_is_fitted(classifier)
    elif is_regressor(classifier) or is_outlier_detector(classifier):
        raise TypeError(
            f"{type(classifier).__name__} predicts no class, so its coefficients are no head. Pass "
            "the classifier whose features these are."
        )
    weight, bias = _linear_layer(classifier)
    if _has_a_row_per_class(classifier, weight):
        return np.array(weight), np.array(bias)
    if weight.shape[0] == 1:
        return _two_class_rows(weight, bias)
    raise TypeError(
        f"{type(classifier).__name__} has {weight.shape[0]} linear rows that do not stand for "
        "one class each (multilabel or one-against-one). Pass weight and bias directly."
    )


def _has_a_row_per_class(classifier, weight):
    """Whether each row of a classifier's linear layer is a class; never of a single row."""
    n_rows = len(weight)
    classes = getattr(classifier, "classes_", None)
    is_multilabel = getattr(classifier, "out_activation_", None) == "logistic"
    # One row per pair of classes, of which three classes have three as well.
    is_one_against_one = hasattr(classifier, "decision_function_shape")
    if n_rows == 1 or is_multilabel or is_one_against_one or isinstance(classes, list):
        return False
    return classes is None or len(classes) == n_rows


def _linear_keys(state, prefix):
    """The (weight, bias) keys of the only two-dimensional weight under `prefix`."""
    weights = matrices(state, prefix)
    if len(weights) != 1:
        raise ValueError(
            f"The state dict has {len(weights)} two-dimensional weights under prefix={prefix!r}, "
            f"expected one; likely heads: {listed(weights or matrices(state))}. Name the final "
            "layer, for example prefix='fc.'."
        )
    return weights[0], weights[0][: -len("weight")] + "bias"


def head_from_torch(layer: Any, prefix: str = "") -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Final layer of a PyTorch `nn.Linear` or a state dict, without importing torch.

    Parameters
    ----------
    layer : nn.Linear or mapping of str to tensor
        The layer itself, its `state_dict()`, or a whole model's state dict together with `prefix`.
    prefix : str, default=""
        Start of the final layer's keys in a state dict, such as `"fc."`.

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
        Zeros for a layer without bias.

    Raises
    ------
    ValueError
        The state dict holds no, or more than one, two-dimensional weight under `prefix`.
    TypeError
        Anything but a layer or a state dict, such as a model or a path.
    """
    check_is_layer(layer)
    if hasattr(layer, "weight"):
        weight, bias = layer.weight, getattr(layer, "bias", None)
    else:
        weight_key, bias_key = _linear_keys(layer, prefix)
        weight, bias = layer[weight_key], layer.get(bias_key)
    weight = _check_weight(weight)
    return weight, _check_bias(bias, weight.shape[0])


def penultimate_features(mlp: Any, X: ArrayLike) -> NDArray[Any]:
    """Activations of an MLPClassifier's last hidden layer, the input of its head.

    Parameters
    ----------
    mlp : MLPClassifier
        Fitted.
    X : array-like of shape (n_samples, n_features_in)
        Inputs as for `mlp.predict`.

    Returns
    -------
    ndarray of shape (n_samples, mlp.hidden_layer_sizes[-1])

    Raises
    ------
    TypeError
        Another estimator: only a network has penultimate features other than its input.
    """
    if not hasattr(mlp, "hidden_layer_sizes"):
        raise TypeError(
            f"mlp must be an MLPClassifier, got {type(mlp).__name__}. For a Pipeline, pass its "
            "last step and X as it sees it, pipeline[-1] and pipeline[:-1].transform(X); a linear "
            "classifier's features are X itself."
        )
    check_is_fitted(mlp, "coefs_")
    activation = HIDDEN_ACTIVATIONS[mlp.activation]
    features = validate_data(mlp, X, reset=False)
    for weight, bias in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1], strict=True):
        features = activation(features @ weight + bias)
    return features
