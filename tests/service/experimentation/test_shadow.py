"""Shadows: who is sampled, what they decide, who starts and stops them, and what bounds them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.policies.base import PolicySetup
from learning.policies.registry import build
from service.domain.errors import Conflict, HeadgateError, NotFound, Unprocessable
from service.domain.live import Published
from service.domain.records import Decision, Mode, PolicyMark, Version
from service.experimentation import shadow as subject
from service.experimentation.shadow import Asked, ShadowParts, Shadows, decided, hashed
from service.feedback.apply import context_of
from service.orchestration.mirror import Mirror, MirrorParts
from service.storage.cases import rows_of
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.shadows import ShadowStore
from tests.service.routing.world import KEY, World, ask

ASKED = Asked("v2", 1.0, 0.0, 0.0, "", "ann", "to see what it does", "key-1")


class Rig:
    """Shadows over a log, with a live policy and one other that may be followed."""

    def __init__(self) -> None:
        self.world = World()
        self.database = Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        for name in ("v", "v2", "v3"):
            version = Version(name, 0, "default", "uniform", "{}", None, "ann", "a version")
            self.log.append_durable(version).result(5)
        self.followed: Counter[tuple[str, str]] = Counter()
        self.refusing: HeadgateError | None = None
        self.shadows = self.restarted()

    def restarted(self) -> Shadows:
        parts = MirrorParts(
            lambda: pytest.fail("no call is due"), lambda: (), lambda: False, self.log,
            self.world.clock,
        )  # fmt: skip
        self.mirror = Mirror(parts)
        made = Shadows(
            ShadowParts(
                ShadowStore(self.database), self.log, lambda: self.world.live, self.mirror,
                self.world.clock, self.want, self.release, lambda: ("small", "wide"),
            )
        )  # fmt: skip
        made.resume()
        return made

    async def want(self, version_id: str, who: str) -> None:
        if self.refusing is not None:
            raise self.refusing
        self.followed[version_id, who] += 1
        self.publish(version_id)

    async def release(self, version_id: str, who: str) -> None:
        self.followed[version_id, who] -= 1
        if self.refusing is not None:
            raise self.refusing

    def publish(self, version_id: str, kind: str = "uniform", arms: int = 5) -> None:
        setup = self.world.policy.setup
        setup = PolicySetup(setup.arms[:arms], setup.features, setup.scale)
        mark = PolicyMark("default", version_id, "c2", 7)
        published = Published(build(kind, setup, {}).chooser(0.0), mark, len(setup.features))
        self.world.live.others = {**self.world.live.others, version_id: published}

    def decide(self, count: int = 1, **more: Any) -> list[Decision]:
        return [self.world.router.decide(ask(f"number {at}", **more), KEY) for at in range(count)]

    def rows(self, table: str = "shadow_decisions") -> list[dict[str, Any]]:
        self.log.flush().result(5)
        return rows_of(self.database.cursor(), f"SELECT * FROM {table} ORDER BY log_seq")


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.log.stop()
    made.database.close()


def offered(rig: Rig, decisions: list[Decision]) -> None:
    for each in decisions:
        rig.shadows.offer(each)


async def test_beside_every_drawn_decision_and_no_other(rig: Rig) -> None:
    offered(rig, rig.decide(3))
    assert rig.shadows.waiting == 0, "no shadow runs: nothing is put aside"
    await rig.shadows.start(ASKED)
    drawn = rig.decide(5)
    offered(rig, [*drawn, *rig.decide(2, model="wide")])
    assert drawn[0].mode is Mode.RANDOMISED and rig.shadows.waiting == 5
    await rig.shadows.turn()
    rows = rig.rows()
    assert [str(r["decision_id"]) for r in rows] == [d.id for d in drawn]
    assert {(r["version_id"], r["update_seq"], r["mirrored"]) for r in rows} == {("v2", 7, False)}
    assert rig.shadows.counts("v2")["decided"] == 5 and rig.shadows.waiting == 0


async def test_the_choice_is_the_choosers_own_and_the_same_each_time(rig: Rig) -> None:
    rig.publish("v2", "linear")
    (decision,) = rig.decide()
    published = rig.world.live.others["v2"]
    made = decided(decision, published, 5)
    assert made == decided(decision, published, 5) and made is not None
    index = {name: at for at, name in enumerate(published.chooser.arms)}
    choice, probabilities, scores = published.chooser.choose(
        context_of(decision), [index[n] for n in decision.candidates.names], made.draw
    )
    assert (made.deployment, made.propensity) == (choice.arm, choice.propensity)
    assert made.propensities == tuple(probabilities) and made.quality == tuple(scores.quality)
    assert made.eligible == decision.candidates.names and made.draw != decision.draw
    assert sum(made.propensities) == pytest.approx(1.0)


def test_numbers_of_hashes_are_uniform_and_apart() -> None:
    """Fixed ids, so no chance: 4,000 numbers, each tenth within five deviations of its share."""
    ids = [f"decision-{at}" for at in range(4_000)]
    draws = np.array([hashed(each, "v2", "draw") for each in ids])
    counts = np.histogram(draws, 10, (0.0, 1.0))[0]
    assert abs(counts - 400).max() < 5 * np.sqrt(400 * 0.9)
    for other in ([hashed(e, "v3", "draw") for e in ids], [hashed(e, "v2", "share") for e in ids]):
        assert abs(np.corrcoef(draws, other)[0, 1]) < 5 / np.sqrt(4_000)


async def test_a_share_of_the_decisions(rig: Rig) -> None:
    await rig.shadows.start(replace(ASKED, share=0.25))
    drawn = rig.decide(200)
    offered(rig, drawn)
    await rig.shadows.turn()
    expected = [d.id for d in drawn if hashed(d.id, "v2", "share") < 0.25]
    assert [str(r["decision_id"]) for r in rig.rows()] == expected


async def test_names_that_the_version_does_not_know_are_left_out(rig: Rig) -> None:
    await rig.shadows.start(ASKED)
    rig.publish("v2", arms=1)
    (decision,) = rig.decide(headgate={"deployments": ["small", "wide"]})
    (other,) = rig.decide(headgate={"deployments": ["wide"]})
    offered(rig, [decision, other])
    await rig.shadows.turn()
    (row,) = rig.rows()
    assert (row["eligible"], row["propensities"], row["deployment"]) == (["small"], [1.0], "small")
    assert rig.shadows.counts("v2")["knows none of them"] == 1


async def test_what_it_cannot_decide_is_counted(rig: Rig) -> None:
    await rig.shadows.start(ASKED)
    published = rig.world.live.others["v2"]
    drawn = rig.decide(5)
    rig.world.live.others = {}
    rig.refusing = Conflict("too many")
    offered(rig, drawn[:1])
    await rig.shadows.turn()
    assert rig.shadows.troubles == {"v2": "too many"}
    rig.world.live.others = {"v2": replace(published, width=3)}
    offered(rig, drawn[1:2])
    await rig.shadows.turn()
    assert rig.shadows.troubles == {}
    rig.world.live.others = {"v2": published}
    rig.log.healthy = False
    offered(rig, drawn[2:3])
    await rig.shadows.turn()
    rig.log.healthy = True
    own = replace(drawn[3], policy=replace(drawn[3].policy, version_id="v2"))
    offered(rig, [own])  # decided by it itself, in an experiment
    await rig.shadows.turn()
    assert rig.shadows.counts("v2") == {
        "no room in the log": 1, "not followed yet": 1, "reads other features": 1,
    }  # fmt: skip
    assert rig.rows() == []


async def test_what_waits_is_bounded_and_what_is_dropped_is_counted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MOST_WAITING", 4)
    monkeypatch.setattr(subject, "MOST_A_TURN", 3)
    await rig.shadows.start(ASKED)
    offered(rig, rig.decide(6))
    assert (rig.shadows.waiting, rig.shadows.dropped) == (4, 2)
    await rig.shadows.turn()
    assert rig.shadows.waiting == 1


async def test_at_most_one_shadow_mirrors_a_decision(rig: Rig) -> None:
    for version in ("v2", "v3"):
        await rig.shadows.start(
            replace(ASKED, version_id=version, mirror_share=0.6, usd_per_day=1.0)
        )
    drawn = rig.decide(100)
    offered(rig, drawn)
    await rig.shadows.turn()
    mirrored = {str(r["decision_id"]): r["version_id"] for r in rig.rows() if r["mirrored"]}
    for each in drawn:
        numbers = {v: hashed(each.id, v, "mirror") for v in ("v2", "v3")}
        least = min(numbers, key=lambda v: numbers[v])
        assert mirrored.get(each.id) == (least if numbers[least] < 0.6 else None)
        picked = rig.shadows.mirrored_by(each)
        assert (picked.version_id if picked else None) == mirrored.get(each.id)
    streamed = replace(drawn[0], stream=True)
    assert rig.shadows.mirrored_by(streamed) is None
    assert set(mirrored.values()) == {"v2", "v3"}


async def test_durable_and_followed_again_after_a_restart(rig: Rig) -> None:
    asked = replace(ASKED, share=0.5, mirror_share=0.1, usd_per_day=2.5, judge="wide")
    made = await rig.shadows.start(asked)
    assert made.cap_micro_usd == 2_500_000 and rig.mirror.pick is not None
    rig.world.live.others = {}
    again = rig.restarted()
    assert dict(again.active) == {"v2": made} and rig.mirror.pick is not None
    assert rig.mirror.spent_micro_usd("v2") == 0
    await again.turn()
    assert rig.followed["v2", f"shadow {made.id}"] == 2 and "v2" in rig.world.live.others
    end = await again.stop("v2", "bob", "seen enough of it", "key-2")
    assert rig.followed["v2", f"shadow {made.id}"] == 1 and rig.mirror.pick is None
    assert end.author == "bob" and not again.active and not rig.restarted().active
    acts = [(a["actor"], a["act"], a["subject"], a["reason"]) for a in rig.rows("acts")]
    assert acts == [
        ("ann", "shadow.started", "v2", asked.reason), ("bob", "shadow.stopped", "v2", end.reason),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        await again.stop("v2", "bob", "seen enough of it", "key-2")


async def test_stopped_also_where_the_learner_cannot_park_the_version(rig: Rig) -> None:
    await rig.shadows.start(ASKED)
    rig.refusing = Conflict("not now")
    await rig.shadows.stop("v2", "bob", "seen enough of it", "key-2")
    assert not rig.shadows.active and len(rig.rows("shadow_ends")) == 1


async def test_a_version_that_cannot_be_followed_starts_nothing(rig: Rig) -> None:
    rig.refusing = Conflict("eight learn beside already")
    with pytest.raises(Conflict, match="eight"):
        await rig.shadows.start(ASKED)
    assert rig.rows("shadows") == [] and not rig.shadows.active


async def test_what_cannot_be_made_durable_starts_nothing(rig: Rig) -> None:
    rig.log.stop()
    waiting = asyncio.create_task(rig.shadows.start(ASKED))
    while not rig.log.queued:
        await asyncio.sleep(0.001)
    rig.log._forsake()
    with pytest.raises(HeadgateError):
        await waiting
    assert sum(rig.followed.values()) == 0 and not rig.shadows.active


@pytest.mark.parametrize(
    ("more", "error", "param"),
    [
        ({"version_id": "nobody"}, Unprocessable, "version_id"),
        ({"version_id": "v"}, Unprocessable, "version_id"),
        ({"mirror_share": 0.1}, Unprocessable, "usd_per_day"),
        ({"judge": "wide"}, Unprocessable, "mirror_share"),
        ({"judge": "x", "mirror_share": 0.1, "usd_per_day": 1.0}, Unprocessable, "judge"),
    ],
)
async def test_what_is_refused_names_the_field(
    rig: Rig, more: dict[str, Any], error: type[HeadgateError], param: str
) -> None:
    with pytest.raises(error) as caught:
        await rig.shadows.start(replace(ASKED, **more))
    assert caught.value.param == param and not rig.followed


async def test_one_shadow_a_version_and_not_too_many(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.shadows.start(ASKED)
    with pytest.raises(Conflict, match="stop it first"):
        await rig.shadows.start(ASKED)
    monkeypatch.setattr(subject, "MOST_SHADOWS", 1)
    with pytest.raises(Conflict, match="stop one first"):
        await rig.shadows.start(replace(ASKED, version_id="v3"))
