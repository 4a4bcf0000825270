"""An incident rehearsed: a deployment fails under load, and what moves its traffic, and how soon.

    python -m benchmarks.incident_rehearsal [--repetitions 5] [--seconds 900] [--json OUT]

A real service before simulated providers, callers at a steady rate. Twice in a repetition the
deployment with the most traffic degrades. First it ails (8 % errors, too few for a
breaker) and a script types `headgate override set exclude`, and lifts it when it is well. Then it
fails (60 % errors in the odd repetitions, 25 times as slow in the even ones) and nobody does
anything. A share is that of the requests drawn for it; it has moved, or is back, by the end
of the first second in which, as in the three that begin with it, it is under, or over, half of what
it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from scipy.stats import t

from benchmarks.incident_traffic import Callers, Seen, crossing
from benchmarks.processes import KEY, Child, wait_ready
from benchmarks.resilience import child

ROOT = Path(__file__).parent.parent
FAULTS: dict[str, dict[str, float]] = {
    "errors": {"error_rate": 0.6},
    "slow": {"latency_factor": 25.0},
}
AILING = {"error_rate": 0.08}
WARM_S, STEADY_S = 20.0, 8.0
ALONE_S, BACK_S, TYPED_S, UNDER_WAY_S = 20.0, 60.0, 2.0, 6.0
SEED = 7


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One repetition; seconds, None where it did not come in the time that was given."""

    fault: str
    deployment_typed: str
    share_typed: float
    command_s: float
    drawn_after_command: int
    excluded_sent_s: float
    excluded_answer_s: float
    errors_typed: dict[str, int]
    requests_typed: int
    back_lifted_s: float | None
    state_lifted: str
    deployment_alone: str
    share_alone: float
    moved_alone_s: float | None
    status_showed_s: float | None
    errors_alone: dict[str, int]
    requests_alone: int
    back_alone_s: float | None
    state_alone: str


class Site:
    """The service, its providers, its callers, and a shell."""

    def __init__(self, folder: Path, rate: float) -> None:
        self.simulator = child("-m", "service.cli", "simulate", "--port", "0", "--seed", str(SEED))
        self.gateway: Child | None = None
        try:
            text = (ROOT / "examples" / "simulated.yaml").read_text("utf-8")
            plan = folder / "plan.yaml"
            plan.write_text(text.replace("http://127.0.0.1:9100", self.simulator.url), "utf-8")
            self.gateway = child("-m", "service.cli", "serve", "--plan", str(plan), "--state",
                                 str(folder / "state"), "--port", "0")  # fmt: skip
            wait_ready(self.gateway.url)
            self.callers = Callers(self.gateway.port, KEY, rate, SEED)
            self.callers.start()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Callers first."""
        if hasattr(self, "callers"):
            self.callers.stop()
        for each in (self.gateway, self.simulator):
            if each is not None:
                each.end()

    def weather(self, name: str, **changes: float) -> None:
        """A deployment as told, or well."""
        httpx.post(self.simulator.url + "/control", json={"model": name, **changes}, timeout=5.0)

    def headgate(self, *words: str) -> Any:
        """A command as an operator types it; what it says in JSON."""
        assert self.gateway is not None
        environment = os.environ | {"HEADGATE_URL": self.gateway.url, "HEADGATE_KEY": KEY}
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", *words, "--json"], env=environment, text=True,
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def most_used(self) -> tuple[str, float]:
        """The deployment that most was drawn for in the last seconds, and its share."""
        now_s = time.monotonic()
        seen = list(self.callers.seen)
        recent = [each.drawn for each in seen if each.sent_s >= now_s - STEADY_S and each.drawn]
        name = max(set(recent), key=recent.count)
        return name, recent.count(name) / len(recent)

    def since(self, start_s: float, stop_s: float = math.inf) -> list[Seen]:
        """What was sent in a time."""
        return [each for each in list(self.callers.seen) if start_s <= each.sent_s < stop_s]


def shown(status: dict[str, Any], name: str, before: str) -> bool:
    """Whether the status says that something is wrong with a deployment: it is sent nothing, or
    the policy holds it in another state than before.
    """
    health = next(each for each in status["health"] if each["deployment"] == name)
    return bool(health["bar"]) or health["breaker"] != "closed" or _state(status, name) != before


def _state(status: dict[str, Any], name: str) -> str:
    found = status["deployments"]
    return str(next(each["state"] for each in found if each["deployment"] == name))


def alone(site: Site, fault: str, name: str, level: float) -> dict[str, Any]:
    """It fails, nobody does anything but look, and then it is well."""
    before = state(site, name)
    began_s = time.monotonic()
    site.weather(name, **FAULTS[fault])
    showed_s = None
    while time.monotonic() < began_s + ALONE_S and showed_s is None:
        if shown(site.headgate("status"), name, before):
            showed_s = round(time.monotonic() - began_s, 2)
    time.sleep(max(began_s + ALONE_S - time.monotonic(), 0.0))
    end_s = time.monotonic()
    site.weather(name)
    back_s = comes_back(site, name, level)
    seen = site.since(began_s)
    asked = [each for each in seen if each.sent_s < end_s]
    return {
        "moved_alone_s": crossing(seen, name, level, (began_s, end_s))[0],
        "status_showed_s": showed_s, "requests_alone": len(asked),
        "errors_alone": codes(asked), "back_alone_s": back_s,
        "state_alone": state(site, name),
    }  # fmt: skip


def typed(site: Site, name: str, level: float) -> dict[str, Any]:
    """It ails, and a script excludes it two seconds later; it is well, and that is lifted."""
    site.weather(name, **AILING)
    time.sleep(TYPED_S)
    began_s = time.monotonic()
    laid = site.headgate("override", "set", "exclude", name, "--for", "10m", "--reason",
                         f"rehearsal: {name} ails")  # fmt: skip
    command_s = time.monotonic() - began_s
    time.sleep(UNDER_WAY_S)
    seen = site.since(began_s - TYPED_S)
    sent = [each.sent_s for each in seen if each.drawn == name]
    ended = [each.ended_s for each in seen if each.served == name]
    site.weather(name)
    site.headgate("override", "lift", laid["id"], "--reason", "rehearsal: it is well again")
    return {
        "command_s": round(command_s, 2),
        "drawn_after_command": sum(each > began_s + command_s for each in sent),
        "excluded_sent_s": round(max([*sent, began_s]) - began_s, 2),
        "excluded_answer_s": round(max([*ended, began_s]) - began_s, 2),
        "errors_typed": codes(seen),
        "requests_typed": len(seen), "back_lifted_s": comes_back(site, name, level),
        "state_lifted": state(site, name),
    }  # fmt: skip


def comes_back(site: Site, name: str, level: float) -> float | None:
    """Seconds until a deployment has half of its share again; None: not in the time for it."""
    began_s = time.monotonic()
    found = None
    while time.monotonic() < began_s + BACK_S and found is None:
        time.sleep(1.0)
        found = crossing(site.since(began_s), name, level, (began_s, time.monotonic() - 1.0))[1]
    return found


def state(site: Site, name: str) -> str:
    """How a deployment then stands with the policy."""
    return _state(site.headgate("status"), name)


def codes(seen: list[Seen]) -> dict[str, int]:
    """The errors that callers saw, by their code."""
    return dict(Counter(each.code for each in seen if each.status != 200))


def rehearse(site: Site, fault: str) -> Rehearsal:
    """One repetition, from a fleet that is well to one that is well."""
    name, before = site.most_used()
    found = typed(site, name, before / 2)
    time.sleep(STEADY_S)
    other, again = site.most_used()
    found |= alone(site, fault, other, again / 2)
    return Rehearsal(
        fault=fault, deployment_typed=name, share_typed=round(before, 3), deployment_alone=other,
        share_alone=round(again, 3), **found,
    )  # fmt: skip


def told(values: list[float]) -> dict[str, Any]:
    """Median, mean with Student's interval, and the worst."""
    mean = statistics.fmean(values)
    found = {"n": len(values), "median": statistics.median(values), "mean": round(mean, 2),
             "greatest": max(values)}  # fmt: skip
    if len(values) > 1:
        half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
        found["mean_ci95"] = [round(mean - half, 2), round(mean + half, 2)]
    return found


