"""A hard cap before real traffic: many callers at once, failing upstreams, a restart, a reload."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.domain.chat import parse
from service.domain.modal_requests import parse_modal
from service.domain.records import Role, Usage
from service.routing.purse import Worst
from service.runtime import Runtime
from service.storage.cases import rows_of
from service.storage.errors import ReadFailed
from tests.chaos import Chaos, Step
from tests.conftest import KEY, Server, make_runtime
from tests.service.faults.rig import PLAN

pytestmark = pytest.mark.slow
AUTH = {"Authorization": f"Bearer {KEY}"}
CAP = 20_000  # micro-dollars; a call costs at most some 4,000
BODY: dict[str, Any] = {
    "model": "auto", "messages": [{"role": "user", "content": "Describe the tide."}],
    "max_tokens": 15, "metadata": {"tenant": "acme", "feature": "chat"},
}  # fmt: skip
BUDGETS = f"""
budgets:
  reserve_output_tokens: 20
  named:
    - {{name: acme-day, scope: tenant, of: acme, period: day, hard_usd: {CAP / 1e6}}}
    - {{name: all, scope: global, period: month, soft_usd: 0.01}}
    - {{name: chat, scope: feature, period: day, hard_usd: 1}}
"""
MADE = """
deployments:
  - {name: talker, base_url: "URL", model: t,
     price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}
  - {name: brush, modality: image, base_url: "URL", model: b, price: {usd_per_image: 0.04}}
  - {name: voice, modality: speech, base_url: "URL", model: v, price: {usd_per_mchar: 15}}
