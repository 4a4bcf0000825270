"""Batches made as the plan says and joined to the runtime; what a stop broke off goes on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

from service.batching.bill import Bill, BillParts
from service.batching.desk import Desk, DeskParts
from service.batching.parcels import ParcelParts, Parcels
from service.batching.reading import request_of, tokens_of
from service.batching.schedule import Rules
from service.batching.slack import Durations
from service.batching.whole import Batching
from service.batching.work import Reply, Way, Workers, WorkParts
from service.domain.batches import CHAT_ENDPOINT, BatchLine
from service.domain.chat import ChatRequest
from service.domain.clock import new_id
from service.domain.errors import ContentRefused
from service.domain.modalities import EMBEDDING
from service.domain.off_peak import parse_window
from service.domain.parcels import Posting
from service.domain.records import Decision, Key, Usage
from service.plan.batches import BatchPlan
from service.plan.whole import Plan
from service.providers.batch_api import BatchAPI
from service.queueing.work import how, whole
from service.routing.batched import Batched
from service.routing.key_limits import SlidingWindow
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.batch_file import FILE, open_batches
from service.storage.batch_known import Known, known_since, logged_of
from service.storage.batch_store import BatchStore
from service.storage.parcel_store import ParcelStore
from service.storage.store_thread import StoreThread

TURN_S, SWEEP_S = 0.5, 30.0


def batch_rules(plan: BatchPlan) -> Rules:
    """The rules of a plan's section."""
    return Rules(
        tuple(parse_window(each) for each in plan.windows), plan.longest_s, plan.most_at_once,
        plan.most_per_key, plan.most_requests, plan.most_live, plan.safety, plan.tries,
        plan.keep_s, plan.owner_bytes, plan.most_bytes,
    )  # fmt: skip


class _Rules:
    """The rules of the plan in force: read once a plan."""

    def __init__(self, runtime: Runtime, plan: BatchPlan) -> None:
        self._runtime, self._of, self._rules = runtime, plan, batch_rules(plan)

    def __call__(self) -> Rules:
        wanted = self._runtime.plan.batches
        if wanted is not None and wanted is not self._of:
            self._of, self._rules = wanted, batch_rules(wanted)
        return self._rules


class _Allowance:
    """A key's requests and tokens of a minute, which its live requests take from too."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def _windows(self, key_id: str) -> tuple[SlidingWindow | None, SlidingWindow | None, float]:
        runtime, now_s = self._runtime, self._runtime.clock.monotonic_s()
        bounds = runtime.load.bounds
        limits = bounds.key_requests_per_minute, bounds.key_tokens_per_minute
        if limits == (0, 0):
            return None, None, now_s
        usage = runtime.key_limits.of(key_id, limits, now_s)
        return usage.requests, usage.tokens, now_s

    def wait_s(self, key_id: str, tokens: int) -> float:
        """Seconds until there is room."""
        requests, of_tokens, now_s = self._windows(key_id)
        wait_s = 0.0
        if requests is not None:
            wait_s = requests.free_in_s(1, now_s)
        if of_tokens is not None:
            wait_s = max(wait_s, of_tokens.free_in_s(min(tokens, of_tokens.limit), now_s))
        return wait_s

    def book(self, key_id: str, tokens: int) -> Callable[[Usage], None]:
        """Take it; the result corrects it by what was used."""
        requests, of_tokens, now_s = self._windows(key_id)
        if requests is not None:
            requests.add(1, now_s)
        second = of_tokens.add(tokens, now_s) if of_tokens is not None else 0

        def settle(used: Usage) -> None:
            if of_tokens is not None:
                amount = used.tokens_in + used.tokens_out - tokens
                of_tokens.correct(second, amount, self._runtime.clock.monotonic_s())

        return settle


def _posting(
    runtime: Runtime, calls: Batched, decided: tuple[Decision, ChatRequest], slack_s: float
) -> Posting | None:
    """What goes to a provider's batch: one call to a deployment that offers them, where there is
    the time. What the log had no room for cannot be billed later and is answered at once.
    """
    decision, request = decided
    if runtime.answering.way(decision, request) is not None:
        return None
    if runtime.kept.cases.recent(decision.id) is None:
        return None
    placed = calls.place(decision, request, slack_s)
    if placed is None:
        return None
    target, amount = placed
    told = {
        "decision_id": decision.id, "deployment": target.name, "provider": target.provider,
        "reason": decision.reason, "task": decision.task,
        "policy": f"{decision.policy.name}@{decision.policy.update_seq}",
    }  # fmt: skip
    return Posting(decision.id, target.name, decision.caller, decision.task, decision.tokens_in,
                   amount, decision.at_us, told)  # fmt: skip


def _way(runtime: Runtime, calls: Batched) -> Way:
    """The way of live requests, as the runtime has it at each turn."""

    def read(endpoint: str, body: bytes) -> tuple[ChatRequest, int]:
        request = request_of(endpoint, body)
        return request, tokens_of(request)

    async def ask(endpoint: str, body: bytes, key: Key, slack_s: float) -> Reply | Posting:
        if endpoint != CHAT_ENDPOINT:
            made = await runtime.modalities.embed(body, key)
            return Reply(made.body, made.decision_id, made.deployment, made.usage,
                         how(made.decision, made.served))  # fmt: skip
        request, incident = whole(request_of(endpoint, body)), new_id()
        decision = runtime.router.decide(request, key, "")
        runtime.ledger.decision(decision)
        await runtime.refusals.check(decision, request, incident)
        posting = _posting(runtime, calls, (decision, request), slack_s)
        if posting is not None:
            return posting
        try:
            answer, served = await runtime.answering.complete(decision, request)
        except ContentRefused as refused:
            raise await runtime.refusals.take(refused, decision, request, incident) from None
        return Reply(bytes(answer.body), decision.id, served.deployment.name, served.usage,
                     how(decision, served))  # fmt: skip

    def calm() -> bool:
        load = runtime.load  # a look that counts nothing as refused
        full = load.under_way > load.bounds.most_under_way
        return not full and load.lag.average_s <= load.bounds.most_lag_s

    return Way(read, ask, runtime.kept.keys.by_id, _Allowance(runtime), calm)


def _offers(runtime: Runtime, endpoint: str) -> bool:
    if endpoint == CHAT_ENDPOINT:
        return True
    return EMBEDDING in {kind.modality for kind in runtime.modalities.ways.ways}


def attach_batches(runtime: Runtime, secret: bytes) -> None:
    """Give a runtime its batches, where the plan has a section of them."""
    if runtime.plan.batches is None:
        _left_lying(runtime, runtime.plan)
    else:
        _join(runtime, _made(runtime, runtime.plan.batches, secret))


def _made(runtime: Runtime, plan: BatchPlan, secret: bytes) -> Batching:
    """Batches as a plan's section wants them; blocks."""
    kept, clock = runtime.kept, runtime.clock
    connection = open_batches(kept.state_dir, clock, runtime.notices)
    store = BatchStore(connection)
    thread, rules = StoreThread("headgate-batches"), _Rules(runtime, plan)
    results, chance = Counter[str](), random.Random()

    def record(line: BatchLine) -> None:
        kept.log.append(line)
        results[line.result] += 1

    calls = Batched(lambda: runtime.dispatcher)

    async def durable() -> None:
        await asyncio.wrap_future(kept.log.flush(soon=False))

    workers = Workers(
        WorkParts(store, thread, _way(runtime, calls), rules, record, clock, chance,
                  Durations(plan.first_guess_s), durable)
    )  # fmt: skip
    parcels = _parcels(runtime, workers, (ParcelStore(connection, store), store, thread),
                       (calls, record))  # fmt: skip
    workers.forward = parcels
    desk = Desk(
        DeskParts(store, thread, workers, rules, lambda name: _offers(runtime, name), clock, secret)
    )
    return Batching(desk, workers, parcels, store, thread, clock, results, chance)


