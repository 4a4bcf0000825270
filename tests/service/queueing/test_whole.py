"""All providers down: a ticket for who asked for one, 503 for the rest; then the answer, once."""

from __future__ import annotations

import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KEY
from tests.service.processes import Process
from tests.service.queueing.rig import DOWN, PLAN, UP, rig, until
from tests.upstream import Upstream, hang, http, say

pytestmark = pytest.mark.slow  # real processes, disks and clocks


def test_F30_all_down_then_a_ticket_then_the_answer_and_operators_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with rig(tmp_path) as world:
        owner = world.key("acme")
        first = world.ask(owner, "a canary of a prompt")
        assert first.status_code == 202, first.text
        ticket = first.json()
        assert ticket["object"] == "headgate.ticket" and ticket["status"] == "queued"
        assert ticket["poll_url"] == f"/v1/tickets/{ticket['id']}" == first.headers["location"]
        assert int(first.headers["retry-after"]) >= 1 and ticket["eta_s"] > 0.0
        assert ticket["expires_at"] > ticket["created_at"]
        streamed = world.ask(owner, stream=True).json()
        plain = world.ask(owner, queue=False)
        assert plain.status_code == 503 and int(plain.headers["retry-after"]) >= 1
        assert plain.json()["error"]["code"] in ("upstream_unavailable", "deployments_unavailable")
        assert "headgate.queue" in plain.json()["error"]["message"]
        status = world.call("GET", "/admin/status").json()
        assert any("no deployment could serve" in line for line in status["warnings"])
        world.upstream.act = UP
        for each in (ticket, streamed):
            found = world.ended(each["id"], owner)
            assert found["status"] == "done", found
            assert found["answer"]["choices"][0]["message"]["content"] == "at last"
            assert found["answer"]["object"] == "chat.completion"
            served = found["headgate"]
            assert served["deployment"] in ("one", "two") and served["cost_usd"] > 0.0
            decision = world.call("GET", f"/v1/decisions/{found['decision_id']}", owner).json()
            assert decision["outcome"]["status"] == 200
            assert found["answer"]["id"] == decision["response_id"]
        rated = world.call("POST", "/v1/feedback", owner,
                           {"id": found["decision_id"], "value": True})  # fmt: skip
        assert rated.status_code == 202 and rated.json()["applied"], "learned from like others"
        assert world.acts("outage.began", "outage.ended") == ["outage.began"]
        told = [r for r in caplog.records if r.name == "headgate.outage"]
        assert len(told) == 1 and "canary" not in caplog.text


def test_like_tickets_are_one_call_where_answers_are_kept(tmp_path: Path) -> None:
    keeps = "cache: {without_temperature: true}\n"
    with rig(tmp_path, "{enabled: true, workers: 1, tries: 3}", keeps) as world:
        mine, theirs = world.key("acme"), world.key("other")
        tickets = [world.ask(mine).json()["id"] for _ in range(3)]
        foreign = world.ask(theirs).json()["id"]
        asked = len(world.upstream.requests)
        world.upstream.act = UP
        found = [world.ended(each, mine) for each in tickets]
        assert [each["headgate"]["cache"] for each in found] == ["miss", "hit", "hit"]
        again = found[2]["headgate"]
        assert (again["mode"], again["cost_usd"], again["attempts"]) == ("cache", 0.0, 0)
        assert found[2]["answer"]["choices"] == found[0]["answer"]["choices"]
        assert found[2]["answer"]["id"] != found[0]["answer"]["id"]
        other = world.ended(foreign, theirs)["headgate"]
        assert other["cache"] == "miss" and len(world.upstream.requests) - asked == 2
        live = world.ask(mine, queue=False)
        assert live.headers["x-headgate-cache"] == "hit"


def test_C08_one_ticket_for_one_idempotency_key_under_a_race(tmp_path: Path) -> None:
    with rig(tmp_path) as world:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: world.ask(mark="same"), range(8)))
        assert {a.status_code for a in answers} == {202}
        (ticket_id,) = {a.json()["id"] for a in answers}
        other = world.ask(text="another body", mark="same")
        assert other.status_code == 409 and other.json()["error"]["code"] == "idempotency_conflict"
        assert world.ask(world.key(), mark="same").json()["id"] != ticket_id
        world.upstream.act = UP
        assert world.ended(ticket_id)["status"] == "done"
        asked = len(world.upstream.requests)
        again = world.ask(mark="same")
        assert again.status_code == 202 and again.json()["id"] == ticket_id
        assert again.json()["status"] == "done" and "answer" not in again.json()
        assert len(world.upstream.requests) == asked, "it is not asked a second time"
        too_long = world.ask(mark="x" * 256)
        assert too_long.status_code == 400


def test_F30_the_queue_is_bounded_and_the_eta_moves_with_it(tmp_path: Path) -> None:
    with rig(tmp_path, "{enabled: true, most_waiting: 4, deadline_s: 60}") as world:
        tickets = [world.ask().json() for _ in range(4)]
        etas = [world.ticket(t["id"])["eta_s"] for t in tickets]
        assert etas == sorted(etas) and etas[-1] > etas[0]
        full = world.ask()
        assert full.status_code == 503 and full.json()["error"]["code"] == "queue_full"
        assert int(full.headers["retry-after"]) >= 1
        gone = world.call("DELETE", f"/v1/tickets/{tickets[0]['id']}")
        assert gone.json()["status"] == "cancelled"
        assert world.call("GET", f"/v1/tickets/{tickets[0]['id']}").status_code == 404
        assert world.ask().status_code == 202


