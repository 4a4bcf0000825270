"""The matrix over the wire, by command and on its page: the same cells, ties as ties."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from service.cli import capabilities as shown
from service.console.pages.registry import PAGES
from service.domain.capability import BenchmarkCell
from tests.conftest import Service
from tests.service.cli.test_commands import run

AUTH_OF = "Bearer "


@pytest.fixture(scope="module")
def benched(service: Service) -> Iterator[Service]:
    """With a few rated answers, and benchmarks of two deployments."""
    runtime, now_us = service.runtime, service.runtime.clock.wall_us()
    headers = {"Authorization": AUTH_OF + service.key}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as client:
        for turn in range(8):
            body = {"model": "auto", "messages": [{"role": "user", "content": f"Kite {turn}."}]}
            answer = client.post("/v1/chat/completions", json=body).json()
            client.post("/v1/feedback", json={"id": answer["id"], "value": 0.5})
    for name, quality in (("fall", 0.95), ("brook", 0.4)):
        runtime.kept.log.append_durable(
            BenchmarkCell("r", now_us, name, "code", 300, quality, 0.04, 0.5, 0.01, 500.0, 100.0,
                          0.0, "1")
        ).result(10)  # fmt: skip
    deadline = time.monotonic() + 60
    while runtime.learner.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    runtime.kept.log.flush().result(10)
    runtime.capabilities.evaluate()
    yield service


def get(service: Service, query: str = "") -> httpx.Response:
    headers = {"Authorization": AUTH_OF + service.key}
    return httpx.get(f"{service.url}/admin/capabilities{query}", headers=headers, timeout=30)


def test_the_matrix_is_told_with_winners_ties_uses_and_limits(benched: Service) -> None:
    found = get(benched).json()
    assert not found["pending"] and len(found["cells"]) == 4 * 3
    cells = {(each["deployment"], each["task"]): each for each in found["cells"]}
    fall, brook = cells["fall", "code"], cells["brook", "code"]
    assert (fall["rank"], fall["source"]) == (1, "benchmark") and brook["rank"] == 2
    assert found["winners"]["code"] == "fall" and found["winners"]["maths"] is None
    unknown = cells["river", "maths"]
    assert unknown["quality"]["mean"] is None and unknown["rank"] is None
    assert found["uses"]["fall"]["best_quality"] == ["code"]
    assert found["limits"]["river"]["capabilities"] == ["images", "json", "tools"]
    assert found["limits"]["river"]["region"] is None
    live = [each for each in found["cells"] if "live" in each["sources"]]
    assert sum(each["sources"]["live"] for each in live) == pytest.approx(8.0, abs=0.01)
    assert all(each["updated_us"] for each in live)


def test_a_part_of_it_and_names_that_are_none(benched: Service) -> None:
    part = get(benched, "?task=code&deployment=fall").json()
    assert [(each["deployment"], each["task"]) for each in part["cells"]] == [("fall", "code")]
    assert set(part["uses"]) == set(part["limits"]) == {"fall"}
    assert get(benched, "?task=chess").status_code == 404
    gone = get(benched, "?deployment=gone")
    assert gone.status_code == 404 and "known:" in gone.json()["error"]["message"]


def test_the_command_shows_it(benched: Service) -> None:
    code, out, err = run("capabilities", "--url", benched.url)
    assert code == 0 and "code: fall is surely the best" in out, err
    assert "fall: best in quality at code" in out and "region not said" in out
    assert "?: unknown, which is not 0" in out
    code, out, _ = run("capabilities", "--task", "code", "--url", benched.url, "--json")
    assert code == 0 and {each["task"] for each in json.loads(out)["cells"]} == {"code"}
    code, _, err = run("capabilities", "--task", "chess", "--url", benched.url)
    assert code == 2 and "known:" in err
    assert shown.place(1, ["b"]) == "1=" and shown.place(2, []) == "2"
    assert shown.place(None, []) == "-"
    nothing = {"n": 0.0, "mean": None, "low": None, "high": None}
    assert shown.between(nothing, 1.0, 2) == "?"
    assert shown.between({**nothing, "mean": 0.5}, 1.0, 2) == "0.50 [too little]"
    assert [shown.age(each) for each in (None, 5.0, 200.0, 8_000.0, 200_000.0)] == [
        "-", "5 s", "3 min", "2 h", "2 d",
    ]  # fmt: skip


def test_the_page_is_among_the_pages() -> None:
    assert any(each.path == "/capabilities" for each in PAGES)
