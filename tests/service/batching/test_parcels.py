"""Requests in a provider's batches: half the price, one answer each, whatever goes wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.batches import BatchState
from service.domain.clock import new_id
from service.domain.errors import StorageUnavailable
from service.feedback.promoting import Signature
from service.operating.wanted import Wanted as Laid
from service.simulate_batches import Trouble
from service.storage.minutes import minutes_of
from service.storage.parcel_store import ParcelStore
from tests.service.batching.away import Away, Provider, provider, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Provider, str]]:
    with provider() as made:
        yield made


@pytest.fixture
async def away(world: tuple[Provider, str], tmp_path: Path) -> Any:
    world[0].calm()
    made = Away(tmp_path, world)
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


async def test_without_the_time_for_it_they_go_alone(
    away: Away, world: tuple[Provider, str]
) -> None:
    done = await away.ended(await away.begin(4, window="60m"))
    assert done.completed == 4 and world[0].batches.submitted == 0
    saved = away.savings()
    assert saved["provider"] == saved["saved_micro_usd"] == 0 < saved["paid_micro_usd"]


async def test_lines_that_failed_or_are_missing_are_answered_alone(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(missing=(2,), failing=(3, 5)))
    done = await away.ended(await away.begin(6))
    told = await away.told(done)
    assert done.completed == len(told) == 6
    modes = [told[f"n-{n}"]["headgate"]["mode"] for n in range(6)]
    assert [mode == "batch" for mode in modes] == [True, False, False, True, False, True]
    kinds = away.rows("SELECT role, error_kind, count(*), sum(cost_micro_usd) > 0 FROM attempts "
                      "GROUP BY ALL ORDER BY ALL")  # fmt: skip
    assert kinds == [
        ("batch", "cut", 1, False), ("batch", "server", 2, False), ("batch", None, 3, True),
        ("first", None, 3, True),
    ]  # fmt: skip
    reconciled(away)
    assert away.savings()["provider"] == 3


def reconciled(away: Away) -> None:
    """Attempts, outcomes, lines of results and budgets tell the same sum."""
    paid = away.rows("SELECT sum(cost_micro_usd)::BIGINT FROM attempts")[0][0]
    assert away.rows("SELECT sum(cost_micro_usd)::BIGINT FROM outcomes")[0][0] == paid
    assert away.savings()["paid_micro_usd"] == paid == away.spent()
    assert away.reserved() == 0
    twice = "SELECT decision_id FROM {} GROUP BY ALL HAVING count(*) > 1"
    assert not away.rows(twice.format("outcomes")) and not away.rows(twice.format("attempts"))
    undone = "SELECT id FROM decisions WHERE id NOT IN (SELECT decision_id FROM outcomes)"
    assert not away.rows(undone)


async def test_a_submit_whose_answer_is_lost_is_found_and_not_made_again(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(breaks=1, fails=3))
    done = await away.ended(await away.begin(5))
    assert done.completed == 5 and world[0].batches.submitted == 1
    assert set(world[0].batches.seen.values()) == {1}
    assert away.savings()["provider"] == 5
    reconciled(away)


async def test_one_that_is_refused_goes_alone(away: Away, world: tuple[Provider, str]) -> None:
    world[0].calm(Trouble(refuses=1))
    done = await away.ended(await away.begin(3))
    assert done.completed == 3 and world[0].batches.submitted == 0
    assert away.savings()["provider"] == 0
    reconciled(away)


async def test_one_that_expires_is_paid_as_far_as_it_came(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(expires_after=4))
    done = await away.ended(await away.begin(10))
    assert done.completed == 10 and away.savings()["provider"] == 4
    timed = away.rows("SELECT count(*) FROM attempts WHERE role = 'batch' "
                      "AND error_kind = 'timeout' AND cost_micro_usd = 0")  # fmt: skip
    assert timed == [(6,)]
    reconciled(away)


async def test_one_that_is_too_slow_is_called_off_and_the_rest_goes_alone(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(stalls_after=3))
    batch = await away.begin(8, window="24h")
    await away.turns(1)
    assert world[0].batches.submitted == 1
    away.clock.advance(3_600)
    await away.turns(1)
    done = await away.ended(batch)
    assert done.state is BatchState.COMPLETED and done.completed == 8
    (remote,) = world[0].batches.batches.values()
    assert remote.status == "cancelled"
    saved = away.savings()
    assert saved["provider"] == len(remote.output) == 3
    reconciled(away)


async def test_a_deaf_provider_is_left_in_time_and_its_bill_is_still_taken(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(stalls_after=0, deaf=True))
    batch = await away.begin(5, window="2h")
    await away.turns(1)
    assert world[0].batches.submitted == 1
    done = await away.ended(batch, seconds=120, waits=False)
    assert done.completed == 5 and done.ended_us is not None
    assert done.ended_us < done.deadline_us
    assert away.savings()["provider"] == 0 and len(away.batching.parcels.parcels) == 1
    world[0].batches.trouble = Trouble()
    await until(lambda: not world[0].batches.working)
    for _ in range(20):
        await away.turns(1, seconds=400)
        await asyncio.sleep(0.01)
    assert not away.batching.parcels.parcels
    saved = away.savings()
    assert saved["requests"] == saved["completed"] == 5 and saved["saved_micro_usd"] < 0
    reconciled(away)


async def test_a_batch_that_is_called_off_is_so_at_its_provider(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(stalls_after=2))
    batch = await away.begin(8)
    await away.turns(1)
    await until(lambda: len(world[0].batches.seen) == 2)
    await away.batching.desk.cancel(await away.batching.desk.batch(None, batch.id))
    await away.turns(1)
    done = await away.ended(batch)
    (remote,) = world[0].batches.batches.values()
    assert done.state is BatchState.CANCELLED and remote.status == "cancelled"
    assert done.completed == len(remote.output) == 2
    assert len(await away.told(done)) == 8
    reconciled(away)


async def test_an_exclusion_calls_it_off_and_its_answers_are_not_served(
    away: Away, world: tuple[Provider, str]
) -> None:
    world[0].calm(Trouble(stalls_after=1))
    batch = await away.begin(3)
    await away.turns(1)
    by = Signature("tester", "worse since noon")
    await away.runtime.operating.lay(Laid("exclude", "mill"), by)
    await until(lambda: len(world[0].batches.seen) == 1)
    await away.turns(1)
    done = await away.ended(batch)
    told = await away.told(done)
    assert {each["headgate"]["deployment"] for each in told.values()} == {"brook"}
    reconciled(away)
    saved = away.savings()
    assert saved["completed"] == 3 and saved["provider"] == 0 > saved["saved_micro_usd"]


async def test_a_stop_goes_on_where_it_was_and_budgets_keep_what_is_reserved(
    world: tuple[Provider, str], tmp_path: Path
) -> None:
    world[0].calm(Trouble(stalls_after=2))
    away = Away(tmp_path, world)
    batch = await away.begin(6)
    await away.turns(1)
    reserved = away.reserved()
    assert world[0].batches.submitted == 1 and reserved > 0 == away.spent()
    await away.stop()
    away.open()
    assert (away.reserved(), away.spent()) == (reserved, 0)
    assert not any("when the service was killed" in each for each in away.runtime.notices)
    world[0].batches.trouble = Trouble()
    done = await away.ended(batch)
    assert done.completed == 6 and world[0].batches.submitted == 1
    assert away.savings()["provider"] == 6
    reconciled(away)
    await away.stop()


async def test_what_a_budget_has_no_room_for_waits_as_a_call_does(
    world: tuple[Provider, str], tmp_path: Path
) -> None:
    """Reserved at the batch price, more of them fit under a cap than alone."""
    world[0].calm(Trouble(stalls_after=0))
    away = Away(tmp_path, world, usd="0.002")
    await away.begin(8)
    for _ in range(4):
        await away.turns(1, seconds=100)
    (parcel,) = away.batching.parcels.parcels  # at its provider
    each = away.reserved() // parcel.count
    alone = 2_000 // (2 * each)
    assert alone < parcel.count < 8 and away.reserved() <= 2_000
    await away.stop()


async def test_its_latency_and_price_are_nobodys_and_its_ratings_are_the_deployments(
    away: Away, world: tuple[Provider, str]
) -> None:
    done = await away.ended(await away.begin(4))
    away.runtime.learner.caught_up().result(20)
    runtime = away.runtime
    assert not away.rows("SELECT * FROM updates WHERE kind = 'outcome'")
    mill = next(each for each in runtime.board.standings() if each.deployment == "mill")
    assert mill.calls == 0 and runtime.board.requests == 0
    assert runtime.board.cost_micro_usd == away.spent()
    minutes = minutes_of(runtime.kept.database.cursor(), 0, 1 << 52, 1 << 40)
    assert sum(each.total.calls for each in minutes) == 0
    assert sum(each.total.cost_micro_usd for each in minutes) == away.spent()
    told = await away.told(done)
    case = await runtime.case(told["n-1"]["headgate"]["decision_id"])
    assert case is not None and case.outcome is not None
    assert (case.answered_by, case.learned_as) == ("mill", "randomised")


async def test_what_the_log_was_told_before_a_kill_is_not_told_again(
    world: tuple[Provider, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the results, the file of batches has not: nothing is billed or told twice."""
    world[0].calm()
    away = Away(tmp_path, world)
    batch = await away.begin(7)

    def fails(*_: object) -> int:
        raise StorageUnavailable("full")

    with monkeypatch.context() as patched:
        patched.setattr(ParcelStore, "done", fails)
        for _ in range(4):
            await away.turns(1)
            await asyncio.sleep(0.02)
        assert away.rows("SELECT count(*) FROM attempts") == [(7,)]
        await away.stop()
    away.open()
    done = await away.ended(batch)
    assert done.completed == 7 == len(await away.told(done))
    assert away.rows("SELECT count(*) FROM batch_requests") == [(7,)]
    reconciled(away)
    await away.stop()


async def test_what_a_kill_kept_from_the_log_is_decided_anew(
    world: tuple[Provider, str], tmp_path: Path
) -> None:
    """Gathered before a kill, durable here and not there: no attempt is without its decision."""
    world[0].calm()
    away = Away(tmp_path, world)
    batch = await away.begin(5)
    while not away.batching.parcels.parcels or away.batching.workers.running:
        await away.batching.workers.turn()
        await asyncio.sleep(0.002)
    await away.stop()
    with sqlite3.connect(tmp_path / "batches.sqlite") as file:  # as if two had not been committed
        for number in (2, 4):
            at = "$.posting.decision_id"
            file.execute("UPDATE posted SET detail = CAST(json_set(CAST(detail AS TEXT), ?, ?) AS "
                         "BLOB) WHERE number = ?", (at, new_id(), number))  # fmt: skip
    file.close()
    away.open()
    done = await away.ended(batch)
    assert done.completed == 5 == away.savings()["provider"]
    assert set(world[0].batches.seen.values()) == {1}
    assert not away.rows("SELECT decision_id FROM attempts WHERE decision_id NOT IN "
                         "(SELECT id FROM decisions)")  # fmt: skip
    await away.stop()
