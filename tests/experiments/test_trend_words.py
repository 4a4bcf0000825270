"""A change reads as one sentence with size, interval, day, money and cause."""

from __future__ import annotations

import math

from experiments.mix import Parts
from experiments.series import METRICS
from experiments.statistics.moments import Interval
from experiments.trend_words import in_words


def test_money_with_its_causes() -> None:
    parts = Parts(1.0, 1.5, 0.01, 0.1, 0.39, 0.0, 0.3, 0.09, 0.0)
    said = in_words(
        METRICS["cost_per_request"], ("mill", "code"), "2026-11-03",
        (1.0, Interval(0.5, 0.2, 0.8), Interval(0.5, 0.2, 0.8)), (12.5, parts),
    )  # fmt: skip
    assert said == (
        "cost per request of mill for code rose by 50% (+20% to +80%) since 2026-11-03: from 1 to "
        "1.5 USD, +12.50 USD a day; by longer or shorter answers (+0.3), traffic that moved "
        "between deployments (+0.1), prices of a token (+0.09)"
    )


def test_a_share_that_fell_everywhere() -> None:
    parts = Parts(0.2, 0.1, 0.0, 0.0, -0.1)
    said = in_words(
        METRICS["response_rate"], ("", ""), "2026-11-03",
        (0.2, Interval(-0.1, -math.inf, -0.05), None), (None, parts),
    )  # fmt: skip
    assert said.startswith("share of answers that are rated of all traffic fell by 0.1 (-inf to ")
    assert said.endswith("by a change within task and deployment (-0.1)")


def test_what_has_no_parts_gives_no_reason() -> None:
    change = Interval(1.0, 0.5, 1.5)
    said = in_words(METRICS["latency_p95"], ("mill", ""), "2026-11-03", (2.0, change, change),
                    (None, None))  # fmt: skip
    assert said.endswith("from 2 to 3 s") and "of mill rose" in said
