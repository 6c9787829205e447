"""One head in every form that is taken, and what is passed in place of one by mistake."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier

from tests.fuzz.containers import (
    backwards,
    hdf5,
    memory_map,
    polars_frame,
    read_only,
    strided,
    unaligned,
)

FORMS = {  # from a float32 weight and bias
    "float64": lambda weight, bias: (weight.astype(np.float64), bias.astype(np.float64)),
    "lists": lambda weight, bias: (weight.tolist(), bias.tolist()),
    "tuples": lambda weight, bias: (tuple(map(tuple, weight.tolist())), tuple(bias.tolist())),
    "F order": lambda weight, bias: (np.asfortranarray(weight), bias),
    "strided": lambda weight, bias: (strided(weight), np.repeat(bias, 2)[::2]),
    "backwards": lambda weight, bias: (backwards(weight), bias[::-1].copy()[::-1]),
    "read-only": lambda weight, bias: (read_only(weight), read_only(bias)),
    "unaligned": lambda weight, bias: (unaligned(weight), bias),
    "big-endian": lambda weight, bias: (weight.astype(">f8"), bias.astype(">f4")),
    "memory map": lambda weight, bias: (memory_map(weight), memory_map(bias)),
    "pandas": lambda weight, bias: (pd.DataFrame(weight), pd.Series(bias)),
    "polars": lambda weight, bias: (polars_frame(weight), bias),
    "sparse": lambda weight, bias: (sp.csr_array(weight), bias),
    "HDF5": lambda weight, bias: (hdf5(weight), hdf5(bias)),
    "masked without a mask": lambda weight, bias: (np.ma.asarray(weight), np.ma.asarray(bias)),
}

MISTAKES = {  # whatever the weight and bias are
    "transposed": lambda weight, bias: (weight.T[:, :-1], bias),
    "too wide": lambda weight, bias: (np.c_[weight, weight[:, :1]], bias),
    "flat": lambda weight, bias: (weight.ravel(), bias),
    "three axes": lambda weight, bias: (weight[None], bias),
    "a number": lambda weight, bias: (2.0, bias),
    "empty": lambda weight, bias: (weight[:0], bias[:0]),
    "no columns": lambda weight, bias: (weight[:, :0], bias),
    "long bias": lambda weight, bias: (weight, np.append(bias, 0)),
    "bias as a column": lambda weight, bias: (weight, bias[:, None]),
    "bias as a number": lambda weight, bias: (weight, 0.0),
    "bias alone": lambda weight, bias: (None, bias),
    "NaN": lambda weight, bias: (np.where(np.eye(*weight.shape) > 0, np.nan, weight), bias),
    "infinite bias": lambda weight, bias: (weight, np.full_like(bias, np.inf)),
    "text": lambda weight, bias: (weight.astype(str), bias),
    "complex": lambda weight, bias: (weight + 1j, bias),
    "objects": lambda weight, bias: (np.full(weight.shape, None), bias),
    "ragged": lambda weight, bias: ([*weight.tolist(), [1.0]], bias),
    "masked": lambda weight, bias: (np.ma.masked_array(weight, np.eye(*weight.shape) > 0), bias),
    "masked bias": lambda weight, bias: (weight, np.ma.masked_array(bias, bias == bias[0])),
    "dates": lambda weight, bias: (np.zeros(weight.shape, "timedelta64[s]"), bias),
    "a pair": lambda weight, bias: ((weight, bias), None),
    "a path": lambda weight, bias: ("checkpoint.pt", None),
    "a state dict": lambda weight, bias: ({"fc.weight": weight, "fc.bias": bias}, None),
    "a classifier": lambda weight, bias: (LogisticRegression(), None),
    "a set": lambda weight, bias: (set(weight.ravel().tolist()), bias),
    "a generator": lambda weight, bias: (iter(weight), bias),
    "a function": lambda weight, bias: (np.mean, bias),
}

CLASSIFIERS = [
    LogisticRegression(max_iter=10),
    RidgeClassifier(),
    RidgeClassifier(fit_intercept=False),
    Perceptron(max_iter=3),
]