def _join(runtime: Runtime, made: Batching) -> None:
    """They are worked on from now on."""

    async def turn() -> None:
        await made.workers.turn()
        await made.parcels.turn()
        _shown(runtime, made)

    made.parcels.resume()
    runtime.batches = made
    runtime.scheduler.put(Job("batches", TURN_S, turn))
    runtime.scheduler.put(Job("batch files", SWEEP_S, made.sweep))


def _parcels(
    runtime: Runtime, workers: Workers, kept: tuple[ParcelStore, BatchStore, StoreThread],
    told: tuple[Batched, Callable[[BatchLine], object]],
) -> Parcels:  # fmt: skip
    """What goes to providers' batches; the parcels of an earlier process are taken up."""
    store, batches, thread = kept
    calls, record = told

    async def durable() -> None:
        await asyncio.wrap_future(runtime.kept.log.flush())

    async def known(since_us: int) -> Known:
        return await asyncio.to_thread(known_since, runtime.kept.database.cursor(), since_us)

    def allowed(posting: Posting, deployment: str) -> bool:
        return runtime.router.allowed(posting, deployment)

    since_us = min((each.made_us for each in store.parcels.values()), default=None)
    bill = Bill(BillParts(calls, runtime.ledger, record, durable, known, allowed), since_us)
    api = BatchAPI(lambda: runtime.clock.wall_us() / 1e6)

    async def lost(decisions: Sequence[str]) -> set[str]:
        cursor = runtime.kept.database.cursor()
        return set(decisions) - await asyncio.to_thread(logged_of, cursor, decisions)

    return Parcels(
        ParcelParts(store, batches, thread, workers, api, calls, bill, allowed, durable, lost,
                    runtime.clock, random.Random())
    )  # fmt: skip


def _left_lying(runtime: Runtime, plan: Plan) -> None:
    if plan.batches is None and (runtime.kept.state_dir / FILE).exists():
        runtime.notices.append(
            f"there are no batches, yet {FILE} lies in the state directory and may hold prompts; "
            "give the plan a section batches to have them answered, or delete the file"
        )


def _shown(runtime: Runtime, made: Batching) -> None:
    load, telemetry = made.desk.load(), runtime.telemetry
    telemetry.gauge("batches_live", load.live)
    telemetry.gauge("batch_requests_waiting", load.waiting)
    telemetry.gauge("batch_requests_running", load.running)
    telemetry.gauge("batch_requests_away", sum(each.count for each in made.parcels.parcels))
    telemetry.gauge("batch_least_slack_seconds", load.slack_s or 0.0)
    for result, number in made.results.items():
        telemetry.total("batch_requests", number, result)


async def renew_batches(runtime: Runtime, secret: bytes) -> None:
    """Another plan is in force: begun, or ended, where it says so; other rules count at once."""
    made = runtime.batches
    if runtime.plan.batches is None and made is not None:
        runtime.batches = None
        for name in ("batches", "batch files"):
            runtime.scheduler.put(Job(name, 0.0, _nothing))
        await made.stop()
        _left_lying(runtime, runtime.plan)
    elif runtime.plan.batches is not None and made is None:
        begun = await asyncio.to_thread(_made, runtime, runtime.plan.batches, secret)
        _join(runtime, begun)


async def _nothing() -> None:
    return None
