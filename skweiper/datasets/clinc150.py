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
    data : Bunch
        With the arrays

        - `train` (3750, 256), float16: 25 sentences per intent, and `train_label`, uint8;
        - `validation` (1200, 256), `validation_label`: ID rows for tuning and calibration;
        - `test` (2250, 256), `test_label`: other ID rows;
        - `validation_oos` (200, 256): out-of-scope queries for tuning;
        - `test_oos` (1000, 256): out-of-scope queries for evaluation;
        - `weight` (150, 256) and `bias` (150,), float32: the final layer,
          `logits = features @ weight.T + bias`;
        - `class_names` (150,), str; and `DESCR`, the origin and licence.

        If `return_X_y`, a tuple (X, y) instead.

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