FIGURES = ("command_s", "excluded_sent_s", "excluded_answer_s", "back_lifted_s", "moved_alone_s",
           "status_showed_s", "back_alone_s")  # fmt: skip


def summary(done: list[Rehearsal]) -> dict[str, Any]:
    """By fault: each figure, how often it did not come, and errors a thousand requests."""
    found: dict[str, Any] = {}
    for fault in dict.fromkeys(each.fault for each in done):
        of = [asdict(each) for each in done if each.fault == fault]
        row: dict[str, Any] = {}
        for name in FIGURES:
            values = [each[name] for each in of if each[name] is not None]
            row[name] = told(values) if values else {"n": 0}
            row[name]["did_not_come"] = len(of) - len(values)
        for part in ("alone", "typed"):
            errors = sum((Counter(each[f"errors_{part}"]) for each in of), Counter[str]())
            asked = sum(each[f"requests_{part}"] for each in of)
            row[f"errors_{part}"] = {"errors": dict(errors), "requests": asked}
        found[fault] = row
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=1_200.0, help="begin no more after this")
    parser.add_argument("--fault", nargs="*", choices=sorted(FAULTS), help="only these, in turn")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    faults = o.fault or list(FAULTS)
    began_s, longest_s, done = time.monotonic(), 0.0, list[Rehearsal]()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), o.rate)
        try:
            time.sleep(WARM_S)
            for number in range(o.repetitions):
                start_s = time.monotonic()
                if done and start_s + longest_s > began_s + o.seconds:
                    print(f"the time is over after {number} repetitions", file=sys.stderr)
                    break
                done.append(rehearse(site, faults[number % len(faults)]))
                longest_s = max(longest_s, time.monotonic() - start_s)
                print(json.dumps(asdict(done[-1])), file=sys.stderr, flush=True)
                time.sleep(STEADY_S)
        finally:
            site.end()
    report = {"rate": o.rate, "summary": summary(done), "runs": [asdict(each) for each in done]}
    text = json.dumps(report, indent=1)
    print(text)
    if o.json:
        o.json.write_text(text)


if __name__ == "__main__":
    main()
