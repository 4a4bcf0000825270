"""Runs that end by lot: they end where it says, and the log tells the acts' probabilities.

That one of the three ends is never drawn has a chance of one in fifty thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from service.app import create_app
from service.domain.clock import new_id
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, Service, make_runtime
from tests.service.orchestration.escalation.frail import Frail, plan_of

pytestmark = pytest.mark.slow

SECTION = """
escalation: {rungs: [thrift, middle, strong], worth_usd: 0.001, acceptable: 0.5, explore: 0.25}
"""
RUNS = 60


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Server(Frail().app()) as upstream:
        runtime = make_runtime(tmp_path_factory.mktemp("state"), plan_of(upstream.url, SECTION))
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


def test_acts_and_their_probabilities(served: Service) -> None:
    climbing = served.runtime.router.climbing
    assert climbing is not None
    climbing.rules = replace(climbing.rules, explore=0.5 - 1e-9)  # all by lot, or direct
    with openai.OpenAI(base_url=served.url + "/v1", api_key=KEY, max_retries=0) as client:
        for _ in range(RUNS):
            client.chat.completions.create(
                model="auto:cascade", messages=[{"role": "user", "content": f"hello {new_id()}"}]
            )
    served.runtime.kept.log.flush().result(10)
    cursor = served.runtime.kept.database.cursor
    began = Counter(r["began"] for r in rows_of(cursor(), "SELECT began FROM climb_starts"))
    assert set(began) == {"cascade_by_lot", "cascade_direct"} and sum(began.values()) == RUNS
    rows = rows_of(cursor(), "SELECT * FROM rung_verdicts ORDER BY log_seq")
    first = [row for row in rows if row["rung"] == 1]
    assert {row["onward"] for row in first} == {"", "middle", "strong"}, "each end is drawn"
    share = 0.25 / 0.75
    for row in first:
        by_rule = not row["onward"]  # of answers that are good enough the rule stops
        wanted = share / 3 + (1.0 - share) * by_rule
        assert row["probability"] == pytest.approx(wanted) and row["settled_by"] == "lot"
    later: list[dict[str, Any]] = [row for row in rows if row["rung"] == 2]
    assert later and all(row["act"] == "stop" for row in later), "a run by lot is at its end"
    last = [row for row in rows if row["rung"] == 3]
    assert all(row["settled_by"] == "end" for row in last)
