import numpy as np
import pytest

from skweiper.datasets import load_clinc150


@pytest.fixture(scope="session")
def clinc150():
    return load_clinc150()


@pytest.fixture(scope="session")
def small():
    """A head with 5 classes on 12 features and 60 samples that it was never trained on."""
    rng = np.random.RandomState(0)
    head = {"weight": rng.normal(size=(5, 12)), "bias": rng.normal(size=5)}
    return {**head, "X": rng.normal(size=(60, 12)).astype(np.float32)}
