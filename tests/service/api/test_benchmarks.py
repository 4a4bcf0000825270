"""The routes of benchmarks: taken once, durable, signed, and refused where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.domain.capability import BenchmarkCell
from service.storage.benchmark_runs import cells, served
from tests.conftest import KEY, Server, Service, make_runtime, plan_text

AUTH = {"Authorization": f"Bearer {KEY}"}
CELL = {"deployment": "mill", "task": "code", "n": 20, "quality_mean": 0.8, "quality_var": 0.16,
        "latency_mean_s": 0.2, "latency_var": 0.01, "cost_mean_micro_usd": 120.0, "cost_var": 9.0,
        "error_rate": 0.05}  # fmt: skip


def body(run_id: str, **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "version": "abc+scorers-1", "cells": [CELL], "design": "twenty",
            "result": "code: tie", "reason": "to know them", "author": "ada", **more}  # fmt: skip


def post(service: Service, content: Any) -> httpx.Response:
    return httpx.post(service.url + "/admin/benchmarks", json=content, headers=AUTH)


def get(service: Service, path: str = "", **parameters: Any) -> Any:
    url = service.url + "/admin/benchmarks" + path
    return httpx.get(url, headers=AUTH, params=parameters).json()


def test_a_run_is_durable_when_it_is_taken_and_taken_once(service: Service) -> None:
    first = post(service, body("run-a"))
    assert first.status_code == 201, first.text
    assert first.json()["cells"] == [CELL]
    cursor = service.runtime.kept.database.cursor()
    assert [c.run_id for c in cells(cursor)] == ["run-a"], "before anything was flushed"
    again = post(service, body("run-a"))
    assert again.status_code == 200 and again.json() == first.json()
    other = post(service, body("run-a", cells=[CELL | {"n": 21}]))
    assert other.status_code == 409 and other.json()["error"]["param"] == "run_id"
    assert len(cells(service.runtime.kept.database.cursor())) == 1
    assert get(service, "/run-a") == first.json()
    assert get(service)["benchmarks"][0] == first.json()
    assert httpx.get(service.url + "/admin/benchmarks/none", headers=AUTH).status_code == 404


def test_it_is_an_act_and_an_entry_of_the_knowledge_base(service: Service) -> None:
    post(service, body("run-b"))
    acts = httpx.get(service.url + "/admin/audit", headers=AUTH).json()
    mine = [a for a in acts["acts"] if a["act"] == "benchmark.taken" and a["subject"] == "run-b"]
    assert len(mine) == 1 and mine[0]["author"] == "ada" and mine[0]["reason"] == "to know them"
    found = httpx.get(service.url + "/admin/knowledge", headers=AUTH, params={"tag": "benchmark"})
    told = [e for e in found.json()["entries"] if e["subject"] == "benchmark:run-b"]
    assert len(told) == 1 and told[0]["result"]["words"] == "code: tie"
    post(service, body("run-b"))
    found = httpx.get(service.url + "/admin/knowledge", headers=AUTH, params={"tag": "benchmark"})
    assert len([e for e in found.json()["entries"] if e["subject"] == "benchmark:run-b"]) == 1


def test_who_keeps_cells_is_told_of_new_ones_alone(service: Service) -> None:
    heard: list[BenchmarkCell] = []
    service.runtime.benchmarks.taken = heard.extend
    post(service, body("run-c"))
    post(service, body("run-c"))
    assert [(each.run_id, each.deployment, each.n) for each in heard] == [("run-c", "mill", 20)]
    service.runtime.benchmarks.taken = lambda cells: None


@pytest.mark.parametrize(("change", "told"), [
    ({"cells": []}, "cells"), ({"run_id": "a b"}, "run_id"), ({"colour": 1}, "colour"),
    ({"cells": [CELL, CELL]}, "stands twice"), ({"cells": [CELL | {"deployment": "none"}]}, "none"),
    ({"cells": [CELL | {"error_rate": 1.5}]}, "error_rate"), ({"version": ""}, "version"),
    ({"cells": [CELL | {"quality_mean": -1}]}, "quality_mean"),
    ({"cells": [CELL | {"n": 0}]}, "n"), ({"author": "headgate"}, "author"),
])  # fmt: skip
def test_what_is_wrong_is_refused(service: Service, change: dict[str, Any], told: str) -> None:
    found = post(service, body("run-d") | change)
    assert found.status_code == 422 and told in found.text
    assert "run-d" not in service.runtime.benchmarks.runs


def test_cells_without_a_quality_are_taken(service: Service) -> None:
    bare = CELL | dict.fromkeys(("quality_mean", "quality_var", "latency_mean_s", "latency_var"))
    assert post(service, body("run-e", cells=[bare])).status_code == 201
    assert get(service, "/run-e")["cells"] == [bare]


def test_the_setting_tells_of_the_plan_and_of_the_traffic(service: Service) -> None:
    asked = {"model": "river", "messages": [{"role": "user", "content": "Describe a kite."}]}
    for labels in ({}, {"metadata": {"feature": "benchmark"}}):
        done = httpx.post(service.url + "/v1/chat/completions", json=asked | labels, headers=AUTH)
        assert done.status_code == 200
    service.runtime.kept.log.flush().result(10)
    told = get(service, "/setting")
    assert {each["name"] for each in told["deployments"]} == {"brook", "mill", "river", "fall"}
    assert told["tasks"] == ["code", "maths", "other"] and told["worth_usd"] == 0.05
    assert not told["learns_from_pins"]
    mine = [each for each in told["traffic"]["served"] if each["deployment"] == "river"]
    assert [(each["task"], each["requests"]) for each in mine] == [("other", 1)]
    assert mine[0]["cost_usd"] > 0
    assert served(service.runtime.kept.database.cursor(), 2**51, "benchmark") == []


@pytest.mark.slow
def test_runs_are_there_after_a_restart(tmp_path: Path, providers: Server) -> None:
    text = plan_text(providers.url)
    for turn in range(2):
        runtime = make_runtime(tmp_path, text)
        with Server(create_app(runtime)) as server:
            here = Service(runtime, server)
            found = post(here, body("run-f"))
            assert found.status_code == (201 if turn == 0 else 200)
            assert len(get(here)["benchmarks"]) == 1
