"""What a caller sends is reflected in no header, and repeated ratings count once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.domain.clock import new_id
from service.domain.errors import PlanInvalid
from service.storage.cases import rows_of
from tests.conftest import KEY, make_runtime
from tests.service.api.test_auth import make_key
from tests.service.faults.inbound import (
    GOOD,
    PATH,
    PLAN,
    Rig,
    head,
    post,
    running,
    status_of,
)

JSON = {"content-type": "application/json"}
CANARY = "x-canary"
INJECTED = f"a\r\n{CANARY}: 1\r\n\r\nHTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("headers")) as made:
        yield made


BODIES: list[dict[str, Any]] = [
    {"model": INJECTED}, {"user": INJECTED}, {"headgate": {"task": INJECTED}},
    {"headgate": {"tier": INJECTED}}, {"headgate": {"session_id": INJECTED}},
    {"headgate": {"deployments": [INJECTED]}}, {"headgate": {INJECTED: 1}},
    {"metadata": {"tenant": INJECTED, "feature": INJECTED, "session": INJECTED, "type": INJECTED}},
    {"metadata": {"tags": [INJECTED]}}, {INJECTED: INJECTED},
    {"messages": [{"role": INJECTED, "content": "hi"}]},
    {"messages": [{"role": "user", "content": INJECTED}]},
]  # fmt: skip


@pytest.mark.parametrize("more", BODIES, ids=range(len(BODIES)))
def test_C07_no_value_of_a_body_becomes_a_header(rig: Rig, more: dict[str, Any]) -> None:
    rig.healthy()
    for path in (PATH, "/v1/route"):
        answer = rig.client.post(path, json=GOOD | more)
        assert answer.status_code < 500
        assert CANARY not in answer.headers
        for name, value in answer.headers.multi_items():
            assert CANARY not in name + value and "\r" not in value and "\n" not in value


@pytest.mark.parametrize(
    "path",
    ["/v1/decisions/a%0d%0ax-canary:%201", "/v1/models?a=%0d%0ax-canary:%201", "/%0d%0ax-canary:1",
     "/admin/overrides/%0ax-canary", "/v1/models/%0d%0a%0d%0a", "/v1/models%00"],
)  # fmt: skip
def test_C07_no_path_becomes_a_header(rig: Rig, path: str) -> None:
    answer = rig.exchange(head("Connection: close", path=path, method="GET"))
    top = answer.partition(b"\r\n\r\n")[0]
    assert b"canary" not in top and answer.count(b"HTTP/1.1 ") == 1
    assert int(top.split()[1]) < 500


@pytest.mark.parametrize("end", ["\n", "\r", "\x00", "\x0b", "\x7f"])
@pytest.mark.parametrize("name", ["x-session-id", "x-request-id", "traceparent"])
def test_C07_header_values_with_line_ends_are_refused(rig: Rig, name: str, end: str) -> None:
    answer = rig.exchange(post(json.dumps(GOOD).encode(), f"{name}: a{end}{CANARY}: 1"))
    assert status_of(answer) == 400 and CANARY.encode() not in answer


def test_C07_a_session_header_of_any_bytes_is_not_reflected(rig: Rig) -> None:
    rig.healthy()
    body = json.dumps(GOOD).encode()
    answer = rig.exchange(post(body, "x-session-id: \xff\xfe caf\xe9", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200") and b"\xff" not in answer


def test_C07_a_plan_puts_no_line_end_into_a_header(tmp_path: Any) -> None:
    with pytest.raises(PlanInvalid, match="provider"):
        make_runtime(tmp_path, PLAN.replace("provider: p1", 'provider: "a\\r\\nx-canary: 1"'))


# ratings --------------------------------------------------------------------------------------


def answered(rig: Rig) -> str:
    """A decision id."""
    rig.healthy()
    answer = rig.client.post(PATH, json=GOOD)
    return answer.headers["x-headgate-decision-id"]


def rate(rig: Rig, key: str = KEY, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return rig.client.post("/v1/feedback", json=body, headers=headers)


def rows(rig: Rig, decision_id: str) -> int:
    cursor = rig.runtime.kept.database.cursor()
    sought = "SELECT count(*) AS n FROM feedback WHERE decision_id = ?"
    found: int = rows_of(cursor, sought, [decision_id])[0]["n"]
    return found


def test_C08_the_same_idempotency_key_gives_the_same_answer(rig: Rig) -> None:
    decision = answered(rig)
    first = rate(rig, id=decision, value=0.5, idempotency_key="k")
    again = [rate(rig, id=decision, value=0.5, idempotency_key="k") for _ in range(3)]
    assert first.status_code == 202 and {each.status_code for each in again} == {202}
    assert {each.json()["feedback_id"] for each in again} == {first.json()["feedback_id"]}
    assert rows(rig, decision) == 1


@pytest.mark.parametrize(
    "other", [{"value": 0.6}, {"kind": "judge"}, {"value": False}], ids=["value", "kind", "type"]
)
def test_C08_the_same_key_with_another_body_is_a_conflict(rig: Rig, other: dict[str, Any]) -> None:
    decision = answered(rig)
    body = {"id": decision, "value": 0.5, "idempotency_key": "k"}
    assert rate(rig, **body).status_code == 202
    refused = rate(rig, **(body | other))
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "conflict"
    assert refused.json()["error"]["param"] == "idempotency_key"
    assert rows(rig, decision) == 1


def test_C08_keys_of_other_callers_and_answers_are_apart(rig: Rig) -> None:
    one, two = answered(rig), answered(rig)
    other = make_key(rig, "operator")  # type: ignore[arg-type]
    told = [
        rate(rig, id=one, value=0.5, idempotency_key="k"),
        rate(rig, id=two, value=0.6, idempotency_key="k"),
        rate(rig, other, id=one, value=0.7, idempotency_key="k"),
    ]
    assert {each.status_code for each in told} == {202}
    assert len({each.json()["feedback_id"] for each in told}) == 3


def test_C09_a_repeated_rating_is_one_row_and_a_changed_one_revises(rig: Rig) -> None:
    decision = answered(rig)
    first, same = rate(rig, id=decision, value=1), rate(rig, id=decision, value=1)
    assert first.json()["feedback_id"] == same.json()["feedback_id"]
    assert same.json()["applied"] is False and rows(rig, decision) == 1
    changed = rate(rig, id=decision, value=0)
    assert changed.json()["feedback_id"] != first.json()["feedback_id"]
    assert rows(rig, decision) == 2


def test_C09_unknown_foreign_and_late_ratings(rig: Rig) -> None:
    decision = answered(rig)
    for unknown in (new_id(), "x", "", "chatcmpl-" + "0" * 32, "\u0661" * 32):
        assert rate(rig, id=unknown, value=1).status_code == 404
    foreign = make_key(rig, "caller", "umbrella")  # type: ignore[arg-type]
    told = rate(rig, foreign, id=decision, value=1)
    assert told.status_code == 404, "that it exists is not told"
    assert told.json() == rate(rig, foreign, id=new_id(), value=1).json()
    case = rig.runtime.kept.cases.recent(decision)
    assert case is not None
    case.made_s = None  # as after a restart: only the wall clock can tell
    age_us = int(rig.runtime.plan.feedback.expires_days * 86_400e6) + 1_000_000
    for shift_us, status in ((-age_us, 410), (+86_400_000_000, 202)):  # of the past, of the future
        object.__setattr__(case.decision, "at_us", rig.runtime.clock.wall_us() + shift_us)
        assert rate(rig, id=decision, value=1).status_code == status
    assert rows(rig, decision) == 1


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 1e308, -1e-9, 1.0000001, 10**400, "1", "", None, [1]]
)
def test_C09_values_that_no_rating_has(rig: Rig, value: Any) -> None:
    decision = answered(rig)
    body = json.dumps({"id": decision, "value": value})
    told = rig.client.post("/v1/feedback", content=body, headers=JSON)
    assert told.status_code == 422, told.text
    assert told.json()["error"]["param"] == "value" and rows(rig, decision) == 0


@pytest.mark.parametrize("field", ["at", "at_us", "timestamp", "created"])
def test_C09_a_caller_gives_no_time(rig: Rig, field: str) -> None:
    told = rate(rig, id=answered(rig), value=1, **{field: "2099-01-01"})
    assert told.status_code == 422 and told.json()["error"]["param"] == field
