"""H03: a disk that takes nothing more: routing goes on, learning is frozen, no lie is told."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.errors import StorageUnavailable
from service.domain.records import Act
from service.feedback.versions import restored
from service.storage.cases import rows_of
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.restore import open_live
from service.storage.trouble import words
from service.storage.versions import VersionStore
from tests.conftest import Server, plan_text
from tests.service.faults.host import Disk, Running, client, running, small_disk, until
from tests.service.processes import Process

pytestmark = pytest.mark.slow  # real processes, disks and clocks

FAILURES = {
    "ENOSPC": ("No space left on device", "the disk is full"),
    "EIO": ("Input/output error", "the disk fails"),
    "EROFS": ("Read-only file system", "read-only"),
    "EDQUOT": ("Disk quota exceeded", "quota"),
    "EMFILE": ("Too many open files", "too many files"),
}


def ask(at: httpx.Client, text: str = "Describe a kite") -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return at.post("/v1/chat/completions", json=body)


def rate(at: httpx.Client, identity: str, value: float) -> httpx.Response:
    return at.post("/v1/feedback", json={"id": identity, "value": value})


def sick(at: httpx.Client) -> bool:
    return at.get("/health/ready").status_code == 503


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "storage_unavailable"


def folded(service: Running) -> None:
    """The live state is what the logged updates say."""
    kept, learner = service.runtime.kept, service.runtime.learner
    kept.log.flush().result(20)
    versions = VersionStore(kept.database, kept.state_dir)
    assert versions.live is not None
    found = restored(versions.live, versions, kept.database.cursor, learner.seq)
    assert found.update_seq == learner.seq and found.policy.freeze() == learner.policy.freeze()


@pytest.mark.parametrize("fault", FAILURES)
def test_H03_routing_goes_on_and_nothing_is_acknowledged(
    tmp_path: Path, providers: Server, fault: str
) -> None:
    text, told = FAILURES[fault]
    with running(tmp_path / "state", plan_text(providers.url)) as service:
        at, learner, log = service.client, service.runtime.learner, service.runtime.kept.log
        disk = Disk(service.runtime.kept.database)
        first = service.ask("Describe kite 0").json()["id"]
        assert rate(at, first, 0.8).status_code == 202
        service.settle()
        before = learner.seq
        disk.fails(text)
        ask(at)
        until(lambda: not log.healthy)
        seq = learner.seq
        answers = [ask(at, f"Describe kite {n}") for n in range(10)]
        assert [each.status_code for each in answers] == [200] * 10
        refused(rate(at, answers[0].json()["id"], 0.5))
        wish = {"action": "exclude", "deployment": "brook", "reason": "while it is full",
                "author": "me"}  # fmt: skip
        refused(at.post("/admin/overrides", json=wish))
        refused(at.post("/admin/plan/reload"))
        until(lambda: sick(at))
        because = at.get("/health/ready").json()["because"]
        assert any(told in each and "learning is frozen" in each for each in because)
        status = at.get("/admin/status").json()
        assert status["learner"]["frozen"] and told in status["log"]["failure"]
        assert learner.seq == seq and learner.waiting >= 10
        # It lowers risk, so it acts already; that it is not durable yet was said.
        assert [each["action"] for each in status["overrides"]] == ["exclude"]
        disk.heals()
        until(lambda: at.get("/health/ready").status_code == 200)
        assert rate(at, answers[0].json()["id"], 0.5).status_code == 202
        until(lambda: not learner.waiting)
        service.settle()
        assert learner.seq >= before + 12 and learner.dropped == log.dropped == 0
        cursor = service.runtime.kept.database.cursor()
        log.flush().result(10)
        for answer in answers:
            identity = answer.headers["x-headgate-decision-id"]
            why = at.get(f"/v1/decisions/{identity}").json()
            found = rows_of(cursor, "SELECT count(*) AS n FROM decisions WHERE id = ?::UUID",
                            [identity])  # fmt: skip
            assert found == [{"n": 1}] and why["attempts"]
        assert rows_of(cursor, "SELECT count(*) AS n FROM feedback")[0]["n"] == 2
        folded(service)


def test_H03_what_there_is_no_room_for_is_dropped_before_it_is_learned(
    tmp_path: Path, providers: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.event_log.MAX_QUEUED", 30)
    with running(tmp_path / "state", plan_text(providers.url)) as service:
        at, learner, log = service.client, service.runtime.learner, service.runtime.kept.log
        disk = Disk(service.runtime.kept.database)
        service.ask("Describe kite 0")
        service.settle()
        disk.fails("No space left on device")
        answers = [ask(at, f"Describe kite {n}") for n in range(40)]
        assert {each.status_code for each in answers} == {200}
        assert log.dropped > 0 and log.queued <= 30 + 6, "a request under way may still end"
        told = at.get("/admin/status").json()["warnings"]
        assert any(f"{log.dropped} records were dropped" in each for each in told)
        disk.heals()
        until(lambda: log.healthy and not learner.waiting)
        service.settle()
        log.flush().result(10)
        cursor = service.runtime.kept.database.cursor()
        counts = rows_of(
            cursor,
            "SELECT (SELECT count(*) FROM decisions) AS d, (SELECT count(*) FROM outcomes) AS o, "
            "(SELECT count(*) FROM outcomes ANTI JOIN decisions ON id = decision_id) AS orphans, "
            "(SELECT count(DISTINCT decision_id) FROM updates WHERE kind = 'outcome') AS u, "
            "(SELECT count(*) FROM updates ANTI JOIN decisions ON id = updates.decision_id "
            " WHERE updates.decision_id IS NOT NULL) AS strange",
        )[0]
        assert counts["orphans"] == counts["strange"] == 0
        assert counts["d"] == counts["o"] == counts["u"] < 41
        folded(service)
        later = service.ask("Describe kite 99").json()["id"]
        assert rate(at, later, 0.5).status_code == 202


def test_H03_a_full_disk_in_truth(tmp_path: Path, providers: Server) -> None:
    """ENOSPC on a small file system, under the whole service; then room is made."""
    with small_disk(tmp_path / "disk", "6m") as resize:
        state = tmp_path / "disk" / "state"
        with running(state, plan_text(providers.url)) as service:
            at, log = service.client, service.runtime.kept.log
            acknowledged = {}
            filler = state / "filler"
            first = service.ask("Describe kite 0").json()["id"]
            _fill(filler)
            deadline = 400
            while log.healthy and deadline:
                deadline -= 1
                identity = ask(at, f"Describe kite {deadline}").json()["id"]
                taken = rate(at, identity, 0.5)
                if taken.status_code == 202:
                    acknowledged[taken.json()["feedback_id"]] = identity
            assert not log.healthy, "it never became full"
            assert ask(at).status_code == 200
            refused(rate(at, first, 0.1))
            assert "the disk is full" in at.get("/health/ready").json()["because"][0]
            resize("64m")
            filler.unlink()
            until(lambda: at.get("/health/ready").status_code == 200)
            taken = rate(at, first, 0.1)
            assert taken.status_code == 202
            acknowledged[taken.json()["feedback_id"]] = first
            service.settle()
            folded(service)
        _all_once(state, acknowledged)


def _fill(path: Path) -> None:
    """Take all the room that is left, but a little."""
    with path.open("wb") as file:
        room = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
        file.write(bytes(max(room - 300_000, 0)))


def _all_once(state: Path, acknowledged: dict[str, Any]) -> None:
    database, mended = open_live(state)
    assert mended is None
    found = [str(row["id"]) for row in rows_of(database.cursor(), "SELECT id FROM feedback")]
    assert sorted(found) == sorted(acknowledged)
    database.close()


def test_H03_a_start_on_a_full_disk_serves(tmp_path: Path, providers: Server) -> None:
    with small_disk(tmp_path / "disk", "12m"):
        state, text = tmp_path / "disk" / "state", plan_text(providers.url)
        with running(state, text) as service:
            service.ask("Describe kite 0")
        filler = state / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(65_536)):
                    pass
            except OSError:
                pass
        with running_again(state, text) as service:
            until(lambda: sick(service.client))
            assert ask(service.client).status_code == 200
            filler.unlink()
            until(lambda: not sick(service.client))
            assert ask(service.client).status_code == 200


def running_again(state: Path, text: str) -> Any:
    """As ``running``, with the plan's file where there is room."""
    (state / "plan.yaml").unlink()
    (state / "plan.yaml").symlink_to(state.parent.parent / "plan.yaml")
    return running(state, text)


