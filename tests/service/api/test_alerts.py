"""Alerts on a running service: fired by its own traffic, shown, seen to, silenced, over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.api import alerts
from service.app import create_app
from service.cli import output
from service.cli.main import app
from service.domain.alerts import AlertEvent, Severity, Step
from service.domain.clock import SystemClock, new_id
from service.domain.minutes import MINUTE_US
from service.runtime import Runtime
from service.storage.cases import rows_of
from tests.conftest import KEY, Server, make_runtime, plan_text
from tests.upstream import Upstream, http, say

pytestmark = pytest.mark.slow  # a real service, whose clock turns every half second

AUTH = {"Authorization": f"Bearer {KEY}"}
LIFT = {"author": "ann", "reason": "I am looking at it"}
PLAN = """
slo: {availability: 0.99}
alerts:
  console_url: https://console.inner
  clear_after_minutes: 3
  cool_down_minutes: 0
  latency: {p95_s: 0.0001, minutes: 2, least: 5}
  channels:
    - {name: hook, kind: webhook, url_env: TEST_HOOK_URL, secret_env: TEST_HOOK_SECRET}
"""


class Ahead(SystemClock):
    """The machine's clock, and minutes that are skipped on it."""

    skipped_us = 0

    def wall_us(self) -> int:
        return super().wall_us() + self.skipped_us

    def next_minute(self) -> None:
        self.skipped_us += MINUTE_US - self.wall_us() % MINUTE_US


class Site:
    """A service whose minutes pass when told, and the channel that it tells."""

    def __init__(self, runtime: Runtime, url: str, clock: Ahead, hook: Upstream) -> None:
        self.runtime, self.url, self.clock, self.hook = runtime, url, clock, hook

    def ask(self, times: int, model: str = "auto") -> str:
        """So many requests; the last one's decision."""
        body = {"model": model, "messages": [{"role": "user", "content": "Describe a kite."}]}
        at, done, deadline = self.url + "/v1/chat/completions", 0, time.monotonic() + 60
        while done < times:  # a machine that is short of CPU refuses some
            answer = httpx.post(at, json=body, headers=AUTH, timeout=30.0)
            done += answer.status_code == 200
            assert time.monotonic() < deadline, answer.text
        return str(answer.headers["x-headgate-decision-id"])

    def share(self, name: str) -> float:
        weights = httpx.get(self.url + "/admin/weights", headers=AUTH).json()["weights"]
        return max((each["share"] for each in weights if each["deployment"] == name), default=0.0)

    def get(self, path: str = "") -> Any:
        answer = httpx.get(f"{self.url}/admin/alerts{path}", headers=AUTH)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/admin/alerts{path}", json=LIFT | body, headers=AUTH)

    def minute(self, ask: int = 8, pinned: str = "") -> None:
        """A minute with such traffic closes."""
        before = len(self.runtime.alerts.minutes(10_000))
        self.ask(ask)
        if pinned:
            self.ask(ask, pinned)
        self.clock.next_minute()
        until(lambda: len(self.runtime.alerts.minutes(10_000)) > before)

    def run(self, *arguments: str) -> tuple[int, str]:
        output.out.width = output.err.width = 220
        environment = {"HEADGATE_KEY": KEY, "HEADGATE_URL": self.url}
        found = CliRunner().invoke(app, ["alerts", *arguments], env=environment)
        return found.exit_code, found.stdout + found.stderr

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(each.split(b"\r\n\r\n", 1)[1]) for each in self.hook.requests]


