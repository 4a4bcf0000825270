"""F20: refusals over time: forgotten, limited, given to a person, and the same after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.storage.errors import WriteFailed
from tests.conftest import HandClock
from tests.service.faults.refusing import (
    AGAIN,
    AUTH,
    PREMIUM,
    PROMPT,
    SENT_BACK,
    VENDOR,
    Stage,
    error,
    plan,
    refusal,
    staged,
)
from tests.service.processes import Process
from tests.upstream import Upstream, answer_json, http, say

pytestmark = pytest.mark.slow


def test_F20_a_premium_refusal_goes_to_a_person(stage: Stage) -> None:
    stage.upstream.act = error()
    refusal(stage.ask("basic", headgate={"tier": "basic"}))
    refusal(stage.ask("none"))
    assert stage.get("/admin/review")["reviews"] == []
    answer = stage.ask(**PREMIUM)
    incident = answer.headers["x-request-id"]
    told = f"{SENT_BACK}; a person will review it (incident {incident})"
    assert refusal(answer)["message"] == told
    (row,) = stage.get("/admin/review")["reviews"]
    assert (row["incident"], row["tier"], row["word"]) == (
        incident, "premium", "content_policy_violation",
    )  # fmt: skip
    assert not row["overdue"] and 14_300 < row["left_s"] <= 14_400
    assert stage.get("/admin/status")["reviews"] == {"open": 1, "overdue": 0}
    again = stage.ask(**PREMIUM)
    assert refusal(again)["message"] == (
        f"{AGAIN}; a person will review it "
        f"(incident {again.headers['x-request-id']}, earlier {incident})"
    )
    assert len(stage.get("/admin/review")["reviews"]) == 1 and stage.calls == 3


def test_F20_a_premium_repeat_of_a_basic_refusal_goes_to_a_person(stage: Stage) -> None:
    stage.upstream.act = error()
    refusal(stage.ask(headgate={"tier": "basic"}))
    assert "a person will review it" in refusal(stage.ask(**PREMIUM))["message"]
    assert stage.get("/admin/status")["reviews"]["open"] == 1 and stage.calls == 1


def test_F20_what_a_reviewer_allows_is_sent_again(stage: Stage) -> None:
    stage.upstream.act = error()
    refusal(stage.ask(**PREMIUM))
    (row,) = stage.get("/admin/review")["reviews"]
    stage.upstream.act = say(http(200, answer_json()))
    found = stage.decide(row["id"], "allow")
    assert found.status_code == 200 and found.json()["decision"]["verdict"] == "allow"
    assert stage.ask(**PREMIUM).status_code == 200 and stage.calls == 2
    assert stage.decide(row["id"], "uphold").status_code == 409
    assert stage.get("/admin/review")["reviews"] == []
    (decided,) = stage.get("/admin/review?state=decided")["reviews"]
    assert decided["decision"]["reviewer"] == "ann"
    (act,) = stage.rows("SELECT * FROM acts WHERE act = 'review.allow'")
    assert (act["author"], act["subject"]) == ("ann", row["id"])
    stage.upstream.act = error()
    assert "a person will review it" in refusal(stage.ask(**PREMIUM))["message"]
    assert len(stage.get("/admin/review")["reviews"]) == 1, "refused anew, reviewed anew"


@pytest.mark.parametrize("verdict", ["uphold", "dismiss"])
def test_F20_what_a_reviewer_does_not_allow_stays_refused(stage: Stage, verdict: str) -> None:
    stage.upstream.act = error()
    refusal(stage.ask(**PREMIUM))
    (row,) = stage.get("/admin/review")["reviews"]
    assert stage.decide(row["id"], verdict).status_code == 200
    message = refusal(stage.ask(**PREMIUM))["message"]
    upheld = "; a person has reviewed the refusal and upheld it" in message
    assert upheld == (verdict == "uphold") and "will review" not in message
    assert stage.calls == 1 and stage.get("/admin/review")["reviews"] == []


def test_F20_where_storage_fails_a_review_is_not_promised_and_not_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, write = stage.runtime.kept.database, stage.runtime.kept.database.write

    def failing(batches: Any) -> None:
        raise WriteFailed("no space left")

    monkeypatch.setattr(database, "write", failing)
    stage.upstream.act = error()
    answer = stage.ask(**PREMIUM)
    incident = answer.headers["x-request-id"]
    assert refusal(answer)["message"] == f"{SENT_BACK} (incident {incident})"
    (row,) = stage.get("/admin/review")["reviews"]
    assert stage.decide(row["id"], "allow").status_code == 503
    assert len(stage.get("/admin/review")["reviews"]) == 1, "what is not durable is not decided"
    refusal(stage.ask())
    monkeypatch.setattr(database, "write", write)
    assert stage.decide(row["id"], "allow").status_code == 200
    assert [r["id"] for r in stage.rows("SELECT * FROM reviews")] == [row["id"]]
    assert len(stage.rows("SELECT * FROM refusals WHERE id = ?", incident)) == 1


def test_F20_one_who_is_refused_too_often_waits(tmp_path: Path, upstream: Upstream) -> None:
    upstream.act = error()
    with staged(tmp_path, upstream, "refusals: {most_per_hour: 3}\n") as stage:
        for number in range(4):
            refusal(stage.ask(f"{PROMPT} {number}", user="joe"))
        for _ in range(2):
            answer = stage.ask("harmless", user="joe")
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "refusal_limit"
            assert 3_500 < int(answer.headers["retry-after"]) <= 3_600
        assert stage.calls == 4
        stage.upstream.act = say(http(200, answer_json()))
        assert stage.ask("harmless", user="ann").status_code == 200
        assert stage.ask("harmless").status_code == 200
        (act,) = stage.rows("SELECT * FROM acts WHERE act = 'refusals.limited'")
        (unit,) = stage.rows("SELECT DISTINCT unit FROM refusals")
        assert act["subject"] == unit["unit"] != ""
        assert len(stage.rows("SELECT * FROM outcomes WHERE status = 429")) == 2
    with staged(tmp_path, upstream, "refusals: {most_per_hour: 3}\n") as stage:
        assert stage.ask("harmless", user="joe").status_code == 429
        assert len(stage.rows("SELECT * FROM acts WHERE act = 'refusals.limited'")) == 1


def test_F20_a_refusal_is_forgotten_at_its_time(tmp_path: Path, upstream: Upstream) -> None:
    clock = HandClock()
    upstream.act = error()
    with staged(tmp_path, upstream, "refusals: {remember_s: 60}\n", clock) as stage:
        refusal(stage.ask())
        clock.advance(59)
        refusal(stage.ask())
        assert stage.calls == 1
        clock.advance(2)
        refusal(stage.ask())
        assert stage.calls == 2


def test_F20_block_and_review_survive_a_restart(tmp_path: Path, upstream: Upstream) -> None:
    upstream.act = error()
    with staged(tmp_path, upstream) as stage:
        first = stage.ask(**PREMIUM).headers["x-request-id"]
        refusal(stage.ask("other"))
    with staged(tmp_path, upstream) as stage:
        message = refusal(stage.ask(**PREMIUM))["message"]
        assert f"earlier {first}" in message and "a person will review it" in message
        refusal(stage.ask("other"))
        assert stage.calls == 2
        (row,) = stage.get("/admin/review")["reviews"]
        assert row["incident"] == first
        stage.decide(row["id"], "allow")
    upstream.act = say(http(200, answer_json()))
    with staged(tmp_path, upstream) as stage:
        assert stage.ask(**PREMIUM).status_code == 200
        refusal(stage.ask("other"))


@pytest.mark.slow
def test_F20_block_review_and_ruling_survive_a_kill(tmp_path: Path, upstream: Upstream) -> None:
    text, state = tmp_path / "plan.yaml", tmp_path / "state"
    text.write_text(plan(upstream.url), "utf-8")
    upstream.act = error()

    def started(name: str) -> Process:
        process = Process(
            "serve", "--plan", str(text), "--state", str(state), log=tmp_path / f"log-{name}"
        )
        process.ready()
        return process

    def ask(process: Process) -> httpx.Response:
        body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]} | PREMIUM
        return httpx.post(process.url + "/v1/chat/completions", json=body, headers=AUTH)

    process = started("one")
    assert "a person will review it" in refusal(ask(process))["message"]
    process.kill()
    process = started("two")
    assert "a person will review it" in refusal(ask(process))["message"]
    assert len(upstream.requests) == 1
    (row,) = httpx.get(process.url + "/admin/review", headers=AUTH).json()["reviews"]
    ruling = {"verdict": "allow", "reviewer": "ann", "note": "looked at by ann"}
    decided = httpx.post(
        f"{process.url}/admin/review/{row['id']}/decide", json=ruling, headers=AUTH
    )
    assert decided.status_code == 200
    process.kill()
    process = started("three")
    upstream.act = say(http(200, answer_json()))
    assert ask(process).status_code == 200
    again = httpx.post(f"{process.url}/admin/review/{row['id']}/decide", json=ruling, headers=AUTH)
    assert again.status_code == 409
    process.stop()
    for log in tmp_path.glob("log-*"):
        assert PROMPT not in log.read_text() and VENDOR not in log.read_text()
