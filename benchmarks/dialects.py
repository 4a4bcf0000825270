"""What the dialects cost: the gateway's CPU per request, each front and each back beside OpenAI's.

    python -m benchmarks.dialects [--rounds 5] [--seconds 2] [--steps]

With ``--steps`` only the translations themselves, in this process, the least CPU of many runs: the
figure that stands on a machine that others use too. Otherwise one gateway and one fixed upstream;
windows of all pairs alternate in every round, so that the machine's mood is the same for all. Read
medians, and differences within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.overhead import FILL, closed_loop
from benchmarks.processes import KEY, Child, wait_ready
from benchmarks.upstream import ANSWER, CONTENT, MESSAGE
from service.api.messages_reading import to_chat as from_messages
from service.api.reading import answered
from service.api.responses_reading import to_chat as from_responses
from service.domain.catalog import Deployment, Price
from service.domain.chat import parse
from service.providers.base import Names
from service.providers.registry import PROVIDERS

TEXT = "Write a Python function that merges overlapping intervals. " + FILL * 9
SYSTEM = "You are a careful assistant."
BACKS = ("openai", "anthropic", "gemini")
FRONTS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
CONNECTIONS = 16


def plan(url: str) -> str:
    """One deployment of each dialect, pinned by name."""
    ends = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
    deployments = [
        {"name": name, "dialect": name, "base_url": url + ends[name], "model": "fixed",
         "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 4}}
        for name in BACKS
    ]  # fmt: skip
    patient = {"most_lag_s": 60}  # on a shared machine nothing is to be turned away
    return json.dumps({"deployments": deployments, "service": patient})


def request(path: str, model: str) -> bytes:
    """A request of about a kilobyte."""
    user = {"role": "user", "content": TEXT}
    body: dict[str, object] = {"model": model}
    if path == "/v1/messages":
        body |= {"max_tokens": 500, "system": SYSTEM, "messages": [user]}
    elif path == "/v1/responses":
        body |= {"instructions": SYSTEM, "input": [user]}
    else:
        body |= {"messages": [{"role": "system", "content": SYSTEM}, user]}
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def window(gateway: Child, path: str, model: str, seconds: float) -> tuple[float, int]:
    """CPU microseconds per request, and how many failed."""
    before = gateway.cpu_s()
    times = uvloop.run(closed_loop(gateway.port, request(path, model), CONNECTIONS, seconds))
    good = [each for each in times if each > 0]
    return (gateway.cpu_s() - before) / max(len(good), 1) * 1e6, len(times) - len(good)


def steps() -> None:
    """Each translation alone, microseconds of CPU."""
    chat, names = request(FRONTS[0], "fixed").partition(b"\r\n\r\n")[2], Names("chatcmpl-1", "d")
    asked = {path: request(path, "fixed").partition(b"\r\n\r\n")[2] for path in FRONTS}
    deployment = Deployment("d", "x", "http://127.0.0.1:1", "fixed", (Price(1, 1),))
    answers = {"openai": ANSWER, "anthropic": MESSAGE, "gemini": CONTENT}
    providers = {name: PROVIDERS[name]() for name in BACKS}
    shown: dict[str, Callable[[], object]] = {
        "request, parsed in OpenAI's form": lambda: parse(chat)
    }
    for path, read in ((FRONTS[1], from_messages), (FRONTS[2], from_responses)):
        shown[f"request, {path} in front"] = partial(read, asked[path])
    for name, provider in providers.items():
        said = getattr(provider, "said", None)
        if said is not None and name != "openai":
            shown[f"request, {name} behind"] = partial(said, deployment, chat)
    for name, provider in providers.items():
        shown[f"answer, {name} behind"] = partial(provider.read, answers[name], names)  # type: ignore[attr-defined]
    shown["answer, looked into for another front"] = lambda: answered(ANSWER)
    for name, call in shown.items():
        print(f"{name:42} {least_us(call):6.1f}")


def least_us(call: Callable[[], object], turns: int = 200, repeats: int = 40) -> float:
    """The least CPU of a call."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time_ns()
        for _ in range(turns):
            call()
        best = min(best, (time.process_time_ns() - began) / turns / 1e3)
    return best


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--steps", action="store_true")
    o = parser.parse_args()
    if o.steps:
        steps()
        return
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[0], cores[1]) if len(cores) > 1 else (cores[0], cores[0])
    os.sched_setaffinity(0, {ours})
    pairs = [(front, back) for front in FRONTS for back in BACKS]
    cpu: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        upstream = Child("-m", "benchmarks.upstream", core=ours)
        file = Path(folder) / "plan.yaml"
        file.write_text(plan(upstream.url))
        gateway = Child("-m", "service.cli", "serve", "--plan", str(file), "--state",
                        str(Path(folder) / "state"), "--port", "0", core=theirs)  # fmt: skip
        try:
            wait_ready(gateway.url)
            for pair in pairs:
                window(gateway, *pair, 0.5)
            for _ in range(o.rounds):
                for pair in pairs:
                    took, bad = window(gateway, *pair, o.seconds)
                    cpu[pair].append(took)
                    failed += bad
        finally:
            gateway.end()
            upstream.end()
    base = statistics.median(cpu[FRONTS[0], BACKS[0]])
    print("front                  back        CPU us/request [range]    beside OpenAI's")
    for front, back in pairs:
        found = cpu[front, back]
        middle = statistics.median(found)
        print(
            f"{front:22} {back:10} {middle:7.0f} [{min(found):.0f}, {max(found):.0f}]".ljust(60)
            + f"{middle - base:+8.0f}"
        )
    print(f"failed: {failed}")


if __name__ == "__main__":
    main()
