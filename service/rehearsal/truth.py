"""What the simulated world knows: the same requests by one deployment, to the micro-dollar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.plan.whole import Plan
from service.rehearsal.money import Sum, charged
from service.rehearsal.seen import Seen
from service.rehearsal.traffic import Wish
from service.rehearsal.world import World

BASIC, DRAW = "basic tier to the cheap deployment", "routing by the policy"
CACHE, PIECES = "answers that were kept", "pictures and voices, as they were"
FLOWS, BATCHES = "workflows, as they were", "batches"
ELSEWHERE = "tries that answered nobody"


@dataclass(frozen=True, slots=True)
class Beside:
    """All answered requests as they were, beside one deployment that answers each at the first
    call, in fair weather: the saving and what it falls into, and the mean true quality of both.
    """

    deployment: str
    cost_micro_usd: int
    saved: Sum
    quality: float
    quality_ours: float


class Truth:
    """The world asked again, with the plan's prices."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._world = world
        self._of = {each.name: (each.model, (each.price[-1].input_usd_per_mtok,
                                             each.price[-1].output_usd_per_mtok))
                    for each in plan.deployments if each.modality == "chat"}  # fmt: skip
        self._models = {each.name: each.model for each in plan.deployments}

    @property
    def names(self) -> tuple[str, ...]:
        """The deployments that write."""
        return tuple(self._of)

    def quality(self, deployment: str, wish: Wish) -> float:
        """The true quality of its answer, 0 to 1."""
        return self._world.quality(self._models[deployment], wish.prompt)

    def cost(self, deployment: str, wish: Wish) -> int:
        """What its answer costs, in micro-dollars, at the first call."""
        model, price = self._of[deployment]
        tokens_in = max(1, len(json.dumps(wish.body()["messages"])) // 4)
        shown = self._world.fair(model, wish.prompt, tokens_in)
        return charged(shown.tokens_in, shown.tokens_out, price)

    def beside(
        self, name: str, seen: Sequence[Seen], spent: Mapping[str, int], batched: Mapping[str, int]
    ) -> Beside:
        """``spent``: micro-dollars by decision, of all decisions of the day; those of a workflow
        under its run; ``batched``: what those of batches cost less than alone, which is counted
        apart from who was chosen for them.
        """
        answered = [each for each in seen if each.deployment]
        parts = dict.fromkeys((BASIC, DRAW, CACHE, PIECES, FLOWS, BATCHES, ELSEWHERE), 0)
        whole, left = 0, dict(spent)
        for each in answered:
            ours = left.pop(each.decision_id, 0)
            theirs = self.cost(name, each.wish) if each.wish.written else ours
            whole += theirs
            less = batched.get(each.decision_id, 0)
            parts[BATCHES] += less
            parts[_measure(each)] += theirs - ours - less
        parts[ELSEWHERE] = -sum(left.values())
        written = [each for each in answered if each.wish.written]
        number = max(len(written), 1)
        return Beside(
            name, whole, Sum(f"saved beside {name}", whole - sum(spent.values()), parts),
            sum(self.quality(name, each.wish) for each in written) / number,
            sum(self.quality(each.deployment, each.wish) for each in written) / number,
        )  # fmt: skip


def _measure(seen: Seen) -> str:
    """Which measure a request's saving is counted under: each under one."""
    if not seen.wish.written:
        return FLOWS if seen.wish.flows else PIECES
    if seen.cache == "hit":
        return CACHE
    return BASIC if seen.wish.tier == "basic" else DRAW
