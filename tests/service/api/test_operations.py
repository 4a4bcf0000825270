"""Overrides act on the next request, end at their time, and everything is logged."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest

from learning.policies.base import STATES
from tests.conftest import KEY, Service

AUTH = {"Authorization": f"Bearer {KEY}"}
GOOD = {"action": "force", "deployment": "river", "reason": "testing the override", "author": "me"}


def ask(service: Service, text: str = "Describe a kite.") -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH)


def lay(service: Service, **more: Any) -> httpx.Response:
    return httpx.post(service.url + "/admin/overrides", json=GOOD | more, headers=AUTH)


def lift(service: Service, identity: str) -> httpx.Response:
    body = {"reason": "it is over now", "author": "me"}
    return httpx.post(f"{service.url}/admin/overrides/{identity}/lift", json=body, headers=AUTH)


def test_force_for_a_task_acts_on_the_next_request_and_ends_when_lifted(service: Service) -> None:
    made = lay(service, task="code").json()
    forced = ask(service, "Write python code")
    assert forced.headers["x-headgate-mode"] == "override" and forced.json()["model"] == "river"
    assert ask(service).headers["x-headgate-mode"] == "randomised"
    listed = httpx.get(service.url + "/admin/overrides", headers=AUTH).json()["overrides"]
    assert [o["id"] for o in listed] == [made["id"]] and listed[0]["left_s"] > 14_000
    one = httpx.get(f"{service.url}/admin/overrides/{made['id']}", headers=AUTH).json()
    assert one["reason"] == GOOD["reason"]
    assert lift(service, made["id"]).status_code == 200
    assert lift(service, made["id"]).status_code == 404
    assert ask(service, "Write python code").headers["x-headgate-mode"] == "randomised"


def test_excluded_everywhere(service: Service) -> None:
    made = [lay(service, action="exclude", deployment=d).json()["id"] for d in ("brook", "mill")]
    for _ in range(10):
        answer = ask(service)
        assert answer.json()["model"] in ("river", "fall")
    decision = answer.headers["x-headgate-decision-id"]
    found = httpx.get(f"{service.url}/v1/decisions/{decision}", headers=AUTH).json()
    assert {d["reason"] for d in found["disqualified"]} == {"override"} and found["override_id"]
    pinned = httpx.post(
        service.url + "/v1/chat/completions", headers=AUTH,
        json={"model": "mill", "messages": [{"role": "user", "content": "x"}]},
    )  # fmt: skip
    assert pinned.status_code == 503
    assert pinned.json()["error"]["code"] == "excluded_by_operator"
    for each in made:
        lift(service, each)


def test_an_override_ends_by_itself_and_its_end_is_logged(service: Service) -> None:
    made = lay(service, expires_in_s=0.6).json()
    assert ask(service).json()["model"] == "river"
    time.sleep(0.65)
    assert ask(service).headers["x-headgate-mode"] == "randomised"
    deadline = time.monotonic() + 5
    rows: list[Any] = []
    while not rows:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        rows = (
            service.runtime.kept.database.cursor()
            .execute("SELECT how FROM override_ends WHERE override_id = ?", [made["id"]])
            .fetchall()
        )
    assert rows == [("expired",)]
    acts = (
        service.runtime.kept.database.cursor()
        .execute("SELECT act FROM acts WHERE subject = ? ORDER BY log_seq", [made["id"]])
        .fetchall()
    )
    assert [a[0] for a in acts] == ["override.force", "override.expired"]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"action": "bless"}, 422, "action"),
        ({"deployment": "nobody"}, 400, "deployment"),
        ({"task": "nothing"}, 400, "task"),
        ({"reason": "short"}, 422, "reason"),
        ({"author": ""}, 422, "author"),
        ({"expires_in_s": 0}, 422, "expires_in_s"),
        ({"expires_in_s": 8 * 86_400}, 422, "expires_in_s"),
        ({"forever": True}, 422, "forever"),
    ],
)
def test_an_override_that_cannot_be_is_refused(
    service: Service, change: dict[str, Any], status: int, param: str
) -> None:
    response = lay(service, **change)
    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param
    assert httpx.get(service.url + "/admin/overrides", headers=AUTH).json()["overrides"] == []


def test_status_and_weights(service: Service) -> None:
    for text in ("Describe a kite.", "Write python code", "Calculate 4 percent of 9"):
        ask(service, text)
    found = httpx.get(service.url + "/admin/status", headers=AUTH).json()
    assert found["ready"] and found["requests"] >= 3 and found["cost_usd"] > 0.0
    assert {d["deployment"] for d in found["deployments"]} == {"brook", "mill", "river", "fall"}
    assert found["jobs_failing"] == {} and found["learner"]["failure"] == ""
    deadline = time.monotonic() + 5
    tasks: set[str] = set()
    while tasks != {"code", "maths", "other"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        weights = httpx.get(service.url + "/admin/weights", headers=AUTH).json()["weights"]
        tasks = {w["task"] for w in weights}
    assert all(w["state"] in STATES for w in weights)
    assert all(d["state"] in STATES for d in found["deployments"])
    counters = httpx.get(service.url + "/metrics").text
    for name in ("brook", "mill", "river", "fall"):
        told = re.findall(f'headgate_arm_state{{deployment="{name}",state="(.*)"}} (.*)', counters)
        assert {state for state, _ in told} == set(STATES)
        assert sum(float(value) for _, value in told) == 1.0
    for task in tasks:
        assert sum(w["share"] for w in weights if w["task"] == task) == pytest.approx(1.0)
    one = httpx.get(service.url + "/admin/weights?task=code", headers=AUTH).json()["weights"]
    assert {w["task"] for w in one} == {"code"}
