"""A decision made again on request; the alarm of the propensities shown, told, acknowledged."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import httpx

from service.domain.clock import new_id, parse_id
from service.domain.records import Candidates
from service.storage.cases import rows_of
from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key

AUTH = {"Authorization": f"Bearer {KEY}"}
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
ACK = {"author": "ann", "reason": "the mirror wrote it"}


def get(service: Service, path: str) -> httpx.Response:
    return httpx.get(service.url + path, headers=AUTH)


def ask(service: Service) -> str:
    answer = httpx.post(service.url + "/v1/chat/completions", json=BODY, headers=AUTH).json()
    service.runtime.kept.log.flush().result(10)
    return str(answer["id"])


def acknowledge(service: Service, **more: Any) -> httpx.Response:
    url = service.url + "/admin/propensities/acknowledge"
    return httpx.post(url, json=ACK | more, headers=AUTH)


def test_a_replay_gives_the_same_numbers(service: Service) -> None:
    identity = ask(service)
    logged = get(service, f"/v1/decisions/{identity}").json()
    found = get(service, f"/admin/decisions/{identity}/replay").json()
    assert (found["verdict"], found["different"], found["reason"]) == ("equal", [], None)
    assert found["deployment"] == logged["deployment"]
    told = [{k: c[k] for k in ("deployment", "propensity")} for c in logged["candidates"]]
    assert found["candidates"] == told and len(told) > 1
    assert found["from"]["checkpoint"] and found["from"]["update_seq"] >= 0
    missing = get(service, f"/admin/decisions/{new_id()}/replay")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "decision_not_found"


def test_a_replay_of_another_tenants_decision_does_not_exist(service: Service) -> None:
    url = f"{service.url}/admin/decisions/{ask(service)}/replay"
    seen = []
    for tenant in ("", "acme"):
        key = make_key(service, "analyst", tenant)
        seen.append(httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code)
    assert seen == [200, 404]


def warned(status: dict[str, Any]) -> bool:
    return any("do not follow the logged propensities" in word for word in status["warnings"])


def wait_for(service: Service, alarm: bool) -> dict[str, Any]:
    deadline = time.monotonic() + 15
    while True:
        found: dict[str, Any] = get(service, "/admin/status").json()
        if (found["propensities"]["alarm"] is not None) is alarm:
            return found
        assert time.monotonic() < deadline, found["propensities"]
        time.sleep(0.1)


def test_an_alarm_is_shown_and_told_until_it_is_acknowledged(service: Service) -> None:
    assert acknowledge(service).status_code == 409
    identity = parse_id(ask(service))
    case = service.runtime.kept.cases.load(str(identity))
    assert case is not None and not warned(get(service, "/admin/status").json())
    spoiled = Candidates(("brook", "mill"), (1.0, 0.0))
    service.runtime.kept.log.append(
        replace(case.decision, id=new_id(), candidates=spoiled, deployment="mill")
    )
    found = wait_for(service, alarm=True)
    told = found["propensities"]
    assert told["evidence"] is None and told["decisions"] >= 1 and told["worst"] is not None
    assert warned(found)
    metrics = httpx.get(service.url + "/metrics", headers=AUTH).text
    assert "headgate_propensity_alarm 1.0" in metrics
    assert acknowledge(service, reason="short").status_code == 422
    ended = acknowledge(service)
    assert ended.status_code == 200 and ended.json()["alarm"] is None
    assert ended.json()["decisions"] == 0 and acknowledge(service).status_code == 409
    assert not warned(wait_for(service, alarm=False))
    acts = rows_of(
        service.runtime.kept.database.cursor(),
        "SELECT act, actor, author FROM acts WHERE act LIKE 'propensities.%' ORDER BY log_seq",
    )
    assert [(row["act"], row["actor"], row["author"]) for row in acts] == [
        ("propensities.alarm", "headgate", ""), ("propensities.acknowledged", "bootstrap", "ann"),
    ]  # fmt: skip
