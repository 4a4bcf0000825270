"""The tiers of a task: who is asked first, who after a failure, each with its own time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """Deployments of one tier, and how long one call to them may take, seconds."""

    use: tuple[str, ...]
    timeout_s: float


class Ladder:
    """The tiers of one task, the primary first."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self.tiers = tuple(tiers)
        self._tier = {name: at for at, tier in reversed([*enumerate(tiers)]) for name in tier.use}

    def tier(self, name: str) -> int | None:
        """Which tier a deployment stands in (its first), None for none."""
        return self._tier.get(name)

    def first(self, names: Sequence[str]) -> tuple[set[str], set[str]]:
        """Of these, who stands in the first tier that has anybody, and who in later ones."""
        placed = [(name, self._tier[name]) for name in names if name in self._tier]
        least = min((at for _, at in placed), default=0)
        return {n for n, at in placed if at == least}, {n for n, at in placed if at > least}

    def timeout_s(self, name: str) -> float | None:
        """How long a call to a deployment may take, None where no tier says so."""
        at = self._tier.get(name)
        return None if at is None else self.tiers[at].timeout_s


class Ladders:
    """The ladder of each task; ``""`` stands for the tasks without their own."""

    def __init__(self, by_task: Mapping[str, Ladder]) -> None:
        self.by_task = dict(by_task)

    def of(self, task: str) -> Ladder | None:
        """The ladder of a task, None where the policy alone decides the order."""
        return self.by_task.get(task) or self.by_task.get("")


NO_LADDERS = Ladders({})
