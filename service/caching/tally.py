"""What keeping answers has brought since the start: by count and by value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class TaskTally:
    """A task's."""

    hits: int = 0
    shared: int = 0
    misses: int = 0
    saved_micro_usd: int = 0
    spent_micro_usd: int = 0  # by misses


@dataclass(slots=True)
class Tally:
    """Counted on the event loop."""

    results: Counter[str] = field(default_factory=Counter)  # hit, shared, miss, bypass
    passed_by: Counter[str] = field(default_factory=Counter)  # requests, by why
    not_kept: Counter[str] = field(default_factory=Counter)  # answers, by why
    kept: int = 0
    saved_micro_usd: int = 0
    spent_micro_usd: int = 0
    tasks: dict[str, TaskTally] = field(default_factory=dict)

    def of(self, task: str) -> TaskTally:
        """A task's; tasks come from the plan."""
        found = self.tasks.get(task)
        if found is None:
            found = self.tasks[task] = TaskTally()
        return found

    def gave(self, task: str, shared: bool, saved_micro_usd: int) -> None:
        """An answer was given again."""
        mine = self.of(task)
        self.results["shared" if shared else "hit"] += 1
        mine.hits += not shared
        mine.shared += shared
        mine.saved_micro_usd += saved_micro_usd
        self.saved_micro_usd += saved_micro_usd

    def missed(self, task: str) -> None:
        """There was none."""
        self.results["miss"] += 1
        self.of(task).misses += 1

    def cost(self, task: str, cost_micro_usd: int) -> None:
        """What a miss cost."""
        self.of(task).spent_micro_usd += cost_micro_usd
        self.spent_micro_usd += cost_micro_usd

    def passed(self, why: str) -> None:
        """A request that the cache has no part in."""
        self.results["bypass"] += 1
        self.passed_by[why] += 1

    @property
    def hit_rate(self) -> float | None:
        """Of the requests that asked it; None without any."""
        asked = sum(self.results[each] for each in ("hit", "shared", "miss"))
        return (asked - self.results["miss"]) / asked if asked else None

    @property
    def value_rate(self) -> float | None:
        """Of what these would have cost, as far as the first answers' costs tell; None: nothing."""
        whole = self.saved_micro_usd + self.spent_micro_usd
        return self.saved_micro_usd / whole if whole else None
