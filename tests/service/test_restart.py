"""kill -9 at random moments: nothing acknowledged is lost or doubled, learning resumes exactly."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bootstrap.build import build
from service.config import Settings
from service.domain.clock import parse_id
from service.feedback.versions import restored
from service.plan.reading import load
from service.storage.cases import rows_of
from service.storage.database import FILE
from service.storage.errors import StateLocked
from service.storage.restore import open_live
from service.storage.versions import VersionStore
from tests.conftest import KEY, Server, make_runtime, plan_text
from tests.service.processes import Process

pytestmark = pytest.mark.slow  # real processes, disks and clocks

AUTH = {"Authorization": f"Bearer {KEY}"}


class Load:
    """Callers that ask, rate and revise until told to stop, and remember what was acknowledged."""

    def __init__(self, url: str, seed: int) -> None:
        self._url, self._chance = url, random.Random(seed)
        self.acknowledged: dict[str, tuple[str, float]] = {}
        self.overrides: list[str] = []
        self._halt = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        with httpx.Client(base_url=self._url, headers=AUTH, timeout=5.0) as client:
            while not self._halt.is_set():
                try:
                    self._one(client, number)
                except (httpx.HTTPError, KeyError):
                    return

    def _one(self, client: httpx.Client, number: int) -> None:
        text = f"Describe kite {self._chance.random()}"
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        answer = client.post("/v1/chat/completions", json=body).json()
        for _ in range(self._chance.choice((1, 1, 2))):
            value = round(self._chance.random(), 6)
            taken = client.post("/v1/feedback", json={"id": answer["id"], "value": value})
            if taken.status_code == 202:
                self.acknowledged[taken.json()["feedback_id"]] = (answer["id"], value)
        if number == 0 and self._chance.random() < 0.1:
            wish = {"action": "exclude", "deployment": "brook", "reason": "under test now",
                    "author": "me", "expires_in_s": 3600}  # fmt: skip
            laid = client.post("/admin/overrides", json=wish)
            if laid.status_code == 201:
                self.overrides.append(laid.json()["id"])

    def end(self) -> None:
        self._halt.set()
        for thread in self._threads:
            thread.join(20)


def kills(tmp_path: Path, providers: Server, count: int, seed: int) -> dict[str, Any]:
    """Start, load, kill at a random moment, again and again; then count what is there."""
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    plan.write_text(plan_text(providers.url), "utf-8")
    chance = random.Random(seed)
    acknowledged: dict[str, tuple[str, float]] = {}
    overrides: list[str] = []
    for turn in range(count):
        process = Process("serve", "--plan", str(plan), "--state", str(state),
                          log=tmp_path / f"log{turn}")  # fmt: skip
        process.ready()
        load = Load(process.url, seed + turn)
        time.sleep(chance.uniform(0.15, 0.9))
        process.kill()
        load.end()
        acknowledged |= load.acknowledged
        overrides += load.overrides
    database, mended = open_live(state)
    cursor = database.cursor()
    feedback = rows_of(cursor, "SELECT id, decision_id, value FROM feedback")
    found = {str(row["id"]): (str(row["decision_id"]), row["value"]) for row in feedback}
    expected = {k: (parse_id(v[0]), v[1]) for k, v in acknowledged.items()}
    kept = {row["id"] for row in rows_of(cursor, "SELECT id FROM overrides")}
    decided = rows_of(cursor, "SELECT count(*) AS n, count(DISTINCT id) AS d FROM decisions")[0]
    orphans = rows_of(
        cursor, "SELECT count(*) AS n FROM feedback f ANTI JOIN decisions d ON d.id = f.decision_id"
    )[0]["n"]
    gaps = rows_of(
        cursor, "SELECT count(*) AS n, count(DISTINCT seq) AS d, max(seq) AS m FROM updates"
    )[0]
    lost = rows_of(cursor, "SELECT detail FROM acts WHERE act = 'service.started' ORDER BY log_seq")
    database.close()
    return {
        "acknowledged": len(expected), "missing": len(set(expected) - set(found)),
        "changed": sum(found.get(k) != v for k, v in expected.items()),
        "doubled": len(feedback) - len(found), "overrides_lost": len(set(overrides) - kept),
        "overrides": len(overrides), "decisions_doubled": decided["n"] - decided["d"],
        "orphans": orphans, "updates": gaps, "starts": len(lost), "mended": mended,
    }  # fmt: skip


def check(found: dict[str, Any], count: int) -> None:
    assert found["acknowledged"] > count
    assert found["missing"] == found["changed"] == found["doubled"] == 0
    assert found["overrides_lost"] == found["decisions_doubled"] == found["orphans"] == 0
    updates = found["updates"]
    assert updates["n"] == updates["d"] == updates["m"], "the updates are a sequence without gaps"
    assert found["mended"] is None


def test_kill_nine_many_times_loses_nothing_acknowledged(tmp_path: Path, providers: Server) -> None:
    check(kills(tmp_path, providers, 12, seed=100), 12)


def test_a_stop_drains_and_the_learned_state_is_what_the_log_says(
    tmp_path: Path, providers: Server
) -> None:
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    plan.write_text(plan_text(providers.url), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    load = Load(process.url, 7)
    time.sleep(1.0)
    with pytest.raises(StateLocked, match="in use by another"):
        build(load_plan(plan), Settings(state_dir=state))
    load.end()
    assert process.stop() == 0
    database, mended = open_live(state)
    assert mended is None
    versions = VersionStore(database, state)
    live = versions.live
    assert live is not None
    resumed = restored(live, versions, database.cursor)
    newest = versions.newest(live.id)
    assert newest is not None and newest[1] == resumed.policy.freeze() and resumed.replayed == 0
    for path in (state / "checkpoints").iterdir():
        path.unlink()
    from_updates = restored(live, versions, database.cursor)
    assert from_updates.policy.freeze() == newest[1] and from_updates.checkpoint_id == ""
    database.close()


def test_a_prior_among_the_updates_is_found_again_after_a_kill(
    tmp_path: Path, providers: Server
) -> None:
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    quality = "\nquality: {refit_minutes: 0.005, least_ratings: 220}\n"
    plan.write_text(plan_text(providers.url) + quality, "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    with httpx.Client(base_url=process.url, headers=AUTH, timeout=10.0) as client:
        tell_apart(client, 300)
        before = model_in_use(client)
        tell_apart(client, 30)
    process.kill()
    database, _ = open_live(state)
    versions = VersionStore(database, state)
    assert versions.live is not None
    resumed = restored(versions.live, versions, database.cursor)
    for path in (state / "checkpoints").iterdir():
        path.unlink()
    alone = restored(versions.live, versions, database.cursor)
    assert alone.policy.freeze() == resumed.policy.freeze() and alone.passed_over == 0
    priors = rows_of(database.cursor(), "SELECT model_id FROM updates WHERE kind = 'prior'")
    assert before["id"] in [row["model_id"] for row in priors]
    database.close()
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log2")
    process.ready()
    with httpx.Client(base_url=process.url, headers=AUTH, timeout=10.0) as client:
        assert model_in_use(client)["id"] == priors[-1]["model_id"]
    process.stop()


@pytest.mark.parametrize(("minutes", "jobs"), [(0, []), (2.5, [150.0])])
async def test_refits_are_a_job_unless_switched_off(
    tmp_path: Path, providers: Server, minutes: float, jobs: list[float]
) -> None:
    text = plan_text(providers.url) + f"\nquality: {{refit_minutes: {minutes}}}\n"
    runtime = make_runtime(tmp_path / "state", text)
    assert [job.every_s for job in runtime.scheduler.jobs if job.name == "quality"] == jobs
    await runtime.stop()


def tell_apart(client: httpx.Client, count: int) -> None:
    """Ask and rate so that which deployment is good depends on what was asked."""

    def one(at: int) -> None:
        code = at % 2 == 0
        text = f"Write python code {at}" if code else f"Describe kite {at}"
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        answer = client.post("/v1/chat/completions", json=body).json()
        good = (answer["model"] in ("brook", "mill")) == code
        client.post("/v1/feedback", json={"id": answer["id"], "value": 0.9 if good else 0.2})

    with ThreadPoolExecutor(24) as callers:
        list(callers.map(one, range(count)))


def model_in_use(client: httpx.Client) -> Any:
    """The quality model as the status shows it, once there is one."""
    deadline = time.monotonic() + 60
    while True:
        found = client.get("/admin/status").json()["quality"]
        if found["model"] is not None:
            assert found["model"]["error"] < found["model"]["means_error"]
            return found["model"]
        assert time.monotonic() < deadline, found
        tell_apart(client, 5)


def load_plan(path: Path) -> Any:
    return load(path)[0]


def test_an_override_holds_across_a_kill_and_ends_at_its_time(
    tmp_path: Path, providers: Server
) -> None:
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    plan.write_text(plan_text(providers.url), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    wish = {"action": "force", "deployment": "fall", "reason": "across a restart", "author": "me"}
    for seconds in (4.0, 0.5):
        laid = httpx.post(process.url + "/admin/overrides", json=wish | {"expires_in_s": seconds},
                          headers=AUTH)  # fmt: skip
        assert laid.status_code == 201
    expires = time.monotonic() + 4.0
    process.kill()
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log2")
    process.ready()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Describe a kite."}]}
    if time.monotonic() < expires - 0.3:
        forced = httpx.post(process.url + "/v1/chat/completions", json=body, headers=AUTH)
        assert forced.headers["x-headgate-mode"] == "override"
    time.sleep(max(expires - time.monotonic(), 0.0) + 0.8)
    free = httpx.post(process.url + "/v1/chat/completions", json=body, headers=AUTH)
    assert free.headers["x-headgate-mode"] == "randomised"
    process.stop()
    database, _ = open_live(state)
    ends = rows_of(database.cursor(), "SELECT how FROM override_ends")
    assert [row["how"] for row in ends] == ["expired", "expired"]
    database.close()


def test_a_damaged_live_file_is_mended_at_the_start_and_reported(
    tmp_path: Path, providers: Server
) -> None:
    plan, state = tmp_path / "plan.yaml", tmp_path / "state"
    plan.write_text(plan_text(providers.url), "utf-8")
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log")
    process.ready()
    load = Load(process.url, 3)
    time.sleep(0.7)
    load.end()
    process.stop()
    (state / FILE).write_bytes(b"rubbish" * 4_000)
    process = Process("serve", "--plan", str(plan), "--state", str(state), log=tmp_path / "log2")
    process.ready()
    status = httpx.get(process.url + "/admin/status", headers=AUTH).json()
    assert any("mended from the published history" in note for note in status["notices"])
    identity = next(iter(load.acknowledged.values()))[0]
    found = httpx.get(f"{process.url}/v1/decisions/{identity}", headers=AUTH)
    assert found.status_code == 200 and found.json()["feedback"]
    process.stop()
