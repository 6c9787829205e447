"""Types of the public signatures."""

from collections.abc import Callable, Mapping
from os import PathLike as OSPath
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int_]
PathLike: TypeAlias = str | OSPath[str]
Seed: TypeAlias = int | np.random.RandomState | None
LogitScore: TypeAlias = Callable[[Any], Any]
"""From logits of shape (..., n_classes) to scores of shape (...)."""
LogitMethod: TypeAlias = Literal["msp", "max_logit", "energy", "entropy", "gen"] | LogitScore
Method: TypeAlias = Literal["kld"] | LogitMethod
Delta: TypeAlias = float | Literal["auto"]
Projection: TypeAlias = Literal["implicit", "explicit", "random"]
Device: TypeAlias = Literal["auto", "cpu", "cuda"]
Engine: TypeAlias = Literal["auto", "numpy", "numba"]
ClassSource: TypeAlias = Literal["head", "y"]
NamedSets: TypeAlias = Mapping[str, ArrayLike]
"""Features or scores of several OOD datasets by their names."""


class Scoring(Protocol):
    """A fitted detector of this library or of scikit-learn."""

    def score_samples(self, X: Any, /) -> Any:
        """Scores, higher = more in-distribution."""
