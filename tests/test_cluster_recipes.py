"""The recipes for Spark and Ray in the guide, run where the package is installed."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skweiper.baselines import LogitDetector

PAGE = Path(__file__).parents[1] / "docs" / "clusters.md"
BLOCK = re.compile(r"^```python (\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def recipe(name):
    """What a block of the guide defines."""
    code = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))[name]
    namespace = {}
    exec(compile(code, str(PAGE), "exec"), namespace)
    return namespace[f"score_with_{name}"]


@pytest.fixture
def detector(small):
    return LogitDetector(small["weight"], small["bias"]).fit(small["X"])


@pytest.fixture
def table(small):
    return pd.DataFrame(small["X"]).add_prefix("f").assign(id=np.arange(len(small["X"])))


FEATURES = [f"f{i}" for i in range(12)]


def test_every_recipe_can_be_read():
    assert callable(recipe("spark")) and callable(recipe("ray"))


def test_spark(detector, table, small):
    sql = pytest.importorskip("pyspark.sql")
    spark = sql.SparkSession.builder.master("local[2]").getOrCreate()
    try:
        scored = recipe("spark")(spark, detector, spark.createDataFrame(table), FEATURES)
        found = scored.toPandas().set_index("id").score
    finally:
        spark.stop()
    np.testing.assert_array_equal(found.sort_index(), detector.score_samples(small["X"]))


def test_ray(detector, table, small):
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        scored = recipe("ray")(detector, data.from_pandas(table), FEATURES)
        found = scored.to_pandas().set_index("id").score
    finally:
        ray.shutdown()
    np.testing.assert_array_equal(found.sort_index(), detector.score_samples(small["X"]))
