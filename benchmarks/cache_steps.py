"""What the cache's steps cost on the path of a request, CPU microseconds of the loop's thread.

    python -m benchmarks.cache_steps [--blocks 40] [--requests 100] [--json OUT]

Deciding alone, as without a cache; and with one: what passes it by, a miss with its answer kept,
and a hit, which is not decided at all. Blocks of each kind alternate; medians over blocks, with
the quartiles. CPU of the thread alone, so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.budget_cost import plan
from benchmarks.overhead import body
from benchmarks.upstream import ANSWER
from service.bootstrap.build import build
from service.config import Settings
from service.domain.chat import ChatRequest, parse
from service.domain.records import Key, Usage
from service.plan.reading import load
from service.providers.base import Answer
from service.routing.run import Served
from service.runtime import Runtime

KEY = Key("k", 0, "k", "caller", "", "", "d")
KINDS = ("decided", "passed by", "missed", "hit")


def requests(kind: str, count: int, at: int) -> list[ChatRequest]:
    """Of about a kilobyte; each another one, as they come, but where they are to be hits."""
    data = json.loads(body()) | {"temperature": 0.7 if kind == "passed by" else 0}
    text = data["messages"][1]["content"]
    made = []
    for number in range(count):
        data["messages"][1]["content"] = text + ("" if kind == "hit" else f" {at + number}")
        made.append(parse(json.dumps(data).encode()))
    return made


async def block(runtime: Runtime, kind: str, asked: list[ChatRequest]) -> float:
    """Microseconds a request."""
    caching, router, usage = runtime.caching, runtime.router, Usage(250, 90, 0, 500)
    assert caching is not None
    answer = Answer(ANSWER, None, 350)
    began = time.thread_time_ns()
    for request in asked:
        if kind == "decided":
            router.decide(request, KEY)
            continue
        passage = await caching.enter(request, KEY, "")
        if passage.hit is not None:
            continue
        decision = router.decide(request, KEY, asked=passage.asked)
        passage.decided(decision)
        target = runtime.catalog[0]
        served = passage.marked(Served(target, decision.mode, 1, usage, 0.0, ""))
        passage.answered(decision, answer, served)
        passage.leave()
    return (time.thread_time_ns() - began) / 1e3 / len(asked)


def measure(blocks: int, count: int) -> dict[str, list[float]]:
    """Blocks of every kind in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(plan() + "cache: {}\n", "utf-8")
        runtime = build(load(path)[0], Settings(state_dir=Path(folder) / "state"), seed=1)
        took: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(blocks + 3):
            for kind in KINDS:
                asked = requests(kind, count, number * count)
                spent = asyncio.run(block(runtime, kind, asked))
                if number >= 3:
                    took[kind].append(spent)
        runtime._stop_storage()
    return took


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    took = measure(o.blocks, o.requests)
    for kind in KINDS:
        low, middle, high = statistics.quantiles(took[kind], n=4)
        beside = statistics.median(a - b for a, b in zip(took[kind], took["decided"], strict=True))
        print(
            f"{kind:10} {middle:6.1f} ({low:.1f} to {high:.1f}) us, {beside:+.1f} beside deciding"
        )
    if o.json:
        o.json.write_text(json.dumps(took, indent=1))


if __name__ == "__main__":
    main()
