"""`headgate benchmark models`: said beforehand, run, killed, gone on with, reported, recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.benchmarking.prompts import PromptFile
from service.simulate import SimulatedProviders
from tests.conftest import KEY, ROOT, Server, Service, make_runtime, plan_text
from tests.service.benchmarking.rig import ARMS, Counting, counting, prompts
from tests.service.cli.test_commands import run

FILE = prompts(30)
AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def pupils() -> Counting:
    return counting(FILE, speed=10.0)


@pytest.fixture(scope="module")
def service(pupils: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Server(SimulatedProviders(pupils).app()) as providers:
        runtime = make_runtime(tmp_path_factory.mktemp("state"), plan_text(providers.url))
        with Server(create_app(runtime)) as server:
            yield Service(runtime, server)


@pytest.fixture
def asked(service: Service, tmp_path: Path) -> tuple[str, ...]:
    """The command with a prompt file and a state of its own."""
    path = written(tmp_path / "p.jsonl", FILE)
    return ("benchmark", "models", "--url", service.url, "--prompts", str(path), "--state",
            str(tmp_path / "state"), "--max-usd", "10")  # fmt: skip


def written(path: Path, file: PromptFile) -> Path:
    path.write_bytes(file.data)
    return path


def answered(state: Path) -> set[str]:
    """The trials whose answers a journal holds."""
    found = set()
    for path in state.glob("benchmarks/*/trials.jsonl"):
        for line in path.read_bytes().splitlines():
            content = json.loads(line)
            if content["kind"] == "answer" and not content["key"].startswith("warm-up"):
                found.add(content["key"])
    return found


def test_a_dry_run_says_what_it_can_show_and_cost_and_asks_nothing(
    asked: tuple[str, ...], pupils: Counting, tmp_path: Path
) -> None:
    before = pupils.asked.total()
    code, out, err = run(*asked, "-n", "40", "--detect", "0.05", "--dry-run")
    assert code == 0 and pupils.asked.total() == before, err
    assert "15.5" in err and "160 calls" in err and "prompts for 5 points" in err
    code, out, _ = run(*asked, "-n", "40", "--detect", "0.05", "--dry-run", "--json")
    told = json.loads(out)
    assert told["estimate"]["calls"] == 160 and told["shows"][0]["one_mean"] > 0.15
    assert told["shows"][0]["needed"][1] > 1_000 and not (tmp_path / "state").exists()


@pytest.mark.parametrize(("more", "told"), [
    (("--tasks", "none"), "the prompts have none of none"),
    (("--deployments", "mill,none"), "the plan has no none"),
    (("--deployments", "mill"), "a comparison needs two"), (("--detect", "2"), "--detect"),
    (("--max-usd", "0.0001"), "--max-usd is 0.0001"),
])  # fmt: skip
def test_what_cannot_be_is_misuse(asked: tuple[str, ...], more: tuple[str, ...], told: str) -> None:
    code, _, err = run(*asked, *more)
    assert code == 2 and told in err


def test_a_bad_file_is_told_by_line_and_a_good_one_is_good(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "a"}\n', "utf-8")
    code, _, err = run("benchmark", "prompts", str(bad))
    assert code == 2 and "line 1: task: is missing" in err
    good = written(tmp_path / "good.jsonl", FILE)
    code, out, _ = run("benchmark", "prompts", str(good))
    assert code == 0 and "good" in out
    odd = tmp_path / "odd.jsonl"
    row = {"id": "a", "task": "a", "prompt": "x", "scorer": "exact", "reference": "x", "right": "y"}
    odd.write_text(json.dumps(row), "utf-8")
    code, out, _ = run("benchmark", "prompts", str(odd), "--json")
    assert code == 1 and json.loads(out)["faults"] == [
        {"id": "a", "answer": "right", "scored": 0.0}
    ]


@pytest.mark.slow
def test_a_run_is_reported_recorded_and_shown_again(
    asked: tuple[str, ...], service: Service, tmp_path: Path
) -> None:
    more = ("-n", "20", "--yes", "--concurrency", "8", "--reason", "to know them")
    code, out, err = run(*asked, *more)
    assert code == 0, err
    assert "Verdict: " in out and "What cannot be said" in out and "recorded as b2" in err
    folder = next((tmp_path / "state" / "benchmarks").iterdir())
    for name in ("report.md", "report.html", "report.json", "rules.yaml", "done.json"):
        assert (folder / name).exists()
    taken = httpx.get(f"{service.url}/admin/benchmarks/{folder.name}", headers=AUTH).json()
    assert len(taken["cells"]) == 8 and sum(c["n"] for c in taken["cells"]) == 80
    again = ("benchmark", "report", "--state", str(tmp_path / "state"), "--prompts", asked[5])
    code, out, err = run(*again, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["run_id"] == folder.name and told["trials"] == 80
    code, _, err = run(*again[:4])
    assert code == 2 and "of other prompts" in err
    code, _, err = run("benchmark", "report", "nothing", "--state", str(tmp_path))
    assert code == 2 and "no such run" in err


@pytest.mark.slow
def test_too_little_money_ends_it_and_the_same_command_with_more_goes_on(
    asked: tuple[str, ...], tmp_path: Path
) -> None:
    more = ("-n", "12", "--yes", "--deployments", "brook,fall")
    code, _, err = run(*asked[:-1], "0.09", *more)
    assert code == 1 and "the money was spent" in err, err
    some = len(answered(tmp_path / "state"))
    assert 0 < some < 24
    code, _, err = run(*asked, *more)
    assert code == 0 and "going on with b2" in err, err
    assert len(answered(tmp_path / "state")) == 24


@pytest.mark.slow
def test_killed_in_the_middle_nothing_that_was_answered_is_asked_twice(
    asked: tuple[str, ...], service: Service, pupils: Counting, tmp_path: Path
) -> None:
    """kill -9 of the real command, twice, at whatever it was doing."""
    pupils.asked.clear()
    state, concurrency = tmp_path / "state", 4
    command = [sys.executable, "-m", "service.cli", *asked, "-n", "60", "--yes", "--concurrency",
               str(concurrency)]  # fmt: skip
    environment = os.environ | {"HEADGATE_KEY": KEY, "PYTHONPATH": str(ROOT)}
    for least in (30, 90):
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while len(answered_so_far(state)) < least:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait(10)
        held = answered_so_far(state)
        assert least <= len(held) < 240
        before = Counter(pupils.asked)
    code, out, err = run(*asked, "-n", "60", "--yes", "--json")
    assert code == 0 and "going on with" in err, err
    told = json.loads(out)
    assert told["whole"] and told["trials"] == 240 and len(answered(state)) == 240
    mine = {key: n for key, n in pupils.asked.items() if key[1].startswith("Case")}
    assert len(mine) == 240
    texts = {each.id: str(each.messages[0]["content"]) for each in FILE.items}
    for key in held:
        prompt, deployment, _ = key.split("|")
        once = (deployment, texts[prompt])
        assert pupils.asked[once] == before[once], f"{key} was answered and asked again"
    # What was under way at a kill had no answer that anybody kept; it is all that was asked twice.
    assert sum(mine.values()) <= 240 + 2 * concurrency
    assert len(list((state / "benchmarks").iterdir())) == 1


def answered_so_far(state: Path) -> set[str]:
    """The same of a journal that is being written: a last line without an end is none yet."""
    found = set()
    for path in state.glob("benchmarks/*/trials.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            content: dict[str, Any] = json.loads(line)
            if content["kind"] == "answer" and not content["key"].startswith("warm-up"):
                found.add(content["key"])
    return found


@pytest.mark.slow
def test_it_works_end_to_end_with_the_simulated_deployments(tmp_path: Path) -> None:
    """Its own providers and service, the package's prompts, started and ended by it."""
    more = ("--tasks", "maths,knowledge", "-n", "8", "--concurrency", "8", "--json")
    code, out, err = run("benchmark", "models", "--simulated", "--state", str(tmp_path), *more,
                         key=None)  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert told["whole"] and told["trials"] == 32 and told["n"] == 8
    assert [each["task"] for each in told["by_task"]] == ["knowledge", "maths"]
    assert told["deployments"] == sorted(ARMS)
