"""Requests in a provider's batches: half the price, one answer each, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.batches import BatchState
from tests.service.batching.away import Away, Provider, provider

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Provider, str]]:
    with provider() as made:
        yield made


@pytest.fixture
async def away(world: tuple[Provider, str], tmp_path: Path) -> Any:
    world[0].calm()
    made = Away(tmp_path, world[1])
    yield made
    await made.stop()


async def test_they_are_submitted_together_at_half_the_price(
    away: Away, world: tuple[Provider, str]
) -> None:
    batch = await away.begin(12)
    done = await away.ended(batch)
    simulated = world[0].batches
    assert done.state is BatchState.COMPLETED and done.completed == 12
    assert simulated.submitted == 1 and set(simulated.seen.values()) == {1}
    told = await away.told(done)
    assert len(told) == 12 and {each["headgate"]["mode"] for each in told.values()} == {"batch"}
    saved = away.savings()
    assert saved["provider"] == saved["completed"] == 12
    calls = away.rows("SELECT tokens_in, tokens_out, cost_micro_usd, role, status FROM attempts")
    assert {(role, status) for *_, role, status in calls} == {("batch", 200)}
    paid = sum(-(-(3 * i + 7 * o) // 2) if (3 * i + 7 * o) % 2 else (3 * i + 7 * o) // 2
               for i, o, *_ in calls)  # fmt: skip
    assert saved["paid_micro_usd"] == paid == sum(each[2] for each in calls)
    assert saved["list_micro_usd"] == sum(3 * i + 7 * o for i, o, *_ in calls)
    outcomes = away.rows("SELECT sum(cost_micro_usd), count(*), any_value(mode) FROM outcomes")
    assert outcomes == [(paid, 12, "batch")]
    assert (away.spent(), away.reserved()) == (paid, 0)
    assert not simulated.files  # nothing is left lying there
