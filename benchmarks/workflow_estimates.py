"""How far estimates of workflows are off: simulated providers of a stated scatter, runs before and
after; prints one line. ``python benchmarks/workflow_estimates.py [--runs 60] [--model river]
[--speed 1]``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import httpx

from service.app import create_app
from service.providers.simulated import Stream
from service.simulate import SimulatedProviders
from tests.conftest import KEY, Server, make_runtime, plan_text

FLOW = """
name: measured
version: 1
purpose: A draft, a map and a join, to be measured.
inputs: {topic: {type: text}, items: {type: list of text}}
outputs: {text: {value: final.text}}
limits: {max_cost_usd: 50, max_steps: 100}
steps:
  - {id: draft, kind: chat, prompt: "Describe {{ inputs.topic }}", max_tokens: 600}
  - {id: each, kind: chat, map: {over: inputs.items, at_once: 3}, max_tokens: 300,
     prompt: "{{ item }}: {{ inputs.topic }}"}
  - {id: final, kind: chat, prompt: "{{ draft.text }} {{ each.text | join }}", max_tokens: 600}
"""


def main() -> None:
    """Learn from half of the runs, then compare the estimate with the mean of the other half."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=60)
    arguments.add_argument("--model", default="auto", help="who answers each step")
    arguments.add_argument("--speed", type=float, default=1.0, help="of the simulated providers")
    given = arguments.parse_args()
    runs, flow = given.runs, FLOW.replace("kind: chat", f"kind: chat, model: {given.model}")
    world = Server(SimulatedProviders(Stream(seed=3, speed=given.speed)).app())
    with tempfile.TemporaryDirectory() as folder, world:
        state = Path(folder)
        (state / "measured.yaml").write_text(flow, "utf-8")
        plan = plan_text(world.url) + "\nworkflows: {files: [measured.yaml], library: false}\n"
        with Server(create_app(make_runtime(state, plan))) as server:
            print(json.dumps(_measured(server.url, runs)))


def _measured(url: str, runs: int) -> dict[str, float]:
    with httpx.Client(
        base_url=f"{url}/v1/workflows/measured", timeout=120.0,
        headers={"authorization": f"Bearer {KEY}"},
    ) as client:  # fmt: skip

        def run(at: int) -> tuple[float, float]:
            items = [f"part {n}" for n in range(2 + at % 4)]
            body = {"inputs": {"topic": f"river {at}", "items": items}}
            for _ in range(5):  # a named deployment that fails has nobody behind it
                told = client.post("/runs", json=body).json()
                if told["status"] == "done":
                    break
            assert told["status"] == "done", told
            return told["cost_usd"], told["took_s"]

        def estimated(at: int) -> tuple[float, float]:
            items = [f"part {n}" for n in range(2 + at % 4)]
            body = {"inputs": {"topic": f"river {at}", "items": items}}
            told = client.post("/estimate", json=body).json()
            return told["cost_usd"]["mean"], told["time_s"]["mean"]

        cold = estimated(0)
        for at in range(runs // 2):
            run(at)
        foretold = [estimated(at) for at in range(runs // 2, runs)]
        came = [run(at) for at in range(runs // 2, runs)]
    mean = [[sum(e[k] for e in each) / len(each) for k in (0, 1)] for each in (foretold, came)]
    return {
        "runs_learned": runs // 2, "runs_compared": len(came),
        "cost_error": mean[0][0] / mean[1][0] - 1.0, "time_error": mean[0][1] / mean[1][1] - 1.0,
        "cost_usd": mean[1][0], "time_s": mean[1][1], "cold_cost_usd": cold[0],
        "cold_time_s": cold[1],
    }  # fmt: skip


if __name__ == "__main__":
    main()
