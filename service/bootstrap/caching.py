"""Keeping answers, made as the plan says and joined to the runtime."""

from __future__ import annotations

import asyncio
import logging

from service.bootstrap.semantic import attach_semantic
from service.caching.desk import Caching, mark_of
from service.caching.keeper import Keeper
from service.caching.passage import CachingParts, Ways
from service.caching.rules import CacheRules, Rule, with_parts
from service.plan.whole import Plan
from service.routing.asked import AUTO
from service.routing.still_permitted import StillPermitted
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.cache_file import CacheFile, delete
from service.storage.errors import StorageError
from service.storage.queue_file import boot_id

log = logging.getLogger("headgate.cache")

TURN_S = 5.0


def cache_rules(plan: Plan) -> CacheRules | None:
    """What the plan says of keeping answers; None: nothing."""
    wanted = plan.cache
    if wanted is None:
        return None
    usual = Rule(
        wanted.enabled, wanted.ttl_s, wanted.most_temperature, wanted.without_temperature,
        wanted.tools,
    )  # fmt: skip
    tasks = {name: with_parts(usual, each.model_dump()) for name, each in wanted.tasks.items()}
    raised = None
    if wanted.raised is not None:
        parts = {"enabled": True} | wanted.raised.model_dump(exclude_none=True)
        raised = {
            name: rule.along(with_parts(rule, parts)) for name, rule in {"": usual, **tasks}.items()
        }
    return CacheRules(
        usual, tasks, raised, wanted.within, str(wanted.version), wanted.max_bytes,
        wanted.entry_bytes, wanted.evict_below,
    )  # fmt: skip


def attach_caching(runtime: Runtime, secret: bytes) -> None:
    """Give a runtime its cache, with what was kept before; none where the plan names none, and
    then what was kept is deleted: nobody asks for it any more.
    """
    rules = cache_rules(runtime.plan)
    if rules is None:
        delete(runtime.kept.state_dir)
        return
    runtime.caching = _made(runtime, secret, rules)
    attach_semantic(runtime, runtime.caching, secret)
    runtime.scheduler.put(Job("cache", TURN_S, runtime.caching.turn))


def _made(runtime: Runtime, secret: bytes, rules: CacheRules) -> Caching:
    keeper = _keeper(runtime, secret, rules)
    ways = ways_of(runtime)
    parts = CachingParts(
        secret, runtime.clock, lambda: runtime.caching_ways or ways,
        runtime.kept.overrides.holding, runtime.ledger.cached, runtime.refusals.limited, keeper,
    )  # fmt: skip
    made = Caching(parts, rules)
    if keeper is not None:
        made.load(keeper.load(rules.most_bytes))
        keeper.start()
    made.take_rules(rules)
    return made


def _keeper(runtime: Runtime, secret: bytes, rules: CacheRules) -> Keeper | None:
    plan, boot = runtime.plan.cache, boot_id()
    if plan is None or not plan.disk:
        delete(runtime.kept.state_dir)
        return None
    file = CacheFile(runtime.kept.state_dir, secret, plan.disk_bytes)
    try:
        file.open(runtime.clock, boot)
    except (StorageError, OSError) as error:
        log.error("kept answers stay in memory alone: %s", error)
        runtime.notices.append("the file of kept answers cannot be opened: they stay in memory")
        return None

    def policy() -> str:
        now = rules if runtime.caching is None else runtime.caching.rules
        return f"{now.policy}/{now.within}"

    return Keeper(file, runtime.clock, boot, policy)


def ways_of(runtime: Runtime) -> Ways:
    """What the plan in force gives to the cache."""
    router, dispatcher, table = runtime.router, runtime.dispatcher, runtime.router.table
    bounds, accept = dispatcher.means.bounds, dispatcher.means.accept
    usual = {AUTO, f"{AUTO}:{table.policy}"}
    kinds = {name: "" if name in usual else name for name in (*table.virtual, *usual)}
    kinds |= {each.name: "pinned" for each in runtime.catalog}
    return Ways(
        router.reading,
        StillPermitted(table, runtime.fleet, runtime.live, runtime.kept.overrides.holding),
        {each.name: each for each in runtime.catalog},
        {each.name: mark_of(each) for each in runtime.catalog},
        kinds,
        lambda: runtime.live.current.mark,
        router.prompt_hash,
        bounds.deadline_s,
        lambda request, answer: accept(request, answer) >= bounds.least_score,
    )


async def renew_caching(runtime: Runtime, secret: bytes) -> None:
    """Another plan is in force: other rules, another bound; begun, or ended, where it says so."""
    rules = cache_rules(runtime.plan)
    runtime.caching_ways = ways_of(runtime)
    caching = runtime.caching
    if rules is None:
        runtime.caching = None
        runtime.scheduler.put(Job("cache", 0.0, _nothing))
        if caching is not None:
            caching.shelf.forget(lambda _: True, "disabled")
            await caching.stop()
            await asyncio.to_thread(delete, runtime.kept.state_dir)
        return
    if caching is None:
        attach_caching(runtime, secret)
    else:
        caching.take_rules(rules)
        before = caching.further
        attach_semantic(runtime, caching, secret)
        if before is not None and caching.further is None:
            await before.stop()
        await _move(runtime, secret, caching)


async def _move(runtime: Runtime, secret: bytes, caching: Caching) -> None:
    """To the file that the plan wants now: within another bound, or none any more. The former is
    deleted and what is kept is written anew, so that nothing is left that was taken back meanwhile.
    """
    plan, before = runtime.plan.cache, caching.parts.keeper
    assert plan is not None
    wanted = plan.disk_bytes if plan.disk else 0
    if wanted == (0 if before is None else before.most_bytes):
        return
    caching.keep_in(None)
    if before is not None:
        await asyncio.to_thread(before.stop)
    await asyncio.to_thread(delete, runtime.kept.state_dir)
    keeper = await asyncio.to_thread(_keeper, runtime, secret, caching.rules)
    if keeper is None:
        return
    keeper.start()
    caching.keep_in(keeper)
    try:
        for entry in list(caching.shelf):
            if caching.shelf.stands(entry) and keeper.put(entry):
                await asyncio.wrap_future(keeper.flush())
    except StorageError as error:
        log.error("kept answers are in memory alone: %s", error)


async def _nothing() -> None:
    return None
