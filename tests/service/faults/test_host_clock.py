"""H06: the wall clock jumps by a day, either way: nothing stops, nothing ends early, ids hold."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.domain.clock import id_time_us, new_id
from service.domain.records import Override
from service.feedback.versions import restored
from service.storage.cases import at_time, read_case, rows_of
from service.storage.history import connect, query
from service.storage.versions import VersionStore
from tests.conftest import Server, make_runtime, plan_text
from tests.service.faults.host import Running, running, until
from tests.service.storage.test_history import Kept
from tests.service.storage.test_tables import attempt, decision, feedback, outcome

pytestmark = pytest.mark.slow  # real processes, disks and clocks

DAY_S = 86_400.0
JUMPS = pytest.mark.parametrize("days", [1.0, -1.0], ids=["ahead", "back"])


class SetClock:
    """The machine's clocks, with a wall clock that is set by hand; the other is never set."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.passed_s = 0.0

    def wall_us(self) -> int:
        return time.time_ns() // 1_000 + int((self.ahead_s + self.passed_s) * 1e6)

    def monotonic_s(self) -> float:
        return time.perf_counter() + self.passed_s


@contextmanager
def with_clock(state: Path, text: str) -> Iterator[tuple[Running, SetClock]]:
    clock = SetClock()
    runtime = make_runtime(state, text, clock=clock)
    with Server(create_app(runtime)) as server:
        made = Running(runtime, server.url)
        try:
            yield made, clock
        finally:
            made.client.close()


@JUMPS
def test_H06_learning_publishing_and_windows_go_on(
    tmp_path: Path, providers: Server, days: float
) -> None:
    text = plan_text(providers.url) + "\nsessions: {idle_s: 600}\n"
    text = text.replace("feedback:\n", "feedback:\n  expires_days: 0.5\n")
    session = {"session_id": "a conversation"}
    with with_clock(tmp_path / "state", text) as (service, clock):
        before = service.ask("Describe a kite", headgate=session)
        held = before.json()["model"]
        early = [service.ask(f"Describe kite {n}").json()["id"] for n in range(3)]
        service.settle()
        service.runtime.publish()
        learner = service.runtime.learner
        clock.ahead_s = days * DAY_S
        # the window of ratings is half a day, and stays open for what was just answered
        assert service.rate(early[0], 0.7)["applied"] is True
        late = [service.ask(f"Describe kite {n}").json()["id"] for n in range(3)]
        for identity in late:
            assert service.rate(identity, 0.9)["applied"] is True
        service.settle()
        # sessions, ids, look-ups
        again = service.ask("Describe a kite", headgate=session)
        assert again.headers["x-headgate-mode"] == "sticky" and again.json()["model"] == held
        kept = service.runtime.kept
        kept.log.flush().result(10)
        kept.cases._recent.clear()
        for identity in (early[1], late[1]):
            found = service.client.get(f"/v1/decisions/{identity}").json()
            assert found["attempts"] and found["outcome"] is not None
        assert service.rate(late[2], 0.1)["applied"] is True, "a revision after the jump"
        # what is published, and read from the history
        service.settle()
        kept.log.flush().result(10)
        service.runtime.publish()
        count = query(connect(kept.state_dir), "SELECT count(*) FROM decisions")[1][0][0]
        assert count == 8
        # the learner's own time goes on, in ticks too, though the wall clock was set back
        seq, at_us = learner.seq, learner._last_at_us
        until(lambda: learner.seq >= seq + 2)
        assert learner._last_at_us > at_us
        until(lambda: service.runtime.live.current.mark.update_seq == learner.seq, 10)
        folded(service)
        clock.ahead_s = 0.0
        assert service.ask("Describe a kite").status_code == 200
        assert service.rate(early[2], 0.7)["applied"] is True
        service.settle()
        folded(service)


def folded(service: Running) -> None:
    kept, learner = service.runtime.kept, service.runtime.learner
    kept.log.flush().result(10)
    versions = VersionStore(kept.database, kept.state_dir)
    found = restored(learner.version, versions, kept.database.cursor)
    times = rows_of(kept.database.cursor(), "SELECT ts FROM updates ORDER BY seq")
    ordered = [row["ts"] for row in times]
    assert ordered == sorted(ordered), "logged time never goes back"
    until(lambda: learner.seq >= found.update_seq)
    again = restored(learner.version, versions, kept.database.cursor, found.update_seq)
    assert again.policy.freeze() == found.policy.freeze()


