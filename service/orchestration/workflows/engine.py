"""The engine: the steps of a run, side by side as soon as what they need is there, within limits.

The walk over the graph depends on the inputs and the results of steps alone: with the same results
from a journal it is the same walk, which is how a run is resumed and how it is replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.domain.errors import HeadgateError
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import (
    NOTHING,
    Calls,
    Entry,
    Journal,
    LimitReached,
    StepFailed,
    summed,
    told,
)
from service.orchestration.workflows.doing import Doing
from service.orchestration.workflows.forms import KeepForm, LoopForm
from service.orchestration.workflows.functions import ValueFault
from service.orchestration.workflows.operations import Absent, Names
from service.orchestration.workflows.steps import Step, Workflow

Result = dict[str, Any] | None  # None: skipped


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: ``done``, ``failed``, ``limit`` or ``cancelled``. ``outputs``: those that
    can be worked out, None where not; ``entries``: what was executed, in the order of its ends.
    """

    status: str
    outputs: Mapping[str, Any]
    code: str = ""
    message: str = ""
    step: str = ""
    entries: tuple[Entry, ...] = ()
    took_s: float = 0.0

    @property
    def cost_micro_usd(self) -> int:
        """Of all calls."""
        return sum(each.usage.cost_micro_usd for each in self.entries)


