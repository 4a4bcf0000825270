"""The queue and the telling of outages, made as the plan says and joined to the runtime."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping
from functools import partial

from service.domain.chat import ChatRequest
from service.domain.clock import new_id
from service.domain.errors import ContentRefused
from service.domain.records import Act, Decision, Key
from service.domain.tickets import Ended
from service.monitoring.notify import Address, Notifier
from service.outbound import Outbound
from service.plan.queue import NotifyPlan, QueuePlan
from service.providers.base import Answer
from service.queueing.desk import Desk, DeskParts
from service.queueing.gate import Gate, Signals
from service.queueing.pace import Pace
from service.queueing.webhooks import HookParts, Webhooks
from service.queueing.whole import Queue
from service.queueing.work import Way, Workers, WorkParts
from service.routing.dispatch import Served
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.queue import QueueRules, QueueStore
from service.storage.queue_file import FILE
from service.storage.store_thread import StoreThread

log = logging.getLogger("headgate.queue")

TURN_S, SWEEP_S = 0.25, 1.0


def attach(runtime: Runtime, hash_key: bytes, environment: Mapping[str, str]) -> None:
    """Give a runtime its notifier and, where the plan wants one, its queue."""
    kept, clock = runtime.kept, runtime.clock
    address = _address(runtime.plan.notify, environment)
    runtime.notifier = Notifier(kept.log.append, address, clock)
    runtime.outage.tell = runtime.notifier.tell
    plan = runtime.plan.queue
    if plan.enabled:
        runtime.queue = _queue(runtime, plan, hash_key)
    elif (kept.state_dir / FILE).exists():
        runtime.notices.append(
            f"the queue is off, yet {FILE} lies in the state directory and may hold prompts; turn "
            "queue.enabled on to have its tickets answered, or delete the file"
        )


def _address(plan: NotifyPlan, environment: Mapping[str, str]) -> Address:
    url = environment.get(plan.webhook_env, "") if plan.webhook_env else ""
    routing_key = environment.get(plan.routing_key_env, "") if plan.routing_key_env else ""
    return Address(url, plan.shape, routing_key, plan.runbook_url or "")


def _way(runtime: Runtime) -> Way:
    """The way of live requests, as the runtime has it at each turn, kept answers first; what was
    refused is not sent again from the queue either.
    """

    async def complete(decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        incident = new_id()
        await runtime.refusals.check(decision, request, incident)
        try:
            return await runtime.answering.complete(decision, request)
        except ContentRefused as refused:
            raise await runtime.refusals.take(refused, decision, request, incident) from None

    async def ask(request: ChatRequest, key: Key, session: str) -> tuple[Decision, Answer, Served]:
        caching = runtime.caching
        if caching is None or request.options.conversation is not None:
            decision = runtime.router.decide(request, key, session)
            runtime.ledger.decision(decision)
            return decision, *await complete(decision, request)
        passage = await caching.enter(request, key, session)
        if passage.hit is not None:
            return passage.hit.decision, passage.hit.answer, passage.hit.served
        try:
            decision = runtime.router.decide(request, key, session, asked=passage.asked)
            passage.decided(decision)
            runtime.ledger.decision(decision)
            answer, served = await complete(decision, request)
            served = passage.marked(served)
            passage.answered(decision, answer, served)
        finally:
            passage.leave()
        return decision, answer, served

    return Way(ask, runtime.kept.keys.by_id)


def _queue(runtime: Runtime, plan: QueuePlan, hash_key: bytes) -> Queue:
    def cool_down_s() -> float:
        return runtime.fleet.soonest_s(runtime.clock.monotonic_s())

    clock, chance = runtime.clock, random.Random()
    rules = QueueRules(
        plan.most_waiting,
        plan.most_per_key,
        plan.most_bytes,
        plan.lease_s,
        plan.tries,
        plan.keep_answers_s,
        plan.keep_dead_s,
    )
    store = QueueStore(
        runtime.kept.state_dir, rules, clock, notices=runtime.notices, tell=partial(_died, runtime)
    )
    signals = Signals(lambda: runtime.under_way, lambda: runtime.outage.answered_s, cool_down_s)
    gate = Gate(plan.workers, signals, clock, chance)
    pace, thread = Pace(clock, plan.workers), StoreThread()
    outbound = Outbound(plan.webhook_hosts)
    desk = Desk(DeskParts(store, thread, gate, pace, outbound, clock, hash_key), plan.deadline_s)
    way = _way(runtime)
    workers = Workers(WorkParts(store, thread, gate, pace, way, clock, chance, plan.lease_s))
    desk.cancel = workers.cancel
    hooks = Webhooks(HookParts(store, thread, outbound, clock, chance, hash_key))
    return Queue(desk, workers, hooks, store, thread, outbound, hash_key, chance)


def _died(runtime: Runtime, ended: Ended) -> None:
    log.warning("ticket %s is %s: %s", ended.id, ended.state.value, ended.code)
    runtime.kept.log.append(
        Act(new_id(), runtime.clock.wall_us(), "headgate", f"queue.{ended.state.value}", ended.id,
            ended.reason, json.dumps({"code": ended.code}))
    )  # fmt: skip


def queue_jobs(runtime: Runtime) -> list[Job]:
    """What the clock does: is the outage over, which tickets may be tried, what has ended."""

    async def look() -> None:
        runtime.outage.look()

    queue = runtime.queue
    if queue is None:
        return [Job("outage", SWEEP_S, look)]

    async def sweep() -> None:
        await queue.sweep()
        counts = queue.desk.counts
        for name, value in (
            ("queue_waiting", counts.waiting),
            ("queue_running", counts.running),
            ("queue_dead", counts.dead + counts.expired),
            ("queue_oldest_seconds", counts.oldest_s),
        ):
            runtime.telemetry.gauge(name, value)

    return [
        Job("outage", SWEEP_S, look),
        Job("queue", TURN_S, queue.workers.turn),
        Job("queue_sweep", SWEEP_S, sweep),
        Job("webhooks", SWEEP_S, queue.webhooks.turn),
    ]