@JUMPS
def test_H06_an_override_ends_at_its_time_and_no_other(
    tmp_path: Path, providers: Server, days: float
) -> None:
    with with_clock(tmp_path / "state", plan_text(providers.url)) as (service, clock):
        store = service.runtime.kept.overrides
        now = clock.wall_us()
        store.put(Override("o", now, "force", "river", "", "for an hour", "me", now,
                           now + 3_600_000_000))  # fmt: skip
        clock.ahead_s = days * DAY_S
        assert service.ask("Describe a kite").headers["x-headgate-mode"] == "override"
        assert store.expire() == []
        clock.passed_s += 3_590
        assert service.ask("Describe a kite").headers["x-headgate-mode"] == "override"
        clock.passed_s += 11
        assert service.ask("Describe a kite").headers["x-headgate-mode"] == "randomised"


@JUMPS
def test_H06_a_restart_after_the_jump_resumes_and_learns(
    tmp_path: Path, providers: Server, days: float
) -> None:
    state, text = tmp_path / "state", plan_text(providers.url)
    with with_clock(state, text) as (service, clock):
        clock.ahead_s = days * DAY_S
        for number in range(4):
            service.rate(service.ask(f"Describe kite {number}").json()["id"], 0.6)
        service.settle()
        learned = service.runtime.learner.policy.state()
    with running(state, text) as service:  # the clock is right again
        seq = service.runtime.learner.seq
        now = service.runtime.learner.policy.state()
        assert (now.arrays["gram"] == learned.arrays["gram"]).all(), "learned once, not twice"
        assert service.rate(service.ask("Describe a kite").json()["id"], 0.6)["applied"] is True
        service.settle()
        assert service.runtime.learner.seq >= seq + 2


@JUMPS
def test_H06_ids_prune_a_look_up_and_still_find_what_came_after_a_jump(
    tmp_path: Path, days: float
) -> None:
    """An id tells its time; what is logged a day before or after it is found all the same."""
    kept = Kept(tmp_path)
    identity = new_id()
    made_us = id_time_us(identity)
    jumped_us = made_us + int(days * DAY_S * 1e6)
    made = decision(id=identity, at_us=made_us)
    rating = feedback(made, at_us=jumped_us)
    end = outcome(made)
    object.__setattr__(end, "at_us", jumped_us)
    kept.add(made, attempt(made, at_us=jumped_us), end, rating)
    case = read_case(kept.database.cursor(), identity)
    assert case is not None and case.outcome is not None and len(case.attempts) == 1
    assert [f.id for f in case.feedback.values()] == [rating.id]
    seqs = rows_of(kept.database.cursor(), "SELECT log_seq FROM decisions")
    assert seqs == [{"log_seq": 1}], "the order of the log is its own number, not an id or a time"
    kept.log.stop()
    kept.database.close()


@JUMPS
def test_H06_days_of_the_history_are_compacted_once_each_and_no_reader_loses_a_file(
    tmp_path: Path, days: float
) -> None:
    kept = Kept(tmp_path)
    base_s = time.time()
    total = 0
    for ahead_s in (0.0, days * DAY_S, 0.0, days * DAY_S, 2 * DAY_S):
        for _ in range(2):
            at_us = int((base_s + ahead_s) * 1e6)
            made = decision(id=new_id(), at_us=at_us)
            kept.add(made)
            total += 1
            view = connect(tmp_path) if total > 1 else None
            kept.publish(base_s + ahead_s)
            if view is not None:  # a reader that was there before still reads all that it saw
                assert query(view, "SELECT count(*) FROM decisions")[1] == [(total - 1,)]
            found = query(connect(tmp_path),
                          "SELECT count(*), count(DISTINCT log_seq) FROM decisions")  # fmt: skip
            assert found[1] == [(total, total)]
    kept.log.stop()
    kept.database.close()


def test_H06_times_are_utc_whatever_the_zone_or_the_season(tmp_path: Path) -> None:
    """The process's zone changes nothing: the hour that a summer's end repeats, and a leap day."""
    moments_us = [1_793_494_800_000_000, 1_793_498_400_000_000, 1_709_164_800_000_000]
    shown: list[Any] = []
    was = os.environ.get("TZ")
    try:
        for zone in ("UTC", "America/New_York", "Australia/Lord_Howe"):
            os.environ["TZ"] = zone
            time.tzset()
            state = tmp_path / zone.replace("/", "-")
            state.mkdir()
            kept = Kept(state)
            for moment in moments_us:
                kept.add(decision(id=new_id(), at_us=moment))
            kept.publish(1_800_000_000.0)
            sql = "SELECT ts::VARCHAR FROM decisions ORDER BY log_seq"
            rows = query(connect(kept.state), sql)[1]
            live = rows_of(kept.database.cursor(), "SELECT ts FROM decisions ORDER BY log_seq")
            assert [row["ts"] for row in live] == [at_time(m) for m in moments_us]
            days = sorted(p.name for p in (kept.state / "history" / "decisions").iterdir())
            shown.append(json.dumps([rows, days]))
            kept.log.stop()
            kept.database.close()
    finally:
        if was is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = was
        time.tzset()
    assert shown[0] == shown[1] == shown[2]
