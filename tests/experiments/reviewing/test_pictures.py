"""The series behind the charts."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.reviewing import pictures
from experiments.reviewing.finding import Table
from tests.experiments.reviewing.tables import LAST_DAY, days
from tests.experiments.reviewing.test_rating import rates
from tests.experiments.reviewing.test_serving import latencies


def test_weights_sum_to_one_where_something_was_told() -> None:
    table = Table({
        "task": np.array(["write"] * 3), "deployment": np.array(["a", "b", "a"]),
        "step": np.array([0, 0, 2]), "requests": np.array([3, 1, 5]),
    })  # fmt: skip
    told = pictures.weights(table, 3)["write"]
    assert told == {"a": [0.75, None, 1.0], "b": [0.25, None, 0.0]}


def test_spend_adds_up() -> None:
    table = days(np.random.default_rng(0))
    told = pictures.spend(table, LAST_DAY)
    rows = table["day"] > LAST_DAY - 7
    assert sum(map(sum, told.values())) == pytest.approx(
        table.number("cost_usd")[rows].sum(), abs=1e-3
    )


def test_quality_has_intervals_and_few_ratings_have_no_dot() -> None:
    table = Table({
        "task": np.array(["write", "write"]), "deployment": np.array(["a", "b"]),
        "rated": np.array([100, 3]), "quality": np.array([80.0, 3.0]),
        "squares": np.array([80.0, 3.0]),
    })  # fmt: skip
    (told,) = pictures.quality(table)
    assert told["low"] < told["mean"] == 0.8 < told["high"]


def test_latency_and_responses() -> None:
    told = pictures.latency(latencies(np.random.default_rng(1)))["write"]
    assert len(told) == 7 and all(each and each["p50"] < each["p95"] for each in told)
    found = pictures.responses(rates(0.2))
    assert [each["deployment"] for each in found] == ["brook", "sage"]
    assert found[0]["rate"] == pytest.approx(0.2, abs=0.05)
