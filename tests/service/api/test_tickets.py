"""A ticket is its owner's and its tenant's; operators see it without its bodies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.clock import new_id
from tests.service.queueing.rig import UP, Rig, rig, until
from tests.upstream import http, say

pytestmark = pytest.mark.slow

WHY = {"reason": "tried by hand now", "author": "me"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


def test_S13_a_ticket_is_its_owners_and_its_tenants(world: Rig) -> None:
    owner, mate = world.key("acme"), world.key("acme")
    other, alone, operator = world.key("umbrella"), world.key(), world.key(role="operator")
    ticket_id = world.ask(owner).json()["id"]
    path = f"/v1/tickets/{ticket_id}"
    for key, status in ((owner, 200), (mate, 200), (other, 404), (alone, 404), (operator, 404)):
        assert world.call("GET", path, key).status_code == status
    for key in (other, alone, operator):
        assert world.call("DELETE", path, key).status_code == 404
    for wrong in ("nothing", new_id(), "%00"):
        assert world.call("GET", f"/v1/tickets/{wrong}", owner).status_code == 404
    assert world.call("DELETE", path, mate).status_code == 200
    assert world.call("GET", path, owner).status_code == 404


def test_a_ticket_that_waits_says_when_to_come_again(world: Rig) -> None:
    ticket_id = world.ask().json()["id"]
    answer = world.call("GET", f"/v1/tickets/{ticket_id}")
    assert answer.json()["status"] in ("queued", "running") and answer.json()["eta_s"] > 0.0
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["cache-control"] == "no-store"
    world.upstream.act = UP
    world.ended(ticket_id)
    again = world.call("GET", f"/v1/tickets/{ticket_id}")
    assert again.json()["answer"] and "retry-after" not in again.headers


def test_operators_see_retry_and_drop_and_each_is_an_act(world: Rig) -> None:
    operator, prompt = world.key(role="operator"), "a canary of a prompt"
    ticket_id = world.ask(text=prompt).json()["id"]
    seen = world.call("GET", "/admin/queue", operator)
    assert seen.json()["waiting"] == 1 and seen.json()["eta_s"] > 0.0
    assert seen.json()["outage"] and seen.json()["probing"] and "canary" not in seen.text
    metrics = until(
        lambda: world.call("GET", "/metrics").text,
        lambda text: "headgate_queue_waiting 1.0" in text,
    )
    assert "headgate_queue_oldest_seconds" in metrics and ticket_id not in metrics
    path = f"/admin/queue/{ticket_id}"
    early = world.call("POST", path + "/retry", operator, WHY)
    assert early.status_code == 409 and "only one that died" in early.json()["error"]["message"]
    world.upstream.act = say(http(400, b'{"error": {"code": "bad"}}'))
    assert world.ended(ticket_id)["status"] == "dead"
    shown = world.call("GET", path, operator)
    assert shown.json()["code"] == "upstream_refused" and "canary" not in shown.text
    letters = world.call("GET", "/admin/queue", operator).json()["dead_letters"]
    assert [each["id"] for each in letters] == [ticket_id]
    world.upstream.act = UP
    assert world.call("POST", path + "/retry", operator, WHY).json()["status"] == "queued"
    done = world.ended(ticket_id)
    assert done["status"] == "done"
    assert world.call("POST", path + "/drop", operator, WHY).json()["status"] == "dropped"
    for method, tail, body in (("GET", "", None), ("POST", "/drop", WHY), ("POST", "/retry", WHY)):
        assert world.call(method, path + tail, operator, body).status_code == 404
    acts = world.acts("queue.dead", "queue.retried", "queue.dropped")
    assert acts == ["queue.dead", "queue.retried", "queue.dropped"]


def test_an_act_needs_a_reason(world: Rig) -> None:
    ticket_id = world.ask().json()["id"]
    short = world.call(
        "POST", f"/admin/queue/{ticket_id}/drop", body={"reason": "x", "author": "m"}
    )
    assert short.status_code == 422 and world.ticket(ticket_id)["status"] != "dead"
