"""Decisions made under load are made again from the log, bit for bit; what was changed is found."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.domain.experiments import How
from service.domain.records import Decision
from service.feedback import learner, replay
from service.feedback.promoting import Drafted, Signature, VersionDesk
from service.feedback.replay import Missing, Replay, State, Verdict, drawn_again, state_of
from service.storage.cases import decision_from, rows_of
from service.storage.restore import open_live
from service.storage.versions import VersionStore
from tests.conftest import KEY, Server, make_runtime, plan_text

BY = Signature("ann", "tried in a test")
AUTH = {"Authorization": f"Bearer {KEY}"}


def load(url: str, seed: int, count: int) -> None:
    """Four callers ask and rate side by side."""

    def one(number: int) -> None:
        chance = random.Random(seed + number)
        with httpx.Client(base_url=url, headers=AUTH, timeout=10.0) as client:
            for turn in range(count // 4):
                text = f"{'Write python code' if turn % 2 else 'Describe a kite'} {number} {turn}"
                body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
                answer = client.post("/v1/chat/completions", json=body).json()
                value = round(chance.random(), 3)
                client.post("/v1/feedback", json={"id": answer["id"], "value": value})

    with ThreadPoolExecutor(4) as callers:
        list(callers.map(one, range(4)))


def record(state_dir: Path, providers: Server, counts: tuple[int, ...]) -> None:
    """Serve so many requests, stop, and start again for the next ones. In the last run another
    version is promoted after a third of them, and rolled back after the second third.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "CHECKPOINT_UPDATES", 60)
        for run, count in enumerate(counts):
            runtime = make_runtime(state_dir, plan_text(providers.url), seed=run)
            with Server(create_app(runtime)) as server:
                if run + 1 < len(counts):
                    load(server.url, 1_000 * run, count)
                    continue
                desk = VersionDesk(runtime.learner, runtime.kept.database.cursor, runtime.clock)
                load(server.url, 1_000 * run, count // 3)
                made = desk.create(Drafted("linucb", {}), BY).result(30)
                desk.promote(made.id, How.PROMOTED, BY).result(30)
                load(server.url, 2_000 * run, count // 3)
                desk.roll_back(BY).result(30)
                load(server.url, 3_000 * run, count // 3)


class Replays:
    """The drawn decisions of a state directory; a state is had once for all that it answered."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.database, mended = open_live(state_dir)
        assert mended is None
        self.cursor = self.database.cursor
        self.store = VersionStore(self.database, state_dir)

    def decisions(self) -> list[Decision]:
        sql = "SELECT * FROM decisions WHERE mode = 'randomised' ORDER BY log_seq"
        return [decision_from(row) for row in rows_of(self.cursor(), sql)]

    def all(self) -> list[Replay]:
        states: dict[Any, State | Missing] = {}
        found = []
        for decision in self.decisions():
            if decision.policy not in states:
                states[decision.policy] = state_of(decision.policy, self.store, self.cursor)
            state = states[decision.policy]
            assert isinstance(state, State), state
            found.append(drawn_again(decision, state))
        return found

    def one(self, decision: Decision) -> Replay:
        return replay.replay(decision.id, self.store, self.cursor)

    def change(self, sql: str, *parameters: Any) -> None:
        self.cursor().execute(sql, list(parameters))

    def put(self, decision: Decision, **columns: Any) -> Replay:
        """The row with other columns, replayed."""
        for name, value in columns.items():
            sql = f"UPDATE decisions SET {name} = ? WHERE id = ?::UUID"
            self.change(sql, value, decision.id)
        return self.one(decision)

    def without_checkpoints(self) -> None:
        for path in (self.state_dir / "checkpoints").iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def recorded(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the service, a restart between them."""
    state_dir = tmp_path_factory.mktemp("recorded") / "state"
    record(state_dir, providers, (32, 36))
    return state_dir


@pytest.fixture
def replays(recorded: Path, tmp_path: Path) -> Iterator[Replays]:
    """A copy of the recorded runs, to be spoiled."""
    shutil.copytree(recorded, tmp_path / "state")
    made = Replays(tmp_path / "state")
    yield made
    made.database.close()


def check(found: list[Replay], count: int) -> None:
    assert len(found) == count
    assert {each.verdict for each in found} == {Verdict.EQUAL}
    states = {each.state.checkpoint_seq + each.state.updates for each in found if each.state}
    assert len(states) >= 5, "the policy was learning meanwhile"
    assert len({each.propensities for each in found}) >= 5
    assert len({each.state.checkpoint_id for each in found if each.state}) >= 2


def test_live_decisions_are_equal_bit_for_bit_and_after_a_restart(replays: Replays) -> None:
    found = replays.all()
    check(found, 68)
    versions = [each.policy.version_id for each in replays.decisions()]
    first, second = dict.fromkeys(versions)
    assert versions == 44 * [first] + 12 * [second] + 12 * [first], "promoted and rolled back"
    alone, last = replays.one(replays.decisions()[-1]), found[-1]
    assert (alone.propensities, alone.deployment) == (last.propensities, last.deployment)


@pytest.mark.slow
def test_three_hundred_of_each_run(tmp_path: Path, providers: Server) -> None:
    record(tmp_path / "state", providers, (300, 300))
    replays = Replays(tmp_path / "state")
    try:
        check(replays.all(), 600)
    finally:
        replays.database.close()


def test_a_changed_row_is_found(replays: Replays) -> None:
    """Each number changed by the least that it can be."""
    decisions = replays.decisions()

    def next_to(numbers: tuple[float, ...]) -> list[float]:
        return [math.nextafter(numbers[0], 9.0), *numbers[1:]]

    for name, different in (
        ("propensities", {"propensities"}), ("utility", {"utility"}), ("quality", {"quality"}),
        ("cost_usd", {"cost_usd"}),
    ):  # fmt: skip
        decision = decisions.pop()
        assert replays.one(decision).verdict is Verdict.EQUAL
        found = replays.put(decision, **{name: next_to(getattr(decision.candidates, name))})
        assert found.verdict is Verdict.DIFFERENT and set(found.different) == different
        assert found.propensities == decision.candidates.propensities
    decision = decisions.pop()
    near = math.nextafter(decision.propensity, 0.0)
    assert replays.put(decision, propensity=near).different == ("propensity",)
    decision = decisions.pop()
    assert replays.put(decision, deployment="nobody").different == ("deployment",)
    assert set(replays.put(decisions.pop(), draw=1.5).different) == {"draw", "deployment"}
    decision = decisions.pop()
    found = replays.put(decision, tokens_in=decision.tokens_in + 1)
    assert set(found.different) >= {"cost_usd", "utility", "propensities"}


def test_a_changed_update_is_found_in_what_rests_on_it(replays: Replays) -> None:
    last = replays.decisions()[31]
    replays.change("DELETE FROM promotions")
    replays.store = VersionStore(replays.database, replays.state_dir)
    replays.without_checkpoints()
    found = replays.one(last)
    assert found.verdict is Verdict.EQUAL, "the first version can begin with nothing"
    assert found.state is not None and found.state.checkpoint_id == ""
    replays.change("UPDATE updates SET quality = 1.0 - quality WHERE quality IS NOT NULL")
    assert "propensities" in replays.one(last).different


def test_what_is_gone_is_named(replays: Replays, monkeypatch: pytest.MonkeyPatch) -> None:
    last = replays.decisions()[-1]
    replays.without_checkpoints()
    assert "no checkpoint that the version" in replays.one(last).reason, "it was rolled back to"
    replays.change("DELETE FROM promotions")
    replays.store = VersionStore(replays.database, replays.state_dir)
    with monkeypatch.context() as patch:
        patch.setattr(replay, "MOST_UPDATES", 1)
        assert "at most 1 are" in replays.one(last).reason
    teacher = "(SELECT decision_id FROM updates WHERE seq = 1)"
    replays.change(f"UPDATE decisions SET id = uuid() WHERE id = {teacher}")
    assert "are about decisions that are gone" in replays.one(last).reason
    replays.change("DELETE FROM updates WHERE seq IN (2, 3)")
    found = replays.one(last)
    assert found.verdict is Verdict.MISSING and "2 of the updates 1 to" in found.reason
    replays.change("UPDATE versions SET parent = 'v-0'")
    replays.store = VersionStore(replays.database, replays.state_dir)
    assert "no checkpoint that the version" in replays.one(last).reason
    found = replays.put(last, version_id="v-9")
    assert found.verdict is Verdict.MISSING and "the version v-9 is not" in found.reason
    found = replays.put(last, id="0" * 32)
    assert found.verdict is Verdict.MISSING and "not in the live file" in found.reason


def test_what_was_not_drawn_and_who_is_not_known(replays: Replays) -> None:
    first, second = replays.decisions()[-2:]
    found = replays.put(first, eligible=["x", "y"], propensities=[0.5, 0.5])
    assert found.verdict is Verdict.MISSING and "deployments x, y" in found.reason
    found = replays.put(second, mode="pinned")
    assert found.verdict is Verdict.NOT_DRAWN and "its mode is pinned" in found.reason
    found = replays.put(second, mode="randomised", utility=[])
    assert found.verdict is Verdict.NOT_DRAWN and "no policy was asked" in found.reason
