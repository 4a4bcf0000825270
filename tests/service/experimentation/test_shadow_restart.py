"""A shadow goes on after a restart, with what the day has cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.app import create_app
from service.providers.simulated import prompts
from tests.conftest import Server, make_runtime, plan_text
from tests.service.api.test_shadows import Stage

pytestmark = pytest.mark.slow  # two services, one after the other


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_shadow_its_version_and_its_spend_come_back(tmp_path: Path, providers: Server) -> None:
    text = plan_text(providers.url)
    runtime = make_runtime(tmp_path, text)
    with Server(create_app(runtime)) as server:
        stage = Stage(runtime, server.url)
        version = stage.version
        assert stage.start(mirror_share=1.0, usd_per_day=0.5).status_code == 201
        for each in prompts(9, 10):
            stage.ask(each)
        stage.settled()
        before = stage.shown()
        assert before["spent_today_usd"] > 0
        stage.ask("Describe a bridge.")
        stage.client.close()  # it is decided, mirrored, or lost with the stop: all are well
    again = make_runtime(tmp_path, text)
    with Server(create_app(again)) as server:
        stage = Stage(again, server.url)
        stage.version = version
        until(lambda: version in again.live.others)
        found = stage.shown()
        assert found["state"] == "running" and found["followed"] and found["id"] == before["id"]
        assert found["spent_today_usd"] >= before["spent_today_usd"]
        assert found["spent_today_usd"] == pytest.approx(found["report"]["mirrored_usd"])
        assert again.experiments.followers.wanted == {version: (f"shadow {found['id']}",)}
        decided = found["report"]["decisions"]
        for each in prompts(10, 5):
            stage.ask(each)
        stage.settled()
        assert stage.shown()["report"]["decisions"] == decided + 5
        assert stage.stop().status_code == 200
        stage.client.close()
        assert again.experiments.followers.wanted == {} and version not in again.live.others
