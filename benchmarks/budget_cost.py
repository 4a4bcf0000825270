"""What budgets cost on the path of a request, CPU microseconds: none, idle, and five in force.

    python -m benchmarks.budget_cost [--blocks 60] [--requests 300] [--json OUT]

The router's decision, the reservation before a call and the settlement after it, on the event
loop's thread alone. Blocks of each kind alternate, so that a slow phase of the machine meets all;
medians over blocks, with the quartiles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.overhead import body
from service.bootstrap.build import build
from service.config import Settings
from service.domain.budgets import AtCap, Budget, Scope
from service.domain.chat import ChatRequest, parse
from service.domain.periods import Period
from service.domain.records import Decision, Key, Role, Usage
from service.plan.reading import load
from service.routing.budgets import BudgetRules, Budgets
from service.routing.purse import purse_of
from service.routing.router import Router
from service.runtime import Runtime

DEPLOYMENTS = 8
MUCH = 10**15
FIVE = (
    Budget("all", Scope.GLOBAL, Period.MONTH, hard_micro_usd=MUCH),
    Budget("each-key", Scope.KEY, Period.DAY, hard_micro_usd=MUCH),
    Budget("acme", Scope.TENANT, Period.MONTH, "acme", MUCH, at_cap=AtCap.CHEAPER),
    Budget("chat", Scope.FEATURE, Period.HOUR, "chat", MUCH),
    Budget("first", Scope.DEPLOYMENT, Period.DAY, "d0", MUCH, at_cap=AtCap.CHEAPER),
)


def plan() -> str:
    """Eight deployments and nothing else."""
    rows = [
        f"  - {{name: d{i}, base_url: 'http://127.0.0.1:9', model: m{i}, price: "
        f"{{input_usd_per_mtok: {1 + i}, output_usd_per_mtok: {2 + i}}}}}"
        for i in range(DEPLOYMENTS)
    ]
    return "\n".join(["deployments:", *rows, ""])


def settled(book: Budgets | None, decision: Decision, request: ChatRequest, run: Runtime) -> None:
    """What a call does beside being made: reserve, settle, count."""
    purse = purse_of(book, decision, request)
    target = run.catalog[0]
    hold = purse.reserve(target, False) if purse is not None else None
    usage = Usage(300, 100, 0, 500)
    if purse is not None:
        purse.settle(hold, usage.cost_micro_usd, False)
    if book is not None:
        book.paid(decision, target.name, Role.FIRST, usage)
    if purse is not None:
        purse.close()


def measure(blocks: int, requests: int) -> dict[str, dict[str, float]]:
    """Microseconds a request by kind: median and quartiles."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(plan(), "utf-8")
        runtime = build(load(path)[0], Settings(state_dir=Path(folder) / "state"), seed=1)
        kinds: dict[str, tuple[Router, Budgets | None]] = {}
        for name, budgets in (("none", None), ("idle", ()), ("five", FIVE)):
            book = None if budgets is None else Budgets(runtime.clock)
            if book is not None and budgets:
                book.follow(BudgetRules(budgets))
            parts = replace(runtime.router._parts, budgets=book)
            kinds[name] = Router(runtime.router.table, parts), book
        data = json.loads(body()) | {"metadata": {"tenant": "acme", "feature": "chat"}}
        raw, key = json.dumps(data).encode(), Key("k", 0, "k", "caller", "", "", "d")
        took: dict[str, list[float]] = {name: [] for name in kinds}
        for number in range(blocks + 5):
            for name, (router, book) in kinds.items():
                asked = [parse(raw) for _ in range(requests)]
                began = time.thread_time_ns()
                for request in asked:
                    settled(book, router.decide(request, key), request, runtime)
                if number >= 5:
                    took[name].append((time.thread_time_ns() - began) / 1e3 / requests)
        runtime.learner.stop()
        runtime.kept.close()
    return {
        name: dict(zip(("low", "median", "high"), statistics.quantiles(each, n=4), strict=True))
        for name, each in took.items()
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.blocks, asked.requests)
    for name, each in found.items():
        print(f"{name:5} {each['median']:7.1f} us ({each['low']:.1f} to {each['high']:.1f})")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2), "utf-8")


if __name__ == "__main__":
    main()
