"""The command line: help with an example, JSON alone, exit codes, plain errors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from learning.snapshot import freeze
from service.app import create_app
from service.cli import output
from service.cli.main import app
from service.cli.output import text
from service.domain.clock import new_id, parse_id
from service.domain.records import Candidates, ErrorKind
from service.feedback.refit import Setback
from service.routing.fleet import Failure
from tests.conftest import KEY, ROOT, Server, Service, make_runtime, plan_text
from tests.learning.test_quality import model_of
from tests.learning.worlds import World
from tests.service.queueing.rig import rig

pytestmark = pytest.mark.slow

RUNNER = CliRunner()
AUTH = {"Authorization": f"Bearer {KEY}"}


def run(*arguments: str, key: str | None = KEY) -> tuple[int, str, str]:
    output.out.width = output.err.width = 200
    environment = {"HEADGATE_KEY": key} if key else {"HEADGATE_KEY": ""}
    found = RUNNER.invoke(app, list(arguments), env=environment)
    return found.exit_code, found.stdout, found.stderr


def commands() -> list[tuple[str, ...]]:
    root = typer.main.get_command(app)
    found: list[tuple[str, ...]] = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(name, each) for each in inner] if inner else [(name,)]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0 and f"headgate {' '.join(command)}" in out and "Example" in out


def test_status_weights_why_and_route(service: Service) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
    answer = httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH).json()
    service.runtime.weights.evaluate()
    service.runtime.kept.log.flush().result(10)
    for command, told in (
        (("status",), "ready"), (("weights",), "share"), (("why", answer["id"]), "the draw was"),
        (("why", answer["id"], "--replay"), "are the same, bit for bit"),
        (("route", "Write python code"), "task code"), (("override", "list"), "no overrides"),
    ):  # fmt: skip
        code, out, err = run(*command, "--url", service.url)
        assert code == 0 and told in out, (command, out, err)
        code, out, _ = run(*command, "--url", service.url, "--json")
        assert code == 0 and isinstance(json.loads(out), dict)


def test_why_a_replay_says_nothing_or_something_else(service: Service) -> None:
    pinned = {"model": "mill", "messages": [{"role": "user", "content": "Describe a kite."}]}
    answer = httpx.post(service.url + "/v1/chat/completions", json=pinned, headers=AUTH).json()
    service.runtime.kept.log.flush().result(10)
    code, out, _ = run("why", answer["id"], "--replay", "--url", service.url)
    assert code == 0 and "nothing to replay: it was not drawn" in out
    body = pinned | {"model": "auto"}
    answer = httpx.post(service.url + "/v1/chat/completions", json=body, headers=AUTH).json()
    service.runtime.kept.log.flush().result(10)
    database, identity = service.runtime.kept.database, str(parse_id(answer["id"]))
    for change, told in (
        ("draw = 0.99999, deployment = 'nobody'", "NOT what was logged; different: "),
        ("version_id = 'v-9'", "cannot be replayed: the version v-9"),
    ):
        sql = f"UPDATE decisions SET {change} WHERE id = ?::UUID"
        database.cursor().execute(sql, [identity])
        code, out, _ = run("why", answer["id"], "--replay", "--url", service.url)
        assert code == 0 and told in out, out


def test_status_shows_the_quality_model_and_the_last_setback(service: Service) -> None:
    runtime, identity = service.runtime, new_id()
    _, out, _ = run("status", "--url", service.url)
    assert "quality model" not in out
    model = model_of(World(1).rows(600))
    runtime.learner._parts.versions.models.write(identity, freeze(model.state()))
    runtime.learner.adopt(identity)
    deadline = time.monotonic() + 5
    while runtime.learner.prediction is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    runtime.learner.prediction.online.learn("a0", np.ones(16), 1.0)
    runtime.quality._setback = Setback("quality.refused", 1, "it knows too little")
    code, out, _ = run("status", "--url", service.url)
    told = " ".join(out.split())
    assert code == 0 and f"quality model {identity}, " in told and "600 rows" in told
    assert "1 ratings since" in told
    assert "last quality.refused at 1970-01-01T00:00:00.000Z: it knows too little" in told
    found = json.loads(run("status", "--url", service.url, "--json")[1])["quality"]
    assert found["model"]["error"] == model.figures.error and found["since"]["ratings"] == 1


def test_a_deployment_is_taken_back_by_hand(service: Service) -> None:
    fleet, now_s = service.runtime.fleet, service.runtime.clock.monotonic_s()
    fleet.failed("mill", Failure(ErrorKind.AUTH, None, fleet.began("mill", now_s)), now_s)
    code, out, _ = run("deployment", "list", "--url", service.url)
    assert code == 0 and "cooling" in out and "auth" in out
    why = ("--reason", "the key was renewed")
    code, out, _ = run("deployment", "reset", "mill", *why, "--url", service.url, "--json")
    assert code == 0 and json.loads(out)["bar"] is None
    assert fleet.bar("mill", now_s) == ""
    code, _, err = run("deployment", "reset", "nobody", *why, "--url", service.url)
    assert code == 2 and "known:" in err


@pytest.mark.slow
def test_an_alarm_of_the_propensities_is_seen_and_ended_by_hand(
    providers: Server, tmp_path: Path
) -> None:
    runtime = make_runtime(tmp_path, plan_text(providers.url))
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
    with Server(create_app(runtime)) as server:
        answer = httpx.post(server.url + "/v1/chat/completions", json=body, headers=AUTH).json()
        url, ended = ("--url", server.url), ("--reason", "a test wrote that row")
        code, _, err = run("propensities", "acknowledge", *ended, *url)
        assert code == 1 and "no alarm" in err
        kept = runtime.kept
        kept.log.flush().result(10)
        case = kept.cases.load(str(parse_id(answer["id"])))
        assert case is not None
        spoiled = Candidates(("brook", "mill"), (0.5, 0.4))
        kept.log.append(replace(case.decision, id=new_id(), candidates=spoiled, deployment="mill"))
        deadline = time.monotonic() + 15
        while "ALARM since" not in (out := run("propensities", "show", *url)[1]):
            assert time.monotonic() < deadline, out
            time.sleep(0.1)
        assert "1 decisions hold no distribution" in out and "beyond doubt" in out
        assert json.loads(run("propensities", "show", *url, "--json")[1])["broken"] == 1
        assert run("propensities", "acknowledge", "--reason", "short", *url)[0] == 2
        code, out, _ = run("propensities", "acknowledge", *ended, *url)
        assert code == 0 and "the alarm has ended" in out
        assert "no alarm; the test began" in run("propensities", "show", *url)[1]


def test_an_override_by_hand(service: Service) -> None:
    reason = "tried from the command line"
    wish = ("override", "set", "exclude", "mill", "--for", "30m", "--reason", reason)
    more = ("--task", "code", "--author", "me", "--url", service.url, "--json")
    code, out, err = run(*wish, *more)
    assert code == 0, err
    made = json.loads(out)
    assert (made["task"], made["author"]) == ("code", "me") and 1_790 < made["left_s"] <= 1_800
    code, out, _ = run("override", "list", "--url", service.url)
    assert code == 0 and "mill" in out and reason in out
    code, out, _ = run("override", "show", made["id"], "--url", service.url)
    assert code == 0 and "0:29:" in out
    lift = ("override", "lift", made["id"], "--reason", "it is over now", "--url", service.url)
    assert run(*lift)[0] == 0
    code, _, err = run(*lift)
    assert code == 2 and "no override of that id" in err


def test_the_queue_by_hand(service: Service, tmp_path: Path) -> None:
    code, out, _ = run("queue", "list", "--url", service.url)
    assert code == 0 and "the queue is off" in out
    with rig(tmp_path) as world:
        ticket_id = world.ask().json()["id"]
        url = ("--url", world.url)
        code, out, _ = run("queue", "list", *url)
        assert code == 0 and "1 waiting" in out and ticket_id in out and "outage:" in out
        code, out, _ = run("queue", "show", ticket_id, *url, "--json")
        assert code == 0 and json.loads(out)["id"] == ticket_id
        why = ("--reason", "tried from the command line", *url)
        code, _, err = run("queue", "retry", ticket_id, *why)
        assert code == 1 and "only one that died" in err
        code, out, _ = run("queue", "drop", ticket_id, *why)
        assert code == 0 and "dropped" in out
        code, _, err = run("queue", "show", ticket_id, *url)
        assert code == 2 and "no ticket of that id" in err
        assert run("queue", "drop", ticket_id, "--reason", "short", *url)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("override", "set", "exclude", "mill", "--reason", "a long reason", "--for", "soon"), 2,
         "such as 90s"),
        (("override", "set", "exclude", "nobody", "--reason", "a long reason"), 2, "known:"),
        (("override", "set", "exclude", "mill", "--reason", "short"), 2, "at least 10"),
        (("override", "set", "exclude", "mill"), 2, "--reason"),
        (("why", "nothing"), 2, "no decision of that id"),
        (("nonsense",), 2, "nonsense"),
    ],
)  # fmt: skip
def test_misuse_says_what_and_ends_with_2(
    service: Service, arguments: tuple[str, ...], code: int, said: str
) -> None:
    more = () if arguments == ("nonsense",) else ("--url", service.url)
    found = run(*arguments, *more)
    assert found[0] == code and said in found[2] + found[1], found


def test_no_service_no_key_a_wrong_key(service: Service) -> None:
    code, _, err = run("status", "--url", "http://127.0.0.1:9")
    assert code == 1 and "no service answers" in err
    code, _, err = run("status", "--url", service.url, key=None)
    assert code == 2 and "HEADGATE_KEY" in err
    code, _, err = run("status", "--url", service.url, key="hg-wrong")
    assert code == 1 and "not known" in err


def test_check(tmp_path: Path) -> None:
    code, out, _ = run("check", str(ROOT / "examples" / "simulated.yaml"))
    assert code == 0 and "good" in out
    bad = tmp_path / "bad.yaml"
    bad.write_text("deployments: []\nnonsense: 1\n")
    code, out, err = run("check", str(bad))
    assert code == 1 and "line 1: deployments" in err and "nonsense" in err
    code, out, _ = run("check", str(bad), "--json")
    found = json.loads(out)
    assert code == 1 and not found["ok"] and found["problems"][0]["line"] == 1


def test_serve_refuses_a_bad_plan(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("deployments: 3\n")
    code, _, err = run("serve", "--plan", str(bad), "--state", str(tmp_path / "s"))
    assert code == 1 and "cannot be used" in err and not (tmp_path / "s").exists()


def test_history_and_restore(service: Service, tmp_path: Path) -> None:
    kept = service.runtime.kept
    kept.log.flush().result(5)
    kept.publisher.publish(kept.log.last_seq)
    state = str(kept.state_dir)
    code, out, _ = run("history", "--state", state)
    assert code == 0 and "decisions" in out and "rounds" in out and "keys" not in out
    code, out, _ = run("history", "--state", state, "--json", "--sql",
                       "SELECT count(*) AS n FROM versions")  # fmt: skip
    assert code == 0 and json.loads(out) == [{"n": 1}]
    code, _, err = run("history", "--state", state, "--sql", "SELEC 1")
    assert code == 2 and "cannot be run" in err
    code, _, err = run("history", "--state", str(tmp_path))
    assert code == 1 and "no published history" in err
    code, _, err = run("restore", "--state", state)
    assert code == 1 and "in use by another" in err


def test_restore_by_hand(tmp_path: Path) -> None:
    from tests.service.storage.test_restore import filled

    filled(tmp_path, unpublished=True)
    code, out, _ = run("restore", "--state", str(tmp_path), "--json")
    found = json.loads(out)
    assert code == 0 and found["rows"] == 4 and len(found["set_aside"]) >= 1
    assert (tmp_path / found["set_aside"][0]).exists()


def test_json_is_alone_on_standard_output_of_a_real_process() -> None:
    plan = str(ROOT / "examples" / "simulated.yaml")
    found = subprocess.run([sys.executable, "-m", "service.cli", "check", plan, "--json"],
                           capture_output=True, text=True)  # fmt: skip
    assert json.loads(found.stdout) == {"ok": True, "problems": []} and found.returncode == 0


def test_cells() -> None:
    assert [text(v) for v in (None, 0.123456, 3, "x")] == ["-", "0.1235", "3", "x"]


def test_the_end_of_a_process_says_nothing_of_its_libraries() -> None:
    """Of a process that holds what would be listed: what msgspec decoded, and DuckDB's module."""
    told = (
        "import sys, duckdb; from service.orchestration.golden import golden; golden();"
        "from service.cli.main import main; sys.argv = ['headgate', 'keys', 'nothing']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and "No such command 'nothing'" in done.stderr
    assert "leaked" not in done.stderr
