"""CLINC150: penultimate features of a text-intent classifier, with real unanswerable queries."""

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch


def load_clinc150(*, return_X_y: bool = False) -> Any:
    """Load the CLINC150 features: 150 intents as ID, out-of-scope user queries as near-OOD.

    The classifier is all-MiniLM-L6-v2 sentence embeddings (384), then Linear(384, 256) - ReLU -
    Linear(256, 150), trained on the 15,000 CLINC150 training sentences; its accuracy on the ID
    test sentences is 95.1 %. The features are the 256 activations after the ReLU.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return (X, y) instead of a Bunch: the test features with OOD rows last, and their labels,
        +1 for ID and -1 for OOD.

    Returns
    -------
    Bunch
        train : ndarray of shape (3750, 256), float16
            25 sentences per intent.
        train_label : ndarray of shape (3750,), uint8
        validation, validation_label : 1200 ID rows for tuning and calibration
        test, test_label : 2250 ID rows
        validation_oos : ndarray of shape (200, 256), float16
            Out-of-scope queries for tuning.
        test_oos : ndarray of shape (1000, 256), float16
            Out-of-scope queries for evaluation.
        weight : ndarray of shape (150, 256), float32
        bias : ndarray of shape (150,), float32
            The final layer: `logits = features @ weight.T + bias`.
        class_names : ndarray of shape (150,), str
        DESCR : str
            Origin and licence.
    (X, y) : tuple, if `return_X_y`

    References
    ----------
    Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction",
    EMNLP 2019. https://aclanthology.org/D19-1131/

    Examples
    --------
    >>> from skweiper.datasets import load_clinc150
    >>> load_clinc150().test_oos.shape
    (1000, 256)
    """
    folder = files("skweiper.datasets") / "data"
    with (folder / "clinc150_features.npz").open("rb") as file:
        data = Bunch(**np.load(file, allow_pickle=False))
    if return_X_y:
        y = np.repeat([1, -1], [len(data.test), len(data.test_oos)])
        return np.concatenate([data.test, data.test_oos]), y
    data.DESCR = (folder / "clinc150_features.md").read_text(encoding="utf-8")
    return data
