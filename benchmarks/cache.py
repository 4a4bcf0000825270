"""What kept answers cost and bring: hits, misses and what passes by, beside the direct call.

    python -m benchmarks.cache [--rounds 5] [--seconds 1.5] [--json OUT]

The direct call is one of the upstream itself, over loopback, with no gateway between. Upstream and
load generator share one core, the gateways have the other; one gateway's plan has the section
`cache`, the other's has none (the path without a cache). Windows of every kind alternate, so that a
slow phase of the machine meets all; medians over rounds, and of ratios within a round. The upstream
answers at once: what a real call would take is not in it, so hits save more than is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import uvloop

from benchmarks.overhead import Connection, body, plan, request
from benchmarks.processes import KEY, Child, wait_ready

CACHE = {"max_bytes": 64_000_000}
KINDS = ("direct", "bare", "hit", "miss", "bypass")
MOST_US = 1_000  # what the median of a hit may take over the direct call


MARK = b"000000000"


def asked(kind: str) -> bytes:
    """A request of about a kilobyte, with a mark in it."""
    data = json.loads(body()) | {"temperature": 0.7 if kind == "bypass" else 0}
    data["messages"][1]["content"] += MARK.decode()
    return request(json.dumps(data).encode())


async def window(port: int, kind: str, connections: int, seconds: float, at: int) -> list[float]:
    """Closed loops; seconds of each request, negative where it failed. Each miss is another one."""
    until, data = time.perf_counter() + seconds, asked(kind)
    times: list[float] = []
    number = at

    async def work() -> None:
        nonlocal number
        connection = Connection(port)
        while time.perf_counter() < until:
            number += 1
            sent = data.replace(MARK, b"%09d" % number) if kind == "miss" else data
            began = time.perf_counter()
            fine = await connection.ask(sent)
            times.append((time.perf_counter() - began) * (1 if fine else -1))
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return times


def measure(
    children: dict[str, Child], kind: str, connections: int, seconds: float, at: int
) -> dict[str, float]:
    """One window: CPU and latency in microseconds."""
    child = children[kind]
    before = child.cpu_s()
    times = uvloop.run(window(child.port, kind, connections, seconds, at))
    cpu = child.cpu_s() - before
    good = sorted(each for each in times if each > 0)
    return {
        "per_s": len(good) / seconds,
        "cpu_us": cpu / max(len(good), 1) * 1e6,
        "p50_us": good[len(good) // 2] * 1e6,
        "p99_us": good[int(0.99 * len(good))] * 1e6,
        "failed": len(times) - len(good),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[0], cores[1]) if len(cores) > 1 else (cores[0], cores[0])
    os.sched_setaffinity(0, {ours})
    with tempfile.TemporaryDirectory() as folder:
        upstream = Child("-m", "benchmarks.upstream", core=ours)
        started = [upstream]
        try:
            bare = _gateway(Path(folder) / "bare", upstream.url, False, theirs)
            started.append(bare)
            cached = _gateway(Path(folder) / "cached", upstream.url, True, theirs)
            started.append(cached)
            children = {"direct": upstream, "bare": bare, "hit": cached, "miss": cached,
                        "bypass": cached}  # fmt: skip
            found = _rounds(children, o.rounds, o.seconds)
        finally:
            for child in reversed(started):
                child.end()
    report(found)
    if o.json:
        o.json.write_text(json.dumps(found, indent=1))


def _gateway(folder: Path, upstream: str, cached: bool, core: int) -> Child:
    folder.mkdir()
    content = json.loads(plan(upstream)) | ({"cache": CACHE} if cached else {})
    content["service"] = {"most_lag_s": 60}  # measured on machines with other work too
    (folder / "plan.yaml").write_text(json.dumps(content))
    child = Child("-m", "service.cli", "serve", "--plan", str(folder / "plan.yaml"), "--state",
                  str(folder / "state"), "--port", "0", core=core)  # fmt: skip
    wait_ready(child.url)
    return child


Found = dict[str, dict[str, list[dict[str, float]]]]


def _rounds(children: dict[str, Child], rounds: int, seconds: float) -> Found:
    found: Found = {str(n): {kind: [] for kind in KINDS} for n in (1, 16)}
    for kind in KINDS:
        measure(children, kind, 16, 1.0, 10_000_000)  # warm
    for kind, said in (("bare", "bypass"), ("hit", "hit"), ("bypass", "bypass")):
        head = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        url = children[kind].url + "/v1/chat/completions"
        told = httpx.post(url, content=asked(kind).split(b"\r\n\r\n", 1)[1], headers=head)
        if told.headers.get("x-headgate-cache") != said:
            raise SystemExit(f"{kind}: x-headgate-cache is {told.headers!r}")
    for turn in range(rounds):
        for connections in (1, 16):
            for kind in KINDS:
                at = (turn * 2 + (connections > 1)) * 100_000
                made = measure(children, kind, connections, seconds, at)
                found[str(connections)][kind].append(made)
    return found


def _median(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def report(found: Found) -> None:
    """Medians with quartiles."""
    for connections, kinds in found.items():
        print(f"{connections} connections:")
        for kind, windows in kinds.items():
            over = [w["p50_us"] - d["p50_us"]
                    for w, d in zip(windows, kinds["direct"], strict=True)]  # fmt: skip
            beside = [w["cpu_us"] - b["cpu_us"]
                      for w, b in zip(windows, kinds["bare"], strict=True)]  # fmt: skip
            ratio = [w["per_s"] / b["per_s"] for w, b in zip(windows, kinds["bare"], strict=True)]
            rate = statistics.median(w["per_s"] for w in windows)
            print(f"  {kind:7} p50 {_median([w['p50_us'] for w in windows])} us, over direct "
                  f"{_median(over)} us; CPU {_median([w['cpu_us'] for w in windows])} us, beside "
                  f"bare {_median(beside)}; {rate:.0f}/s, "
                  f"{statistics.median(ratio):.2f} of bare; failed "
                  f"{sum(w['failed'] for w in windows):.0f}")  # fmt: skip
    alone = found["1"]
    over_us = statistics.median(
        h["p50_us"] - d["p50_us"] for h, d in zip(alone["hit"], alone["direct"], strict=True)
    )
    print(f"a hit's median is {over_us:.0f} us over the direct call (one connection): "
          f"{'under' if over_us < MOST_US else 'NOT under'} {MOST_US}")  # fmt: skip


if __name__ == "__main__":
    main()
