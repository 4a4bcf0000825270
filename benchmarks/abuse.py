"""Abuse on the way in, bounded: what it costs the service while honest callers go on.

    python -m benchmarks.abuse [--clients 10000] [--seconds 15] [--json OUT]

Each kind of abuse meets a service of its own. Read: how much memory the service grew by (bar:
100 MB), how long its event loop was held at most (bar: 50 ms), and how the honest callers fared,
who ask twenty times a second on connections that they keep. The first row is without abuse: where
the loop is held there too, it is the machine that is busy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np
import uvloop

from benchmarks.overhead import Connection, body, request
from benchmarks.processes import KEY, Child, wait_ready

HONEST, EVERY_S = 4, 0.2
PARALLEL = 6
BAR_MB, BAR_MS = 100.0, 50.0
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
PLAN = """
deployments:
  - {{name: one, base_url: "{url}/v1", model: m, context_window: 10000000,
     price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
policy: {{kind: fixed}}
"""


@dataclass
class Found:
    """One kind of abuse. Memory in MB, times in milliseconds."""

    kind: str
    told: dict[str, int] = field(default_factory=dict)
    growth_mb: float = 0.0
    stall_ms: float = 0.0
    honest: int = 0
    honest_failed: int = 0
    p50_ms: float = 0.0
    greatest_ms: float = 0.0


class Honest:
    """Callers who ask now and then on connections that they keep."""

    def __init__(self, port: int) -> None:
        self._connections = [Connection(port) for _ in range(HONEST)]
        self.times: list[float] = []
        self.failed = 0

    async def run(self, until: asyncio.Event) -> None:
        """Ask until told to stop."""
        data = request(body())

        async def work(connection: Connection) -> None:
            while not until.is_set():
                began = time.perf_counter()
                try:
                    fine = await asyncio.wait_for(connection.ask(data), 10)
                except (OSError, asyncio.IncompleteReadError, TimeoutError):
                    self.failed += 1
                    return
                self.times.append(time.perf_counter() - began)
                self.failed += not fine
                await asyncio.sleep(EVERY_S)
            connection.close()

        await asyncio.gather(*(work(each) for each in self._connections))


async def send(port: int, data: bytes, told: Counter[str]) -> None:
    """Send, and note the status that comes back."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        told["refused"] += 1
        return
    try:
        writer.write(data)
        head = await asyncio.wait_for(reader.readline(), 20)
        told[head.split()[1].decode() if head else "closed"] += 1
    except (OSError, TimeoutError):
        told["closed"] += 1
    finally:
        writer.close()


async def slow_clients(port: int, seconds: float, told: Counter[str], clients: int) -> None:
    """Thousands of connections whose heads come a byte a second."""
    end = time.perf_counter() + seconds
    gate = asyncio.Semaphore(200)

    async def one() -> None:
        try:
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            told["refused"] += 1
            return
        status = asyncio.create_task(reader.readline())
        told["opened"] += 1
        for byte in (HEAD * 2).encode():
            if status.done() or time.perf_counter() > end:
                break
            with contextlib.suppress(OSError):
                writer.write(bytes([byte]))
            await asyncio.wait([status], timeout=1.0)
        if not status.done():
            status.cancel()
            told["held"] += 1
        with contextlib.suppress(OSError, asyncio.CancelledError):
            head = await status
            told[head.split()[1].decode() if head else "closed"] += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


def repeated(*bodies: bytes) -> Callable[[int, float, Counter[str]], Awaitable[None]]:
    """A few callers who send these over and over."""
    whole = [
        f"{HEAD}Content-Length: {len(each)}\r\n\r\n".encode() + each
        if each[:4] != b"POST"
        else each
        for each in bodies
    ]

    async def run(port: int, seconds: float, told: Counter[str]) -> None:
        end = time.perf_counter() + seconds

        async def work(at: int) -> None:
            while time.perf_counter() < end:
                await send(port, whole[at % len(whole)], told)
                at += 1

        await asyncio.gather(*(work(at) for at in range(PARALLEL)))

    return run


def kinds(clients: int) -> dict[str, Callable[[int, float, Counter[str]], Awaitable[None]]]:
    """Every kind of abuse."""
    message = b'{"model":"auto","messages":[{"role":"user","content":'
    text = message + b'"' + b"word " * 1_990_000 + b'"}]}'
    keys = b"{" + b",".join(b'"%x":0' % n for n in range(900_000))[:9_800_000] + b":0}"
    parts = message + b"[" + b"{}," * 3_000_000 + b"{}]}]}"
    floods = [f"{HEAD}X: {'y' * 70_000}\r\n\r\n", HEAD + "X: y\r\n" * 5_000 + "\r\n"]

    async def slow(port: int, seconds: float, told: Counter[str]) -> None:
        await slow_clients(port, seconds, told, clients)

    async def nothing(_: int, seconds: float, __: Counter[str]) -> None:
        await asyncio.sleep(seconds)

    return {
        "nothing": nothing,
        f"{clients} slow clients": slow,
        "bodies of 10 MB": repeated(text, b"x" * 10_000_000, text[:-1]),
        "bodies beyond the bound": repeated(b"x" * 30_000_000),
        "deep JSON": repeated(b"[" * 5_000_000, b'{"a":' * 1_000_000),
        "values by the million": repeated(keys, parts),
        "header floods": repeated(*(flood.encode() for flood in floods)),
    }


async def measure(
    service: Child, kind: str, run: Callable[[int, float, Counter[str]], Awaitable[None]],
    seconds: float,
) -> Found:  # fmt: skip
    """One kind of abuse against a service, with honest callers beside it."""
    honest, stop, told = Honest(service.port), asyncio.Event(), Counter[str]()
    asking = asyncio.create_task(honest.run(stop))
    await asyncio.sleep(1.0)
    before, most = service.rss_mb(), 0.0
    honest.times.clear()

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, service.rss_mb())
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    await asyncio.wait_for(run(service.port, seconds, told), seconds + 60)
    stop.set()
    await asking
    watching.cancel()
    await asyncio.sleep(0.3)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as client:
        load = (await client.get("/admin/status")).json()["load"]
    times = np.asarray(honest.times or [float("nan")]) * 1e3
    return Found(
        kind, dict(told), round(most - before, 1), round(load["loop_lag_s"]["greatest"] * 1e3, 1),
        len(honest.times), honest.failed, round(float(np.median(times)), 2),
        round(float(times.max()), 1),
    )  # fmt: skip


def main() -> None:
    """Every kind in turn, each against a service of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = options.clients
    if hard != resource.RLIM_INFINITY and clients > hard - 500:
        clients = hard - 500
        print(f"note: the machine allows {hard} open files, so {clients} slow clients")
    upstream = Child("-m", "benchmarks.upstream", core=0)
    rows: list[Found] = []
    try:
        for kind, run in kinds(clients).items():
            with tempfile.TemporaryDirectory() as home:
                plan = Path(home) / "plan.yaml"
                plan.write_text(PLAN.format(url=upstream.url), "utf-8")
                service = Child("-m", "service.cli", "serve", "--plan", str(plan), "--state",
                                f"{home}/state", "--port", "0", core=1)  # fmt: skip
                try:
                    wait_ready(service.url)
                    found = uvloop.run(measure(service, kind, run, options.seconds))
                finally:
                    service.end()
            rows.append(found)
            show(found)
    finally:
        upstream.end()
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2), "utf-8")


def show(found: Found) -> None:
    """One kind, in lines."""
    grown = "within" if found.growth_mb < BAR_MB else "BEYOND"
    held = "within" if found.stall_ms < BAR_MS else "BEYOND"
    print(f"{found.kind}: {found.told}")
    print(f"  memory grew by {found.growth_mb} MB ({grown} {BAR_MB:.0f}), "
          f"the loop was held for {found.stall_ms} ms ({held} {BAR_MS:.0f})")  # fmt: skip
    print(f"  honest: {found.honest} answered, {found.honest_failed} not, "
          f"p50 {found.p50_ms} ms, greatest {found.greatest_ms} ms", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
