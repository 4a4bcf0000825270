"""The runs: started, followed, called off, resumed after a stop, and replayed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from service.domain.clock import new_id
from service.domain.errors import Conflict, HeadgateError, NotFound, Overloaded, PermissionDenied
from service.domain.hashing import keyed_hash
from service.domain.records import Key
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Calls, Memory
from service.orchestration.workflows.engine import Ended, Engine, spent
from service.orchestration.workflows.estimating import Estimate, Estimator, learn
from service.orchestration.workflows.format import read
from service.orchestration.workflows.inputs import checked
from service.orchestration.workflows.keeping import Durable, Progress, read_entries
from service.orchestration.workflows.learned import Learned
from service.orchestration.workflows.routed import Routed
from service.orchestration.workflows.running import (
    GOES_ON,
    Nobody,
    Run,
    RunRules,
    RunsParts,
    Wanted,
    ended_of,
    may_see,
    records,
)
from service.orchestration.workflows.steps import Workflow
from service.storage.run_store import KeptRun

log = logging.getLogger("headgate.workflows")

MOST_ENDED = 500  # runs of which is remembered that they were, without their texts


class Runs:
    """Lives on the event loop."""

    def __init__(self, parts: RunsParts) -> None:
        self._parts = parts
        self.learned = Learned()
        self._active: dict[str, Run] = {}
        self._ended: OrderedDict[str, Run] = OrderedDict()
        self._stopping = False
        self._starting = asyncio.Lock()

    @property
    def rules(self) -> RunRules:
        """The plan's part."""
        return self._parts.rules()

    @property
    def under_way(self) -> int:
        """Runs that have not ended."""
        return len(self._active)

    # what there is ----------------------------------------------------------------------------

    def names(self, key: Key) -> list[str]:
        """The workflows that a key may run."""
        allowed = self.rules.allowed.get(key.name)
        return [n for n in self.rules.workflows if allowed is None or n in allowed]

    def workflow(self, name: str, key: Key) -> Workflow:
        """A workflow that a key may run; raises NotFound, PermissionDenied."""
        found = self.rules.workflows.get(name)
        if found is None:
            raise NotFound(
                f"there is no workflow {name[:64]!r}; see GET /v1/workflows", param="workflow",
                code="workflow_not_found",
            )  # fmt: skip
        if name not in self.names(key):
            raise PermissionDenied(f"this key may not run {name}: see the plan's workflows.allowed")
        return found

    def calls(self, workflow: Workflow, key: Key, wanted: Wanted) -> Routed:
        """The calls of a run under its caller's key."""
        feature = f"workflow:{workflow.name}"
        return Routed(self._parts.routed, key, feature, wanted.labels, wanted.parent)

    def estimate(self, name: str, inputs: Mapping[str, Any], key: Key) -> Estimate:
        """What a run would cost and how long it would take; nothing is called."""
        workflow = self.workflow(name, key)
        calls = self.calls(workflow, key, Wanted(name, {}))
        return Estimator(workflow, checked(workflow, inputs), self.learned, calls).estimate()

    # runs -------------------------------------------------------------------------------------

    async def start(self, wanted: Wanted, key: Key) -> Run:
        """A run under way; the same one where the key asked for it before under the same
        idempotency key; raises HeadgateError.
        """
        workflow = self.workflow(wanted.workflow, key)
        inputs = checked(workflow, wanted.inputs)
        mark, digest = self._marks(wanted, key)
        if not mark:
            return await self._begun(wanted, key, workflow, inputs)
        async with self._starting:
            same = await self._same(mark, digest, key)
            return same or await self._begun(wanted, key, workflow, inputs)

    async def _begun(
        self, wanted: Wanted, key: Key, workflow: Workflow, inputs: Mapping[str, Any]
    ) -> Run:
        self._room(key)
        mark, digest = self._marks(wanted, key)
        now_us = self._parts.clock.wall_us()
        allowance = self._allowance(workflow, 0.0)
        run_id = new_id()
        if wanted.kept:
            journal: Progress = Durable(self._parts.shelf, run_id, lambda: allowance.used_s)
        else:
            journal = Progress()
        run = Run(run_id, key.id, key.tenant, workflow, wanted.mode, now_us, journal, allowance,
                  wanted.kept, mark=mark, digest=digest)  # fmt: skip
        self._active[run_id] = run  # counted before anything is awaited
        if wanted.kept:
            try:
                await self._put(run, inputs, wanted)
            except BaseException:
                del self._active[run_id]
                raise
        self._go(run, inputs, self.calls(workflow, key, wanted))
        return run

    def _go(self, run: Run, inputs: Mapping[str, Any], calls: Calls) -> None:
        run.inputs = inputs
        engine = Engine(run.workflow, inputs, calls, run.journal, run.allowance)
        run.journal.tell("run.started", "", {"run_id": run.id, "workflow": run.workflow.name})
        run.task = asyncio.create_task(self._carried(run, engine))

    async def _carried(self, run: Run, engine: Engine) -> None:
        """A run to its end. One that goes on is not ended by a stop of the service."""
        try:
            ended = await engine.run()
        except asyncio.CancelledError:
            if self._stopping and run.kept:
                self._active.pop(run.id, None)
                raise
            ended = engine.cancelled()
        except Exception:
            log.exception("run %s failed in an unknown way", run.id)
            ended = replace(engine.cancelled(), status="failed", code="internal_error",
                            message="something went wrong here")  # fmt: skip
        run.ended, run.ended_us = ended, self._parts.clock.wall_us()
        try:
            if run.kept:
                keep_until_us = run.ended_us + int(self.rules.keep_s * 1e6)
                times = run.ended_us, keep_until_us
                told = msgspec.json.encode(replace(ended, entries=()))
                await self._parts.shelf.do(
                    self._parts.shelf.store.end, run.id, ended.status, told, times
                )
        except HeadgateError as error:
            log.error("the end of run %s could not be kept: %s", run.id, error.message)
        finally:
            self._over(run, ended)

    def _over(self, run: Run, ended: Ended) -> None:
        """Logged, learned from, and told."""
        self._active.pop(run.id, None)
        self._ended[run.id] = run
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)
        assert run.ended_us is not None
        for record in records(run, ended):
            self._parts.record(record)
        cost = spent(ended.entries).cost_micro_usd
        if ended.status == "done" and not run.resumed:
            learn(self.learned, run.workflow, run.inputs, ended.entries)
        run.inputs = {}
        run.journal.end(f"run.{ended.status}", {"cost_usd": cost / 1e6})

    async def finished(self, run: Run) -> Ended:
        """How a run ends; who waits and leaves calls one off that does not go on without him."""
        assert run.task is not None
        try:
            await asyncio.shield(run.task)
        except asyncio.CancelledError:
            if run.mode not in GOES_ON:
                await self.cancel(run)
            raise
        assert run.ended is not None
        return run.ended

    async def cancel(self, run: Run) -> None:
        """Call a run off: what is under way upstream is cancelled before this returns."""
        if run.task is not None and not run.task.done():
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)

    def find(self, run_id: str, key: Key) -> Run | None:
        """A run in memory that this key may see; another tenant's does not exist for it."""
        run = self._active.get(run_id) or self._ended.get(run_id)
        return run if run is not None and may_see(key, run.key_id, run.tenant) else None

    async def kept(self, run_id: str, key: Key) -> KeptRun | None:
        """A run on disk that this key may see."""
        run = await self._parts.shelf.do(self._parts.shelf.store.find, run_id)
        return run if run is not None and may_see(key, run.key_id, run.tenant) else None

    def of(self, key: Key) -> list[Run]:
        """The runs in memory that a key may see, the newest first."""
        runs = [*self._active.values(), *self._ended.values()]
        seen = [run for run in runs if may_see(key, run.key_id, run.tenant)]
        return sorted(seen, key=lambda run: -run.created_us)

    async def listed(self, key: Key, most: int) -> list[KeptRun]:
        """The runs on disk that a key may see, the newest first."""
        shelf = self._parts.shelf
        return await shelf.do(shelf.store.listed, key.id, key.tenant, most)

    async def results(self, run_id: str) -> list[bytes]:
        """What a run on disk has come to."""
        return await self._parts.shelf.do(self._parts.shelf.store.results, run_id)

    async def remove(self, run_id: str, key: Key) -> bool:
        """Erase the texts of a run, calling it off first."""
        found = self.find(run_id, key)
        if found is not None:
            await self.cancel(found)
            found.ended = None if found.ended is None else replace(found.ended, outputs={})
        kept = await self.kept(run_id, key)
        if kept is not None:
            await self._parts.shelf.do(self._parts.shelf.store.remove, run_id)
        return found is not None or kept is not None

    # over a stop ------------------------------------------------------------------------------

    async def resume(self) -> int:
        """Go on with what a stop has broken off; how many runs."""
        shelf = self._parts.shelf
        count = 0
        for kept in reversed(await shelf.do(shelf.store.unfinished)):
            if kept.id in self._active:
                continue
            key = self._parts.key(kept.key_id)
            workflow = read(kept.source, kept.workflow)
            before = read_entries(await shelf.do(shelf.store.results, kept.id))
            allowance = self._allowance(workflow, kept.used_s)
            journal = Durable(shelf, kept.id, _used(allowance), before)
            run = Run(kept.id, kept.key_id, kept.tenant, workflow, kept.mode, kept.created_us,
                      journal, allowance, True, resumed=kept.resumed + 1)  # fmt: skip
            if key is None or key.revoked:
                ended = Ended("failed", {}, "key_revoked", "its key is no longer known")
                now_us = self._parts.clock.wall_us()
                times = now_us, now_us + int(self.rules.keep_s * 1e6)
                told = msgspec.json.encode(ended)
                await shelf.do(shelf.store.end, kept.id, "failed", told, times)
                continue
            await shelf.do(shelf.store.resumed, kept.id)
            self._active[run.id] = run
            wanted = Wanted(kept.workflow, {}, kept.mode, labels=msgspec.json.decode(kept.labels))
            self._go(run, msgspec.json.decode(kept.inputs), self.calls(workflow, key, wanted))
            count += 1
        return count

    async def replay(self, kept: KeptRun) -> Ended:
        """A kept run walked again from its recorded results: no call is made."""
        shelf = self._parts.shelf
        workflow = read(kept.source, kept.workflow)
        entries = read_entries(await shelf.do(shelf.store.results, kept.id))
        allowance = self._allowance(workflow, 0.0)
        inputs = msgspec.json.decode(kept.inputs)
        return await Engine(workflow, inputs, Nobody(), Memory(entries), allowance).run()

    async def sweep(self) -> None:
        """Erase what was kept long enough."""
        await self._parts.shelf.do(self._parts.shelf.store.sweep, self._parts.clock.wall_us())

    async def stop(self) -> None:
        """Call all off; those that go on without their caller are taken up at the next start."""
        self._stopping = True
        tasks = [run.task for run in self._active.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._parts.shelf.close)

    # the steps --------------------------------------------------------------------------------

    def _allowance(self, workflow: Workflow, used_s: float) -> Allowance:
        wide = sum(4 if each.form.map is not None else 1 for each in workflow.walk() if each.calls)
        clock = self._parts.clock
        return Allowance(
            workflow.form.limits, clock.monotonic_s, used_s, share=min(max(wide, 1), 4)
        )  # fmt: skip

    def _room(self, key: Key) -> None:
        own = sum(run.key_id == key.id for run in self._active.values())
        if self._stopping:
            raise Overloaded("the service stops", code="stopping", retry_after_s=5.0)
        if len(self._active) >= self.rules.most_at_once or own >= self.rules.most_per_key:
            raise Overloaded(
                f"{own} runs of this key and {len(self._active)} in all are under way; try later",
                code="too_many_runs", retry_after_s=5.0,
            )  # fmt: skip

    def _marks(self, wanted: Wanted, key: Key) -> tuple[str, str]:
        if not wanted.idempotency:
            return "", ""
        secret = self._parts.secret
        asked = msgspec.json.encode([wanted.workflow, wanted.mode, wanted.inputs])
        return (
            keyed_hash(secret, "workflow", key.id, wanted.idempotency),
            keyed_hash(secret, "asked", asked),
        )

    async def _same(self, mark: str, digest: str, key: Key) -> Run | None:
        """The run that a key asked for before under the same idempotency key."""
        for run in (*self._active.values(), *self._ended.values()):
            if run.key_id == key.id and run.mark == mark:
                return _unlike(run, run.digest, digest)
        kept = await self._parts.shelf.do(self._parts.shelf.store.known, key.id, mark)
        if kept is None:
            return None
        workflow = read(kept.source, kept.workflow)
        ended = ended_of(kept)
        run = Run(kept.id, kept.key_id, kept.tenant, workflow, kept.mode, kept.created_us,
                  Progress(), self._allowance(workflow, kept.used_s), True, ended,
                  kept.ended_us, kept.resumed)  # fmt: skip
        return _unlike(run, kept.digest, digest)

    async def _put(self, run: Run, inputs: Mapping[str, Any], wanted: Wanted) -> None:
        kept = KeptRun(
            run.id, run.key_id, run.tenant, run.workflow.name, run.mode, "running",
            run.created_us, None, None, 0.0, 0, run.workflow.source, msgspec.json.encode(inputs),
            msgspec.json.encode(wanted.labels), None, run.mark, run.digest,
        )  # fmt: skip
        await self._parts.shelf.do(self._parts.shelf.store.put, kept)


def _unlike(run: Run, had: str, has: str) -> Run:
    if had != has:
        raise Conflict(
            "this Idempotency-Key was used for another run; give each run its own",
            code="idempotency_conflict",
        )
    return run


def _used(allowance: Allowance) -> Callable[[], float]:
    return lambda: allowance.used_s
