"""Whether answers keep coming while an upstream fails: each fault alone, for a whole run.

    python -m benchmarks.resilience [--requests 20000] [--fault F09 ...] [--callers 16] [--json OUT]

Three deployments at three providers; one of them fails in the same way for the whole run (F32: two
of them, at one provider). A fifth of the requests are streams. The time limits of the attempts are
scaled to 0.3, 0.25 and 0.2 seconds. A stream that breaks off after its first content counts as
failed, though it ends as it should, in an error event.
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks.processes import KEY, Child, wait_ready
from benchmarks.resilience_load import Load, run, wilson

ENOUGH, MOST_CALLS = 0.9995, 1.1  # the bars: share of valid answers, calls a request
CUT_AT = 4
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("nothing fails", {"fault": "healthy"}),
    "F01": ("refused connections", {"fault": "refused"}),
    "F04": ("silence", {"fault": "silence"}),
    "F05": ("a head, then silence", {"fault": "headers_silence"}),
    "F06": ("a byte every 50 ms", {"fault": "drip"}),
    "F07": ("a reset midway", {"fault": "reset_midway"}),
    "F08": ("shorter than it says", {"fault": "short"}),
    "F09": ("streams cut after some tokens", {"fault": "cut", "tokens": CUT_AT}),
    "F10": ("streams stalled after some tokens", {"fault": "stall", "tokens": CUT_AT}),
    "F11": ("a malformed line in every stream", {"fault": "bad_line"}),
    "F12": ("streams split into bytes", {"fault": "split", "size": 3}),
    "F14": ("a page under a 200", {"fault": "raw", "data": "<html>busy</html>",
                                   "kind": "text/html"}),
    "F15": ("no usage", {"fault": "usage"}),
    "F16": ("429 with Retry-After: 2", {"fault": "status", "code": 429,
                                        "headers": ["retry-after: 2"]}),
    "F18": ("503", {"fault": "status", "code": 503}),
    "F19": ("errors under a 200", {"fault": "error_in_200", "event": "error", "tokens": 1}),
    "F22": ("401", {"fault": "status", "code": 401}),
    "F24": ("gzip bombs", {"fault": "gzip_bomb"}),
    "F31": ("503 every other time", {"fault": "status", "code": 503, "probability": 0.5}),
    "F32": ("503 of two at one provider", {"fault": "status", "code": 503}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What one fault did. Times in milliseconds, of valid answers."""

    fault: str
    what: str
    requests: int
    valid: int
    share: float
    low: float
    high: float
    attempts_per_request: float
    upstream_calls: int
    p50_ms: float
    p99_ms: float
    wrong: dict[str, int]
    error_kinds: dict[str, int]

    @property
    def good(self) -> bool:
        return self.share >= ENOUGH and self.attempts_per_request <= MOST_CALLS


def plan(faulty_url: str, healthy_url: str, two: bool) -> str:
    """Three deployments; the first fails, and where two do, the second at the same provider."""
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    places = [("first", "p1", faulty_url), ("third", "p3", healthy_url)]
    places.insert(1, ("second", "p1", faulty_url) if two else ("second", "p2", healthy_url))
    deployments = [
        {"name": name, "provider": provider, "base_url": url, "model": "m", "price": price}
        for name, provider, url in places
    ]
    service = {"attempt_timeouts_s": [0.3, 0.25, 0.2], "stream_idle_s": 0.3, "deadline_s": 2}
    return json.dumps({"deployments": deployments, "service": service})


def child(*arguments: str) -> Child:
    """A process of ours whose words are read, so that they never stop it."""
    made = Child(*arguments)
    stream = made.process.stderr
    assert stream is not None
    threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()
    return made


def chaos(upstream: Child, step: dict[str, Any]) -> int:
    """Give it a plan; the requests that it took under the plan before."""
    answer = httpx.post(upstream.url + "/chaos", json={"seed": 1, "steps": [step]}, timeout=5.0)
    return int(answer.json()["requests"])


def counted(metrics: str, name: str, label: str) -> dict[str, int]:
    """A counter's values, summed by one label."""
    found: dict[str, int] = {}
    for line in metrics.splitlines():
        if line.startswith(name + "{"):
            labels, value = line[len(name) + 1 :].rsplit("} ", 1)
            word = labels.split(f'{label}="', 1)[1].split('"', 1)[0]
            found[word] = found.get(word, 0) + int(float(value))
    return found


def measure(name: str, o: argparse.Namespace, folder: Path) -> Run:
    """One fault against a fresh service."""
    what, step = FAULTS[name]
    faulty, healthy = child("-m", "tests.chaos"), child("-m", "tests.chaos")
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
    gateway = None
    try:
        url = faulty.url
        if step["fault"] == "refused":
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        else:
            chaos(faulty, step)
        file = folder / f"{name}.json"
        file.write_text(plan(url + "/v1", healthy.url + "/v1", name == "F32"), "utf-8")
        gateway = child("-m", "service.cli", "serve", "--plan", str(file), "--state",
                        str(folder / name), "--port", "0")  # fmt: skip
        wait_ready(gateway.url)
        load = Load(gateway.port, KEY, o.requests, o.callers, o.deadline)
        tally = uvloop.run(run(load))
        headers = {"Authorization": f"Bearer {KEY}"}
        metrics = httpx.get(gateway.url + "/metrics", headers=headers, timeout=5.0).text
        calls = chaos(faulty, {"fault": "healthy"}) + chaos(healthy, {"fault": "healthy"})
    finally:
        for each in (gateway, faulty, healthy):
            if each is not None:
                each.end()
        closed.close()
    kinds = counted(metrics, "headgate_attempt_errors_total", "kind")
    answered = counted(metrics, "headgate_requests_total", "status").get("200", 0)
    low, high = wilson(tally.valid, tally.total)
    return Run(
        fault=name, what=what, requests=tally.total, valid=tally.valid,
        share=tally.valid / max(tally.total, 1), low=low, high=high,
        attempts_per_request=(answered + sum(kinds.values())) / max(tally.total, 1),
        upstream_calls=calls, p50_ms=tally.quantile_ms(0.5), p99_ms=tally.quantile_ms(0.99),
        wrong=dict(tally.faults), error_kinds=kinds,
    )  # fmt: skip


def show(run: Run) -> None:
    """A line."""
    told = " ".join(f"{kind}:{number}" for kind, number in sorted(run.error_kinds.items()))
    wrong = " ".join(f"{kind}:{number}" for kind, number in sorted(run.wrong.items()))
    print(
        f"{run.fault:5} {run.what:34} {run.share:8.3%} [{run.low:.3%}, {run.high:.3%}] "
        f"{run.attempts_per_request:6.3f} {run.p50_ms:7.1f} {run.p99_ms:7.1f}  "
        f"{'good' if run.good else 'MISS'}  {told}{' | ' + wrong if wrong else ''}",
        flush=True,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=20_000, help="for each fault")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds, of each request")
    parser.add_argument("--fault", nargs="*", choices=sorted(FAULTS), help="only these")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    runs = []
    print(f"{'fault':40} {'valid answers [95 %]':>30} attempts  p50 ms  p99 ms")
    with tempfile.TemporaryDirectory() as folder:
        for name in o.fault or FAULTS:
            runs.append(measure(name, o, Path(folder)))
            show(runs[-1])
    if o.json:
        rows = [asdict(each) | {"good": each.good} for each in runs]
        bars = {"valid": ENOUGH, "attempts_per_request": MOST_CALLS}
        o.json.write_text(json.dumps({"bars": bars, "runs": rows}, indent=1))


if __name__ == "__main__":
    main()
