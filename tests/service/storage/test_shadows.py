"""The shadows that run survive a restart; what they spent, chose and were judged is read back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.clock import new_id
from service.domain.experiments import Judgement, Shadow, ShadowDecision, ShadowEnd
from service.domain.records import Candidates, Decision, Role, Usage, Version
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.shadows import Shadowed, ShadowStore
from tests.service.storage.test_tables import NOW, attempt, decision

V = "v2"


class Kept:
    """A log and its store."""

    def __init__(self) -> None:
        self.database = Database(None)
        self.log = EventLog(self.database)
        self.log.start()

    def put(self, *records: object) -> None:
        self.log.append_durable(*records).result(5)

    def store(self) -> ShadowStore:
        return ShadowStore(self.database)

    def both(self, beside: tuple[float, ...] = (0.5, 0.5), **more: object) -> Decision:
        """A decision of the live version, and the shadow's."""
        made = decision(**more)
        self.put(made, chosen(made, propensities=beside))
        return made


def shadow(version: str = V, at_us: int = NOW) -> Shadow:
    return Shadow(new_id(), at_us, version, 1.0, 0.5, 1_000, "river", "ann", "to see it")


def chosen(of: Decision, **more: object) -> ShadowDecision:
    fields: dict[str, object] = {
        "decision_id": of.id, "at_us": NOW, "version_id": V, "update_seq": 1, "deployment": "x",
        "propensity": 0.5, "eligible": ("x", "y"), "propensities": (0.5, 0.5), "draw": 0.1,
        "quality": (0.2, 0.4), "cost_usd": (1e-5, 3e-5), "mirrored": True,
    }  # fmt: skip
    return ShadowDecision(**(fields | more))  # type: ignore[arg-type]


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.log.stop()
    made.database.close()


def test_running_stopped_and_the_same_after_a_restart(kept: Kept) -> None:
    one, two = shadow("a"), shadow("b", NOW + 1)
    kept.put(one)
    kept.put(two)
    assert dict(kept.store().active) == {"a": one, "b": two}
    end = ShadowEnd(one.id, NOW + 2, "ann", "seen enough")
    kept.put(end)
    again = kept.store()
    assert dict(again.active) == {"b": two} and again.ended() == [Shadowed(one, end)]
    assert again.find("a") == Shadowed(one, end) and again.find("b") == Shadowed(two, None)
    assert again.find("c") is None
    anew = shadow("a", NOW + 3)
    kept.put(anew)
    assert kept.store().find("a") == Shadowed(anew, None)


def test_versions_that_are_there(kept: Kept) -> None:
    kept.put(Version(V, NOW, "default", "uniform", "{}", None, "plan", "first start"))
    assert kept.store().knows(V) and not kept.store().knows("v3")


def test_what_was_spent_is_that_of_the_versions_own_mirrored_calls(kept: Kept) -> None:
    mine, other = kept.both(), decision()
    kept.put(other, chosen(other, version_id="v3"), chosen(other, mirrored=False))
    for made, role, cost in (
        (mine, Role.FIRST, 7), (mine, Role.SHADOW, 100), (mine, Role.JUDGE, 20),
        (mine, Role.JUDGE, 3), (other, Role.SHADOW, 1_000),
    ):  # fmt: skip
        kept.put(attempt(made, role=role, usage=Usage(1, 1, 0, cost)))
    store = kept.store()
    assert store.spent_micro_usd(V, NOW) == 123 and store.spent_micro_usd("v3", NOW) == 1_000
    assert store.spent_micro_usd(V, NOW + 1) == 0 and store.spent_micro_usd("v4", 0) == 0


def test_agreement_and_predictions_by_either(kept: Kept) -> None:
    """Live 0.1, 0.9 of x, y with qualities 0.5, 0.6; the shadow 0.5, 0.5 with 0.2, 0.4."""
    kept.both()  # y against x
    kept.both(deployment="x")
    told = kept.store().agreement(V, NOW)
    assert (told["decisions"], told["comparable"], told["alike"]) == (2, 2, 0.5)
    assert told["chance"] == pytest.approx(0.5)
    assert told["live_q"] == pytest.approx(0.1 * 0.5 + 0.9 * 0.6)
    assert told["beside_q"] == pytest.approx(0.55)
    assert told["live_own_q"] == pytest.approx(0.1 * 0.2 + 0.9 * 0.4)
    assert told["beside_own_q"] == pytest.approx(0.3)
    assert told["beside_own_c"] == pytest.approx(2e-5)
    assert told["live_c"] == pytest.approx(1.9e-5)
    assert kept.store().agreement(V, NOW + 1)["decisions"] == 0
    assert kept.store().agreement("v3", NOW)["alike"] is None


def test_where_the_version_knows_fewer_the_predictions_are_not_compared(kept: Kept) -> None:
    made = decision()
    kept.put(made, chosen(made, eligible=("x",), propensities=(1.0,), quality=(0.2,),
                          cost_usd=(1e-5,)))  # fmt: skip
    told = kept.store().agreement(V, NOW)
    assert (told["decisions"], told["comparable"], told["live_q"]) == (1, 0, None)
    assert told["chance"] == pytest.approx(0.1)
    assert [(r["deployment"], r["live"], r["shadow"]) for r in kept.store().shares(V, NOW)] == [
        ("x", 0.1, 1.0), ("y", 0.9, 0.0)
    ]  # fmt: skip


def test_shares_by_task_are_mean_probabilities(kept: Kept) -> None:
    kept.both(beside=(0.5, 0.5))
    kept.both(beside=(0.7, 0.3))
    kept.both(task="maths", candidates=Candidates(("x", "y"), (1.0, 0.0), (0.5, 0.6), (0.0, 0.0)))
    rows = [
        (r["task"], r["deployment"], r["decisions"], round(r["live"], 9), round(r["shadow"], 9))
        for r in kept.store().shares(V, NOW)
    ]
    assert rows == [
        ("code", "x", 2, 0.1, 0.6), ("code", "y", 2, 0.9, 0.4),
        ("maths", "x", 1, 1.0, 0.5), ("maths", "y", 1, 0.0, 0.5),
    ]  # fmt: skip


def test_preferences_in_their_order(kept: Kept) -> None:
    for preference, consistent in ((1.0, True), (None, False), (0.5, False)):
        kept.put(Judgement(new_id(), new_id(), NOW, V, "x", "y", "z", preference, consistent, 4))
    kept.put(Judgement(new_id(), new_id(), NOW, "v3", "x", "y", "z", 0.0, True, 4))
    found = kept.store().preferences(V, NOW)
    assert found == [(1.0, True), (None, False), (0.5, False)]
