"""What prediction adds to a decision: CPU with it and without, interleaved in one run.

    python -m benchmarks.prediction_cost [--rounds 31] [--requests 400]

Routers on the simulated plan, alike but for the section `prediction`; one with it takes out who is
unlikely to do. Linear algebra on one thread and the start-up objects frozen, as the service has it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.classification import interval
from benchmarks.prediction_world import rated
from learning.acceptance_check import Held, refit
from service.bootstrap.build import build
from service.config import Settings
from service.domain.chat import ChatRequest, parse
from service.domain.records import Key
from service.feedback.acceptance_refit import Believed
from service.plan.reading import load
from service.providers.simulated import prompts
from service.runtime import Runtime

KEY = Key("key-1", 0, "k", "caller", "", "", "d")
ROOT = Path(__file__).resolve().parents[1]
SECTION = "\nprediction: {route: {margin: 0.2}, escalate: {}}\n"
CONDITION = '\nrules:\n  - {when: "difficulty > 99.5", use: [fall]}\n'


def runtime(folder: Path, more: str) -> Runtime:
    """A runtime on the simulated plan and some more."""
    text = (ROOT / "examples" / "simulated.yaml").read_text("utf-8")
    text = text.replace("console: {enabled: true}", "console: {enabled: false}")
    folder.mkdir()
    path = folder / "plan.yaml"
    path.write_text(text + more, "utf-8")
    plan, _ = load(path)
    return build(plan, Settings(state_dir=folder, bootstrap_key="hg-" + 30 * "0"), seed=1)


def believe(made: Runtime) -> None:
    """Give it a fit of the simulated world."""
    names = tuple(each.name for each in made.catalog)
    found = refit(rated(names, made.plan.task_names), 0.7)
    assert isinstance(found, Held) and made.prediction is not None
    made.prediction.refitter.believed = Believed(found.model, "m", "", None, None, 0)
    made.prediction.publish()


def spent(made: Runtime, requests: list[ChatRequest]) -> float:
    """Microseconds of CPU a decision."""
    begun = time.thread_time()
    for each in requests:
        made.router.decide(each, KEY)
    return 1e6 * (time.thread_time() - begun) / len(requests)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--requests", type=int, default=400)
    o = parser.parse_args()
    asked = [
        parse(json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}],
                          "headgate": {"session_id": str(at)}}).encode())
        for at, text in enumerate(prompts(9, o.requests))
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        made = {
            "without": runtime(Path(folder) / "a", ""),
            "a condition reads a score": runtime(Path(folder) / "b", CONDITION),
            "prediction that only tells": runtime(Path(folder) / "c", "\nprediction: {}\n"),
            "prediction that acts": runtime(Path(folder) / "d", SECTION),
        }
        believe(made["prediction that only tells"])
        believe(made["prediction that acts"])
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
        told: dict[str, list[float]] = {name: [] for name in made}
        for at in range(o.rounds + 1):
            for name, each in made.items() if at % 2 else reversed(made.items()):
                figure = spent(each, asked)
                each.router._parts.sessions._held.clear()
                if at:  # the first round warms up
                    told[name].append(figure)
        base = told["without"]
        for name, values in told.items():
            more = interval([v - b for v, b in zip(values, base, strict=True)])
            print(f"{name}: {statistics.median(values):.1f} us a decision, {more}")
        print(f"{o.rounds} rounds of {o.requests}; load {os.getloadavg()[0]:.1f}")
        for each in made.values():
            asyncio.run(each.stop())


if __name__ == "__main__":
    main()
