"""How often a benchmark's intervals miss, and what it names, where the truth is known.

The package's prompts, sat by the simulated deployments without a service, many times over:

    python -m benchmarks.deployment_benchmarks --runs 200
"""

from __future__ import annotations

import argparse
from collections import Counter

from experiments.benchmarking.trials import Trial, tables
from experiments.benchmarking.verdicts import Shown, by_task, overall
from service.benchmarking.prompts import Item, packaged
from service.benchmarking.pupils import Pupils, truths
from service.providers.simulated import CHARACTERS, Stream

PRICES = {each.model: (each.price_in, each.price_out) for each in CHARACTERS}


def trials(world: Pupils, items: list[Item]) -> list[Trial]:
    """All that a run would have seen."""
    made = []
    for item in items:
        for arm in world.models:
            shown = world.answer(arm, str(item.messages[-1]["content"]), item.tokens_in)
            failed = shown.status != 200
            cost = (item.tokens_in * PRICES[arm][0] + shown.tokens_out * PRICES[arm][1]) / 1e6
            made.append(
                Trial(item.id, item.task, arm, None if failed else float(world.right(arm, item)),
                      failed, shown.latency_s, None, 0.0 if failed else cost)
            )  # fmt: skip
    return made


def look(shown: Shown, truth: dict[str, float], seen: Counter[str], kind: str) -> bool:
    """Count misses of one task, or of all together; whether a pair was told the wrong way round."""
    for each in shown.measured:
        if each.answered is not None:
            seen[f"{kind} means"] += 1
            seen[f"{kind} means missed"] += not (
                each.answered.low <= truth[each.arm] <= each.answered.high
            )
    wrong = False
    for pair in shown.pairs:
        if pair.quality is not None:
            gap = truth[pair.one] - truth[pair.other]
            seen[f"{kind} pairs"] += 1
            seen[f"{kind} pairs apart"] += pair.separated
            wrong |= pair.quality.low > 0.0 >= gap or pair.quality.high < 0.0 <= gap
    seen[f"{kind} verdicts"] += 1
    winner = shown.verdict.winner
    if winner is not None:
        seen[f"{kind} winners"] += 1
        seen[f"{kind} winners right"] += truth[winner] == max(truth.values())
    return wrong


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--copies", type=int, default=1, help="the prompts so often, as new ones")
    asked = parser.parse_args()
    base = [each for each in packaged().items if each.right is not None]
    seen: Counter[str] = Counter()
    for seed in range(asked.runs):
        made = []
        names: dict[str, str] = {}
        for copy in range(asked.copies):
            world = Pupils(Stream(seed=seed * 1_000 + copy), base)
            for each in trials(world, base):
                names[each.prompt] = each.task
                made.append(
                    Trial(f"{each.prompt}-{copy}", each.task, each.arm, each.score, each.failed,
                          each.latency_s, None, each.cost_usd)
                )  # fmt: skip
        found, told = tables(made, world.models), truths(world, base)
        wrong = False
        for shown in by_task(found, None):
            mine = {arm: told[arm, str(shown.task)] for arm in world.models}
            wrong |= look(shown, mine, seen, "task")
        count = {task: sum(i.task == task for i in base) for task in found.task_names}
        all_ = {
            arm: sum(told[arm, task] * n for task, n in count.items()) / len(base)
            for arm in world.models
        }
        seen["runs"] += 1
        seen["runs with a pair of a task told wrongly"] += wrong
        seen["runs with a pair of all told wrongly"] += look(
            overall(found, None), all_, seen, "all"
        )
    for name in sorted(seen):
        print(f"{name}: {seen[name]}")


if __name__ == "__main__":
    main()
