"""What an alert takes from a slow deployment: bounded, where nobody has a will of it; undone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from service.domain.alerts import Alert, Severity
from service.domain.clock import new_id
from service.feedback.promoting import Signature
from service.monitoring.watch import Shifted
from service.operating import shifting
from service.operating.shifting import ShareShift
from service.operating.wanted import Wanted
from service.storage.errors import WriteFailed
from tests.service.experimentation.rig import Site, site, until

pytestmark = pytest.mark.slow  # a real service, and a log that cannot be written for a while

ANN = Signature("ann", "the test wants it so")
T = TypeVar("T")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture(autouse=True)
def clean(one: Site) -> Iterator[None]:
    yield
    for each in one.get("/admin/overrides")["overrides"]:
        one.post(f"/admin/overrides/{each['id']}/lift")


def call(one: Site, what: Coroutine[Any, Any, T]) -> T:
    loop = next(iter(one.runtime.scheduler._tasks.values())).get_loop()
    return asyncio.run_coroutine_threadsafe(what, loop).result(30)


def alert() -> Alert:
    return Alert(new_id(), "latency", "mill", Severity.TICKET, 0, 60.0, 45.0, "p95 of mill is 60 s",
                 ())  # fmt: skip


def shift(one: Site, share: float = 0.6, floor: float = 0.002) -> ShareShift:
    return ShareShift(one.runtime.operating, lambda name: share, lambda: floor)


def test_half_of_what_it_has_and_back(one: Site) -> None:
    of = alert()
    laid = call(one, shift(one).lay("mill", 0.5, 600.0, of))
    assert isinstance(laid, Shifted) and laid.greatest == 0.3
    (override,) = one.runtime.operating.holding
    assert (override.id, override.ticket, override.author) == (laid.override_id, of.id, "headgate")
    assert (override.greatest, override.least, override.task) == (0.3, None, "")
    assert laid.expires_us == override.expires_us == override.starts_us + 600_000_000
    assert override.reason == "alert latency: p95 of mill is 60 s"
    said = call(one, shift(one).lift(of, "clear for ten minutes"))
    assert said == "its share is no longer bounded" and not one.runtime.operating.holding
    assert call(one, shift(one).lift(of, "once more")) == "its bound had ended already"


def test_what_a_person_has_renewed_is_theirs(one: Site) -> None:
    of, desk = alert(), one.runtime.operating
    laid = call(one, shift(one).lay("mill", 0.5, 600.0, of))
    assert isinstance(laid, Shifted)
    for name in (laid.override_id, ""):
        renewed = call(one, desk.renew(name or desk.holding[0].id, 900.0, ANN))
    found = shift(one).found(of)
    assert found is not None and found.override_id == renewed.id
    said = call(one, shift(one).lift(of, "clear for ten minutes"))
    assert said.startswith(f"ann has renewed its bound (override {renewed.id})")
    assert [each.id for each in desk.holding] == [renewed.id]


@pytest.mark.parametrize(("share", "floor", "greatest"), [(0.03, 0.02, 0.02), (0.015, 0.0, 0.01)])
def test_never_under_the_floor(one: Site, share: float, floor: float, greatest: float) -> None:
    laid = call(one, shift(one, share, floor).lay("mill", 0.5, 600.0, alert()))
    assert isinstance(laid, Shifted) and laid.greatest == greatest


def test_a_persons_will_stands(one: Site) -> None:
    for wanted in (Wanted("exclude", "mill"), Wanted("bounds", "mill", least=0.1, task="code")):
        made = call(one, one.runtime.operating.lay(wanted, ANN))
        said = call(one, shift(one).lay("mill", 0.5, 600.0, alert()))
        assert said == f"ann has laid {wanted.action} on it, so its share is left alone"
        assert call(one, shift(one).lay("fall", 0.5, 600.0, alert())) != said, "of it alone"
        for each in one.runtime.operating.holding:
            call(one, one.runtime.operating.lift(each.id, ANN))
        assert made.author == "ann"


def test_what_has_next_to_nothing_is_left_alone(one: Site) -> None:
    said = call(one, shift(one, 0.01).lay("mill", 0.5, 600.0, alert()))
    assert said == "it gets 0.01 of any task at most already, so its share is left alone"
    assert one.runtime.operating.holding == ()


def test_bounds_that_leave_too_little_are_said(one: Site) -> None:
    names = [each.name for each in one.runtime.catalog]
    said = [call(one, shift(one, 0.02).lay(name, 0.5, 600.0, alert())) for name in names]
    assert isinstance(said[-1], str) and "its share could not be bounded" in said[-1]
    assert [type(each) for each in said[:-1]] == [Shifted] * (len(names) - 1)


def test_H03_it_acts_while_the_log_cannot_be_written(
    one: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.event_log.RETRY_S", 0.05)
    monkeypatch.setattr(shifting, "PATIENCE_S", 5.0)
    database = one.runtime.kept.database
    real = database.write

    def refuse(_: object) -> None:
        raise WriteFailed("No space left on device")

    monkeypatch.setattr(database, "write", refuse)
    laid = call(one, shift(one).lay("mill", 0.5, 600.0, alert()))
    assert isinstance(laid, Shifted), "it is found by its ticket"
    monkeypatch.setattr(database, "write", real)
    until(lambda: one.runtime.kept.log.healthy)
    until(lambda: not one.runtime.operating.warnings())