def test_H03_a_commit_that_is_kept_though_the_database_broke_down_over_it(tmp_path: Path) -> None:
    """The database's own checkpoint fails for want of room *after* the commit: the database is
    invalid, the rows are durable. They are acknowledged, once, and never written again.
    """
    with small_disk(tmp_path / "disk", "3m") as resize:
        database = Database(tmp_path / "disk" / FILE)
        database.execute("SET wal_autocheckpoint = '60KB'")
        log = EventLog(database, flush_s=0.01)
        log.start()
        held = database.cursor()
        taken: list[str] = []
        broke = 0
        before = database._connection
        for number in range(2_000):
            names = [f"{number}-{part}" for part in range(40)]
            ack = log.append_durable(*(Act(n, 1, "me", os.urandom(150).hex(), "", "", "")
                                       for n in names))  # fmt: skip
            try:
                ack.result(20)
                taken += names
            except StorageUnavailable:
                break
            if database._connection is not before:
                broke, before = broke + 1, database._connection
                database.execute("SET wal_autocheckpoint = '60KB'")
        assert broke, "the database never broke down over a checkpoint"
        del held
        resize("40m")
        until(lambda: log.append_durable(Act("after", 1, "", "", "", "", "")).exception(20) is None)
        rows = rows_of(database.cursor(), "SELECT id FROM acts ORDER BY log_seq")
        assert [row["id"] for row in rows] == [*taken, "after"]
        seqs = rows_of(database.cursor(), "SELECT log_seq FROM acts ORDER BY log_seq")
        assert [row["log_seq"] for row in seqs] == list(range(1, len(taken) + 2))
        log.stop()
        database.close()


