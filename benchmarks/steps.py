"""What each step of a request costs, in CPU microseconds of one core.

    python -m benchmarks.steps [--count 3000] [--json OUT]

In one process, each step alone and warm, on a request of a kilobyte and eight deployments; the
server and the upstream call are what `benchmarks.overhead` shows beyond the sum.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.overhead import body, plan
from benchmarks.prediction_world import rated
from benchmarks.processes import KEY
from benchmarks.upstream import ANSWER
from learning.acceptance import Foresight
from learning.acceptance_check import Held, refit
from learning.difficulty import demand
from learning.features import Featurizer, inspect
from learning.taxonomies import default
from learning.taxonomy import classifier_features
from service.api.auth import authenticate
from service.api.chat import _headers
from service.bootstrap.build import build
from service.config import Settings, one_blas_thread
from service.domain.chat import parse
from service.domain.clock import new_id
from service.domain.hashing import keyed_hash
from service.domain.records import Attempt, Mode, Outcome, Role, Usage
from service.feedback.apply import apply
from service.feedback.credit import from_outcome
from service.plan.reading import load
from service.providers.answers import read_answer
from service.providers.base import Names
from service.providers.simulated import CHARACTERS
from service.routing.dispatch import Served
from service.runtime import Runtime

ROUNDS = 7


def steps(runtime: Runtime) -> dict[str, Callable[[], Any]]:
    """The steps by name, as the request path runs them."""
    data = body()
    scope = {"headers": [(b"authorization", f"Bearer {KEY}".encode())]}
    key = authenticate(scope, runtime.kept.keys)
    request = parse(data)
    router, chooser = runtime.router, runtime.live.current.chooser
    decision = router.decide(request, key)
    signals = inspect(request.shape)
    context = router._reader.read(request, key, "").context
    eligible = list(range(len(runtime.catalog)))
    deployment = runtime.catalog[0]
    names = Names("chatcmpl-x", deployment.name)
    usage = Usage(250, 90, 0, 61)
    attempt = Attempt(decision.id, 1, 1, deployment.name, "p", Role.FIRST, 200, None, None, 0.1,
                      usage)  # fmt: skip
    outcome = Outcome(decision.id, 1, deployment.name, Mode.RANDOMISED, 200, None, 0.1, None, 0.0,
                      1, usage)  # fmt: skip
    served = Served(deployment, Mode.RANDOMISED, 1, usage, 0.001, "")
    models = runtime.learner._parts.versions.models.read
    (update,) = from_outcome(decision, [attempt], outcome, "v")

    def record() -> None:
        runtime.ledger.decision(decision)
        runtime.ledger.attempt(attempt)
        runtime.ledger.outcome(outcome)

    return {
        "keys: look-up and role": lambda: authenticate(scope, runtime.kept.keys),
        "parse the body": lambda: parse(data),
        "prompt hash": lambda: keyed_hash(b"k", bytes(request.fields["messages"])),
        "look at the text": lambda: inspect(request.shape),
        "features": lambda: router._parts.featurizer.vector(signals, "code"),
        "eligibility": lambda: router._eligibility.split(request, "code", 0.0),
        "choose among 8": lambda: chooser.choose(context, eligible, 0.5),
        "decide, all of it": lambda: router.decide(request, key),
        "body for upstream": lambda: request.for_upstream("fixed"),
        "answer: usage, id, model": lambda: read_answer(ANSWER, names),
        "headers": lambda: _headers(decision, served, "r"),
        "log rows and telemetry": record,
        "an id": new_id,
        "learn an outcome": lambda: apply(runtime.learner.policy, update, decision, models),
        "publish a chooser": lambda: runtime.learner.policy.chooser(decision.at_us / 1e6),
    }


def ahead() -> dict[str, Callable[[], Any]]:
    """What a taxonomy and prediction do beside these: the shipped classifier, and a fit for eight
    deployments on answers of the simulated ones (each stands for two).
    """
    signals = inspect(parse(body()).shape)
    classifier, tasks = default.classifier(), ("code", "maths", "other")
    rows = rated(tuple(each.model for each in CHARACTERS), tasks)
    names = tuple(f"{name}-{copy}" for copy in "ab" for name in rows.arms)
    twice = replace(
        rows, arms=names, arm=rows.arm + len(rows.arms) * (np.arange(len(rows)) % 2)
    )  # fmt: skip
    held = refit(twice, 0.7)
    assert isinstance(held, Held)
    foresight = Foresight(dict.fromkeys(names, 0.7), 0.7, held.model)
    seen, features = classifier_features(signals), Featurizer(tasks).vector(signals, "code")
    of_text = demand(signals)
    return {
        "classifier: what it sees": lambda: classifier_features(signals),
        "classifier: probabilities": lambda: classifier.read(seen),
        "scores of the text": lambda: demand(signals),
        "chances of 8": lambda: foresight.told(features, of_text),
    }


def cost_us(step: Callable[[], Any], count: int) -> list[float]:
    """CPU microseconds of one call, several rounds."""
    for _ in range(min(count, 200)):
        step()
    found = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(count):
            step()
        found.append((time.thread_time() - began) / count * 1e6)
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    one_blas_thread()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(plan("http://127.0.0.1:9"))
        runtime = build(load(file)[0], Settings(Path(folder) / "state", KEY), seed=1)
        rows = {}
        for name, step in (steps(runtime) | ahead()).items():
            count = max(o.count // 20, 1) if name.startswith("publish") else o.count
            rows[name] = cost_us(step, count)
            low, high = min(rows[name]), max(rows[name])
            print(f"{name:28} {statistics.median(rows[name]):8.1f} us   [{low:.1f}, {high:.1f}]")
        runtime._stop_storage()
    if o.json:
        o.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
