"""F20: a content policy's refusal is told, billed, never sent again, and held against nobody."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.records import Key
from service.storage.database import FILE
from service.storage.history import connect
from service.storage.keys import digest
from service.storage.tables import NAMES
from tests.conftest import KEY
from tests.service.faults.refusing import (
    AGAIN,
    AUTH,
    DONE,
    PREMIUM,
    PROMPT,
    REFUSALS,
    REFUSED,
    SENT_BACK,
    VENDOR,
    Stage,
    delta,
    error,
    refusal,
    staged,
    stream,
    whole,
)
from tests.upstream import SSE_HEAD, Upstream, answer_json, event, hang, http, say


@pytest.mark.parametrize("name", REFUSALS)
def test_F20_a_refusal_is_told_logged_and_billed(stage: Stage, name: str) -> None:
    streamed, stage.upstream.act, word, cost = REFUSALS[name]
    answer = stage.ask(stream=streamed, user="joe")
    found, incident = refusal(answer), answer.headers["x-request-id"]
    assert found["message"] == f"{SENT_BACK} (incident {incident})"
    assert stage.calls == 1, "over three deployments the prompt was sent once"
    (row,) = stage.rows("SELECT * FROM refusals")
    assert (row["id"], row["word"], row["repeat_of"]) == (incident, word, None)
    (decision,) = stage.rows("SELECT * FROM decisions WHERE id = ?", row["decision_id"])
    for field in ("prompt_hash", "unit", "key_id", "deployment"):
        assert row[field] == decision[field] != ""
    assert row["provider"] == f"of-{row['deployment']}"
    (attempt,) = stage.rows("SELECT * FROM attempts")
    assert (attempt["error_kind"], attempt["cost_micro_usd"]) == ("policy", cost)
    (outcome,) = stage.rows("SELECT * FROM outcomes")
    assert (outcome["status"], outcome["error_kind"], outcome["attempts"]) == (400, "policy", 1)
    counters = httpx.get(stage.url + "/metrics").text
    assert f'headgate_refusals_total{{deployment="{row["deployment"]}"}} 1.0' in counters


@pytest.mark.parametrize("name", ["400", "200", "stream"])
@pytest.mark.parametrize("model", ["auto", "b"])
def test_F20_the_same_prompt_is_never_sent_again(stage: Stage, name: str, model: str) -> None:
    streamed, stage.upstream.act, _, _ = REFUSALS[name]
    first = stage.ask(stream=streamed, model=model)
    refusal(first)
    stage.upstream.act = say(http(200, answer_json()))
    for again in ("auto", "a", "b", "c"):
        answer = stage.ask(model=again, temperature=0.5, seed=3, stream=again == "c")
        found, incident = refusal(answer), answer.headers["x-request-id"]
        earlier = first.headers["x-request-id"]
        assert found["message"] == f"{AGAIN} (incident {incident}, earlier {earlier})"
    assert stage.calls == 1
    assert stage.ask("another prompt").status_code == 200
    assert stage.calls == 2
    unsent = stage.rows("SELECT * FROM outcomes WHERE attempts = 0")
    assert {(r["status"], r["error_kind"], r["deployment"]) for r in unsent} == {
        (400, "policy", None)
    }
    assert len(unsent) == 4 and len(stage.rows("SELECT * FROM refusals WHERE repeat_of = ?",
                                               earlier)) == 4  # fmt: skip
    (count,) = stage.rows(
        "SELECT count(*) AS n FROM decisions d ANTI JOIN outcomes o ON o.decision_id = d.id"
    )
    assert count["n"] == 0, "no request is without its end"


def test_F20_after_a_failed_call_a_refusal_still_ends_it(stage: Stage) -> None:
    acts = [say(http(500, b"{}")), error(), say(http(200, answer_json()))]

    async def turn(reader: Any, writer: Any) -> None:
        await acts[stage.calls - 1](reader, writer)

    stage.upstream.act = turn
    refusal(stage.ask())
    assert stage.calls == 2
    refusal(stage.ask())
    assert stage.calls == 2


@pytest.mark.parametrize("name", ["400", "200", "stream"])
def test_F20_no_deployment_is_blamed(stage: Stage, name: str) -> None:
    streamed, stage.upstream.act, _, cost = REFUSALS[name]
    for number in range(12):
        refusal(stage.ask(f"{PROMPT} {number}", stream=streamed))
    assert [s.errors for s in stage.runtime.board.standings()] == [0, 0, 0]
    assert all(s.last_error == "" and s.p50_s is None for s in stage.runtime.board.standings())
    assert stage.runtime.board.failed == 0
    stage.upstream.act = say(http(200, answer_json()))
    assert stage.ask("harmless").status_code == 200
    deadline = time.monotonic() + 10
    while stage.runtime.learner.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    told = stage.rows("SELECT failed, latency_s, cost_usd FROM updates WHERE kind = 'outcome'")
    blamed = [row for row in told if row["failed"]]
    assert not blamed
    silent = [row for row in told if row["failed"] is None]
    assert len(silent) == (12 if cost else 0), "what it cost is told, and nothing else"
    assert all(row["latency_s"] is None and row["cost_usd"] == 80e-6 for row in silent)


@pytest.mark.parametrize(
    "act",
    [
        whole("content_filter", content="half an answer"),
        whole(content="an answer", refusal="and a remark"),
        whole("tool_calls", tool_calls=[{"id": "1", "type": "function"}], refusal=""),
    ],
)
def test_F20_what_comes_with_content_is_an_answer(stage: Stage, act: Any) -> None:
    stage.upstream.act = act
    assert stage.ask().status_code == 200 and stage.rows("SELECT * FROM refusals") == []


def test_F20_an_answer_of_which_one_choice_refuses_is_an_answer(stage: Stage) -> None:
    refusing = {"index": 0, "message": {"content": None} | REFUSED, "finish_reason": "stop"}
    speaking = {"index": 1, "message": {"content": "fine"}, "finish_reason": "stop"}
    stage.upstream.act = say(http(200, answer_json(choices=[refusing, speaking])))
    assert len(stage.ask(n=2).json()["choices"]) == 2
    stage.upstream.act = stream(delta(refusal="no"), delta(index=1, content="fine"), delta("stop"))
    answer = stage.ask("other", n=2, stream=True)
    texts = [
        json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")
    ]
    deltas = [text["choices"][0]["delta"] for text in texts]
    assert deltas == [{"refusal": "no"}, {"content": "fine"}, {}]
    assert answer.text.endswith("data: [DONE]\n\n")


def test_F20_a_refusal_after_content_is_passed_on(stage: Stage) -> None:
    stage.upstream.act = stream(delta(content="so"), delta(refusal="no"), delta("content_filter"))
    answer = stage.ask(stream=True)
    assert answer.status_code == 200 and '"refusal": "no"' in answer.text
    assert stage.rows("SELECT * FROM refusals") == []


@pytest.mark.parametrize("end", [hang, None])
def test_F20_a_refusal_whose_stream_does_not_end_is_still_one(
    tmp_path: Path, upstream: Upstream, end: Any
) -> None:
    """Neither a stall nor a cut after it may lead to another deployment."""
    upstream.act = say(SSE_HEAD, delta(refusal="no"), then=end)
    with staged(tmp_path, upstream, "service: {attempt_timeouts_s: [0.3, 0.3, 0.3]}\n") as stage:
        refusal(stage.ask(stream=True))
        assert stage.calls == 1
        (attempt,) = stage.rows("SELECT * FROM attempts")
        assert attempt["estimated"] and attempt["cost_micro_usd"] > 0


def test_F20_a_refusal_without_usage_is_estimated(stage: Stage) -> None:
    stage.upstream.act = whole(usage=None, **REFUSED)
    refusal(stage.ask())
    (attempt,) = stage.rows("SELECT * FROM attempts")
    assert attempt["estimated"] and attempt["cost_micro_usd"] > 0


def test_F20_the_dry_run_is_not_affected(stage: Stage) -> None:
    stage.upstream.act = error()
    refusal(stage.ask())
    body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}
    assert httpx.post(stage.url + "/v1/route", json=body, headers=AUTH).status_code == 200


def _other_key(stage: Stage, tenant: str = "") -> str:
    secret = f"hg-other-{tenant}-0123456789"
    keys = stage.runtime.kept.keys
    keys._put(Key(f"other-{tenant}", 0, "other", "caller", tenant, "", digest(secret)))
    return secret


def test_F20_another_caller_is_refused_too_and_told_nothing_of_the_first(stage: Stage) -> None:
    stage.upstream.act = error()
    first = stage.ask().headers["x-request-id"]
    found = refusal(stage.ask(key=_other_key(stage, "acme")))
    assert stage.calls == 1 and first not in found["message"] and "before" not in found["message"]
    own = refusal(stage.ask(key=_other_key(stage)))
    assert first not in own["message"]


def test_F20_a_foreign_tools_text_gets_nobodys_messages_refused(stage: Stage) -> None:
    stage.upstream.act = error()
    tools = [{"type": "function", "function": {"name": "f", "description": "something bad"}}]
    refusal(stage.ask("hello", tools=tools))
    stage.upstream.act = say(http(200, answer_json()))
    assert stage.ask("hello", key=_other_key(stage, "acme")).status_code == 200
    refusal(stage.ask("hello", tools=tools))


SUGGESTIONS = """
tasks:
  - {name: code, when: has_code}
