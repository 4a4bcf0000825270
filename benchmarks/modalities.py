"""What an embeddings call costs the gateway in CPU, beside a chat completion of the same text.

    python -m benchmarks.modalities [--rounds 5] [--seconds 2]

One gateway and one fixed upstream; windows of both alternate, so that the machine's mood is alike
for both. Read medians, and the difference within one run. The third row is chat in a plan without
other modalities, from a gateway of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

import uvloop

from benchmarks.dialects import CONNECTIONS, TEXT
from benchmarks.overhead import closed_loop
from benchmarks.processes import KEY, Child, wait_ready

PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 4}
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"


def plan(url: str, mixed: bool) -> str:
    """Four deployments that chat, and where ``mixed`` four for vectors, four for pictures."""
    made = [
        {"name": f"chat-{i}", "base_url": url + "/v1", "model": "fixed", "price": PRICE}
        for i in range(4)
    ]
    for modality in ("embedding", "image") if mixed else ():
        made += [
            {"name": f"{modality}-{i}", "modality": modality, "base_url": url + "/v1",
             "model": "fixed", "price": {"usd_per_request": 0.001}}
            for i in range(4)
        ]  # fmt: skip
    return json.dumps({"deployments": made, "service": {"most_lag_s": 60}})


def request(path: str) -> bytes:
    """A request of about a kilobyte, to be routed."""
    asked: dict[str, object] = {"model": "auto"}
    if path == CHAT:
        asked["messages"] = [{"role": "user", "content": TEXT}]
    else:
        asked |= {"input": TEXT, "encoding_format": "base64"}
    data = json.dumps(asked).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def window(gateway: Child, path: str, seconds: float) -> tuple[float, int]:
    """CPU microseconds per request, and how many failed."""
    before = gateway.cpu_s()
    times = uvloop.run(closed_loop(gateway.port, request(path), CONNECTIONS, seconds))
    good = [each for each in times if each > 0]
    return (gateway.cpu_s() - before) / max(len(good), 1) * 1e6, len(times) - len(good)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    o = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[0], cores[1]) if len(cores) > 1 else (cores[0], cores[0])
    os.sched_setaffinity(0, {ours})
    rows = {"chat": (True, CHAT), "embeddings": (True, EMBEDDINGS), "chat alone": (False, CHAT)}
    cpu: dict[str, list[float]] = {name: [] for name in rows}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        children = [upstream := Child("-m", "benchmarks.upstream", core=ours)]
        try:
            gateways = {}
            for mixed in (True, False):
                file = Path(folder) / f"{mixed}.yaml"
                file.write_text(plan(upstream.url, mixed))
                state = str(Path(folder) / f"state-{mixed}")
                gateways[mixed] = Child("-m", "service.cli", "serve", "--plan", str(file),
                                        "--state", state, "--port", "0", core=theirs)  # fmt: skip
                children.append(gateways[mixed])
                wait_ready(gateways[mixed].url)
            for turn in range(o.rounds + 1):
                for name, (mixed, path) in rows.items():
                    took, bad = window(gateways[mixed], path, o.seconds if turn else 0.5)
                    if turn:  # the first warms up
                        cpu[name].append(took)
                        failed += bad
        finally:
            for child in reversed(children):
                child.end()
    for name, found in cpu.items():
        middle = statistics.median(found)
        print(f"{name:12} {middle:6.0f} us/request [{min(found):.0f}, {max(found):.0f}]")
    print(f"failed: {failed}")


if __name__ == "__main__":
    main()
