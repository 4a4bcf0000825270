"""An upstream on raw sockets that fails as a plan says (python -m tests.chaos --help)."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import ssl
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tests.chaos_faults  # noqa: F401 - registers the faults
from tests.chaos_answers import FAULTS, Exchange, Fault, http

MAX_BODY = 64 * 1024 * 1024


@dataclass
class Step:
    """A fault with its parameters: for ``count`` requests, with ``probability``, or from and to
    numbers of requests (the first is 1). With none of them it holds for every request."""

    fault: str = "healthy"
    count: int | None = None
    probability: float = 1.0
    first: int = 1
    last: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    done: int = 0

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no fault {self.fault!r}; known: {', '.join(sorted(FAULTS))}")

    def holds(self, number: int, chance: random.Random) -> bool:
        """Whether this step takes the request of that number."""
        if number < self.first or (self.last is not None and number > self.last):
            return False
        if self.count is not None and self.done >= self.count:
            return False
        return self.probability >= 1.0 or chance.random() < self.probability


class Plan:
    """Steps in order: the first that holds takes the request; healthy where none does. Seeded."""

    def __init__(self, steps: list[Step] | None = None, seed: int = 1) -> None:
        self.steps = steps or []
        self._chance = random.Random(seed)
        self._healthy = Step()
        self.number = 0

    @classmethod
    def read(cls, content: dict[str, Any]) -> Plan:
        """From ``{"seed": 1, "steps": [{"fault": "drip", "interval_s": 0.1, "count": 3}]}``."""
        keys = ("fault", "count", "probability", "first", "last")
        steps = []
        for given in content.get("steps", []):
            known = {key: given[key] for key in keys if key in given}
            rest = {key: value for key, value in given.items() if key not in keys}
            steps.append(Step(**known, parameters=rest))
        return cls(steps, content.get("seed", 1))

    def next(self) -> tuple[Step, Fault]:
        """What is done to the next request."""
        self.number += 1
        step = next((s for s in self.steps if s.holds(self.number, self._chance)), self._healthy)
        step.done += 1
        return step, FAULTS[step.fault]

    def counts(self) -> dict[str, int]:
        """How many requests each fault took."""
        found: dict[str, int] = {}
        for step in (*self.steps, self._healthy):
            found[step.fault] = found.get(step.fault, 0) + step.done
        return {fault: done for fault, done in found.items() if done}


class ChaosServer:
    """Serves a plan on a listener of the running loop; requests are counted when they are whole."""

    def __init__(self, plan: Plan, text: str = "The tide is the sea breathing.") -> None:
        self.plan = plan
        self.text = text
        self.requests: list[bytes] = []
        self.keep_requests = True
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def listen(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen on loopback; port 0 takes a free one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End the listener and all that is under way."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the server ends
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection is kept."""
        first = await reader.readexactly(1)
        if not first.isalpha():  # a TLS greeting, say
            writer.write(http(400, b""))
            return False
        head = first + await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(min(size, MAX_BODY))
        if head.startswith(b"POST /chaos "):  # counts so far, and from now on another plan
            counts = {"requests": self.plan.number, "faults": self.plan.counts()}
            self.plan = Plan.read(json.loads(body))
            writer.write(http(200, json.dumps(counts).encode()))
            return True
        if self.keep_requests:
            self.requests.append(head + body)
        step, fault = self.plan.next()
        stream = b'"stream":true' in body
        exchange = Exchange(reader, writer, stream, step.done, self.text, step.parameters)
        kept = await fault(exchange)
        if kept:
            await writer.drain()
        return kept


class Chaos:
    """A chaos server in a thread of its own, for tests; its plan may change between requests."""

    def __init__(self, *steps: Step, seed: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self._server = ChaosServer(Plan(list(steps), seed))
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.port}/v1"

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def requests(self) -> list[bytes]:
        return self._server.requests

    @property
    def connections(self) -> int:
        return self._server.connections

    @property
    def plan(self) -> Plan:
        return self._server.plan

    def play(self, *steps: Step, seed: int = 1, text: str | None = None) -> None:
        """From now on this; earlier requests are forgotten."""
        self._server.plan = Plan(list(steps), seed)
        if text is not None:
            self._server.text = text
        self.requests.clear()

    def __enter__(self) -> Chaos:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.listen(0, self._tls), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def fault(name: str, count: int | None = None, **parameters: Any) -> Step:
    """A step, briefly."""
    return Step(name, count, parameters=parameters)


async def _run(plan: Plan, port: int, seconds: float) -> None:
    server = ChaosServer(plan)
    server.keep_requests = False
    await server.listen(port)
    sys.stderr.write(f"listening on http://127.0.0.1:{server.port}\n")
    sys.stderr.flush()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
    await server.close()


def main() -> None:
    """The command; ends by itself after ``--seconds``. A plan posted to /chaos takes over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, help='JSON: {"seed": 1, "steps": [...]}')
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3_600.0)
    o = parser.parse_args()
    content = json.loads(o.plan.read_text("utf-8")) if o.plan else {}
    asyncio.run(_run(Plan.read(content), o.port, o.seconds))


if __name__ == "__main__":
    main()