refusals:
  suggestions:
    - {task: code, text: name the library}
    - {when: 'word_count > 5', text: make it shorter}
    - {when: 'tier == "basic"', text: ask your teacher}
"""


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("write python code", {}, "name the library"),
        ("one two three four five six seven", {}, "make it shorter"),
        ("short", {"headgate": {"tier": "basic"}}, "ask your teacher"),
        ("short", {}, None),
    ],
)
def test_F20_the_plans_suggestion_is_given(
    tmp_path: Path, upstream: Upstream, text: str, more: Any, expected: str | None
) -> None:
    upstream.act = error()
    with staged(tmp_path, upstream, SUGGESTIONS) as stage:
        for _ in range(2):
            assert refusal(stage.ask(text, **more)).get("suggestion") == expected


def test_F20_neither_prompt_nor_vendors_text_is_anywhere(
    tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    with staged(tmp_path, upstream, "refusals: {most_per_hour: 0}\n") as stage:
        for number, (streamed, act, _, _) in enumerate(REFUSALS.values()):
            upstream.act = act
            for _ in range(2):
                more = {"stream": streamed, "user": "joe"} | PREMIUM
                answer = stage.ask(f"{PROMPT} {number}", **more)
                refusal(answer)
                told += [answer.text, str(answer.headers)]
        (first, *_) = stage.get("/admin/review")["reviews"]
        stage.decide(first["id"], "uphold")
        paths = ("/admin/review", "/admin/review?state=decided", "/admin/status", "/admin/weights",
                 f"/v1/decisions/{first['decision_id']}")  # fmt: skip
        told += [json.dumps(stage.get(path)) for path in paths]
        told.append(httpx.get(stage.url + "/metrics").text)
        told += [str(stage.rows(f"SELECT * FROM {name}")) for name in NAMES]
    history = connect(tmp_path)
    views = [row[0] for row in history.execute("SHOW TABLES").fetchall()]
    told += [str(history.execute(f"SELECT * FROM {view}").fetchall()) for view in views]
    assert {"refusals", "reviews", "review_decisions"} <= set(views)
    told += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    assert "refused by" in caplog.text
    everything = "\n".join(told).encode()
    assert everything.count(first["incident"].encode()) >= 4, "what may be found is found"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / FILE) in files and any(p.suffix == ".parquet" for p in files)
    for data in (everything, *(path.read_bytes() for path in files)):
        for secret in (PROMPT, VENDOR, KEY):
            assert secret.encode() not in data


def test_F20_an_error_event_before_any_content_is_a_refusal(stage: Stage) -> None:
    event_of = json.dumps({"error": {"code": "content_filter", "message": VENDOR}}).encode()
    stage.upstream.act = say(SSE_HEAD, b"data: " + event_of + b"\n\n", DONE)
    refusal(stage.ask(stream=True))
    assert stage.calls == 1
    stage.upstream.act = say(SSE_HEAD, event("hello"), b"data: " + event_of + b"\n\n", pause_s=0.02)
    broken = stage.ask("other", stream=True)
    assert "stream_interrupted" in broken.text and VENDOR not in broken.text
