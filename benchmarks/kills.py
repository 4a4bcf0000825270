"""Kill the service at random moments under load, start it again, count what is there at the end.

Each turn starts the service on the same state directory, puts requests, ratings, revisions and
overrides on it, and ends it with SIGKILL at a seeded random moment. After the last turn the
service is started once more and stopped in order, so that all is published; then everything is
counted in the published history and in the live file. Prints JSON.

    python -m benchmarks.kills --kills 300
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.processes import KEY, Child, wait_ready
from service.domain.clock import parse_id
from service.storage.history import connect, query
from service.storage.restore import open_live

ROOT = Path(__file__).parent.parent
AUTH = {"Authorization": f"Bearer {KEY}"}
LEAST_S, MOST_S = 0.05, 1.2
EARLY, EARLY_S = 0.15, 4.0  # so many of the kills come while the service starts, within that time

# What may be there once only, by table.
KEYS = {
    "decisions": "id",
    "attempts": "decision_id, number",
    "outcomes": "decision_id",
    "feedback": "id",
    "updates": "seq",
    "overrides": "id",
    "override_ends": "override_id",
    "acts": "id",
    "versions": "id",
    "checkpoints": "id",
}


@dataclass(slots=True)
class Taken:
    """What the service acknowledged."""

    feedback: dict[str, tuple[str, float]] = field(default_factory=dict)
    overrides: set[str] = field(default_factory=set)
    lifted: set[str] = field(default_factory=set)
    answered: int = 0


class Callers:
    """Threads that ask, rate, revise, lay and lift overrides until told to stop."""

    def __init__(self, url: str, taken: Taken, seed: int, threads: int = 4) -> None:
        self._url, self._taken = url, taken
        self._halt = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed}-{n}"), n))
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, chance: random.Random, number: int) -> None:
        with httpx.Client(
            base_url=self._url, headers=AUTH, timeout=10.0, trust_env=False
        ) as client:
            while not self._halt.is_set():
                try:
                    self._one(client, chance, number)
                except (httpx.HTTPError, KeyError, ValueError):
                    return  # the service was killed

    def _one(self, client: httpx.Client, chance: random.Random, number: int) -> None:
        text = f"Describe kite {chance.random()}"
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        answer = client.post("/v1/chat/completions", json=body).json()
        identity = parse_id(answer["id"]) or ""
        self._taken.answered += 1
        for _ in range(chance.choice((1, 1, 2))):
            value = round(chance.random(), 6)
            given = client.post("/v1/feedback", json={"id": identity, "value": value})
            if given.status_code == 202:
                self._taken.feedback[given.json()["feedback_id"]] = (identity, value)
        if number == 0 and chance.random() < 0.2:
            wish = {"action": "exclude", "deployment": "brook", "reason": "while it is killed",
                    "author": "kills", "expires_in_s": 3600}  # fmt: skip
            laid = client.post("/admin/overrides", json=wish)
            if laid.status_code == 201:
                self._taken.overrides.add(laid.json()["id"])
                end = {"reason": "while it is killed", "author": "kills"}
                lifted = client.post(f"/admin/overrides/{laid.json()['id']}/lift", json=end)
                if lifted.status_code == 200:
                    self._taken.lifted.add(laid.json()["id"])

    def end(self) -> None:
        self._halt.set()
        for thread in self._threads:
            thread.join(30)


def run(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill ``kills`` times, then count."""
    began = time.monotonic()
    simulated = Child("-m", "service.cli", "simulate", "--port", "0", "--speed", "50")
    plan, state = folder / "plan.yaml", folder / "state"
    text = (ROOT / "examples" / "simulated.yaml").read_text("utf-8")
    plan.write_text(text.replace("http://127.0.0.1:9100", simulated.url), "utf-8")
    chance, taken, starts_s = random.Random(seed), Taken(), []
    try:
        for turn in range(kills):
            if turn and chance.random() < EARLY:
                _killed_at_its_start(plan, state, chance.uniform(0.0, EARLY_S))
                continue
            service, start_s = _start(plan, state)
            starts_s.append(start_s)
            callers = Callers(service.url, taken, seed * 100_000 + turn)
            time.sleep(chance.uniform(LEAST_S, MOST_S))
            service.process.kill()
            service.process.wait(30)
            callers.end()
            if service.process.stderr is not None:
                service.process.stderr.close()
        service, start_s = _start(plan, state)
        starts_s.append(start_s)
        service.end()
    finally:
        simulated.end()
    found = count(state, taken) | {
        "kills": kills,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "start_s": {"median": round(sorted(starts_s)[len(starts_s) // 2], 2),
                    "most": round(max(starts_s), 2)},
    }  # fmt: skip
    found["good"] = good(found)
    return found


def _start(plan: Path, state: Path) -> tuple[Child, float]:
    began = time.monotonic()
    service = Child(*_serve(plan, state))
    wait_ready(service.url)
    return service, time.monotonic() - began


def _serve(plan: Path, state: Path) -> list[str]:
    return ["-m", "service.cli", "serve", "--plan", str(plan), "--state", str(state), "--port", "0"]


def _killed_at_its_start(plan: Path, state: Path, after_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, *_serve(plan, state)], stderr=subprocess.DEVNULL,
        env=os.environ | {"HEADGATE_BOOTSTRAP_KEY": KEY},
    )  # fmt: skip
    time.sleep(after_s)
    process.kill()
    process.wait(30)


def count(state: Path, taken: Taken) -> dict[str, Any]:
    """What is in the published history, and in the live file, of what was acknowledged."""
    history = connect(state)
    rows = query(history, "SELECT id, decision_id, value FROM feedback")[1]
    times = Counter(str(row[0]) for row in rows)
    values = {str(row[0]): (str(row[1]), row[2]) for row in rows}
    overrides = Counter(str(row[0]) for row in query(history, "SELECT id FROM overrides")[1])
    ends = Counter(
        str(row[0])
        for row in query(history, "SELECT override_id FROM override_ends WHERE how = 'lifted'")[1]
    )
    database, mended = open_live(state)
    cursor = database.cursor()

    def live(sql: str) -> int:
        row = cursor.execute(sql).fetchone()
        return int(row[0]) if row else 0

    doubled = {
        name: live(f"SELECT count(*) - count(DISTINCT ({key})) FROM {name}")
        for name, key in KEYS.items()
    }
    differing = {
        name: abs(live(f"SELECT count(*) FROM {name}")
                  - int(query(history, f"SELECT count(*) FROM {name}")[1][0][0]))
        for name in KEYS
    }  # fmt: skip
    started = query(history, "SELECT detail FROM acts WHERE act = 'service.started'")[1]
    details = [json.loads(row[0]) for row in started]
    orphans = live("SELECT count(*) FROM feedback f ANTI JOIN decisions d ON d.id = f.decision_id")
    gaps = live("SELECT coalesce(max(seq), 0) - count(*) FROM updates")
    rated = live("SELECT count(*) - count(DISTINCT feedback_id) FROM updates "
                 "WHERE feedback_id IS NOT NULL")  # fmt: skip
    database.close()
    return {
        "answered": taken.answered,
        "acknowledged": {"feedback": len(taken.feedback), "overrides": len(taken.overrides),
                         "lifted": len(taken.lifted)},
        "missing": {
            "feedback": sum(times[each] == 0 for each in taken.feedback),
            "overrides": sum(overrides[each] == 0 for each in taken.overrides),
            "lifted": sum(ends[each] == 0 for each in taken.lifted),
        },
        "changed": sum(values.get(each) != what for each, what in taken.feedback.items()),
        "more_than_once": sum(n > 1 for each in (times, overrides, ends) for n in each.values()),
        "doubled": doubled,
        "history_differs_from_live": differing,
        "feedback_without_decision": orphans,
        "updates_missing_in_sequence": gaps,
        "learned_twice": rated,
        "told_lost": {
            "decisions": sum(each["lost_decisions"] for each in details),
            "attempts": sum(each["lost_attempts"] for each in details),
        },
        "durable_rows_gone": sum(each.get("missing_rows", 0) for each in details),
        "starts": len(details),
        "mended": mended is not None or any("restored_rows" in each for each in details),
    }  # fmt: skip


def good(found: dict[str, Any]) -> bool:
    """Whether everything acknowledged is there exactly once, and nothing was doubled."""
    none = [*found["missing"].values(), *found["doubled"].values(),
            *found["history_differs_from_live"].values(), found["changed"],
            found["more_than_once"], found["feedback_without_decision"],
            found["updates_missing_in_sequence"], found["learned_twice"],
            found["durable_rows_gone"]]  # fmt: skip
    return not any(none) and not found["mended"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a directory to leave the state in")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="headgate-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = run(options.kills, options.seed, folder)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=2))
    if not found["good"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
