"""Answers for like questions, joined to the cache, and what regenerates some of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from service.bootstrap.shadow import strained
from service.caching.desk import Caching
from service.caching.passage import Passage
from service.caching.semantic import Pair, Semantic, SemanticParts, SemanticRules
from service.caching.standing import SemanticRule, Switched
from service.caching.switching import last_switched, noticed, switch_act
from service.domain.acting import ITSELF
from service.domain.chat import ChatRequest
from service.domain.errors import BudgetExceeded, StorageUnavailable
from service.domain.records import Candidates, Decision, Role
from service.domain.will import will_for
from service.orchestration.judge import conversation_of
from service.orchestration.judging import About
from service.orchestration.mirror import LEAST_LEFT, reserve_micro_usd
from service.orchestration.spend import SharedSpend
from service.plan.whole import Plan
from service.providers.base import Answer
from service.routing.run import Run
from service.runtime import Runtime

DEADLINE_S = 60.0  # of one call


def semantic_rules(plan: Plan) -> SemanticRules | None:
    """What the plan says of like questions; None: nothing."""
    wanted = None if plan.cache is None else plan.cache.semantic
    if wanted is None:
        return None
    usual = SemanticRule(
        wanted.delta, wanted.most_false, wanted.shadow_share, wanted.most_apart, wanted.judge
    )  # fmt: skip
    tasks: Mapping[str, SemanticRule] = {
        name: replace(usual, **each.model_dump(exclude_none=True))
        for name, each in wanted.tasks.items()
    }
    return SemanticRules(tasks, wanted.most_chars, wanted.max_entries, wanted.most_unseen)


class Beside:
    """Asks a deployment again, within a cap a day, where live calls leave room."""

    def __init__(self, runtime: Runtime, cap_micro_usd: int) -> None:
        self._runtime = runtime
        self.spend = SharedSpend(cap_micro_usd, runtime.clock)

    async def __call__(
        self, decision: Decision, request: ChatRequest, deployment: str
    ) -> Answer | None:
        """Its answer; None where it may not be asked now, or failed."""
        runtime = self._runtime
        dispatcher = runtime.dispatcher
        target = next((d for d in dispatcher.means.catalog if d.name == deployment), None)
        now_s = runtime.clock.monotonic_s()
        if target is None or strained(runtime) or not runtime.kept.log.healthy:
            return None
        who = decision.caller
        will = will_for(decision.task, runtime.kept.overrides.holding(), who.tenant, who.tier)
        sent_elsewhere = will.killed is not None and will.killed.deployment != deployment
        if deployment in will.excluded or sent_elsewhere or runtime.fleet.bar(deployment, now_s):
            return None
        run = Run(decision, request, now_s, now_s + DEADLINE_S, target, 1, 0)
        if runtime.fleet.windows.left(target, run.tokens, now_s) < LEAST_LEFT:
            return None
        reserved = reserve_micro_usd(target, decision, runtime.clock.wall_us())
        if not self.spend.reserve(reserved):
            return None
        try:
            found = await dispatcher.aside(run, target, Role.SHADOW)
        except BudgetExceeded:
            return None
        finally:
            self.spend.settle(reserved, sum(each.cost_micro_usd for each in run.cost))
        return found if isinstance(found, Answer) else None


class Judging:
    """Asks the first judge of the panel that is proven, may see the question, and is kin to neither
    answer's deployment.
    """

    def __init__(self, runtime: Runtime, caching: Caching) -> None:
        self._runtime, self._caching = runtime, caching

    async def __call__(self, passage: Passage, decision: Decision, pair: Pair) -> bool:
        """Whether the kept answer is no worse, said in both orders."""
        panel, asked = self._runtime.panel, passage.asked
        permitted = self._caching.parts.ways().permitted
        for name in panel.judges.rules.judges:
            if not panel.proven(name) or not permitted(asked, name):
                continue
            seen = replace(decision, candidates=Candidates((pair.by, name), (1.0, 0.0)))
            about = About(
                (pair.by, pair.came_by), (), decision.task, seen, asked.request.options, 8, name
            )  # fmt: skip
            told = await panel.judges.compare(
                conversation_of(asked.request), pair.kept, pair.came, about=about
            )
            if told.judge:  # it was asked; else it is kin, or may not see this
                return told.consistent and told.preference is not None and told.preference <= 0.5
        return False


def attach_semantic(runtime: Runtime, caching: Caching, secret: bytes) -> None:
    """Give a cache its look for like questions, as the plan in force says; or take it away."""
    rules, plan = semantic_rules(runtime.plan), runtime.plan.cache
    before = caching.further
    if rules is None or plan is None or plan.semantic is None:
        caching.further = None
        return
    cap = round(plan.semantic.usd_per_day * 1e6)
    if isinstance(before, Semantic):
        before.take_rules(rules)
        if isinstance(before.parts.regenerate, Beside):
            before.parts.regenerate.spend.cap_micro_usd = cap
        return

    beside = Beside(runtime, cap)
    parts = SemanticParts(
        secret, random.Random(), caching.shelf.stands, beside,
        Judging(runtime, caching), lambda: beside.spend.spent_micro_usd, partial(_log, runtime),
    )  # fmt: skip
    caching.further = made = Semantic(parts, rules)
    made.standings.resume(last_switched(runtime.kept.database.cursor()))
    for task, found in made.standings.tasks.items():
        if found.off and task in rules.tasks:
            noticed(runtime.notices, Switched(task, False, found.off))


async def _log(runtime: Runtime, told: Switched) -> bool:
    """Keep that a task went off, or on, by itself; whether that is durable."""
    noticed(runtime.notices, told)
    try:
        await asyncio.wrap_future(
            runtime.kept.log.append_durable(switch_act(runtime.clock.wall_us(), told, ITSELF, None))
        )
    except StorageUnavailable:
        return False
    return True
