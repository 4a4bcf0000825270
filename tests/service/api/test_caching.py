"""The cache as operators see it: by count and by value, taken back for good, raised for a while."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.bootstrap.caching import cache_rules
from service.caching.tally import Tally
from service.check import load_checked
from service.cli.main import app
from service.domain.errors import PlanInvalid
from tests.conftest import KEY, HandClock
from tests.service.api.test_auth import make_key
from tests.service.caching.rig import PLAN, Rig, serving


@dataclass
class Clocked:
    rig: Rig
    clock: HandClock


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    clock = HandClock()
    with serving(tmp_path_factory.mktemp("kept"), clock=clock) as rig:
        yield Clocked(rig, clock)


def cache(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-headgate-cache"])


def cli(rig: Rig, *arguments: str, code: int = 0) -> str:
    environment = {"HEADGATE_KEY": KEY, "HEADGATE_URL": rig.url}
    done = CliRunner().invoke(app, ["cache", *arguments], env=environment)
    assert done.exit_code == code, done.output
    return done.output


def test_a_day_by_the_clock_and_a_clock_that_is_set_back(kept: Clocked) -> None:
    rig, clock = kept.rig, kept.clock
    assert cache(rig.ask("a day")) == "miss"
    clock.advance(86_000.0)
    again = rig.ask("a day")
    assert cache(again) == "hit" and again.headers["age"] == "86000"
    assert cache(rig.ask("a day", headgate={"cache": {"ttl_s": 60}})) == "miss"
    assert cache(rig.ask("two days")) == "miss"
    clock.advance(86_401.0)
    clock.wall -= 90_000_000_000
    assert cache(rig.ask("two days")) == "miss", "the wall clock brings nothing back"


def test_why_tells_whose_answer_it_was(kept: Clocked) -> None:
    rig = kept.rig
    first = rig.ask("whose").headers["x-headgate-decision-id"]
    again = rig.ask("whose").headers["x-headgate-decision-id"]
    until = time.monotonic() + 20
    while "cached" not in (found := rig.admin(f"/v1/decisions/{again}").json()):
        assert time.monotonic() < until, "its row did not come"
        time.sleep(0.02)
    told = found["cached"]
    assert (told["of"], told["kind"], told["deployment"]) == (first, "exact", "first")
    shown = CliRunner().invoke(
        app, ["why", again], env={"HEADGATE_KEY": KEY, "HEADGATE_URL": rig.url}
    )
    assert f"given again: the answer of first to {first}, kept before" in shown.output.replace(
        "\n", " "
    )
    assert "cached" not in rig.admin(f"/v1/decisions/{first}").json()


def test_it_is_shown_by_count_and_by_value(kept: Clocked) -> None:
    rig = kept.rig
    before = rig.admin("/admin/cache").json()
    cost = float(rig.ask("shown").headers["x-headgate-cost"])
    rig.ask("shown")
    rig.ask("shown", temperature=None)
    found = rig.admin("/admin/cache").json()
    asked = {name: found["requests"][name] - before["requests"][name] for name in found["requests"]}
    assert asked == {"hit": 1, "shared": 0, "miss": 1, "bypass": 1}
    assert found["saved_usd_estimate"] - before["saved_usd_estimate"] == pytest.approx(cost)
    assert found["spent_on_misses_usd"] - before["spent_on_misses_usd"] == pytest.approx(cost)
    assert 0.0 < found["value_rate"] < 1.0 and found["entries"] > before["entries"]
    assert rig.admin("/admin/status").json()["cache"]["enabled"] is True
    assert "hits" in cli(rig, "show") and json.loads(cli(rig, "show", "--json"))["enabled"]


@pytest.mark.parametrize(
    ("by", "taken"),
    [
        ({"tag": "prices"}, 1), ({"tag": "none"}, 0), ({"deployment": "first"}, 3),
        ({"task": "other", "tag": "prices"}, 1), ({"tenant": "acme"}, 1), ({"all": True}, 3),
        ({"before": "2000-01-01T00:00:00Z"}, 0),
    ],
)  # fmt: skip
def test_answers_are_taken_back(kept: Clocked, by: dict[str, Any], taken: int) -> None:
    rig = kept.rig
    rig.admin("/admin/cache/invalidate", all=True)
    rig.ask("one", headgate={"cache": {"tags": ["prices"]}})
    rig.ask("two", metadata={"tags": "other"})
    rig.ask("three", rig.key("acme"))
    done = rig.admin("/admin/cache/invalidate", reason="they have changed", **by)
    assert done.json() == {"invalidated": taken}, done.text
    assert rig.runtime.caching is not None and rig.runtime.caching.parts.keeper is not None
    assert rig.runtime.caching.parts.keeper._file.count() == 3 - taken, "for good"


def test_by_the_command_line_and_what_is_refused(kept: Clocked) -> None:
    rig = kept.rig
    rig.ask("by hand")
    assert "answers are taken back" in cli(rig, "invalidate", "--all", "--reason", "by hand now")
    cli(rig, "invalidate", "--reason", "by hand now", code=2)
    cli(rig, "invalidate", "--all", "--tag", "x", "--reason", "by hand now", code=2)
    for wrong in ({"reason": "nothing named"}, {"all": True, "tag": "x"}, {"tags": "x"}):
        assert rig.admin("/admin/cache/invalidate", **wrong).status_code == 422
    acts = rig.admin("/admin/audit?act=cache.invalidated").json()
    assert "cache.invalidated" in json.dumps(acts)


def test_there_is_nothing_to_switch_without_the_section(kept: Clocked) -> None:
    body = {"task": "other", "on": True, "reason": "there is nothing there"}
    found = kept.rig.admin("/admin/cache/semantic/switch", **body)
    assert found.status_code == 409 and found.json()["error"]["code"] == "semantic_off"


def test_a_tenants_key_takes_back_its_own_alone(kept: Clocked) -> None:
    rig = kept.rig
    rig.admin("/admin/cache/invalidate", all=True)
    own, bare = rig.key("acme", "a"), rig.key("", "b")
    rig.ask("mine", own)
    rig.ask("mine", bare, metadata={"tenant": "acme"})  # says so of itself
    operator = make_key(rig, "operator", "acme")  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {operator}"}
    done = rig.client.post("/admin/cache/invalidate", json={"all": True}, headers=headers)
    assert done.json() == {"invalidated": 1}, done.text
    other = rig.client.post("/admin/cache/invalidate", json={"tenant": "x"}, headers=headers)
    assert other.status_code == 422


def test_caching_is_raised_for_a_while_and_as_usual_after_it(kept: Clocked) -> None:
    rig, clock = kept.rig, kept.clock
    assert cache(rig.ask("raised")) == "miss"
    clock.advance(90_000.0)
    assert cache(rig.ask("warm", temperature=0.7)) == "bypass"
    laid = rig.admin("/admin/overrides", action="raise_caching", expires_in_s=3_600,
                     reason="the provider is slow")  # fmt: skip
    assert laid.status_code == 201, laid.text
    assert rig.admin("/admin/cache").json()["raised_by"] == [laid.json()["id"]]
    assert cache(rig.ask("raised")) == "hit", "older than a day, younger than two"
    assert [cache(rig.ask("warm", temperature=0.7)) for _ in range(2)] == ["miss", "hit"]
    clock.advance(3_601.0)
    assert cache(rig.ask("warm", temperature=0.7)) == "bypass", "it has ended by itself"
    assert cache(rig.ask("raised")) == "miss"
    wrong = rig.admin("/admin/overrides", action="raise_caching", deployment="first",
                      reason="of one deployment")  # fmt: skip
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("section", "key", "said"),
    [
        ("cache: {tasks: {none: {ttl_s: 5}}}", "cache.tasks.none", "no task"),
        ("cache: {enabled: false}", "cache.enabled", "nothing is kept"),
        ("cache: {}\nalerts: {latency: {raise_caching: true}}", "alerts.latency.raise_caching",
         "to what"),
        ("cache: {semantic: {tasks: {none: {}}}}", "cache.semantic.tasks.none", "no task"),
        ("cache: {tasks: {code: {enabled: false}}, semantic: {tasks: {code: {}}}}",
         "cache.semantic.tasks.code", "is kept"),
        ("cache: {semantic: {tasks: {other: {delt: 1}}}}", "cache.semantic.tasks.other.delt",
         "unknown key"),
        ("cache: {semantic: {judge: true, tasks: {other: {}}}}", "cache.semantic.judge",
         "no judges"),
        ("cache: {semantic: {tasks: {}}}", "cache.semantic.tasks", "at least 1"),
        ("cache: {ttl_s: 0}", "cache.ttl_s", "greater than 0"),
        ("cache: {tasks: {code: {ttl: 0}}}", "cache.tasks.code.ttl", "unknown key"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_meant_is_refused(
    tmp_path: Path, section: str, key: str, said: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN[: PLAN.index("cache:")].replace("URL", "http://127.0.0.1:1") + section)
    with pytest.raises(PlanInvalid) as caught:
        load_checked(path, secrets=False)
    found = {each.key: each.message for each in caught.value.problems}
    assert said in found[key], found


def test_raised_rules_are_never_less_than_the_usual_ones(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace("URL", "http://127.0.0.1:1").replace("172800", "60"))
    rules = cache_rules(load_checked(path, secrets=False))
    assert rules is not None
    assert rules.of("other", True).ttl_s == 86_400.0 and rules.of("other", True).enabled
    assert not rules.of("code").enabled and rules.of("code", True).enabled
    assert rules.longest_s("code") == 86_400.0


def test_shares_by_count_and_by_value() -> None:
    tally = Tally()
    assert tally.hit_rate is None and tally.value_rate is None
    tally.missed("a")
    tally.cost("a", 100)
    tally.gave("a", False, 300)
    tally.gave("b", True, 0)
    assert tally.hit_rate == pytest.approx(2 / 3) and tally.value_rate == 0.75
    assert (tally.tasks["a"].hits, tally.tasks["b"].shared) == (1, 1)