budgets: {named: [{name: all-day, scope: global, period: day, hard_usd: 1}]}
"""


def beyond(runtime: Runtime, attempts: list[dict[str, Any]]) -> int:
    """What calls took more than they had reserved, micro-dollars."""
    by_name = {each.name: each for each in runtime.catalog}
    request = parse(json.dumps(BODY).encode())
    worst = Worst(request, request.shape.tokens_in, 20, 0)
    return sum(max(a["cost_micro_usd"] - worst.of(by_name[a["deployment"]]), 0) for a in attempts)


def logged(runtime: Runtime) -> list[dict[str, Any]]:
    runtime.kept.log.flush().result(10)
    return rows_of(runtime.kept.database.cursor(), "SELECT * FROM attempts")


def rush(url: str, requests: int, stream_every: int = 3) -> list[httpx.Response]:
    """Many at once, some of them streams."""

    def one(number: int) -> httpx.Response:
        body = BODY | ({"stream": True} if number % stream_every == 0 else {})
        with httpx.Client(verify=False, timeout=60.0) as client:
            return client.post(url + "/v1/chat/completions", json=body, headers=AUTH)

    with ThreadPoolExecutor(12) as pool:
        return list(pool.map(one, range(requests)))


def test_a_rush_never_passes_a_hard_cap_and_a_restart_knows_what_is_spent(tmp_path: Path) -> None:
    text = PLAN + BUDGETS
    wrong = [Step("status", None, 0.2, parameters={"code": 500}), Step("cut", None, 0.3)]
    with Chaos(*wrong, seed=3) as faulty, Chaos() as other:
        text = text.replace("FAULTY", faulty.url).replace("STEADY", other.url)
        text = text.replace("ROOMY", other.url)
        runtime = make_runtime(tmp_path, text)
        with Server(create_app(runtime)) as server:
            answers = rush(server.url, 60)
            attempts = logged(runtime)
            spent = sum(a["cost_micro_usd"] for a in attempts)
            assert CAP / 2 < spent <= CAP + beyond(runtime, attempts)
            codes = {each.status_code for each in answers}
            assert codes <= {200, 429, 503} and {200, 429} <= codes
            refused = next(each for each in answers if each.status_code == 429)
            error = refused.json()["error"]
            assert error["code"] == "budget_exceeded" and "acme-day" in error["message"]
            assert 0 < int(refused.headers["retry-after"]) <= 86_400
            assert refused.headers["x-should-retry"] == "false"
            shown = httpx.get(server.url + "/admin/budgets", headers=AUTH).json()["budgets"]
            by_name = {each["name"]: each for each in shown}
            assert round(by_name["acme-day"]["spent_usd"] * 1e6) == spent
            assert by_name["acme-day"]["reserved_usd"] == 0.0
            assert by_name["chat"]["of"] == "chat" and by_name["all"]["state"] == "open"
        again = make_runtime(tmp_path, text)
        with Server(create_app(again)) as server:
            assert rush(server.url, 3)[0].status_code == 429 or spent < CAP - 5_000
            shown = httpx.get(server.url + "/admin/budgets", headers=AUTH).json()["budgets"]
            now = sum(a["cost_micro_usd"] for a in logged(again))
            assert round(by_name["acme-day"]["spent_usd"] * 1e6) <= now
            for each in shown:
                assert round(each["spent_usd"] * 1e6) == now, each


def test_a_reload_keeps_what_is_spent_and_takes_in_what_was_not_counted(tmp_path: Path) -> None:
    with Chaos() as steady:
        text = PLAN
        for name in ("FAULTY", "STEADY", "ROOMY"):
            text = text.replace(name, steady.url)
        runtime = make_runtime(tmp_path, text)
        with Server(create_app(runtime)) as server:
            rush(server.url, 4)
            spent = sum(a["cost_micro_usd"] for a in logged(runtime))
            for budgets in (BUDGETS, BUDGETS.replace("acme-day", "other-name")):
                (tmp_path / "plan.yaml").write_text(text + budgets, "utf-8")
                made = httpx.post(server.url + "/admin/plan/reload", headers=AUTH, json={})
                assert made.status_code == 200, made.text
                shown = httpx.get(server.url + "/admin/budgets", headers=AUTH).json()["budgets"]
                assert [round(each["spent_usd"] * 1e6) for each in shown] == [spent] * 3
            rush(server.url, 2)
            after = sum(a["cost_micro_usd"] for a in logged(runtime))
            shown = httpx.get(server.url + "/admin/budgets", headers=AUTH).json()["budgets"]
            assert [round(each["spent_usd"] * 1e6) for each in shown] == [after] * 3


async def test_a_reload_that_cannot_read_the_log_forgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PLAN + BUDGETS
    for name in ("FAULTY", "STEADY", "ROOMY"):
        text = text.replace(name, "http://127.0.0.1:9")
    runtime = make_runtime(tmp_path, text)
    try:
        desk = runtime.budgets
        key = runtime.kept.keys.find(KEY)
        assert key is not None
        decision = runtime.router.decide(parse(json.dumps(BODY).encode()), key)
        desk.book.paid(decision, "steady", Role.FIRST, Usage(1, 1, 0, 777))
        before = [(s.label, s.spent_micro_usd) for s in desk.book.standings()]
        assert [spent for _, spent in before] == [777] * 3

        def broken(span: object) -> None:
            raise ReadFailed("the disk is gone")

        monkeypatch.setattr(desk, "_read", broken)
        with pytest.raises(ReadFailed):
            await desk.follow(replace(desk.book.rules, budgets=desk.book.rules.budgets[:1]))
        assert [(s.label, s.spent_micro_usd) for s in desk.book.standings()] == before
    finally:
        _abandon(runtime)


def test_a_key_carries_a_budget_from_its_making_to_its_end(tmp_path: Path) -> None:
    with Chaos() as steady:
        text = PLAN
        for name in ("FAULTY", "STEADY", "ROOMY"):
            text = text.replace(name, steady.url)
        runtime = make_runtime(tmp_path, text)
        with Server(create_app(runtime)) as server, httpx.Client(base_url=server.url) as http:
            body = {"name": "shop", "tenant": "acme", "budget": {"period": "day", "hard_usd": 0}}
            key = http.post("/admin/keys", json=body, headers=AUTH).json()
            mine = {"Authorization": f"Bearer {key['key']}"}
            ask = lambda: http.post("/v1/chat/completions", json=BODY, headers=mine)  # noqa: E731
            assert ask().json()["error"]["code"] == "budget_exceeded"
            put = http.post("/admin/keys/shop/budget", headers=AUTH,
                            json={"period": "day", "hard_usd": 5, "reason": "a pilot"})  # fmt: skip
            assert put.status_code == 200, put.text
            assert ask().status_code == 200
            (row,) = http.get("/admin/budgets", headers=AUTH).json()["budgets"]
            assert row["key"] == "shop" and row["spent_usd"] > 0.0 and row["hard_usd"] == 5.0
            bad = http.post("/admin/keys/shop/budget", headers=AUTH, json={"period": "week"})
            assert bad.status_code == 422 and "period" in bad.text
        again = make_runtime(tmp_path, text)
        with Server(create_app(again)) as server, httpx.Client(base_url=server.url) as http:
            (kept,) = http.get("/admin/budgets", headers=AUTH).json()["budgets"]
            assert kept["spent_usd"] == row["spent_usd"]
            ended = http.post("/admin/keys/shop/budget/end", headers=AUTH, json={})
            assert ended.status_code == 200
            assert http.get("/admin/budgets", headers=AUTH).json()["budgets"] == []


def test_a_budget_that_queues_gives_a_ticket_to_whom_asks_for_one(tmp_path: Path) -> None:
    tight = BUDGETS.replace(f"hard_usd: {CAP / 1e6}", "hard_usd: 0, at_cap: queue")
    with Chaos() as steady:
        text = PLAN + tight + "queue: {enabled: true}\n"
        for name in ("FAULTY", "STEADY", "ROOMY"):
            text = text.replace(name, steady.url)
        runtime = make_runtime(tmp_path, text)
        with Server(create_app(runtime)) as server, httpx.Client(base_url=server.url) as http:
            plain = http.post("/v1/chat/completions", json=BODY, headers=AUTH, timeout=30.0)
            assert plain.status_code == 429 and "headgate.queue true" in plain.text
            waits = http.post("/v1/chat/completions", headers=AUTH, timeout=30.0,
                              json=BODY | {"headgate": {"queue": True}})  # fmt: skip
            assert waits.status_code == 202, waits.text
            deadline, eta_s, left_s = time.monotonic() + 30.0, 0.0, 86_400.0
            while eta_s < left_s - 60.0 and time.monotonic() < deadline:  # it is tried once, first
                shown = http.get(waits.json()["poll_url"], headers=AUTH)
                eta_s, left_s = shown.json()["eta_s"], 86_400.0 - time.time() % 86_400.0
                time.sleep(0.02)
            assert eta_s >= left_s - 60.0, "it waits until the day ends, and says so"
            assert int(shown.headers["retry-after"]) >= min(eta_s, 3_600.0)
            assert runtime.outage.current is None, "an empty purse is no outage"
        assert steady.requests == []


def test_what_a_kill_cut_off_counts_at_its_worst(tmp_path: Path) -> None:
    with Chaos() as hanging:
        text = PLAN + BUDGETS
        for name in ("FAULTY", "STEADY", "ROOMY"):
            text = text.replace(name, hanging.url)
        runtime = make_runtime(tmp_path, text)
        key = runtime.kept.keys.find(KEY)
        assert key is not None
        request = parse(json.dumps(BODY).encode())
        decision = runtime.router.decide(request, key)
        runtime.ledger.decision(decision)  # and then it is killed
        runtime.kept.log.flush().result(10)
        _abandon(runtime)
    again = make_runtime(tmp_path, text)
    try:
        first = next(s for s in again.budgets.book.standings() if s.budget.name == "acme-day")
        assert first.spent_micro_usd == decision.tokens_in * 100 + 15 * 200
        assert again.budgets.cut_off == 1
        assert any("under way when the service was killed" in each for each in again.notices)
    finally:
        _abandon(again)


def test_pictures_and_speech_that_a_kill_cut_off_count_too(tmp_path: Path) -> None:
    with Chaos() as hanging:
        text = MADE.replace("URL", hanging.url)
        runtime = make_runtime(tmp_path, text)
        key = runtime.kept.keys.find(KEY)
        assert key is not None
        for modality, body in (
            ("image", {"model": "brush", "prompt": "a fox", "n": 3}),
            ("speech", {"model": "voice", "input": "well " * 80, "voice": "a"}),
        ):
            asked = parse_modal(modality, json.dumps(body).encode())
            way = runtime.modalities.ways.of(asked)
            runtime.ledger.decision(way.router.decide(asked, key, ""))  # and then it is killed
        runtime.kept.log.flush().result(10)
        _abandon(runtime)
    again = make_runtime(tmp_path, text)
    try:
        (all_day,) = again.budgets.book.standings()
        assert all_day.spent_micro_usd == 3 * 40_000 + 400 * 15
    finally:
        _abandon(again)


def _abandon(runtime: Runtime) -> None:
    """Let go of what is kept without an orderly end."""
    runtime.learner.stop()
    runtime.workflows._parts.shelf.close()  # as the end of a process lets go of its files
    runtime.kept.close()
    assert threading.active_count() > 0
