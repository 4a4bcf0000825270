"""A task as it is told, offline and by a running service."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from learning.taxonomies import default
from service.cli.main import app
from service.routing.classified import told
from service.routing.finding import TaskFinder
from tests.conftest import KEY, Service
from tests.service.routing.test_finding import found
from tests.service.routing.world import KEY as CALLER
from tests.service.routing.world import World, ask

RUN = CliRunner()
PLAN = """deployments:
  - name: a
    base_url: http://127.0.0.1:1/v1
    model: m
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}
taxonomy: {safe: a, threshold: 0.9}
"""


def test_what_follows_is_told() -> None:
    world = found(0.5)
    asked = world.router.reading(ask(), CALLER)
    shown = told(asked, world.router.table.finder)
    assert (shown["task"], shown["goes"], shown["safe"]) == ("code", "review", ["wide"])
    assert shown["probabilities"] == pytest.approx({"code": 0.5, "other": 0.5})
    sure = found(0.9)
    assert told(sure.router.reading(ask(), CALLER), sure.router.table.finder)["goes"] == "auto"
    plain = World().router
    assert "no taxonomy" in told(plain.reading(ask(), CALLER), None)["note"]
    waiting = TaskFinder(0.75, ())
    waiting.setback = "the child ended with code 1"
    assert "ended with code 1" in told(plain.reading(ask(), CALLER), waiting)["note"]


def test_the_command_tells_by_the_default_and_by_a_plan(tmp_path: Path) -> None:
    found = RUN.invoke(app, ["classify", "Translate to Polish: good night", "--json"])
    shown = json.loads(found.stdout)
    assert found.exit_code == 0 and shown["task"] == "translation" and shown["goes"] == "auto"
    assert set(shown["probabilities"]) == set(default.NAMES)
    assert sum(shown["probabilities"].values()) == pytest.approx(1.0)
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    said = RUN.invoke(app, ["classify", "hm", "--plan", str(plan)])
    assert said.exit_code == 0 and "threshold 0.9" in said.stdout
    plan.write_text(PLAN.replace("safe: a", "safe: b"))
    assert RUN.invoke(app, ["classify", "hm", "--plan", str(plan)]).exit_code == 2


def test_a_service_without_a_taxonomy_tells_by_its_conditions(service: Service) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Fix this python code"}]}
    auth = {"Authorization": f"Bearer {KEY}"}
    before = service.runtime.kept.log.committed
    shown = httpx.post(service.url + "/v1/classify", json=body, headers=auth).json()
    assert (shown["task"], shown["source"], shown["goes"]) == ("code", "rule", "auto")
    assert service.runtime.kept.log.committed == before
    assert httpx.post(service.url + "/v1/classify", json={}, headers=auth).status_code == 400
