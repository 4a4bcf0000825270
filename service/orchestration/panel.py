"""Judging, whole: the judges, what they sample, how they were held against people, what is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, Unprocessable
from service.domain.judging import JudgeCheck, Judging, Origin, Proof, Rubric, Scored
from service.orchestration.golden import Bar, Held, Item, Runner, found, golden, judging_of
from service.orchestration.judging import About, Judges
from service.orchestration.sampling import Sampler, measured
from service.orchestration.scoring import Conversation
from service.orchestration.standing import Agreement, agreement, explained, quality
from service.storage.errors import StorageError
from service.storage.event_log import EventLog
from service.storage.judgings import JudgingStore

log = logging.getLogger("headgate.judging")

DAY_US = 86_400_000_000
LIVE_DAYS = 30
LIVE_EVERY_S = 300.0
AGAIN_S = 3_600.0  # an automatic check that ended without an answer is tried again after so long


@dataclass(frozen=True, slots=True)
class PanelRules:
    """What the plan says of checks."""

    bar: Bar = field(default_factory=Bar)
    auto: bool = True


class Panel:
    """Lives on the event loop."""

    def __init__(
        self, judges: Judges, sampler: Sampler, store: JudgingStore, log: EventLog, clock: Clock
    ) -> None:
        self.judges, self.sampler, self.store = judges, sampler, store
        self.rules = PanelRules()
        self.items: Sequence[Item] = golden()
        self._log, self._clock = log, clock
        self._checks: dict[str, JudgeCheck] = {}  # by digest
        self._live: dict[str, Agreement] = {}  # by digest
        self._live_s = -LIVE_EVERY_S
        self._tried: dict[str, float] = {}
        self._unended: dict[str, str] = {}  # by digest: why its last check says nothing
        self._running: tuple[str, Runner, asyncio.Task[None]] | None = None

    def resume(self) -> None:
        """After a restart; blocks."""
        self._checks = self.store.latest()

    # what is known ----------------------------------------------------------------------------

    def state(self, judge: str) -> Proof:
        """Of a judge as it now is."""
        check = self._checks.get(self.digest(judge))
        return Proof(check.state) if check is not None else Proof.UNPROVEN

    def digest(self, judge: str) -> str:
        """Of a judge as it now is; the golden set is in it."""
        return self.judges.digest_of(judge)

    def proven(self, judge: str) -> bool:
        """Whether its scores are ratings: it has passed, and what people say of the answers served
        here does not say that it knows nothing of them.
        """
        live = self._live.get(self.digest(judge))
        return self.state(judge) is Proof.PROVEN and (live is None or live.knows is not False)

    def warnings(self) -> list[str]:
        """What an operator should know."""
        told = []
        for judge in self.judges.rules.judges if self.sampler.on else ():
            check, live = self._checks.get(self.digest(judge)), self._live.get(self.digest(judge))
            if check is not None and check.state == Proof.FAILED:
                why = json.loads(check.report).get("why", "")
                told.append(f"the judge {judge} has failed its check, and does not teach: {why}")
            elif live is not None and live.knows is False:
                told.append(
                    f"the judge {judge} does not teach: of {live.answers} answers that people "
                    "rated too, its scores go with their ratings no more than chance would"
                )
        return told

    # scored by hand ---------------------------------------------------------------------------

    async def score(
        self, conversation: Conversation, answer: str, rubric: str | Rubric, about: About
    ) -> Scored:
        """A score for somebody who asks; durable, and under the day's cap."""
        if not self.judges.rules.judges:
            raise Unprocessable("the plan names no judges: give judging.judges", code="no_judges")
        if isinstance(rubric, str) and rubric and rubric not in self.judges.rules.rubrics.known:
            known = ", ".join(sorted(self.judges.rules.rubrics.known))
            raise Unprocessable(f"no rubric {rubric!r}; known: {known}", param="rubric")
        scored = await self.judges.score(conversation, answer, rubric, about)
        if scored.judge and not scored.cached:
            record = Judging(
                new_id(), self._clock.wall_us(), "score", Origin.ASKED, "", None, about.task,
                ",".join(about.deployments), scored.judge,
                f"{scored.rubric}@{scored.rubric_version}", scored.digest, scored.value,
                *scored.said, scored.consistent, 1.0, *measured(answer), scored.cost_micro_usd,
                False,
            )  # fmt: skip
            await asyncio.wrap_future(self._log.append_durable(record))
        return scored

    # checks -----------------------------------------------------------------------------------

    @property
    def progress(self) -> dict[str, Any] | None:
        """Of the check that runs."""
        if self._running is None:
            return None
        judge, runner, _ = self._running
        return {"judge": judge, "done": runner.done, "items": len(runner.items),
                "cost_usd": runner.cost_micro_usd / 1e6}  # fmt: skip

    def begin(self, judge: str, author: str) -> None:
        """Hold a judge against the golden set; one at a time."""
        if judge not in self.judges.rules.judges or not self.digest(judge):
            known = ", ".join(self.judges.rules.judges) or "none"
            raise Unprocessable(f"no judge {judge!r} in the plan's panel: {known}", param="judge")
        if self._running is not None:
            raise Conflict(f"the judge {self._running[0]} is being checked; wait for its end")
        self._unended.pop(self.digest(judge), None)
        runner = Runner(self.judges, judge, self.items, self._keep)
        task = asyncio.create_task(self._check(judge, author, runner))
        self._running = judge, runner, task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a judge's check stumbled", exc_info=error)

    def _keep(self, item: Item, held: Held) -> None:
        for record in judging_of(item, held, self._clock.wall_us(), new_id):
            self._log.append(record)

    async def _check(self, judge: str, author: str, runner: Runner) -> None:
        digest = self.digest(judge)
        held = await runner()
        told = found(held, self.rules.bar)
        if told.state is Proof.UNPROVEN:  # nothing was learned of it: it stays what it was
            self._unended[digest] = told.why
            log.warning("the check of the judge %s came to no end: %s", judge, told.why)
            return
        kappa = told.kappa
        check = JudgeCheck(
            new_id(), self._clock.wall_us(), judge, digest, len(held),
            kappa.estimate if kappa else None, kappa.low if kappa else None,
            kappa.high if kappa else None, told.flipped, told.state, runner.cost_micro_usd,
            author, json.dumps(told.report),
        )  # fmt: skip
        await asyncio.wrap_future(self._log.append_durable(check))
        self._checks[digest] = check
        if told.state is Proof.FAILED:
            log.warning("the judge %s has failed its check: %s", judge, told.why)

    # by the clock -----------------------------------------------------------------------------

    async def turn(self) -> None:
        """Check a judge that is not proven as it now is; see how live agreement stands."""
        now_s = self._clock.monotonic_s()
        if not self.sampler.on:
            return
        for judge in self.judges.rules.judges if self.rules.auto else ():
            digest = self.digest(judge)
            late = now_s - self._tried.get(digest, -AGAIN_S) >= AGAIN_S
            if self._running is None and digest and late and digest not in self._checks:
                self._tried[digest] = now_s
                self.begin(judge, "headgate")
        if now_s - self._live_s >= LIVE_EVERY_S:
            self._live_s = now_s
            await self._look()

    async def _look(self) -> None:
        since_us = self._clock.wall_us() - LIVE_DAYS * DAY_US
        for judge in self.judges.rules.judges:
            digest, metric = self.digest(judge), self.judges.rules.metric
            try:
                rows = await asyncio.to_thread(self.store.scored, judge, digest, metric, since_us)
            except StorageError as error:
                log.warning("judged answers cannot be read now: %s", error)
                return
            self._live[digest] = await asyncio.to_thread(agreement, rows)

    async def stop(self) -> None:
        """End what runs; a check that was under way is not kept."""
        await self.sampler.stop()
        if self._running is not None:
            task = self._running[2]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # told -------------------------------------------------------------------------------------

    def standing(self) -> dict[str, Any]:
        """In a few figures."""
        rules = self.judges.rules
        return {
            "on": self.sampler.on,
            "share": rules.share,
            "weight": rules.weight,
            "metric": rules.metric,
            "style_blind": rules.style_blind,
            "spent_today_usd": self.judges.spend.spent_micro_usd / 1e6,
            "usd_per_day": self.judges.spend.cap_micro_usd / 1e6,
            "under_way": self.sampler.under_way,
            "sampling": dict(sorted(self.sampler.counts.items())),
            "asked": dict(sorted(self.judges.counts.items())),
            "checking": self.progress,
            "judges": [self._shown(judge) for judge in rules.judges],
            "rubrics": [
                {"name": each.name, "version": each.version, "digest": each.digest,
                 "tasks": list(each.tasks)}
                for each in rules.rubrics.known.values()
            ],
        }  # fmt: skip

    def _shown(self, judge: str) -> dict[str, Any]:
        check, live = self._checks.get(self.digest(judge)), self._live.get(self.digest(judge))
        r = live.correlation if live is not None else None
        return {
            "judge": judge,
            "digest": self.digest(judge),
            "state": self.state(judge).value,
            "teaches": self.sampler.on and self.proven(judge),
            "no_end": self._unended.get(self.digest(judge)),
            "check": check and {
                "id": check.id, "at_us": check.at_us, "items": check.items, "kappa": check.kappa,
                "low": check.low, "high": check.high, "flipped": check.flipped,
                "cost_usd": check.cost_micro_usd / 1e6, "author": check.author,
                "report": json.loads(check.report),
            },
            "with_people": live and {
                "answers": live.answers, "knows": live.knows,
                "correlation": r and {"estimate": r.estimate, "low": r.low, "high": r.high},
            },
        }  # fmt: skip

    def quality(self, days: float) -> list[dict[str, Any]]:
        """What each judge says of deployments, corrected by people; reads the log, so off the
        loop.
        """
        since_us = self._clock.wall_us() - int(days * DAY_US)
        told = []
        for judge in self.judges.rules.judges:
            rows = self.store.scored(judge, self.digest(judge), self.judges.rules.metric, since_us)
            told.append(
                {"judge": judge, "answers": len(rows), "deployments": quality(rows),
                 "length_and_style": explained(rows)}
            )  # fmt: skip
        return told
