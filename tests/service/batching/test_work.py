"""The workers of batches: windows, deadlines before windows, tenants in turn, one result each."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.batching.desk import Desk, DeskParts, Wanted
from service.batching.reading import request_of, tokens_of
from service.batching.schedule import Rules
from service.batching.work import Reply, Way, Workers, WorkParts
from service.domain.batches import Batch, BatchLine, BatchState
from service.domain.errors import BudgetExceeded, HeadgateError, InvalidRequest, UpstreamExhausted
from service.domain.off_peak import parse_window
from service.domain.records import Key, Usage
from service.storage.batch_file import open_batches
from service.storage.batch_store import BatchStore
from service.storage.store_thread import StoreThread
from tests.conftest import HandClock

NOON_US = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000 + 12 * 3_600_000_000
NIGHT = (parse_window("03:00-06:00 UTC"),)
CHAT = "/v1/chat/completions"


def key(name: str, tenant: str = "") -> Key:
    return Key(name, 0, name, "caller", tenant, "", "")


class Free:
    """An allowance without limits, or with as many tokens as are left."""

    def __init__(self) -> None:
        self.left: int | None = None

    def wait_s(self, key_id: str, tokens: int) -> float:
        return 0.0 if self.left is None or tokens <= self.left else 30.0

    def book(self, key_id: str, tokens: int) -> Callable[[Usage], None]:
        if self.left is not None:
            self.left -= tokens
        return lambda used: None


class Rig:
    """Desk, workers and store on a clock that is turned by hand; answers as told."""

    def __init__(self, state_dir: Path, rules: Rules) -> None:
        self.clock, self.rules, self.lines = HandClock(NOON_US), rules, list[BatchLine]()
        self.asked: list[tuple[str, str]] = []  # key and mark
        self.keys = {n: key(n, t) for n, t in (("ann", "acme"), ("bob", "bloom"), ("cy", ""))}
        self.error: Callable[[str], HeadgateError | None] = lambda mark: None
        self.hold: asyncio.Event | None = None
        self.logged = asyncio.Event()
        self.logged.set()
        self.free = Free()
        self.state_dir = state_dir
        self.open()

    def open(self) -> None:
        self.store = BatchStore(open_batches(self.state_dir, self.clock))
        self.thread = StoreThread("test-batches")
        way = Way(self._read, self._ask, self.keys.get, self.free, lambda: True)
        self.workers = Workers(
            WorkParts(self.store, self.thread, way, lambda: self.rules, self.lines.append,
                      self.clock, random.Random(1), durable=self.logged.wait)
        )  # fmt: skip
        self.desk = Desk(
            DeskParts(self.store, self.thread, self.workers, lambda: self.rules, lambda _: True,
                      self.clock, b"secret")
        )  # fmt: skip

    @staticmethod
    def _read(endpoint: str, body: bytes) -> Any:
        request = request_of(endpoint, body)
        return request, tokens_of(request)

    async def _ask(self, endpoint: str, body: bytes, who: Key, slack_s: float) -> Reply:
        mark = json.loads(body)["messages"][0]["content"]
        self.asked.append((who.id, mark))
        if self.hold is not None:
            await self.hold.wait()
        if (error := self.error(mark)) is not None:
            raise error
        return Reply(b'{"ok":true}', f"d-{mark}", "only", Usage(5, 5, 0, 7), {"decision_id": mark})

    async def begin(self, who: str, count: int, window: str = "24h", priority: int = 1) -> Batch:
        lines = [
            json.dumps({"custom_id": f"{who}-{n}", "url": CHAT, "body": {
                "model": "auto", "max_tokens": 100,
                "messages": [{"role": "user", "content": f"{who}-{n}"}]}})
            for n in range(count)
        ]  # fmt: skip
        file = await self.desk.upload(self.keys[who], "f", "\n".join(lines).encode(), None)
        wanted = Wanted(file.id, CHAT, window, priority, {}, "")
        return await self.desk.create(self.keys[who], wanted)

    async def run(self) -> None:
        """Until nobody may be tried any more."""
        while True:
            await self.workers.turn()
            if not self.workers.running:
                await self.workers.turn()
                if not self.workers.running:
                    return
            await asyncio.sleep(0)

    async def told(self, who: str, batch: Batch) -> list[dict[str, Any]]:
        found = await self.desk.batch(self.keys[who], batch.id)
        content = b""
        for name in (found.output_file, found.error_file):
            content += await self.desk.content(self.keys[who], name) if name else b""
        return [json.loads(each) for each in content.splitlines()]

    async def state(self, batch: Batch) -> BatchState:
        return (await self.desk.batch(None, batch.id)).state

    async def end(self) -> None:
        await self.workers.stop()
        self.thread.close(self.store.close)


@pytest.fixture
async def rig(tmp_path: Path) -> Any:
    made = Rig(tmp_path, Rules(NIGHT, most_at_once=2, most_per_key=2))
    yield made
    await made.end()


async def test_it_waits_for_the_window_and_is_answered_in_it(rig: Rig) -> None:
    batch = await rig.begin("ann", 5)
    await rig.run()
    assert not rig.asked and rig.desk.times(batch)[1] == NOON_US + 15 * 3_600_000_000
    rig.clock.advance(15 * 3_600)
    await rig.run()
    assert await rig.state(batch) is BatchState.COMPLETED
    assert [each["custom_id"] for each in await rig.told("ann", batch)] == [
        f"ann-{n}" for n in range(5)
    ]
    assert {each.hours for each in rig.lines} == {"off_peak"} and len(rig.lines) == 5


async def test_before_its_deadline_is_at_risk_it_is_answered_outside_of_the_window(
    rig: Rig,
) -> None:
    batch = await rig.begin("ann", 5, window="2h")
    latest_us, _ = rig.desk.times(batch)
    # Five requests, two at a time, 20 s each until it is learned, doubled for safety.
    assert latest_us == NOON_US + 7_200_000_000 - 120_000_000
    rig.clock.advance(7_200 - 121)
    await rig.run()
    assert not rig.asked
    rig.clock.advance(1)
    await rig.run()
    assert await rig.state(batch) is BatchState.COMPLETED
    assert {each.hours for each in rig.lines} == {"urgent"}


async def test_what_is_not_answered_in_time_expires_with_a_line_each(rig: Rig) -> None:
    rig.error = lambda mark: None if mark == "ann-0" else UpstreamExhausted("none", retry_after_s=9)
    batch = await rig.begin("ann", 4, window="1m")
    await rig.run()
    rig.clock.advance(61)
    await rig.run()
    assert await rig.state(batch) is BatchState.EXPIRED
    told = await rig.told("ann", batch)
    assert sorted(each["custom_id"] for each in told) == [f"ann-{n}" for n in range(4)]
    assert Counter(each["error"] and each["error"]["code"] for each in told) == {
        None: 1, "batch_expired": 3
    }  # fmt: skip
    assert Counter(each.result for each in rig.lines) == {"completed": 1, "expired": 3}


async def test_tenants_take_turns_and_priority_counts_within_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Rules(most_at_once=1, most_per_key=1))
    await rig.begin("ann", 60)
    low = await rig.begin("bob", 10, priority=0)
    high = await rig.begin("bob", 30, priority=2)
    rig.keys["bob"] = key("bob", "bloom")
    await rig.run()
    half = Counter(name for name, _ in rig.asked[:40])
    assert abs(half["ann"] - half["bob"]) <= 40  # two quanta of requests of about a hundred tokens
    bobs = [mark for name, mark in rig.asked if name == "bob"]
    assert len(bobs) == 40 and {await rig.state(each) for each in (low, high)} == {
        BatchState.COMPLETED
    }
    order = [each.batch_id for each in rig.lines if each.key_id == "bob"]
    assert order == [high.id] * 30 + [low.id] * 10
    await rig.end()


async def test_refusals_end_failures_try_again_and_budgets_wait(rig: Rig) -> None:
    rig.rules = Rules(most_at_once=2, most_per_key=2, tries=3)
    errors: dict[str, HeadgateError] = {
        "ann-0": InvalidRequest("no"), "ann-1": HeadgateError("odd"),
        "ann-2": BudgetExceeded("full"),
    }  # fmt: skip
    rig.error = errors.get
    batch = await rig.begin("ann", 4)
    for _ in range(5):
        await rig.run()
        rig.clock.advance(600)
    tries = Counter(mark for _, mark in rig.asked)
    assert (tries["ann-0"], tries["ann-1"], tries["ann-3"]) == (1, 3, 1) and tries["ann-2"] >= 3
    del errors["ann-2"]
    await rig.run()
    assert await rig.state(batch) is BatchState.COMPLETED
    told = {each["custom_id"]: each for each in await rig.told("ann", batch)}
    assert told["ann-0"]["response"]["status_code"] == 400 and "headgate" in told["ann-2"]
    assert told["ann-1"]["response"]["status_code"] == 500


async def test_a_key_that_has_no_room_waits_and_one_that_is_gone_is_told(rig: Rig) -> None:
    rig.rules = Rules(most_at_once=2, most_per_key=2)
    rig.free.left = 250
    batch, gone = await rig.begin("ann", 4), await rig.begin("cy", 1)
    await rig.run()
    assert 0 < len(rig.asked) < 4
    del rig.keys["cy"]
    rig.free.left = None
    rig.clock.advance(31)
    await rig.run()
    assert await rig.state(batch) is await rig.state(gone) is BatchState.COMPLETED
    rig.keys["cy"] = key("cy")
    assert (await rig.told("cy", gone))[0]["response"]["body"]["error"]["code"] == "key_revoked"


async def test_a_stop_gives_back_what_it_breaks_off(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Rules(most_at_once=2, most_per_key=2))
    rig.hold = asyncio.Event()
    batch = await rig.begin("ann", 3)
    await rig.workers.turn()
    await asyncio.sleep(0)
    assert rig.workers.running == 2
    await rig.end()
    rig.hold = None
    rig.open()
    assert rig.store.standings[batch.id].waiting == 3
    await rig.run()
    assert await rig.state(batch) is BatchState.COMPLETED
    assert len(await rig.told("ann", batch)) == 3 == len(rig.lines)
    assert {each.tries for each in rig.lines} == {1}
    await rig.end()


async def test_a_result_is_its_owners_once_it_is_in_the_log(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Rules(most_at_once=2, most_per_key=2))
    rig.logged.clear()
    batch = await rig.begin("ann", 3)
    await rig.workers.turn()
    while len(rig.lines) < 2:
        await asyncio.sleep(0)
    found = await rig.desk.batch(None, batch.id)
    assert found.completed == 0 and {each.result for each in rig.lines} == {"completed"}
    cancelled = asyncio.create_task(rig.desk.cancel(found))  # what was paid stays answered
    await asyncio.sleep(0.01)
    rig.logged.set()
    await cancelled
    await rig.run()
    assert await rig.state(batch) is BatchState.CANCELLED
    told = await rig.told("ann", batch)
    assert [each["error"] is None for each in told] == [True, True, False]
    assert Counter(each.result for each in rig.lines) == {"completed": 2, "cancelled": 1}
    await rig.end()


async def test_a_large_batch_that_is_called_off_holds_nobody_up(rig: Rig) -> None:
    batch = await rig.begin("ann", 1_000)
    seen: list[int] = []

    async def live() -> None:
        while len(rig.lines) < 1_000:
            seen.append(len(rig.lines))
            await asyncio.sleep(0)

    watching = asyncio.create_task(live())
    assert (await rig.desk.cancel(batch)).state is BatchState.CANCELLED
    await watching
    steps = [after - before for before, after in pairwise([*seen, 1_000])]
    assert max(steps) <= 100 and len(rig.lines) == 1_000


async def test_a_stop_waits_for_results_that_are_being_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Rules(most_at_once=2, most_per_key=2))
    rig.logged.clear()
    first = await rig.begin("ann", 1)
    await rig.workers.turn()
    while not rig.lines:
        await asyncio.sleep(0)
    rig.hold = asyncio.Event()
    second = await rig.begin("bob", 1)
    await rig.workers.turn()
    while len(rig.asked) < 2:
        await asyncio.sleep(0)
    ending = asyncio.create_task(rig.end())
    await asyncio.sleep(0.01)
    rig.hold.set()  # too late: it was called off, and is not told of
    await asyncio.sleep(0.01)
    rig.logged.set()
    await ending
    rig.open()
    await rig.run()
    assert await rig.state(first) is await rig.state(second) is BatchState.COMPLETED
    assert Counter(mark for _, mark in rig.asked) == {"ann-0": 1, "bob-0": 2}
    assert Counter(each.batch_id for each in rig.lines) == {first.id: 1, second.id: 1}
    await rig.end()


async def test_all_is_erased_when_its_time_is_over(rig: Rig) -> None:
    rig.rules = Rules(keep_s=3_600.0)
    batch = await rig.begin("ann", 1)
    await rig.run()
    assert await rig.told("ann", batch)
    rig.clock.advance(3_601)
    await rig.thread.do(rig.store.sweep, rig.clock.wall_us())
    assert await rig.desk.files(rig.keys["ann"], "", "", 10) == []
    assert await rig.desk.batches(rig.keys["ann"], "", 10) == []
