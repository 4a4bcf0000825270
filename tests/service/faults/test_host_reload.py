"""H11: the plan read again while requests run: taken in one step, or refused whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.feedback.versions import restored
from service.storage.cases import rows_of
from service.storage.restore import open_live
from service.storage.versions import VersionStore
from tests.conftest import KEY, Server, plan_text
from tests.service.faults.host import Disk, Running, client, running, until
from tests.service.processes import Process
from tests.service.test_changed_plan import UNHURRIED, without_mill

pytestmark = pytest.mark.slow  # real processes, disks and clocks

BAD = {
    "cut": lambda text: text[: len(text) // 2] + "\n  - {",
    "empty": lambda text: "",
    "an unknown key": lambda text: text + "\nsurprise: 1\n",
    "a name that is not there": lambda text: text + "\nrules:\n  - {use: [nobody]}\n",
    "a secret that is not set": lambda text: text.replace(
        "    model: brook\n", "    model: brook\n    api_key_env: HEADGATE_TEST_UNSET\n", 1
    ),
    "a policy that cannot be": lambda text: text.replace("floor: 0.01", "floor: 7"),
}  # fmt: skip


def plan_of(state: Path) -> Path:
    return state / "plan.yaml"


def replaced(path: Path, text: str) -> None:
    """As an editor does: written aside, then renamed."""
    aside = path.with_suffix(".aside")
    aside.write_text(text, "utf-8")
    os.replace(aside, path)


def reload(at: httpx.Client) -> httpx.Response:
    return at.post("/admin/plan/reload")


def acts(service: Running, name: str) -> list[dict[str, Any]]:
    kept = service.runtime.kept
    kept.log.flush().result(10)
    found = rows_of(kept.database.cursor(), "SELECT * FROM acts WHERE act = ? ORDER BY log_seq",
                    [name])  # fmt: skip
    return [row | {"detail": json.loads(row["detail"])} for row in found]


def state_of(service: Running) -> tuple[Any, ...]:
    runtime = service.runtime
    return (runtime.plan, runtime.catalog, runtime.router, runtime.dispatcher, runtime.live,
            runtime.intake, runtime.weights, runtime.learner.version)  # fmt: skip


@pytest.mark.parametrize("how", BAD)
def test_H11_a_bad_plan_is_refused_whole_and_the_old_one_stays(
    tmp_path: Path, providers: Server, how: str
) -> None:
    text = plan_text(providers.url)
    with running(tmp_path / "state", text) as service:
        before = state_of(service)
        in_force = service.status()["plan"]
        replaced(plan_of(tmp_path / "state"), BAD[how](text))
        answer = reload(service.client)
        assert answer.status_code == 422 and answer.json()["error"]["code"] == "plan_refused"
        assert str(tmp_path) not in answer.text, "no path goes out"
        assert all(a is b for a, b in zip(before, state_of(service), strict=True))
        shown = service.status()
        assert shown["plan"]["sha256"] == in_force["sha256"] and shown["ready"]
        problems = shown["plan"]["refused"]["problems"]
        assert problems and all(each in answer.json()["error"]["message"] for each in problems)
        assert any("the last reload was refused" in each for each in shown["warnings"])
        assert acts(service, "plan.refused")[0]["detail"]["problems"] == problems
        assert service.ask("Describe a kite").status_code == 200
        replaced(plan_of(tmp_path / "state"), text)
        assert reload(service.client).status_code == 200
        assert service.status()["plan"]["refused"] is None


def test_H11_every_problem_is_told_at_once(tmp_path: Path, providers: Server) -> None:
    text = plan_text(providers.url)
    with running(tmp_path / "state", text) as service:
        bad = text + "\nrules:\n  - {use: [nobody]}\n  - {use: [someone]}\n"
        replaced(plan_of(tmp_path / "state"), bad)
        message = reload(service.client).json()["error"]["message"]
        assert "nobody" in message and "someone" in message and "line " in message


def test_H11_what_is_kept_across_a_reload(tmp_path: Path, providers: Server) -> None:
    """Sessions, overrides, windows of rate, figures and the version, where nothing of theirs
    changed; the new bounds hold from the next request on.
    """
    text = plan_text(providers.url)
    session = {"session_id": "a conversation"}
    with running(tmp_path / "state", text) as service:
        held = service.ask("Describe a kite", headgate=session).json()["model"]
        wish = {"action": "exclude", "deployment": "brook", "reason": "under a reload",
                "author": "me"}  # fmt: skip
        others = {"brook": "mill"}.get(held, "brook")
        assert service.client.post(
            "/admin/overrides", json=wish | {"deployment": others}
        ).status_code == 201  # fmt: skip
        service.settle()
        runtime = service.runtime
        version, live, weights, learner = (
            runtime.learner.version, runtime.live, runtime.weights, runtime.learner,
        )  # fmt: skip
        members, windows = dict(runtime.fleet._members), runtime.fleet.windows._windows
        counts = {name: [w.counts.requests for w in each] for name, each in windows.items()}
        tightened = text.replace("  deadline_s: 75\n", "  deadline_s: 75\n  body_bytes: 2000\n")
        replaced(plan_of(tmp_path / "state"), tightened)
        assert reload(service.client).json()["reloads"] == 1
        assert runtime.learner is learner and learner.version is version
        assert runtime.live is live and runtime.weights is weights
        again = runtime.fleet.windows._windows
        assert again is not windows
        assert {name: [w.counts.requests for w in each] for name, each in again.items()} == counts
        assert all(runtime.fleet._members[name] is each for name, each in members.items())
        answer = service.ask("Describe a kite", headgate=session)
        assert answer.headers["x-headgate-mode"] == "sticky" and answer.json()["model"] == held
        assert [o["deployment"] for o in service.status()["overrides"]] == [others]
        long = {"model": "auto", "messages": [{"role": "user", "content": "x" * 3_000}]}
        assert service.client.post("/v1/chat/completions", json=long).status_code == 413
        assert acts(service, "plan.loaded")[0]["detail"]["new_version"] is False


class Callers:
    """Threads that ask, whole and streamed, and rate, until told to stop."""

    def __init__(self, url: str, pool: ThreadPoolExecutor) -> None:
        self._url, self._halt = url, threading.Event()
        self.answers: list[tuple[str, int, str]] = []  # decision, status of the rating, its id
        self.failed: list[str] = []
        self._jobs = [pool.submit(self._work, number) for number in range(6)]

    def _work(self, number: int) -> None:
        turn = 0
        with client(self._url) as at:
            while not self._halt.is_set():
                turn += 1
                messages = [{"role": "user", "content": f"Describe kite {number} {turn}"}]
                body = {"model": "auto", "stream": turn % 4 == 0, "messages": messages}
                answer = at.post("/v1/chat/completions", json=body)
                identity = answer.headers.get("x-headgate-decision-id", "")
                if answer.status_code != 200 or "stream_interrupted" in answer.text:
                    self.failed.append(answer.text)
                    continue
                rated = at.post("/v1/feedback", json={"id": identity, "value": 0.6})
                self.answers.append((identity, rated.status_code, rated.json()["feedback_id"]))

    def go_on(self) -> None:
        """Wait for some more answers."""
        seen = len(self.answers)
        until(lambda: len(self.answers) > seen + 15)

    def end(self) -> None:
        self._halt.set()
        for job in self._jobs:
            job.result(30)


def test_H11_deployments_come_and_go_under_load_and_learning_is_one_fold(
    tmp_path: Path, providers: Server
) -> None:
    text = plan_text(providers.url, **UNHURRIED)
    texts = (without_mill(text, providers.url), text)
    state = tmp_path / "state"
    with running(state, text) as service:
        with ThreadPoolExecutor(6) as pool:
            callers = Callers(service.url, pool)
            digests = []
            for turn in range(4):
                callers.go_on()
                replaced(plan_of(state), texts[turn % 2])
                answer = reload(service.client)
                assert answer.status_code == 200, answer.text
                digests.append(answer.json()["sha256"])
            callers.go_on()
            callers.end()
        assert not callers.failed and {status for _, status, _ in callers.answers} == {202}
        assert digests[0] == digests[2] != digests[1] == digests[3]
        service.settle()
        learner = service.runtime.learner
        service.runtime.kept.log.flush().result(10)
        assert len(learner._parts.versions.versions) == 5
        folded(service)
        all_learned_once(service, [each for _, _, each in callers.answers])
        before = learner.policy.freeze()
    database, _ = open_live(state)
    versions = VersionStore(database, state)
    found = restored(learner.version, versions, database.cursor)
    assert found.policy.freeze() == before, "a restart finds the same"
    database.close()


def all_learned_once(service: Running, ratings: list[str]) -> None:
    """Nothing twice, and nothing missing but what no longer had an arm, which is counted."""
    learner, cursor = service.runtime.learner, service.runtime.kept.database.cursor()
    updates = rows_of(
        cursor, "SELECT count(*) AS n, count(DISTINCT seq) AS d, max(seq) AS m FROM updates"
    )[0]
    assert updates["n"] == updates["d"] == updates["m"]
    taught = rows_of(
        cursor,
        "SELECT feedback_id AS id, count(*) AS n FROM updates WHERE feedback_id IS NOT NULL "
        "GROUP BY 1",
    )
    assert all(row["n"] == 1 for row in taught), "nothing is learned twice"
    unlearned = set(ratings) - {str(row["id"]) for row in taught}
    of_dropped = rows_of(
        cursor, "SELECT count(*) AS n FROM feedback WHERE deployment IN ('mill', 'spring')"
    )[0]["n"]
    assert len(unlearned) <= min(of_dropped, learner.passed_over)
    outcomes = rows_of(
        cursor,
        "SELECT count(*) AS n FROM outcomes o ANTI JOIN (SELECT decision_id FROM updates WHERE "
        "kind = 'outcome') u ON o.decision_id = u.decision_id",
    )[0]["n"]
    assert outcomes <= learner.passed_over


def folded(service: Running) -> None:
    """The live state is the first checkpoint of its version and the logged updates after it."""
    kept, learner = service.runtime.kept, service.runtime.learner
    versions = VersionStore(kept.database, kept.state_dir)
    assert versions.live == learner.version
    found = restored(learner.version, versions, kept.database.cursor, learner.seq)
    if found.update_seq < learner.seq:  # a tick in between
        found = restored(learner.version, versions, kept.database.cursor)
    assert found.policy.freeze() == learner.policy.freeze()


def test_H11_a_request_under_way_ends_on_the_deployments_that_it_began_on(
    tmp_path: Path, providers: Server
) -> None:
    """A stream of a deployment that the reload drops goes on to its end, and is taken in."""
    text = plan_text(providers.url, **UNHURRIED)
    state = tmp_path / "state"
    with running(state, text) as service:
        body = {"model": "mill", "stream": True, "max_tokens": 400,
                "messages": [{"role": "user", "content": "Describe a kite at length"}]}  # fmt: skip
        with service.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            parts = answer.iter_bytes()
            first = next(parts)
            assert answer.status_code == 200 and first
            replaced(plan_of(state), without_mill(text, providers.url))
            with client(service.url) as at:
                assert reload(at).status_code == 200
                assert at.post("/v1/chat/completions", json=body).status_code == 404
            whole = first + b"".join(parts)
        assert whole.rstrip().endswith(b"data: [DONE]")
        identity = answer.headers["x-headgate-decision-id"]
        until(lambda: service.client.get(f"/v1/decisions/{identity}").json()["attempts"])
        late = service.client.post("/v1/feedback", json={"id": identity, "value": 0.3})
        assert late.status_code == 202 and late.json()["applied"] is False
        names = [each["deployment"] for each in service.status()["deployments"]]
        assert "mill" not in names and "spring" in names
        assert b'deployment="mill"' not in _gauges(service)


def _gauges(service: Running) -> bytes:
    lines = httpx.get(service.url + "/metrics").content.splitlines()
    return b"\n".join(line for line in lines if line.startswith(b"headgate_weight"))


def test_H11_no_reload_while_it_cannot_be_logged(tmp_path: Path, providers: Server) -> None:
    text = plan_text(providers.url)
    with running(tmp_path / "state", text) as service:
        disk = Disk(service.runtime.kept.database)
        before = state_of(service)
        disk.fails("No space left on device")
        replaced(plan_of(tmp_path / "state"), without_mill(text, providers.url))
        answer = reload(service.client)
        assert answer.status_code == 503 and "retry-after" in answer.headers
        assert all(a is b for a, b in zip(before, state_of(service), strict=True))
        disk.heals()
        until(lambda: service.runtime.kept.log.healthy)
        assert reload(service.client).status_code == 200
        assert service.runtime.learner.version.reason == "the plan changed"


def test_H11_by_signal_and_by_command(tmp_path: Path, providers: Server) -> None:
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    text = plan_text(providers.url)
    plan.write_text(text, "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()

    def command() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service.cli", "reload", "--url", process.url],
            env=os.environ | {"HEADGATE_KEY": KEY}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    with client(process.url) as at:

        def standing() -> Any:
            return at.get("/admin/status").json()["plan"]

        first = standing()
        replaced(plan, without_mill(text, providers.url))
        process.process.send_signal(signal.SIGHUP)
        until(lambda: standing()["reloads"] == 1)
        assert standing()["sha256"] != first["sha256"]
        assert "spring" in [each["id"] for each in at.get("/v1/models").json()["data"]]
        replaced(plan, text + "\nsurprise: 1\n")
        process.process.send_signal(signal.SIGHUP)
        until(lambda: standing()["refused"])
        found = command()
        assert found.returncode == 1 and "surprise: unknown key" in found.stderr
        replaced(plan, text)
        found = command()
        assert found.returncode == 0 and first["sha256"] in found.stdout
        assert standing()["refused"] is None
    assert process.stop() == 0
    database, _ = open_live(state)
    rows = rows_of(database.cursor(), "SELECT act FROM acts WHERE act LIKE 'plan.%' ORDER BY 1")
    assert [row["act"] for row in rows] == ["plan.loaded"] * 2 + ["plan.refused"] * 2
    database.close()
