"""What holds while the attack runs."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="module", autouse=True)
def one_openmp_thread():
    """scikit-learn's threads for a few rows cost more in waiting for each other than the work."""
    with threadpool_limits(1, user_api="openmp"):
        yield