def test_H03_a_file_size_limit_in_truth(tmp_path: Path, providers: Server) -> None:
    """RLIMIT_FSIZE on a running service, set and lifted from outside."""
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    plan.write_text(plan_text(providers.url), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    acknowledged = {}
    with client(process.url) as at:
        first = ask(at).json()["id"]
        assert rate(at, first, 0.2).status_code == 202
        wal = state / f"{FILE}.wal"
        limits = (wal.stat().st_size + 4_096, resource.RLIM_INFINITY)
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, limits)
        for number in range(60):
            identity = ask(at, f"Describe kite {number}").json()["id"]
            taken = rate(at, identity, 0.5)
            if taken.status_code == 202:
                acknowledged[taken.json()["feedback_id"]] = identity
            else:
                refused(taken)
                break
        until(lambda: sick(at))
        assert "may not grow" in at.get("/health/ready").json()["because"][0]
        assert ask(at).status_code == 200
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, infinite)
        until(lambda: not sick(at))
        taken = rate(at, first, 0.9)
        acknowledged[taken.json()["feedback_id"]] = first
    process.kill()
    database, _ = open_live(state)
    found = [str(row["id"]) for row in rows_of(database.cursor(), "SELECT id FROM feedback")]
    assert len(found) == len(set(found)) == len(acknowledged) + 1
    assert set(acknowledged) <= set(found)
    database.close()


def test_H03_no_more_files_in_truth(tmp_path: Path, providers: Server) -> None:
    """RLIMIT_NOFILE: calls to the providers fail as connections do; the service recovers."""
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    plan.write_text(plan_text(providers.url), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    pid = process.process.pid
    with client(process.url) as at:
        assert at.get("/health/ready").status_code == 200  # the connection that is kept
        was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, was[1]))
        failed = ask(at)
        assert failed.status_code == 503 and "retry-after" in failed.headers
        identity = failed.headers.get("x-headgate-decision-id")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
        until(lambda: ask(at).status_code == 200)
        assert identity is None or at.get(f"/v1/decisions/{identity}").status_code == 200
    assert process.stop() == 0


def test_H03_dev_full_is_told_in_words() -> None:
    """A write to /dev/full ends as the writes of every part do, with the words for it."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as caught:
        full.write(b"x")
    assert words(caught.value).startswith("the disk is full")