def test_a_request_that_is_at_fault_itself_gets_no_ticket_and_kills_one(tmp_path: Path) -> None:
    with rig(tmp_path) as world:
        world.upstream.act = say(http(400, b'{"error": {"code": "bad_thing"}}'))
        refused = world.ask()
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "upstream_refused"
        world.upstream.act = DOWN
        ticket = world.ask().json()
        world.upstream.act = say(http(400, b'{"error": {"code": "bad_thing"}}'))
        dead = world.ended(ticket["id"])
        assert (dead["status"], dead["code"]) == ("dead", "upstream_refused")
        assert until(lambda: world.acts("queue.dead"), bool) == ["queue.dead"]


def test_too_little_time_left_is_no_ticket_and_a_deadline_expires(tmp_path: Path) -> None:
    with rig(tmp_path) as world:
        assert world.ask(deadline_s=0.2).status_code == 503
        ticket = world.ask(deadline_s=1.5).json()
        found = world.ended(ticket["id"])
        assert (found["status"], found["code"]) == ("expired", "deadline_passed")


def test_without_a_queue_the_option_is_refused_with_the_mend(tmp_path: Path) -> None:
    with rig(tmp_path, "{}") as world:
        refused = world.ask()
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "headgate.queue"
        assert "queue.enabled" in refused.json()["error"]["message"]
        assert world.ask(queue=False).status_code == 503
        assert world.call("GET", "/admin/queue").json()["enabled"] is False
        assert world.call("GET", "/v1/tickets/signing-secret").status_code == 404
        alone = {"model": "auto", "messages": [{"role": "user", "content": "x"}],
                 "headgate": {"webhook": "https://h.test/"}}  # fmt: skip
        refused = world.call("POST", "/v1/chat/completions", body=alone)
        assert refused.status_code == 400 and "queue: true" in refused.json()["error"]["message"]
        assert not (tmp_path / "queue.sqlite").exists()


def test_a_queue_that_was_turned_off_says_that_prompts_may_lie_there(tmp_path: Path) -> None:
    with rig(tmp_path) as world:
        assert world.ask().status_code == 202
    with rig(tmp_path, "{enabled: false}") as world:
        assert any("may hold prompts" in notice for notice in world.runtime.notices)


def killed(tmp_path: Path, turns: int, seed: int) -> None:
    """Start, ask, kill at a random moment, again and again; then all is to be answered, once."""
    chance = random.Random(seed)
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    acknowledged: list[str] = []
    auth = {"Authorization": f"Bearer {KEY}"}
    with Upstream() as upstream:
        queue = "{enabled: true, workers: 3, tries: 100}"
        plan.write_text(PLAN.replace("URL", upstream.url).replace("QUEUE", queue), "utf-8")
        serve = ("serve", "--plan", str(plan), "--state", str(state))
        for turn in range(turns):
            upstream.act = DOWN
            process = Process(*serve, log=tmp_path / f"log{turn}")
            process.ready()
            with httpx.Client(base_url=process.url, timeout=10.0, headers=auth) as client:
                for number in range(4):
                    text = f"kept {turn}-{number}"
                    taken = client.post("/v1/chat/completions", json=body(text))
                    assert taken.status_code in (200, 202), taken.text
                    if taken.status_code == 202:
                        acknowledged.append(taken.json()["id"])
                    if number == 2:  # from here on tickets are answered, or being tried
                        upstream.act = chance.choice((UP, hang, DOWN))
                        time.sleep(chance.uniform(0.0, 1.5))
                    if upstream.act is hang:
                        break
            process.kill()
        upstream.act = UP
        process = Process(*serve, log=tmp_path / "end")
        process.ready()
        with httpx.Client(base_url=process.url, timeout=10.0, headers=auth) as client:
            decided = set()
            for ticket_id in acknowledged:
                found = until(
                    lambda which=ticket_id: client.get(f"/v1/tickets/{which}").json(),
                    lambda found: found["status"] not in ("queued", "running"),
                )
                assert found["status"] == "done", found
                decided.add(found["decision_id"])
            counts = client.get("/admin/queue").json()
        assert process.stop() == 0
    assert len(acknowledged) >= 3 * turns
    assert counts["done"] == len(acknowledged) == len(decided) and counts["waiting"] == 0


def test_H01_kill_nine_many_times_loses_no_ticket_and_each_is_answered_once(
    tmp_path: Path,
) -> None:
    killed(tmp_path, 8, seed=50)


def body(text: str) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}],
            "headgate": {"queue": True}}  # fmt: skip


def test_what_operators_keep_from_one_tenant_is_no_outage(tmp_path: Path) -> None:
    with rig(tmp_path) as world:
        world.upstream.act = UP
        acme = world.key("acme")
        assert world.ask(queue=False).status_code == 200
        laid = []
        for name in ("one", "two"):
            body = {
                "action": "exclude",
                "deployment": name,
                "tenant": "acme",
                "reason": "a bill that is open",
            }
            laid.append(world.call("POST", "/admin/overrides", body=body).json()["id"])
        for _ in range(5):
            refused = world.ask(acme, queue=False)
            assert refused.json()["error"]["code"] == "excluded_by_operator"
        ticket = world.ask(acme)
        assert ticket.status_code == 202
        until(lambda: world.call("GET", "/admin/queue").json()["tickets"],
              lambda found: found[0]["code"] == "excluded_by_operator")  # fmt: skip
        assert world.runtime.outage.current is None
        assert world.acts("outage.began") == []
        assert not world.call("GET", "/admin/queue").json()["probing"]
        total = world.runtime.ledger.windows._open.total
        assert (total.failed, total.errors) == (0, {}), "nothing of it is in the alerts' minutes"
        for each in laid:
            world.call("POST", f"/admin/overrides/{each}/lift", body={"reason": "the bill is paid"})
