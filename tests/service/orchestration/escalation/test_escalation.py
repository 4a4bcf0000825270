"""Escalation through the vendor's client: faults, bills, deadlines, budgets, asking again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from service.app import create_app
from service.cli.main import app
from service.domain.chat import parse
from service.domain.clock import new_id
from service.domain.records import Mode
from service.routing.purse import Worst
from service.runtime import Runtime
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, Service, make_runtime
from tests.service.orchestration.escalation.frail import GOOD, TOWN, Frail, plan_of

pytestmark = pytest.mark.slow

AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def frail() -> Frail:
    return Frail()


@pytest.fixture(scope="module")
def served(frail: Frail, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Server(frail.app()) as upstream:
        runtime = make_runtime(tmp_path_factory.mktemp("state"), plan_of(upstream.url))
        without_lots(runtime)
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


def without_lots(runtime: Runtime) -> None:
    """What is drawn by lot is tested by itself."""
    climbing, made = runtime.router.climbing, runtime.escalation
    assert climbing is not None and made is not None
    climbing.rules = replace(climbing.rules, explore=0.0)
    made.parts.cascade.rules = replace(made.parts.cascade.rules, explore=0.0)


def ask(service: Service, text: str, model: str = "auto:cascade", **more: Any) -> Any:
    """The raw answer through the SDK."""
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0) as client:
        return client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": f"{text} {new_id()}"}], **more
        )


def why(service: Service, raw: Any) -> dict[str, Any]:
    """The decision as it is shown, once its verdicts are there."""
    url = f"{service.url}/v1/decisions/{raw.headers['x-headgate-decision-id']}"
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found: dict[str, Any] = httpx.get(url, headers=AUTH).json()
        if found.get("escalation", {}).get("verdicts"):
            return found
        time.sleep(0.05)
    raise AssertionError("no verdicts came")


@pytest.mark.parametrize("fault", ["truncated", "refused", "schema"])
def test_a_faulty_answer_is_not_taken_and_both_calls_are_billed(
    served: Service, fault: str
) -> None:
    more: dict[str, Any] = {"response_format": TOWN} if fault == "schema" else {}
    raw = ask(served, fault, **more)
    assert raw.headers["x-headgate-mode"] == Mode.ESCALATION.value
    assert raw.headers["x-headgate-deployment"] == "strong"
    assert raw.headers["x-headgate-attempts"] == "2" and raw.headers["x-headgate-tier"] == "2"
    thrift, strong = 100 * 1 + 50 * 2, 100 * 50 + 50 * 100
    assert float(raw.headers["x-headgate-cost"]) == pytest.approx((thrift + strong) / 1e6)
    found = why(served, raw)
    assert [call["role"] for call in found["attempts"]] == ["first", "escalation"]
    first, second = found["escalation"]["verdicts"]
    assert first["fault"] == fault and first["onward"] == "strong"
    assert (first["act"], first["settled_by"]) == ("go_on", "trigger")
    assert (second["act"], second["settled_by"]) == ("stop", "end")
    assert found["deployment"] == "thrift" and found["outcome"]["mode"] == "escalation"


def test_a_good_answer_is_taken_without_a_second_call(served: Service, frail: Frail) -> None:
    before = frail.calls["strong"]
    raw = ask(served, "hello")
    assert raw.headers["x-headgate-mode"] == "randomised"
    assert raw.headers["x-headgate-reason"] == "cascade"
    assert raw.headers["x-headgate-deployment"] == "thrift"
    assert frail.calls["strong"] == before
    assert raw.parse().choices[0].logprobs is None, "they were asked for by us alone"
    verdict = why(served, raw)["escalation"]["verdicts"][0]
    assert verdict["signals"]["logprob"] == pytest.approx(-0.05)
    assert verdict["settled_by"] == "rule" and verdict["chance"] > 0.5


def test_what_a_later_rung_refuses_is_refused_and_not_sent_again(
    served: Service, frail: Frail
) -> None:
    with openai.OpenAI(base_url=served.url + "/v1", api_key=KEY, max_retries=0) as client:
        asked: Any = [{"role": "user", "content": f"truncated, forbidden {new_id()}"}]
        calls: list[int] = []
        for words in ("was refused by the provider", "was refused before"):
            with pytest.raises(openai.BadRequestError, match=words) as caught:
                client.chat.completions.create(model="auto:cascade", messages=asked)
            assert caught.value.code == "content_policy_violation"
            calls.append(frail.calls.total())
    assert calls[0] == calls[1], "the second time nobody is asked"


def test_a_failed_call_goes_on(served: Service) -> None:
    raw = ask(served, "down")
    assert raw.headers["x-headgate-deployment"] == "strong"
    assert why(served, raw)["escalation"]["verdicts"][0]["fault"] == "failed"


def test_a_rung_that_cannot_finish_in_time_is_not_asked(served: Service, frail: Frail) -> None:
    made, before = served.runtime.escalation, frail.calls["strong"]
    assert made is not None
    ground = made.parts.cascade.ground

    def slow(decision: Any, names: Any) -> Any:
        found = ground.foresee(decision, names)
        return {name: replace(each, latency_s=100.0) for name, each in found.items()}

    made.parts.cascade.ground = replace(ground, foresee=slow)
    fleet = served.runtime.fleet
    known, fleet.p95_s = fleet.p95_s, lambda name, now_s: None  # type: ignore[method-assign]
    try:
        raw = ask(served, "truncated")
    finally:
        made.parts.cascade.ground = ground
        fleet.p95_s = known  # type: ignore[method-assign]
    assert raw.headers["x-headgate-deployment"] == "thrift" and frail.calls["strong"] == before
    verdict = why(served, raw)["escalation"]["verdicts"][0]
    assert verdict["skipped"] == ["strong: deadline"] and verdict["settled_by"] == "end"


def test_a_rung_for_which_the_budget_has_no_room_left_is_not_asked(
    served: Service, frail: Frail
) -> None:
    """There was room for it before the first rung had spent its part."""
    runtime, before = served.runtime, frail.calls["strong"]
    body: dict[str, Any] = {
        "model": "auto:cascade", "max_tokens": 60,
        "messages": [{"role": "user", "content": f"refused {new_id()}"}],
    }  # fmt: skip
    request = parse(json.dumps(body).encode())
    strong = next(each for each in runtime.catalog if each.name == "strong")
    worst = Worst(request, request.shape.tokens_in, 1_000, runtime.clock.wall_us()).of(strong)
    body["headgate"] = {"max_cost_usd": (worst + 100) / 1e6}
    raw = httpx.post(f"{served.url}/v1/chat/completions", headers=AUTH, content=json.dumps(body))
    assert raw.headers["x-headgate-deployment"] == "thrift" and frail.calls["strong"] == before
    assert why(served, raw)["escalation"]["verdicts"][0]["skipped"] == ["strong: budget"]
    body["headgate"] = {"max_cost_usd": (worst - 100) / 1e6}
    raw = httpx.post(f"{served.url}/v1/chat/completions", headers=AUTH, content=json.dumps(body))
    found = why(served, raw)
    assert found["escalation"]["rungs"] == ["thrift"]
    assert {"deployment": "strong", "reason": "budget"} in found["disqualified"]


def test_who_asks_again_begins_a_rung_higher(served: Service, frail: Frail) -> None:
    question = f"How wide is the river at its mouth in spring, in metres? {new_id()}"
    with openai.OpenAI(base_url=served.url + "/v1", api_key=KEY, max_retries=0) as client:

        def once(user: str, text: str = question) -> Any:
            return client.chat.completions.with_raw_response.create(
                model="auto:cascade", messages=[{"role": "user", "content": text}], user=user
            )

        first, again, other = once("ann"), once("ann", question + " Please"), once("ben")
    assert first.headers["x-headgate-deployment"] == "thrift"
    assert again.headers["x-headgate-deployment"] == "strong"
    assert again.headers["x-headgate-reason"] == "cascade_again"
    assert other.headers["x-headgate-deployment"] == "thrift", "another user has not asked before"


def test_a_stream_is_told_when_the_answer_is_whole(served: Service) -> None:
    with openai.OpenAI(base_url=served.url + "/v1", api_key=KEY, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="auto:cascade", stream=True,
            messages=[{"role": "user", "content": f"truncated {new_id()}"}],
        )  # fmt: skip
        text = "".join(each.choices[0].delta.content or "" for each in stream if each.choices)
    assert text == GOOD


def test_plain_requests_do_not_climb(served: Service) -> None:
    raw = ask(served, "truncated", model="auto")
    assert not raw.headers["x-headgate-reason"].startswith("cascade")
    assert "auto:cascade" in {
        each["id"] for each in httpx.get(f"{served.url}/v1/models", headers=AUTH).json()["data"]
    }


def test_a_bypassed_task_goes_straight_up_and_says_so(served: Service, frail: Frail) -> None:
    made = served.runtime.escalation
    assert made is not None
    made._reasons["other"] = "climbing costs more"
    made._publish()
    try:
        before = frail.calls["thrift"]
        raw = ask(served, "hello")
        assert raw.headers["x-headgate-reason"] == "cascade_bypassed"
        assert raw.headers["x-headgate-deployment"] == "strong"
        assert frail.calls["thrift"] == before
        status = httpx.get(f"{served.url}/admin/status", headers=AUTH).json()
        assert any("bypassed for other" in each for each in status["warnings"])
        shown = CliRunner().invoke(app, ["escalation", "show", "--url", served.url],
                                   env={"HEADGATE_KEY": KEY})  # fmt: skip
        assert shown.exit_code == 0 and "bypassed for other" in shown.output
    finally:
        made._reasons.clear()
        made._publish()


def test_ratings_of_answers_chosen_by_their_looks_teach_the_rule_and_no_policy(
    served: Service,
) -> None:
    raw = ask(served, "hello")
    told = {"id": raw.headers["x-headgate-decision-id"], "metric": "rating", "value": 0.9}
    taken = httpx.post(f"{served.url}/v1/feedback", headers=AUTH, json=told)
    assert taken.status_code == 202
    runtime, made = served.runtime, served.runtime.escalation
    assert made is not None
    until = time.monotonic() + 20
    while made._fitted().rated == 0 and time.monotonic() < until:
        time.sleep(0.05)
    assert made._fitted().rated == 1
    updates = rows_of(
        runtime.kept.database.cursor(), "SELECT * FROM updates WHERE decision_id = ?::UUID "
        "AND kind IN ('rating', 'revision')", [told["id"]],
    )  # fmt: skip
    assert updates == []


def test_why_shows_the_rungs(served: Service) -> None:
    raw = ask(served, "refused")
    why(served, raw)
    shown = CliRunner().invoke(
        app, ["why", raw.headers["x-headgate-decision-id"], "--url", served.url],
        env={"HEADGATE_KEY": KEY},
    )  # fmt: skip
    assert shown.exit_code == 0
    assert "climb: thrift -> strong" in shown.output and "refused -> on to strong" in shown.output


def test_a_verifier_that_doubts_sends_it_on(tmp_path: Path, frail: Frail) -> None:
    section = """
escalation:
  rungs: [thrift, strong]
  tasks: [other]
  worth_usd: 1.0
  acceptable: 0.6
  verify: middle
"""
    with Server(frail.app()) as upstream:
        runtime = make_runtime(tmp_path, plan_of(upstream.url, section))
        without_lots(runtime)
        with Server(create_app(runtime)) as server:
            service = Service(runtime, server)
            raw = ask(service, "doubt it", model="auto")
            assert raw.headers["x-headgate-deployment"] == "strong"
            assert raw.headers["x-headgate-attempts"] == "2", "a check is no call for the answer"
            first = why(service, raw)["escalation"]["verdicts"][0]
            assert first["signals"]["verified"] == 0.0 and first["check_usd"] > 0.0
            assert first["settled_by"] == "rule" and first["gain_usd"] > 0.0
