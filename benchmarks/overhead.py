"""What the gateway costs: its own CPU per request, and the latency that it adds.

    python -m benchmarks.overhead [--rounds 3] [--seconds 3] [--soak 200000] [--json OUT]

Upstream and load generator share one core, the gateway has the other. Windows of the direct call
and of the gateway alternate; read medians, and ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.processes import KEY, Child, wait_ready

FILL = "The quarterly review covered availability, cost per request and developer experience. "
DEPLOYMENTS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """One measured stretch. Times in microseconds."""

    system: str
    scenario: str
    requests_per_s: float
    cpu_us: float
    p50_us: float
    p99_us: float
    failed: int


def body() -> bytes:
    """A request of about a kilobyte."""
    text = "Write a Python function that merges overlapping intervals. " + FILL * 9
    messages = [
        {"role": "system", "content": "You are a careful assistant."},
        {"role": "user", "content": text},
    ]
    return json.dumps({"model": "auto", "messages": messages, "temperature": 0.7}).encode()


def request(data: bytes) -> bytes:
    """The whole HTTP request."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Connection:
    """A keep-alive connection that asks one thing at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None

    async def ask(self, data: bytes) -> bool:
        """Send and read the whole answer; whether it was a 200."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        await self._reader.readexactly(size)
        return head.startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        if self._reader is not None:
            self._writer.close()


async def closed_loop(port: int, data: bytes, connections: int, seconds: float) -> list[float]:
    """Each connection asks again as soon as it is answered; negative times are failures."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def work() -> None:
        connection = Connection(port)
        while (began := time.perf_counter()) < until:
            fine = await connection.ask(data)
            times.append((time.perf_counter() - began) * (1 if fine else -1))
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return times


async def open_loop(port: int, data: bytes, rate: float, seconds: float) -> list[float]:
    """Poisson arrivals; latency counts from the scheduled time."""
    rng = np.random.default_rng(1)
    free: list[Connection] = []
    times: list[float] = []

    async def one(due: float) -> None:
        connection = free.pop() if free else Connection(port)
        fine = await connection.ask(data)
        # A timer may fire a little early: then the request began when it was sent.
        times.append(max(time.perf_counter() - due, 1e-6) * (1 if fine else -1))
        free.append(connection)

    due, end = time.perf_counter(), time.perf_counter() + seconds
    tasks = []
    while due < end:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(due)))
        due += float(rng.exponential(1.0 / rate))
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return times


def measure(child: Child, system: str, scenario: str, seconds: float) -> Window:
    """One window."""
    data = request(body())
    before, began = child.cpu_s(), time.perf_counter()
    if scenario == "rate50":
        times = uvloop.run(open_loop(child.port, data, 50.0, seconds))
    else:
        times = uvloop.run(closed_loop(child.port, data, int(scenario[1:]), seconds))
    took, cpu = time.perf_counter() - began, child.cpu_s() - before
    good = sorted(t for t in times if t > 0)
    return Window(
        system,
        scenario,
        len(good) / took,
        cpu / max(len(good), 1) * 1e6,
        good[len(good) // 2] * 1e6,
        good[int(0.99 * len(good))] * 1e6,
        len(times) - len(good),
    )


def plan(url: str) -> str:
    """Eight deployments, rules, a budget: everything on."""
    deployments = [
        {"name": f"d{i}", "base_url": url + "/v1", "model": "fixed",
         "price": {"input_usd_per_mtok": 0.1 * (i + 1), "output_usd_per_mtok": 0.4 * (i + 1)}}
        for i in range(DEPLOYMENTS)
    ]  # fmt: skip
    tasks = [{"name": "code", "when": "has_code"}, {"name": "maths", "when": "has_maths"}]
    content = {"deployments": deployments, "tasks": tasks, "budgets": {"usd_per_request": 0.001}}
    return json.dumps(content)


def soak(child: Child, requests: int) -> list[tuple[int, float]]:
    """Resident memory while so many requests go through."""
    data, done, series = request(body()), 0, [(0, child.rss_mb())]
    while done < requests:
        done += len(uvloop.run(closed_loop(child.port, data, 16, 5.0)))
        series.append((done, child.rss_mb()))
        print(f"  {done:7} requests, RSS {series[-1][1]:.0f} MB", flush=True)
    return series


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--soak", type=int, default=0, help="requests to send, memory watched")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[0], cores[1]) if len(cores) > 1 else (cores[0], cores[0])
    os.sched_setaffinity(0, {ours})
    windows: list[Window] = []
    with tempfile.TemporaryDirectory() as folder:
        upstream = Child("-m", "benchmarks.upstream", core=ours)
        file = Path(folder) / "plan.yaml"
        file.write_text(plan(upstream.url))
        gateway = Child("-m", "service.cli", "serve", "--plan", str(file), "--state",
                        str(Path(folder) / "state"), "--port", "0", core=theirs)  # fmt: skip
        try:
            wait_ready(gateway.url)
            uvloop.run(closed_loop(gateway.port, request(body()), 16, 2.0))
            if o.soak:
                series = soak(gateway, o.soak)
            else:
                for _ in range(o.rounds):
                    for scenario in ("c1", "c16", "rate50"):
                        windows.append(measure(upstream, "direct", scenario, o.seconds))
                        windows.append(measure(gateway, "headgate", scenario, o.seconds))
                report(windows)
                series = []
        finally:
            gateway.end()
            upstream.end()
    if o.json:
        content = {"windows": [asdict(w) for w in windows], "soak": series}
        o.json.write_text(json.dumps(content, indent=1))


def report(windows: list[Window]) -> None:
    """Medians and ranges."""
    print("scenario  system     requests/s   CPU us/request [range]      p50 us    p99 us  failed")
    for scenario in ("c1", "c16", "rate50"):
        for system in ("direct", "headgate"):
            rows = [w for w in windows if (w.scenario, w.system) == (scenario, system)]
            cpu = [w.cpu_us for w in rows]
            middle = statistics.median
            print(
                f"{scenario:9} {system:9} {middle(w.requests_per_s for w in rows):11.0f} "
                f"{middle(cpu):12.0f} [{min(cpu):.0f}, {max(cpu):.0f}]".ljust(58)
                + f"{middle(w.p50_us for w in rows):10.0f} {middle(w.p99_us for w in rows):9.0f} "
                f"{sum(w.failed for w in rows):7}"
            )


if __name__ == "__main__":
    main()
