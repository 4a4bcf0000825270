"""Models, the dry run, ratings and why."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from service.storage.cases import Cases
from tests.conftest import KEY, Service

AUTH = {"Authorization": f"Bearer {KEY}"}


def ask(service: Service, **more: Any) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]} | more
    found: dict[str, Any] = httpx.post(
        service.url + "/v1/chat/completions", json=body, headers=AUTH
    ).json()
    return found


def rate(service: Service, identity: str, value: Any, **more: Any) -> httpx.Response:
    body = {"id": identity, "value": value} | more
    return httpx.post(service.url + "/v1/feedback", json=body, headers=AUTH)


def why(service: Service, identity: str) -> dict[str, Any]:
    response = httpx.get(f"{service.url}/v1/decisions/{identity}", headers=AUTH)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_models(service: Service) -> None:
    found = httpx.get(service.url + "/v1/models", headers=AUTH).json()
    names = [each["id"] for each in found["data"]]
    assert [each for each in names if not each.startswith("workflow:")] == [
        "auto", "brook", "mill", "river", "fall", "auto:default",
    ]  # fmt: skip
    assert "workflow:draft-refine-check" in names


def test_why_adds_up(service: Service) -> None:
    answer = ask(service)
    found = why(service, answer["id"])
    assert found["response_id"] == answer["id"] and found["deployment"] == answer["model"]
    assert sum(c["propensity"] for c in found["candidates"]) == pytest.approx(1.0)
    assert set(found["candidates"][0]["score"]) == {
        "quality", "cost_usd", "latency_s", "error_rate", "utility",
    }  # fmt: skip
    assert found["mode"] == "randomised" and 0.0 <= found["draw"] < 1.0
    total = sum(call["cost_usd"] for call in found["attempts"])
    assert found["outcome"]["cost_usd"] == pytest.approx(total) and total > 0.0
    assert why(service, found["decision_id"])["decision_id"] == found["decision_id"]


def test_a_dry_run_decides_without_a_call(service: Service) -> None:
    before = service.runtime.kept.log.committed, service.runtime.board.requests
    body = {"model": "auto", "messages": [{"role": "user", "content": "Fix this python code"}]}
    found = httpx.post(service.url + "/v1/route", json=body, headers=AUTH).json()
    assert found["dry_run"] and found["task"] == "code" and len(found["candidates"]) == 4
    assert service.runtime.board.requests == before[1]
    missing = httpx.get(f"{service.url}/v1/decisions/{found['decision_id']}", headers=AUTH)
    assert missing.status_code == 404


def test_a_rating_is_taken_learned_and_shown(service: Service) -> None:
    answer = ask(service)
    seq = service.runtime.learner.seq
    response = rate(service, answer["id"], 0.75)
    assert response.status_code == 202 and response.json()["applied"] is True
    deadline = time.monotonic() + 5
    while service.runtime.learner.seq <= seq:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    again = rate(service, answer["id"], False, reason="it was wrong")
    assert again.status_code == 202
    (shown,) = why(service, answer["id"])["feedback"]
    assert (shown["value"], shown["revises"]) == (0.0, response.json()["feedback_id"])
    assert rate(service, answer["id"], 0.9).status_code == 202
    reward, scale = why(service, answer["id"])["reward"], service.runtime.plan.reward
    lost = reward["cost_usd"] / scale.worth_usd + reward["latency_s"] / scale.patience_s
    assert reward["value"] == pytest.approx(0.9 - lost) and 0.0 < lost < 0.5
    case = service.runtime.kept.cases.recent(why(service, answer["id"])["decision_id"])
    assert case is not None and case.outcome is not None


def test_a_rating_of_an_answer_that_memory_has_forgotten(service: Service) -> None:
    answer = ask(service)
    service.runtime.kept.log.flush().result(5)
    service.runtime.kept.cases._recent.clear()
    first = rate(service, answer["id"], 0.5)
    service.runtime.kept.cases._recent.clear()
    same = rate(service, answer["id"], 0.5)
    service.runtime.kept.cases._recent.clear()
    second = rate(service, answer["id"], 1.0)
    assert first.json()["feedback_id"] == same.json()["feedback_id"]
    assert second.status_code == 202 and isinstance(service.runtime.kept.cases, Cases)
    (shown,) = why(service, answer["id"])["feedback"]
    assert shown["revises"] == first.json()["feedback_id"]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"value": 2}, 422, "value"),
        ({"value": "good"}, 422, "value"),
        ({"value": None}, 422, "value"),
        ({"value": [1]}, 422, "value"),
        ({"metric": "nothing", "value": 1}, 422, "metric"),
        ({"metric": "topic", "value": "x"}, 422, "value"),
        ({"metric": "topic", "value": "right"}, 202, None),
        ({"metric": "stars", "value": 5}, 202, None),
        ({"value": 1, "kind": "divine"}, 422, "kind"),
        ({"value": 1, "surprise": 1}, 422, "surprise"),
        ({"value": 1, "reason": "x" * 501}, 422, "reason"),
        ({}, 422, "value"),
    ],
)
def test_what_may_be_given(
    service: Service, change: dict[str, Any], status: int, param: str | None
) -> None:
    answer = ask(service)
    response = httpx.post(service.url + "/v1/feedback", json={"id": answer["id"]} | change,
                          headers=AUTH)  # fmt: skip
    assert response.status_code == status, response.text
    if status != 202:
        error = response.json()["error"]
        assert error["param"] == param and error["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(service: Service, number: str) -> None:
    text = f'{{"id": "{ask(service)["id"]}", "value": {number}}}'
    response = httpx.post(service.url + "/v1/feedback", content=text,
                          headers=AUTH | {"content-type": "application/json"})  # fmt: skip
    assert response.status_code in (400, 422) and "error" in response.json()


@pytest.mark.parametrize("text", ["{", "", "[" * 50_000, '{"id": "\xff"}'])
def test_a_body_that_is_no_json(service: Service, text: str) -> None:
    response = httpx.post(service.url + "/v1/feedback", content=text.encode("latin-1"),
                          headers=AUTH | {"content-type": "application/json"})  # fmt: skip
    assert response.status_code in (400, 422) and response.json()["error"]["message"]


@pytest.mark.parametrize("identity", ["", "x", "0" * 32, "chatcmpl-" + "0" * 32])
def test_an_unknown_decision(service: Service, identity: str) -> None:
    response = rate(service, identity, 1.0)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "decision_not_found"
