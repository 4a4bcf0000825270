"""A service with four eyes, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from tests.conftest import KEY, Server, Service, make_runtime, plan_text

WHY = "the reason is long enough to break the glass"
FORCE = {"action": "force", "deployment": "mill", "reason": WHY, "author": "ann"}
EXCLUDE = {**FORCE, "action": "exclude"}
YES = {"reason": "I have looked at it"}


def serving(providers: Server, state: Path) -> Iterator[Service]:
    text = plan_text(providers.url) + "\napprovals: {four_eyes: true}\n"
    runtime = make_runtime(state, text)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


def clear(service: Service) -> None:
    for each in get(service, "/admin/overrides")["overrides"]:
        service.runtime.kept.overrides.remove(each["id"])
    for item in service.runtime.kept.approvals.open():
        service.runtime.kept.approvals.end(item.id)


def post(service: Service, path: str, body: Any, key: str = KEY) -> httpx.Response:
    return httpx.post(service.url + path, json=body, headers={"Authorization": f"Bearer {key}"})


def get(service: Service, path: str, key: str = KEY) -> Any:
    return httpx.get(service.url + path, headers={"Authorization": f"Bearer {key}"}).json()


def acts(service: Service, subject: str) -> list[str]:
    service.runtime.kept.log.flush().result(10)
    return [a["act"] for a in get(service, f"/admin/audit?subject={subject}")["acts"]][::-1]


def in_force(service: Service) -> list[str]:
    return [each["action"] for each in get(service, "/admin/overrides")["overrides"]]


def asked(service: Service, body: Any = FORCE, path: str = "/admin/overrides") -> str:
    answer = post(service, path, body)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["approval"]
    assert answer.headers["location"] == f"/admin/approvals/{found}"
    return found


def version(service: Service) -> str:
    made = post(service, "/admin/policies", {"kind": "uniform", "reason": WHY})
    return str(made.json()["id"])


def experiment(service: Service) -> str:
    known = get(service, "/admin/experiments")["experiments"]
    if known:
        return str(known[-1]["id"])
    variants = [
        {"name": "control", "share": 0.5},
        {"name": "treatment", "share": 0.5, "settings": {"deployment": "mill"}},
    ]
    design = {"slug": "one", "hypothesis": "mill is better", "variants": variants,
              "goals": ["success_rate"], "unit": "session"}  # fmt: skip
    made = post(service, "/admin/experiments", {"design": design, "reason": WHY})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])
