"""The routes of review: who may see and decide what, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.records import Key
from service.storage.keys import digest
from tests.service.faults.refusing import Stage, error, refusal, staged
from tests.upstream import Upstream

OVERDUE = "refusals: {review_within_s: 0.001, review_tiers: [basic]}\n"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    state: Path = tmp_path_factory.mktemp("state")
    with Upstream() as upstream, staged(state, upstream, OVERDUE) as running:
        upstream.act = error()
        for tenant in ("acme", "other"):
            labels = {"headgate": {"tier": "basic"}, "metadata": {"tenant": tenant}}
            refusal(running.ask(f"of {tenant}", **labels))
        yield running


def _key(stage: Stage, role: str, tenant: str = "") -> dict[str, str]:
    secret = f"hg-{role}-{tenant}-0123456789"
    key = Key(f"{role}-{tenant}", 0, role, role, tenant, "", digest(secret))
    stage.runtime.kept.keys._put(key)
    return {"Authorization": f"Bearer {secret}"}


def _reviews(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.get("/admin/review")["reviews"]
    return found


def test_overdue_is_shown_and_warned_of(stage: Stage) -> None:
    assert [r["overdue"] for r in _reviews(stage)] == [True, True]
    status = stage.get("/admin/status")
    assert status["reviews"] == {"open": 2, "overdue": 2}
    assert "2 refused requests wait for review beyond their time" in status["warnings"]


async def test_the_gauges(stage: Stage) -> None:
    job = next(j for j in stage.runtime.scheduler.jobs if j.name == "weights")
    await job.run()
    counters = httpx.get(stage.url + "/metrics").text
    assert "headgate_review_open 2.0" in counters and "headgate_review_overdue 2.0" in counters


def test_one_review(stage: Stage) -> None:
    first = _reviews(stage)[0]
    one = stage.get(f"/admin/review/{first['id']}")
    assert {k: v for k, v in one.items() if k != "left_s"} == {
        k: v for k, v in first.items() if k != "left_s"
    }
    assert one["state"] == "open" and one["decision"] is None


def test_roles(stage: Stage) -> None:
    path = f"{stage.url}/admin/review"
    one = f"{path}/{_reviews(stage)[0]['id']}"
    body = {"verdict": "allow", "reviewer": "joe", "note": "a long enough note"}
    assert httpx.get(path, headers=_key(stage, "caller")).status_code == 403
    assert httpx.get(path).status_code == 401
    analyst = _key(stage, "analyst")
    assert httpx.get(path, headers=analyst).status_code == 200
    assert httpx.post(f"{one}/decide", json=body, headers=analyst).status_code == 403


def test_a_tenants_operator_sees_its_own_alone(stage: Stage) -> None:
    operator = _key(stage, "operator", "acme")
    (seen,) = httpx.get(f"{stage.url}/admin/review", headers=operator).json()["reviews"]
    assert seen["tenant"] == "acme"
    foreign = next(r["id"] for r in _reviews(stage) if r["tenant"] == "other")
    path = f"{stage.url}/admin/review/{foreign}"
    body = {"verdict": "allow", "reviewer": "joe", "note": "a long enough note"}
    assert httpx.get(path, headers=operator).status_code == 404
    assert httpx.post(f"{path}/decide", json=body, headers=operator).status_code == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [({"verdict": "bless"}, "verdict"), ({"note": "too short"}, "note"),
     ({"note": "x" * 501}, "note"),
     ({"reviewer": ""}, "reviewer"), ({"more": 1}, "more")],
)  # fmt: skip
def test_a_ruling_that_cannot_be(stage: Stage, change: dict[str, Any], param: str) -> None:
    found = stage.decide(_reviews(stage)[0]["id"], **({"verdict": "allow"} | change))
    assert found.status_code == 422 and found.json()["error"]["param"] == param


def test_what_is_not_there(stage: Stage) -> None:
    assert stage.decide("nothing", "allow").status_code == 404
    headers = _key(stage, "operator")
    assert httpx.get(f"{stage.url}/admin/review/nothing", headers=headers).status_code == 404
    found = httpx.get(f"{stage.url}/admin/review?state=lost", headers=headers)
    assert found.status_code == 422 and found.json()["error"]["param"] == "state"