class Engine:
    """One run. ``inputs`` are checked before."""

    def __init__(
        self, workflow: Workflow, inputs: Mapping[str, Any], calls: Calls, journal: Journal,
        allowance: Allowance,
    ) -> None:  # fmt: skip
        self._workflow, self._journal, self._calls = workflow, journal, calls
        self.allowance = allowance
        self._names: dict[str, Any] = {"inputs": dict(inputs)}
        self._entries: list[Entry] = []
        self._where = ""
        self._doing = Doing(calls, allowance)
        self._composite: Mapping[str, Callable[[Step, Names, str], Any]] = {
            "loop": self._loop, "group": self._group,
        }  # fmt: skip

    async def run(self) -> Ended:
        """To its end. A cancellation is passed on after what is under way was called off."""
        try:
            async with asyncio.timeout(max(self.allowance.left_s, 0.0)):
                await self._body(self._workflow.steps, self._names, "")
        except TimeoutError:
            return self._ended("limit", "max_time_s", "the run's time is over")
        except LimitReached as limit:
            return self._ended("limit", limit.code, limit.message)
        except StepFailed as failed:
            return self._ended("failed", failed.code, failed.message)
        return self._ended("done")

    def cancelled(self) -> Ended:
        """What a run that was called off had come to."""
        return self._ended("cancelled", "cancelled", "the run was called off")

    def _ended(self, status: str, code: str = "", message: str = "") -> Ended:
        outputs: dict[str, Any] = {}
        for name, value in self._workflow.outputs.items():
            try:
                outputs[name] = value(self._names)
            except (Absent, ValueFault):
                outputs[name] = None
        step = self._where if status != "done" else ""
        return Ended(status, outputs, code, message, step, tuple(self._entries),
                     self.allowance.used_s)  # fmt: skip

    # a body -----------------------------------------------------------------------------------

    async def _body(self, steps: Sequence[Step], names: dict[str, Any], at: str) -> None:
        """All steps of a body; ``names`` holds their results afterwards."""
        done = {step.id: asyncio.Event() for step in steps}

        async def one(step: Step) -> None:
            for need in step.needs:
                await done[need].wait()
            names[step.id] = await self._step(step, names, f"{at}{step.id}")
            done[step.id].set()

        await self._together([one(step) for step in steps])

    async def _together(self, ways: Sequence[Any]) -> None:
        """Side by side; the first that fails calls the others off, and its failure is the one."""
        if not ways:
            return
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:  # in the file's order, so that the same failure is told each time
                if task in ended and (error := task.exception()) is not None:
                    raise error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _step(self, step: Step, names: Names, path: str) -> Result:
        try:
            if "when" in step.values and not self._worked_out(step.values["when"], names):
                return self._skipped(path)
            if step.form.map is not None:
                return await self._mapped(step, names, path)
            return await self._once(step, names, path)
        except _Skip:
            return self._skipped(path)
        except (StepFailed, LimitReached):
            self._where = self._where or path
            raise

    def _skipped(self, path: str) -> Result:
        self._journal.tell("step.skipped", path, {})
        return None

    async def _mapped(self, step: Step, names: Names, path: str) -> Result:
        form = step.form.map
        assert form is not None
        items = self._worked_out(step.values["map.over"], names)
        if len(items) > form.most:
            raise StepFailed("too_many_items", f"{len(items)} items, and most is {form.most}")
        room, results = asyncio.Semaphore(form.at_once), dict[int, dict[str, Any]]()
        failures: list[StepFailed] = []

        async def one(index: int, item: Any) -> None:
            async with room:
                scope = {**names, form.name: item, "index": index}
                try:
                    result = await self._once(step, scope, f"{path}@{index}")
                except _Skip:
                    result = None
                except StepFailed as failed:
                    if form.least is None:
                        raise
                    failures.append(failed)
                    return
                if result is not None:
                    results[index] = result

        await self._together([one(index, item) for index, item in enumerate(items)])
        if form.least is not None and len(results) < form.least:
            why = failures[0].message if failures else "the others were skipped"
            raise StepFailed("too_few_items", f"{len(results)} of {len(items)} succeeded: {why}")
        indices = sorted(results)
        fields = {name: [results[at].get(name) for at in indices] for name in step.gives}
        return {**fields, "indices": indices, "failed": len(failures)}

    # one execution ----------------------------------------------------------------------------

    async def _once(self, step: Step, names: Names, path: str) -> Result:
        """A step to its result, or its fallback's."""
        try:
            result = await self._tried(step, names, path)
        except StepFailed as failed:
            if step.otherwise is not None:
                self._journal.tell("step.fallback", path, {"code": failed.code})
                result = await self._tried(step.otherwise, names, f"{path}~")
                return {**result, "fell_back": True}
            if step.fixed:
                self._journal.tell("step.fallback", path, {"code": failed.code})
                fixed = {n: self._worked_out(v, names) for n, v in step.fixed.items()}
                return {**dict.fromkeys(step.gives), **fixed, "fell_back": True}
            raise
        return {**result, "fell_back": False}

    async def _tried(self, step: Step, names: Names, path: str) -> dict[str, Any]:
        leaf = step.kind not in self._composite
        kept = self._journal.kept(path)
        if kept is not None and (kept.status == "failed" or leaf):
            return self._again(step, kept)
        self._journal.tell("step.started", path, {"kind": step.kind})
        began_s, before = self.allowance.used_s, self._doing.begin(path)
        entry = Entry(path, step.id, step.kind, "cancelled", began_s=began_s)
        try:
            if leaf:
                self.allowance.step()
            fields, failed = await self._timed(step, names, path)
            if failed is None:
                entry = replace(entry, status="done", fields=fields)
            else:
                entry = replace(entry, status="failed", code=failed.code, message=failed.message)
        except _Skip:
            entry = replace(entry, status="skipped")
            self.allowance.steps -= leaf
            raise
        finally:  # what was spent is told, whatever ended it
            took = self.allowance.used_s - began_s
            entry = replace(entry, latency_s=took, **self._doing.end(before))
            counts = leaf or entry.status == "failed"
            if counts and entry.status != "skipped":
                self._entries.append(entry)
        if counts:
            await self._journal.keep(entry)
        more = {"cost_usd": entry.usage.cost_micro_usd / 1e6, "latency_s": took}
        if failed is not None:
            self._journal.tell("step.failed", path, {"code": failed.code, **more})
            raise failed
        self._journal.tell("step.done", path, {"deployment": entry.deployment, **more})
        return fields

    async def _timed(
        self, step: Step, names: Names, path: str
    ) -> tuple[dict[str, Any], StepFailed | None]:
        """The fields of a result, or why there is none."""
        try:
            async with asyncio.timeout(step.form.timeout_s):
                return await self._worked(step, names, path), None
        except TimeoutError:
            return {}, StepFailed("timeout", f"longer than {step.form.timeout_s:g} s")
        except StepFailed as failed:
            return {}, failed
        except HeadgateError as error:
            return {}, told(error)

    def _again(self, step: Step, kept: Entry) -> dict[str, Any]:
        """A result of an earlier try: no call is made, and what it cost counts."""
        if step.kind not in self._composite:
            self.allowance.step()
        self.allowance.settle(0, kept.usage.cost_micro_usd)
        self._entries.append(kept)
        self._doing.wrote(kept.fields)
        self._journal.tell("step.kept", kept.path, {"status": kept.status})
        if kept.status == "failed":
            raise StepFailed(kept.code, kept.message)
        return dict(kept.fields)

    async def _worked(self, step: Step, names: Names, path: str) -> dict[str, Any]:
        composite = self._composite.get(step.kind)
        try:
            if composite is not None:
                made: dict[str, Any] = await composite(step, names, path)
                return made
            return await self._doing.do(step, names, path)
        except Absent as absent:
            raise _absent(absent, names) from None
        except ValueFault as fault:
            raise StepFailed("value", str(fault)) from None

    def _worked_out(self, value: Callable[[Names], Any], names: Names) -> Any:
        try:
            return value(names)
        except Absent as absent:
            raise _absent(absent, names) from None
        except ValueFault as fault:
            raise StepFailed("value", str(fault)) from None

    # steps of steps ---------------------------------------------------------------------------

    async def _group(self, step: Step, names: Names, path: str) -> dict[str, Any]:
        inner = dict(names)
        await self._body(step.body, inner, f"{path}/")
        gives = {key: value for key, value in step.values.items() if key.startswith("gives.")}
        return {key.partition(".")[2]: _or_none(value, inner) for key, value in gives.items()}

    async def _loop(self, step: Step, names: Names, path: str) -> dict[str, Any]:
        form = step.form
        assert isinstance(form, LoopForm)
        carried = {n: self._worked_out(step.values[f"carry.{n}.start"], names) for n in form.carry}
        best: dict[str, Any] | None = None
        turn, reached = 0, False
        while turn < form.most and not reached:
            turn += 1
            inner = {**names, "loop": {**carried, "turn": turn}}
            await self._body(step.body, inner, f"{path}#{turn}/")
            carried = {
                n: self._worked_out(step.values[f"carry.{n}.next"], inner) for n in form.carry
            }
            if isinstance(form.keep, KeepForm) and (
                best is None or carried[form.keep.best] > best[form.keep.best]
            ):
                best = carried
            after = {**inner, "loop": {**carried, "turn": turn}}
            reached = self._worked_out(step.values["until"], after)
        return {**(best or carried), "turns": turn, "reached": reached}


class _Skip(Exception):
    """A step reads of one that was skipped."""


def _absent(absent: Absent, names: Names) -> Exception:
    """Why what is not there is not: skipped with what it would be of, or a fault."""
    root = absent.name.split("(")[0].split(".")[0].split("[")[0]
    if root in ("first", "inputs") or names.get(root) is None:
        return _Skip()
    return StepFailed("absent", f"{absent.name} is not there")


def _or_none(value: Callable[[Names], Any], names: Names) -> Any:
    try:
        return value(names)
    except Absent:
        return None


def spent(entries: Sequence[Entry]) -> Any:
    """What some executions took together."""
    return summed([each.usage for each in entries]) if entries else NOTHING
