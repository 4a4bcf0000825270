"""The queue of review over HTTP: nobody waits, the threshold, labels and ratings that flow back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.storage.errors import WriteFailed
from service.storage.history import connect
from tests.service.api.test_reviews import _key
from tests.service.faults.refusing import AUTH, PROMPT, Stage, plan, staged
from tests.service.processes import Process
from tests.upstream import Upstream, answer_json, http, say

pytestmark = pytest.mark.slow
TASKS = """tasks:
  - {name: nearly, when: 'type == "nearly"', confidence: 0.7499}
  - {name: sure, when: 'type == "sure"', confidence: 0.75}
"""
PLAN = TASKS + "review: {classification: {audit: 0}, judge: {apart: 0.4}}\n"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as found:
        found.act = say(http(200, answer_json()))
        yield found


@pytest.fixture
def stage(tmp_path: Path, upstream: Upstream) -> Iterator[Stage]:
    with staged(tmp_path, upstream, PLAN) as running:
        yield running


def asked(stage: Stage, kind: str = "nearly", **labels: str) -> str:
    """A request that is served; its decision."""
    answer = stage.ask(metadata={"type": kind} | labels)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-headgate-decision-id"]


def listed(stage: Stage, **query: Any) -> list[dict[str, Any]]:
    found = httpx.get(f"{stage.url}/admin/review", params=query, headers=AUTH)
    assert found.status_code == 200, found.text
    rows: list[dict[str, Any]] = found.json()["reviews"]
    return rows


def turn(stage: Stage, review: str, what: str, who: str = "ann", **more: Any) -> httpx.Response:
    body = {"reviewer": who} | more
    return httpx.post(f"{stage.url}/admin/review/{review}/{what}", json=body, headers=AUTH)


def until(met: Callable[[], Any]) -> None:
    """Wait for it, generously."""
    deadline = time.monotonic() + 20
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_below_the_threshold_to_a_person_at_it_not_and_nobody_waits(stage: Stage) -> None:
    nearly, none = asked(stage), asked(stage, "whatever")
    asked(stage, "sure")
    rows = listed(stage)
    assert [(r["subject"], r["confidence"], r["task"], r["state"]) for r in rows] == [
        (nearly, 0.7499, "nearly", "open"), (none, 0.0, "other", "open"),
    ]  # fmt: skip
    one = stage.get(f"/admin/review/{rows[0]['id']}")
    known = one["subject_known"]
    assert known["task_probabilities"] == {"nearly": 0.7499}
    assert (known["served_by"], known["status"]) == (rows[0]["deployment"], 200)
    assert known["prompt_hash"] and known["tokens_in"] > 0 and known["features"]
    assert PROMPT not in str(one)
    standing = stage.get("/admin/status")["review_queue"]
    assert standing["open"] == {"classification": 2} and standing["overdue"] == 0
    assert stage.get("/admin/status")["reviews"] == {"open": 0, "overdue": 0}, "refusals alone"


def test_nobody_waits_even_where_nothing_can_be_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(batches: Any) -> None:
        raise WriteFailed("no space left")

    monkeypatch.setattr(stage.runtime.kept.database, "write", failing)
    asked(stage)
    (row,) = listed(stage)
    assert turn(stage, row["id"], "claim").status_code == 503
    assert listed(stage)[0]["state"] == "open"


def test_a_label_flows_back(stage: Stage, tmp_path: Path) -> None:
    first, second = asked(stage), asked(stage)
    one, two = (row["id"] for row in listed(stage))
    assert turn(stage, one, "claim").json()["claim"]["reviewer"] == "ann"
    other = turn(stage, one, "claim", "ben")
    assert other.status_code == 409 and other.json()["error"]["code"] == "review_claimed"
    assert [r["id"] for r in listed(stage, state="claimed", mine="ann")] == [one]
    assert listed(stage, mine="ben") == []
    note = {"note": "clearly the other one"}
    assert stage.decide(one, "poetry").json()["error"]["param"] == "verdict"
    assert turn(stage, one, "decide", "ben", verdict="sure", **note).status_code == 409
    assert turn(stage, one, "decide", verdict="sure", **note).status_code == 200
    assert turn(stage, two, "claim").status_code == 200
    assert turn(stage, two, "release").json()["state"] == "open"
    done = turn(stage, two, "decide", "ben", verdict="nearly", idempotency_key="x", **note)
    again = turn(stage, two, "decide", "ben", verdict="nearly", idempotency_key="x", **note)
    assert (done.status_code, again.status_code) == (200, 200)
    assert again.json()["decision"] == done.json()["decision"]

    quality = stage.get("/admin/review/quality")
    assert quality["labelled"] == 2 and quality["accepted"]["cannot_say"]
    assert {(c["guess"], c["label"], c["labels"]) for c in quality["confusion"]} == {
        ("nearly", "nearly", 1), ("nearly", "sure", 1),
    }  # fmt: skip
    (task,) = quality["tasks"]
    assert (task["guess"], task["error"]) == ("nearly", 0.5) and task["high"] < 1.0
    stats = stage.get("/admin/review/stats")
    assert stats["open"] == 0 and stats["median_age_s"] is None
    (kind,) = stats["kinds"]
    assert (kind["decided"], kind["agreement"]) == (2, 0.5)

    stage.runtime.kept.log.flush().result(10)
    stage.runtime.publish()
    with connect(tmp_path) as history:
        rows = history.execute(
            'SELECT d.id::VARCHAR, d.task, l.label, l."right", l.weight FROM labels l '
            "JOIN decisions d ON d.id = l.decision_id ORDER BY l.asked_at"
        ).fetchall()
    assert rows == [
        (first, "nearly", "sure", False, 1.0), (second, "nearly", "nearly", True, 1.0),
    ]  # fmt: skip


def test_errors_of_what_was_sure_enough_are_bounded_by_an_audit(
    tmp_path: Path, upstream: Upstream
) -> None:
    more = TASKS + "review: {classification: {audit: 1.0, sample: 0}}\n"
    with staged(tmp_path, upstream, more) as stage:
        for _ in range(3):
            asked(stage, "sure")
        asked(stage, "nearly")
        rows = listed(stage)
        assert [(r["why"], r["task"]) for r in rows] == [("audit", "sure")] * 3
        for row, verdict in zip(rows, ("sure", "nearly", "dismiss"), strict=True):
            assert stage.decide(row["id"], verdict).status_code == 200
        accepted = stage.get("/admin/review/quality")["accepted"]
        assert (accepted["labels"], accepted["errors"], accepted["missing"]) == (2, 1, 1)
        assert 0.5 < accepted["upper"] < accepted["upper_worst"] < 1.0


def test_a_ruling_on_a_judge_is_a_rating_that_the_policy_learns(stage: Stage) -> None:
    decision = asked(stage, "sure")

    def rate(kind: str, value: float) -> None:
        body = {"id": decision, "kind": kind, "value": value}
        assert httpx.post(f"{stage.url}/v1/feedback", json=body, headers=AUTH).status_code == 202

    rate("user", 0.5)
    rate("judge", 0.9)
    assert listed(stage, kind="judge") == [], "0.4 apart is as the plan allows"
    rate("judge", 1.0)
    (row,) = listed(stage, kind="judge")
    assert (row["why"], row["decision_id"], row["detail"]) == (
        "apart", decision, {"metric": "rating", "judge": 1.0, "person": 0.5},
    )  # fmt: skip
    assert stage.decide(row["id"], "good").status_code == 422
    assert stage.decide(row["id"], "7").status_code == 422
    assert listed(stage, kind="judge"), "what was refused is open yet"
    assert stage.decide(row["id"], "0.0").status_code == 200
    (rating,) = stage.rows("SELECT * FROM feedback WHERE author = 'review:ann'")
    assert (rating["kind"], rating["quality"], str(rating["decision_id"])) == (
        "user", 0.0, decision,
    )  # fmt: skip
    until(lambda: len(stage.rows("SELECT * FROM updates WHERE kind IN ('rating', 'revision')")) > 3)
    updates = stage.rows("SELECT * FROM updates WHERE kind = 'revision' ORDER BY seq")
    assert updates[-1]["quality"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert str(updates[-1]["feedback_id"]) == str(rating["id"])
    rate("judge", 0.8)
    assert listed(stage, kind="judge") == [], "an answer is put to a person once"


def test_a_full_queue_is_passed_over_and_told(tmp_path: Path, upstream: Upstream) -> None:
    more = TASKS + "review: {classification: {most_open: 1}}\n"
    with staged(tmp_path, upstream, more) as stage:
        for _ in range(3):
            asked(stage)
        assert len(listed(stage)) == 1
        warnings = stage.get("/admin/status")["warnings"]
        assert any("full: 2 of classification were passed over" in each for each in warnings)
        assert stage.get("/admin/review/stats")["passed_over"] == {"classification": 2}


def test_the_rate_and_what_waits_are_metrics(stage: Stage) -> None:
    asked(stage)
    asked(stage, "sure")

    def told() -> bool:
        text = httpx.get(stage.url + "/metrics").text
        return (
            "headgate_review_rate 0.5" in text
            and "headgate_review_unsure_share 0.5" in text
            and 'headgate_review_waiting{kind="classification"} 1.0' in text
            and 'headgate_review_items_total{how="opened",kind="classification"} 1.0' in text
        )

    until(told)


def test_pages_kinds_and_tenants(stage: Stage) -> None:
    for tenant in ("acme", "acme", "other"):
        asked(stage, tenant=tenant)
    rows = listed(stage)
    assert [r["id"] for r in listed(stage, limit=1, offset=1)] == [rows[1]["id"]]
    page = httpx.get(f"{stage.url}/admin/review?limit=2", headers=AUTH).json()
    assert page["more"] and len(page["reviews"]) == 2
    assert listed(stage, kind="policy") == []
    for query in ("kind=poetry", "limit=0", "offset=-1", "state=lost"):
        assert httpx.get(f"{stage.url}/admin/review?{query}", headers=AUTH).status_code == 422
    operator = _key(stage, "operator", "acme")
    seen = httpx.get(f"{stage.url}/admin/review", headers=operator).json()["reviews"]
    assert {r["tenant"] for r in seen} == {"acme"} and len(seen) == 2
    foreign = next(r["id"] for r in rows if r["tenant"] == "other")
    for what, more in (("claim", {}), ("release", {}),
                       ("decide", {"verdict": "sure", "note": "a long enough note"})):  # fmt: skip
        path = f"{stage.url}/admin/review/{foreign}/{what}"
        body = {"reviewer": "ann"} | more
        assert httpx.post(path, json=body, headers=operator).status_code == 404
    own = httpx.get(f"{stage.url}/admin/review/stats", headers=operator).json()
    assert own["open"] == 2 and "passed_over" not in own
    stage.runtime.kept.log.flush().result(20)  # what follows is read from the log
    quality = httpx.get(f"{stage.url}/admin/review/quality", headers=operator).json()
    assert quality["asked"] == 2


def test_items_claims_and_labels_outlive_a_restart(tmp_path: Path, upstream: Upstream) -> None:
    with staged(tmp_path, upstream, PLAN) as stage:
        asked(stage)
        asked(stage)
        one, two = (row["id"] for row in listed(stage))
        assert turn(stage, one, "claim").status_code == 200
        assert stage.decide(two, "sure").status_code == 200
    with staged(tmp_path, upstream, PLAN) as stage:
        (row,) = listed(stage)
        assert (row["id"], row["state"]) == (one, "claimed")
        assert turn(stage, one, "claim", "ben").status_code == 409
        (ended,) = listed(stage, state="decided")
        assert (ended["id"], ended["decision"]["verdict"]) == (two, "sure")
        assert stage.decide(two, "nearly").status_code == 409


def test_a_plan_without_tasks_or_without_the_section_asks_nobody(
    tmp_path: Path, upstream: Upstream
) -> None:
    for name, more in (("one", "review: {classification: {}}\n"), ("two", TASKS)):
        with staged(tmp_path / name, upstream, more) as stage:
            asked(stage)
            assert listed(stage) == []


def test_a_reload_moves_the_threshold(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(path.read_text().replace("{audit: 0}", "{audit: 0, threshold: 0.5}"))
    asked(stage)
    reason = {"reason": "fewer questions", "author": "ann"}
    found = httpx.post(f"{stage.url}/admin/plan/reload", json=reason, headers=AUTH)
    assert found.status_code == 200, found.text
    asked(stage)
    none = asked(stage, "whatever")
    assert [row["subject"] for row in listed(stage)][1:] == [none]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, upstream: Upstream) -> None:
    text, state = tmp_path / "plan.yaml", tmp_path / "state"
    text.write_text(plan(upstream.url, PLAN), "utf-8")

    def started(name: str) -> Process:
        process = Process(
            "serve", "--plan", str(text), "--state", str(state), log=tmp_path / f"log-{name}"
        )
        process.ready()
        return process

    def rows(process: Process, **query: str) -> list[dict[str, Any]]:
        found = httpx.get(f"{process.url}/admin/review", params=query, headers=AUTH)
        reviews: list[dict[str, Any]] = found.json()["reviews"]
        return reviews

    def post(process: Process, path: str, **body: Any) -> int:
        return httpx.post(process.url + path, json=body, headers=AUTH).status_code

    process = started("one")
    for _ in range(2):
        body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}],
                "metadata": {"type": "nearly"}}  # fmt: skip
        assert post(process, "/v1/chat/completions", **body) == 200
    one, two = (f"/admin/review/{row['id']}" for row in rows(process))
    assert post(process, f"{one}/claim", reviewer="ann") == 200
    ruling = {"verdict": "sure", "note": "clearly the other", "reviewer": "ann"}
    assert post(process, f"{two}/decide", **ruling) == 200
    process.kill()
    process = started("two")
    (row,) = rows(process)
    assert (row["state"], row["claim"]["reviewer"]) == ("claimed", "ann")
    assert post(process, f"{one}/claim", reviewer="ben") == 409
    assert post(process, f"{two}/decide", **ruling) == 409
    assert len(rows(process, state="decided")) == 1
    assert post(process, f"{one}/decide", **ruling) == 200
    process.stop()
    for log in tmp_path.glob("log-*"):
        assert PROMPT not in log.read_text()
