"""What could be saved on the command line: listed, simulated, tried on a running service."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from experiments.design_json import from_json
from experiments.opportunities.changes import Tier
from experiments.opportunities.trying import trial
from service.app import create_app
from service.bootstrap.generated import PLAN
from service.domain.clock import SystemClock
from tests.conftest import KEY, Server, Service, calm, make_runtime
from tests.service.api.test_auth import make_key
from tests.service.api.test_budgets import bearer
from tests.service.cli.test_commands import run
from tests.service.storage.made_up import END_US, written

pytestmark = pytest.mark.slow
END = datetime.fromtimestamp(END_US / 1e6, UTC).date()
WHOLE = ("--since", str(END - timedelta(days=14)), "--until", str(END))
LIST = ("cost", "opportunities")
SESSIONS = 20


class After(SystemClock):
    """The machine's clock, moved to the end of the made-up history."""

    def __init__(self) -> None:
        self._ahead_us = END_US - super().wall_us()

    def wall_us(self) -> int:
        return super().wall_us() + self._ahead_us


@dataclass(frozen=True)
class Running:
    """A service that began on a made-up history."""

    service: Service
    state: str

    @property
    def url(self) -> tuple[str, str]:
        return "--url", self.service.url


@pytest.fixture(scope="module")
def running(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("made-up")
    written(folder, 12_000, 14)
    text = PLAN.read_text("utf-8").replace("http://127.0.0.1:9100", providers.url)
    runtime = make_runtime(folder, calm(text), clock=After())
    with Server(create_app(runtime)) as server:
        yield Running(Service(runtime, server), str(folder))


@pytest.fixture(scope="module")
def rows(running: Running) -> Any:
    """The list, from what the service has published."""
    code, out, err = run(*LIST, "--state", running.state, *WHOLE, "--json")
    assert code == 0, err
    return json.loads(out)["opportunities"]


def session(url: str, number: int) -> Iterator[tuple[str, str, str]]:
    """Two requests of a session for code; of each its variant, deployment and task."""
    for turn in range(2):
        text = f"Write a Python function:\n```python\ndef f{number}(x): return x\n```\n{turn}"
        found = httpx.post(
            url + "/v1/chat/completions", timeout=60.0,
            json={"model": "auto", "messages": [{"role": "user", "content": text}],
                  "max_tokens": 20},
            headers={**bearer(KEY), "x-session-id": f"s{number}"},
        )  # fmt: skip
        assert found.status_code == 200, found.text
        told = found.headers
        yield (told.get("x-headgate-variant", ""), told["x-headgate-deployment"],
               told["x-headgate-task"])  # fmt: skip


def test_a_tier_of_the_list_is_tried_from_draft_to_report(running: Running, rows: Any) -> None:
    """Made as a draft by its number, started and ramped; the sessions of its variant have the
    tier's deployment, those of the control whom the policy draws, and the report counts both.
    """
    row = next(each for each in rows if each["change"].startswith("tier:code="))
    deployment = row["change"].partition("=")[2]
    code, out, err = run(*LIST, "try", str(row["number"]), *running.url, *WHOLE, "--reason",
                         "a large part of the bill", "--author", "ann")  # fmt: skip
    assert code == 0 and f"{row['change']}: the draft" in out and "experiment start" in out, err
    every = httpx.get(f"{running.service.url}/admin/experiments", headers=bearer(KEY)).json()
    made = next(e for e in every["experiments"] if e["slug"] == f"tier-code-{deployment}")
    assert made["state"] == "draft" and made["author"] == "ann"
    assert made["reason"] == "a large part of the bill"
    shown = httpx.get(
        f"{running.service.url}/admin/experiments/{made['id']}", headers=bearer(KEY)
    ).json()
    assert shown["design"] == row["trial"]["design"]
    assert {each[0] for each in session(running.service.url, 0)} == {""}  # nobody is in a draft
    why = ("--reason", "as the history shows", *running.url)
    for step in ("start", *["ramp"] * 5):
        code, _, err = run("experiment", step, made["id"], *why)
        assert code == 0, err
    seen = Counter(
        each for number in range(1, SESSIONS + 1)
        for each in session(running.service.url, number)
    )  # fmt: skip
    assert {task for _, _, task in seen} == {"code"}
    tier = {name: count for (variant, name, _), count in seen.items() if variant == "tier"}
    control = {name: count for (variant, name, _), count in seen.items() if variant == "control"}
    # each session is in half of them: fewer than 2 of 20 in one has a chance of 4e-5
    assert set(tier) == {deployment} and tier[deployment] >= 4 and sum(control.values()) >= 4
    assert set(control) - {deployment}, control
    running.service.runtime.kept.log.flush().result(20)
    report = httpx.get(
        f"{running.service.url}/admin/experiments/{made['id']}/report", headers=bearer(KEY),
        timeout=60.0,
    ).json()  # fmt: skip
    assert not report["invalid"], report["invalid"]
    assert "cost_per_request" in json.dumps(report["comparisons"])
    assert {each["metric"] for each in report["verdicts"]} >= {"error_rate", "latency_p95"}


def test_what_cannot_be_tried_is_refused_with_the_mend(
    running: Running, rows: Any, tmp_path: Path
) -> None:
    number = len(rows)
    # Over fewer days the list is another one, and shorter: a number means nothing in it.
    code, _, err = run(*LIST, "try", str(number), "--state", running.state, "--since",
                       str(END - timedelta(days=3)), "--until", str(END))  # fmt: skip
    assert code == 2 and f"none is number {number}" in err and "as it is now" in err
    for which, said in (("tier:code", "a task and a deployment"), ("-1", "-1"),
                        ("shrink:code", "is no change")):  # fmt: skip
        code, _, err = run(*LIST, "try", which, *running.url, *WHOLE)
        assert code == 2 and said in err, (which, err)
    code, _, err = run(*LIST, "try", "tier:code=nobody", *running.url)
    assert code == 2 and "there is no deployment 'nobody'" in err
    # Who may look may not make an experiment; who may do neither sees nothing.
    for role, change in (("analyst", "tier:maths=brook"), ("caller", "1")):
        key = make_key(running.service, role)
        code, _, err = run(*LIST, "try", change, *running.url, *WHOLE, key=key)
        assert code == 1 and "role" in err, (role, err)
    code, _, err = run(*LIST, "--tenant", "linden", *running.url)
    assert code == 2 and "--tenant goes with --state" in err
    code, _, err = run(*LIST, "try", "batch:code", "--out", str(tmp_path / "b"))
    assert code == 2 and "nothing to write" in err
    code, _, err = run(*LIST, "try", "cache:code", "--out", str(tmp_path / "no" / "c"))
    assert code == 1 and "cannot be written" in err


def test_a_cache_prints_its_part_of_the_plan(running: Running, rows: Any, tmp_path: Path) -> None:
    row = next(each for each in rows if each["change"].startswith("cache:"))
    file = tmp_path / "cache.yaml"
    for which, more in ((str(row["number"]), ("--state", running.state)),
                        (row["change"], (*running.url, "--out", str(file)))):  # fmt: skip
        code, out, err = run(*LIST, "try", which, *WHOLE, *more)
        assert code == 0 and "put it into the plan and reload" in out, err
    part = yaml.safe_load(file.read_text("utf-8"))
    (task,) = part["cache"]["tasks"].values()
    assert task["enabled"] and task["ttl_s"] == 86_400


def test_on_a_state_directory(running: Running, rows: Any, tmp_path: Path) -> None:
    state = ("--state", running.state, *WHOLE)
    code, out, err = run(*LIST, *state)
    assert code == 0 and "1. " in out and "try one" in out, err
    first = next(each for each in rows if each["change"].startswith("tier:"))
    file = tmp_path / "design.json"
    code, out, err = run(*LIST, "try", first["change"], *state, "--out", str(file))
    assert code == 0 and f"experiment create {file}" in out, err
    told = from_json(file.read_text("utf-8"))
    task, _, deployment = first["change"].removeprefix("tier:").partition("=")
    assert told == trial(Tier(task, deployment)).design
    code, out, err = run("cost", "simulate", "--change", "tier:code=brook", "--change",
                         "cache:* ttl=7d", *state)  # fmt: skip
    assert code == 0 and "together, in the order" in out and "stands on" in out, err
    assert "at most" in out
    for change, said in (("tier:code", "a task and a deployment"),
                         ("cache:faq ttl=never", "ttl is 'never'")):  # fmt: skip
        code, _, err = run("cost", "simulate", "--change", change, *state)
        assert code == 2 and said in err
    code, _, err = run("cost", "simulate", *state)
    assert code == 2 and "--change" in err
    code, _, err = run(*LIST, "--state", str(tmp_path / "none"))
    assert code == 1 and "no published history" in err
    span = ("--since", str(END - timedelta(days=99)), "--until", str(END - timedelta(days=90)))
    code, out, err = run(*LIST, "--state", running.state, *span)
    assert code == 0 and "there are no requests in that time" in " ".join(out.split()), err
