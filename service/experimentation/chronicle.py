"""The chronicle: what was shipped, rolled back, stopped or overridden is written down by itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from experiments.analysis import Report
from experiments.errors import ExperimentError
from experiments.states import Step
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock, new_id
from service.domain.errors import NotFound, Unprocessable
from service.domain.experiments import ExperimentStep, How, Promotion
from service.domain.knowledge import Entry
from service.experimentation.desk import HEADGATE, ExperimentDesk, versions_in
from service.experimentation.telling import brief, figures, of_override
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.experiments import Conducted
from service.storage.knowledge import EndedOverride, KnowledgeStore, untold_overrides

log = logging.getLogger("headgate.experiments")

TURN_S = 2.0
MOST_A_TURN = 20
ENDS = {Step.STOP.value: "stopped", Step.SHIP.value: "shipped", Step.ROLL_BACK.value: "rolled back"}
NO_CAUSE: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ChronicleParts:
    """What the chronicle stands on. ``report``: of an experiment's data as they are; it blocks.
    ``promotions``: all of them, oldest first.
    """

    store: KnowledgeStore
    desk: ExperimentDesk
    promotions: Callable[[], list[Promotion]]
    report: Callable[[Conducted], Report]
    cursor: Callable[[], Cursor]
    log: EventLog
    clock: Clock


class Chronicle:
    """Every few seconds it looks for ends of which no entry tells, so that none is lost by a crash
    or while the log cannot be written. An entry has the figures of the moment it is written.
    """

    def __init__(self, parts: ChronicleParts) -> None:
        self._parts = parts
        self._one_at_a_time = asyncio.Lock()

    @property
    def store(self) -> KnowledgeStore:
        """All entries."""
        return self._parts.store

    def find(self, entry_id: str) -> Entry:
        """An entry by its id or the beginning of it that no other has; raises NotFound."""
        known = self.store.known
        found = [known[entry_id]] if entry_id in known else [
            each for each in known.values() if len(entry_id) >= 4 and each.id.startswith(entry_id)
        ]  # fmt: skip
        if len(found) != 1:
            raise NotFound("no entry of that id; see headgate knowledge list")
        return found[0]

    async def add(self, entry: Entry, key_id: str = "", who: Person | None = None) -> Entry:
        """Keep what somebody has written; durable when this returns. Raises Unprocessable where it
        supersedes what is not there, or was superseded already.
        """
        async with self._one_at_a_time:
            if entry.supersedes is not None:
                before = self.find(entry.supersedes)
                others = [e.id for e in self.store.all() if e.supersedes == before.id]
                if others:
                    raise Unprocessable(
                        f"supersedes: {before.id} was superseded by {others[0]} already; supersede "
                        "that one",
                        param="supersedes",
                    )
                subject = entry.subject or before.subject
                entry = replace(entry, supersedes=before.id, subject=subject)
            await self._keep(entry, key_id, who)
            return entry

    async def turn(self) -> None:
        """Write what is not written yet."""
        async with self._one_at_a_time:
            due = [*self._ended(), *self._returned()][:MOST_A_TURN]
            for of, told in due:
                found = await asyncio.to_thread(self._figures, of) if of is not None else None
                await self._keep(told(found))
            for override in await asyncio.to_thread(self._overrides):
                await self._keep(of_override(override, new_id(), self._parts.clock.wall_us()))

    async def _keep(self, entry: Entry, key_id: str = "", who: Person | None = None) -> None:
        detail = {"key": key_id, "supersedes": entry.supersedes}
        author = entry.author if entry.source == "person" else HEADGATE
        told = Told("knowledge.added", entry.id, entry.title, author, detail)
        act = act_of(who, entry.at_us, told)
        ack: Future[int] = self._parts.log.append_durable(entry, act)
        await asyncio.wrap_future(ack)
        self.store.put(entry)

    # what ended -------------------------------------------------------------------------------

    def _ended(self) -> Iterator[tuple[Conducted | None, Callable[[Any], Entry]]]:
        """The ends of experiments of which no entry tells; a promotion's watch is told of below."""
        for each in list(self._parts.desk.store.known.values()):
            if each.design.reverse:
                continue
            for step in each.steps:
                if step.step in ENDS and not self.store.told_of(f"step:{step.id}"):
                    yield each, self._experiment(each, step)

    def _experiment(self, mine: Conducted, step: ExperimentStep) -> Callable[[Any], Entry]:
        decision = ENDS[step.step] + (f" {step.variant}" if step.variant else "")
        design, subject = mine.design, f"experiment:{mine.id}"
        settings = {v.name: dict(v.settings) for v in design.variants}
        named = [str(value) for each in settings.values() for value in each.values()]
        told = "; ".join(
            f"{name} {json.dumps(each)}" for name, each in settings.items() if each
        )  # fmt: skip
        links = {
            "experiment": mine.id,
            "report": f"/admin/experiments/{mine.id}/report",
            **{f"version_{n}": each for n, each in enumerate(versions_in(design), 1)},
        }

        def entry(result: Any) -> Entry:
            return Entry(
                new_id(), self._parts.clock.wall_us(), "experiment", subject,
                f"experiment {mine.record.slug}: {mine.record.reason}", design.hypothesis,
                {"words": f"{', '.join(design.goals)} by {design.unit.value}: {told}",
                 "design": json.loads(mine.record.design)},
                {**result, "ended_us": step.at_us}, decision, step.reason, step.author, links,
                _tags("experiment", ENDS[step.step], mine.record.slug, *design.goals, *named),
                self._own(subject), f"step:{step.id}",
            )  # fmt: skip

        return entry

    def _returned(self) -> Iterator[tuple[Conducted | None, Callable[[Any], Entry]]]:
        """Promotions rolled back, and those whose watch ended without an alarm."""
        promotions, watches = self._parts.promotions(), {}
        for each in list(self._parts.desk.store.known.values()):
            if each.design.reverse and each.steps:
                watches[_caused(each.steps[0]).get("promotion")] = each
        for at, made in enumerate(promotions):
            watch = watches.get(made.id)
            if made.how == How.ROLLED_BACK:
                if not self.store.told_of(f"promotion:{made.id}"):
                    before = next(
                        (p for p in reversed(promotions[:at])
                         if p.version_id == made.from_version_id), None,
                    )  # fmt: skip
                    seen = watches.get(before.id) if before else None
                    yield seen, self._rolled_back(made, before)
            elif watch is not None and watch.steps[-1].step == Step.SHIP:
                last = watch.steps[-1]
                if not self.store.told_of(f"step:{last.id}"):
                    yield watch, self._held(made, last)

    def _rolled_back(self, made: Promotion, before: Promotion | None) -> Callable[[Any], Entry]:
        subject = f"promotion:{before.id if before else made.id}"
        cause = json.loads(made.cause)
        told = f"back to version {made.version_id} from checkpoint {made.restored_id}"

        def entry(result: Any) -> Entry:
            return Entry(
                new_id(), self._parts.clock.wall_us(), "promotion", subject,
                f"promotion of version {made.from_version_id}",
                f"version {made.from_version_id} serves better than {made.version_id}",
                {"words": before.reason if before else "", "how": before.how if before else ""},
                {**(result or {"words": "it was not watched"}), "cause": cause,
                 "ended_us": made.at_us},
                f"rolled back: {told}", made.reason, made.author,
                _promoted(made.id, made.from_version_id, made.version_id),
                _tags("promotion", "rolled back", str(cause.get("metric", ""))),
                self._own(subject), f"promotion:{made.id}",
            )  # fmt: skip

        return entry

    def _held(self, made: Promotion, last: ExperimentStep) -> Callable[[Any], Entry]:
        subject = f"promotion:{made.id}"

        def entry(result: Any) -> Entry:
            return Entry(
                new_id(), self._parts.clock.wall_us(), "promotion", subject,
                f"promotion of version {made.version_id}",
                f"version {made.version_id} serves better than {made.from_version_id}",
                {"words": made.reason, "how": made.how}, {**result, "ended_us": last.at_us},
                f"kept: {last.reason}",
                made.reason, made.author,
                _promoted(made.id, made.version_id, made.from_version_id),
                _tags("promotion", "kept", made.how), self._own(subject), f"step:{last.id}",
            )  # fmt: skip

        return entry

    def _own(self, subject: str) -> str | None:
        """The last entry about it, unless a person wrote that: it is not taken back."""
        last = self.store.latest(subject)
        return last.id if last is not None and last.source != "person" else None

    def _figures(self, mine: Conducted) -> dict[str, Any]:
        """What the data say now; blocks."""
        try:
            found = self._parts.report(mine)
        except ExperimentError as error:
            return {"words": f"cannot say: {error}", "brief": "no figures"}
        return figures(found) | {"brief": brief(found)}

    def _overrides(self) -> list[EndedOverride]:
        return [
            each for each in untold_overrides(self._parts.cursor(), MOST_A_TURN)
            if not self.store.told_of(f"override:{each.id}")
        ]  # fmt: skip


def _caused(step: ExperimentStep) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(step.cause)
    return found


def _promoted(made: str, version: str | None, other: str | None) -> dict[str, str]:
    return {
        name: value
        for name, value in (("promotion", made), ("version", version), ("other_version", other))
        if value
    }


def _tags(*words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in words if word))