def until(holds: Any) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def site(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch, Upstream() as hook:
        hook.act = say(http(200, b""))
        patch.setenv("TEST_HOOK_URL", f"http://127.0.0.1:{hook.port}/secret-path")
        patch.setenv("TEST_HOOK_SECRET", "canary-secret")
        clock = Ahead()
        state = tmp_path_factory.mktemp("state")
        runtime = make_runtime(state, plan_text(providers.url) + PLAN, clock=clock)
        with Server(create_app(runtime)) as server:
            yield Site(runtime, server.url, clock, hook)


def of(site: Site, which: str, scope: str | None) -> dict[str, Any]:
    """The alert of slow answers of a scope, null for all requests; empty where there is none."""
    for each in site.get()[which]:
        if each["rule"] == "latency" and each["scope"] == scope:
            return dict(each)
    return {}


def fired(site: Site, scope: str | None = None) -> dict[str, Any]:
    """The alert of all requests, or of a deployment; minutes pass until there is one."""
    for _ in range(6):
        if found := of(site, "firing", scope):
            return found
        site.minute(8, scope or "")
        time.sleep(0.2)  # the turn that closed the minute judges it
    raise AssertionError(site.get())


def names(site: Site) -> list[str]:
    """The deployments, the one with the greatest share last."""
    return sorted((each.name for each in site.runtime.catalog), key=site.share)


def test_it_fires_is_told_seen_to_and_logged(site: Site) -> None:
    alert = fired(site)
    assert (alert["state"], alert["severity"], alert["threshold"]) == ("firing", "ticket", 0.0001)
    assert "p95 of all requests is" in alert["text"]
    until(lambda: any(each["id"] == alert["id"] for each in site.told()))
    notice = next(each for each in site.told() if each["id"] == alert["id"])
    assert notice["event"] == "alert.fired"
    assert notice["link"] == f"https://console.inner/alerts/{alert['id']}"
    assert b"x-headgate-signature" in site.hook.requests[0].lower()
    status = httpx.get(site.url + "/admin/status", headers=AUTH).json()
    assert any("alert latency since" in each for each in status["warnings"])
    metrics = httpx.get(site.url + "/metrics").text
    assert 'headgate_alerts_firing{rule="latency"}' in metrics
    until(lambda: "headgate_notifications_total{" in httpx.get(site.url + "/metrics").text)
    until(lambda: len(site.get(f"/{alert['id']}")["events"]) >= 2)
    events = site.get(f"/{alert['id']}")["events"]
    assert [each["step"] for each in events] == ["fired", "told"]
    assert events[1]["detail"] == {"channel": "hook", "result": "sent", "sent": True}

    seen = site.post(f"/{alert['id']}/acknowledge").json()
    assert (seen["state"], seen["acknowledged_by"]) == ("acknowledged", "ann")
    missing = site.post(f"/{new_id()}/acknowledge")
    assert missing.status_code == 404
    rows = rows_of(
        site.runtime.kept.database.cursor(),
        "SELECT author, subject FROM acts WHERE act = 'alert.acknowledged'",
    )
    assert rows == [{"author": "ann", "subject": alert["id"]}]
    everything = json.dumps(site.get()) + json.dumps(status) + metrics
    assert "canary-secret" not in everything and "secret-path" not in everything


def test_a_slow_deployment_is_bounded_by_an_override_of_its_own(site: Site) -> None:
    until(lambda: sum(site.share(name) for name in names(site)) > 0.99 or not site.minute())
    most = names(site)[-1]
    alert = fired(site, most)
    until(lambda: of(site, "firing", most)["override_id"])
    overrides = httpx.get(site.url + "/admin/overrides", headers=AUTH).json()["overrides"]
    mine = next(each for each in overrides if each["ticket"] == alert["id"])
    assert (mine["action"], mine["deployment"], mine["author"]) == ("bounds", most, "headgate")
    assert mine["id"] == of(site, "firing", most)["override_id"]
    assert 0.01 <= mine["greatest"] <= 0.5 and mine["least"] is None and mine["left_s"] <= 7_200.0
    decision = httpx.get(f"{site.url}/v1/decisions/{site.ask(1)}", headers=AUTH).json()
    shares = {each["deployment"]: each["propensity"] for each in decision["candidates"]}
    assert shares[most] <= mine["greatest"] + 1e-9
    until(lambda: any(f"{most} gets at most" in each["text"] for each in site.told()))


def test_a_silence_is_laid_shown_and_ended(site: Site) -> None:
    alert = fired(site)
    before = alert["state"]
    made = site.post("/silences", rule="latency", lasts_s=3_600)
    assert made.status_code == 201 and made.json()["scope"] is None
    assert of(site, "firing", None)["state"] == "silenced"
    status = httpx.get(site.url + "/admin/status", headers=AUTH).json()
    assert not any("alert latency" in each for each in status["warnings"])
    assert site.post(f"/silences/{made.json()['id']}/end").json()["state"] == "ended"
    assert site.post(f"/silences/{made.json()['id']}/end").status_code == 404
    assert of(site, "firing", None)["state"] == before
    for wrong, status_code in (
        ({"rule": "nonsense"}, 400), ({"rule": "latency", "lasts_s": 7 * 86_400 + 1}, 422),
        ({"rule": "latency", "reason": "short"}, 422), ({"rule": "latency", "more": 1}, 422),
    ):  # fmt: skip
        assert site.post("/silences", **wrong).status_code == status_code


def test_of_what_fires_the_newest_are_listed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    book, now_us = site.runtime.alerts.watch.book, site.clock.wall_us()
    like = AlertEvent("", now_us, "", Step.FIRED, "drift", "", Severity.INFO, 1.0, None, "drifts",
                      "headgate", "", "{}")  # fmt: skip
    made = [replace(like, id=new_id(), alert_id=new_id(), scope=str(n)) for n in range(3)]
    for each in made:
        book.take(each)
    monkeypatch.setattr(alerts, "MOST_SHOWN", 2)
    assert [each["scope"] for each in site.get()["firing"]] == ["1", "2"]
    for each in made:
        book.take(replace(each, id=new_id(), step=Step.RESOLVED))


def test_the_command_line_says_all_of_it(site: Site) -> None:
    alert = fired(site)["id"]
    for command, told in (
        (("list",), f"id {alert}"), (("show", alert), "p95 of all requests is"),
        (("rules",), "promised: 99.0000% of requests"), (("silences",), "nothing is silenced"),
        (("test", "--author", "ann"), "hook: sent"),
        (("ack", alert, "--reason", "I look at it"), f"{alert} acknowledged"),
    ):  # fmt: skip
        code, out = site.run(*command)
        assert code == 0 and told in out, (command, out)
    code, out = site.run("silence", "drift", "river", "--for", "2h", "--reason", "it is known")
    assert code == 0 and "river" in out
    silence = next(each["id"] for each in site.get()["silences"])
    code, out = site.run("unsilence", silence, "--reason", "it is over now")
    assert code == 0 and f"{silence} ended" in out
    code, out = site.run("silence", "nonsense", "--reason", "it is known")
    assert code == 2 and "known: latency" in out
    site.hook.act = say(http(500, b""))
    code, out = site.run("test")
    assert code == 1 and "hook: it answered 500" in out
    site.hook.act = say(http(200, b""))
    assert site.told()[-1]["event"] == "alerts.test"


def test_the_rules_are_those_of_the_plan(site: Site) -> None:
    found = {each["name"]: each for each in site.get("/rules")["rules"]}
    assert found["latency"]["limits"]["minutes"] == 2
    assert found["outage"]["severity"] == "page"


def test_the_minutes_are_there_for_the_console(site: Site) -> None:
    site.minute()
    minutes = site.runtime.alerts.minutes(60)
    assert sum(each.total.calls for each in minutes) >= 8
    assert {name for each in minutes for name in each.deployments} <= {
        each.name for each in site.runtime.catalog
    }
    busy = next(each for each in minutes if each.total.calls)
    assert busy.total.p95_s is not None and busy.total.cost_micro_usd > 0


def test_an_operator_ends_one(site: Site) -> None:
    until(lambda: sum(site.share(name) for name in names(site)) > 0.99 or not site.minute())
    most = names(site)[-1]
    fired(site, most)
    until(lambda: of(site, "firing", most)["override_id"])
    bound = of(site, "firing", most)
    code, out = site.run("resolve", bound["id"], "--reason", "nothing is sent there")
    assert code == 0 and f"{bound['id']} resolved" in out
    overrides = httpx.get(site.url + "/admin/overrides", headers=AUTH).json()["overrides"]
    assert bound["override_id"] not in {each["id"] for each in overrides}
    assert site.post(f"/{bound['id']}/resolve").status_code == 409


def test_a_reload_takes_other_thresholds_and_the_alert_ends(site: Site) -> None:
    path: Path = site.runtime.kept.state_dir / "plan.yaml"
    before = path.read_text("utf-8")
    alert = fired(site)["id"]
    path.write_text(before.replace("p95_s: 0.0001", "p95_s: 1000"), "utf-8")
    answer = httpx.post(site.url + "/admin/plan/reload", headers=AUTH, json=LIFT)
    assert answer.status_code == 200, answer.text
    for _ in range(4):
        for name in names(site):
            site.ask(5, name)
        site.minute(6)
    until(lambda: site.get()["firing"] == [])
    overrides = httpx.get(site.url + "/admin/overrides", headers=AUTH).json()["overrides"]
    assert overrides == [], "every bound was lifted"
    ended = of(site, "recent", None)
    assert ended["id"] == alert and ended["state"] == "resolved" and ended["resolved_at"]
    assert site.post(f"/{alert}/acknowledge").status_code == 409
    until(lambda: any(each["event"] == "alert.resolved" for each in site.told()))
    path.write_text(before, "utf-8")
    assert httpx.post(site.url + "/admin/plan/reload", headers=AUTH, json=LIFT).status_code == 200
