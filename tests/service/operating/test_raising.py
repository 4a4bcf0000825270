"""An alert of latency raises caching by an override, which ends with it or stays a person's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.domain.alerts import Alert
from service.domain.errors import NotFound, StorageUnavailable
from service.domain.records import Override
from service.operating.raising import RaisedCaching


class Desk:
    """What a desk keeps, without its log."""

    def __init__(self) -> None:
        self.holding: tuple[Override, ...] = ()
        self.fails: Exception | None = None

    async def lay(self, wanted: Any, by: Any) -> Override:
        if self.fails is not None:
            raise self.fails
        made = Override("o1", 0, wanted.action, "", "", by.reason, by.author, 0,
                        int(wanted.lasts_s * 1e6), ticket=wanted.ticket)  # fmt: skip
        self.holding = (made,)
        return made

    async def lift(self, override_id: str, by: Any) -> Override:
        (held,) = self.holding
        if held.id != override_id:
            raise NotFound("gone")
        self.holding = ()
        return held


def alert() -> Alert:
    made = Alert.__new__(Alert)
    for name, value in (("id", "a1"), ("rule", "latency"), ("text", "slow")):
        object.__setattr__(made, name, value)
    return made


def raising(desk: Desk, offered: bool = True) -> RaisedCaching:
    return RaisedCaching(desk, lambda: 7_200.0, lambda: offered)  # type: ignore[arg-type]


def test_it_is_raised_once_and_let_down() -> None:
    async def go() -> None:
        desk = Desk()
        caching = raising(desk)
        assert "raised (override o1)" in await caching(alert(), True)
        (held,) = desk.holding
        assert held.action == "raise_caching" and held.expires_us == 7_200_000_000
        assert "already" in await caching(alert(), True)
        assert await caching(alert(), False) == "caching is as usual" and not desk.holding
        assert "any more" in await caching(alert(), False)

    asyncio.run(go())


def test_what_a_person_has_renewed_stays() -> None:
    async def go() -> None:
        desk = Desk()
        caching = raising(desk)
        await caching(alert(), True)
        desk.holding = (replace(desk.holding[0], author="mara"),)
        assert "mara has renewed" in await caching(alert(), False) and desk.holding

    asyncio.run(go())


@pytest.mark.parametrize("offered", [True, False])
def test_where_it_cannot_be_that_is_said(offered: bool) -> None:
    async def go() -> None:
        desk = Desk()
        desk.fails = StorageUnavailable("the log cannot be written", retry_after_s=1.0)
        said = await raising(desk, offered)(alert(), True)
        assert ("could not be raised" if offered else "no cache.raised") in said

    asyncio.run(go())
