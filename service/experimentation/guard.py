"""The guard: guardrails watched while experiments run; holds, warns, and rolls back by itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from experiments.analysis import Report, analyse
from experiments.design import Action, Guardrail
from experiments.errors import ExperimentError
from experiments.guardrails import (
    RateWatch,
    Verdict,
    judge,
    onset,
    share_against_control,
    watches,
)
from experiments.metrics import METRICS, Frame
from experiments.states import State
from experiments.statistics.evidence import Evidence
from experiments.statistics.sample_ratio import ALPHA
from service.domain.clock import Clock, new_id
from service.domain.errors import HeadgateError
from service.domain.experiments import Assigned
from service.domain.live import LivePolicy
from service.domain.records import Act, Decision, Mode, Outcome
from service.experimentation.desk import HEADGATE, ExperimentDesk
from service.experimentation.promotions import Promotions
from service.experimentation.replaying import replay, units_seen
from service.feedback.promoting import Signature
from service.storage.errors import StorageError
from service.storage.event_log import EventLog
from service.storage.experiments import Conducted
from service.storage.frames import evidence_query

log = logging.getLogger("headgate.experiments")

LOOK_EVERY_S = 5.0
ANALYSE_EVERY_S = 60.0
IDLE = 20.0  # so many times as long as a look took nothing is looked at
LARGEST = 1e300  # of a number in JSON
AT_MOST_EVERY_US = 900_000_000  # an action of its own per experiment and metric
_FAILED: dict[str, Callable[[Outcome], bool]] = {
    "error_rate": lambda outcome: outcome.status >= 500,
    "success_rate": lambda outcome: outcome.status != 200,
    "refusal_rate": lambda outcome: outcome.error_kind == "policy",
    "fallback_rate": lambda outcome: outcome.mode == "fallback",
}


_Looked = tuple[Report | None, tuple[Verdict, ...], list[int | None]]


@dataclass(frozen=True, slots=True)
class GuardParts:
    """What the guard stands on. ``frame``: of an experiment's id, since a time; it blocks."""

    desk: ExperimentDesk
    promotions: Promotions
    log: EventLog
    clock: Clock
    live: Callable[[], LivePolicy]
    frame: Callable[[str, int], Frame]


@dataclass(frozen=True, slots=True)
class Harm:
    """A breached guardrail, as it is acted upon and recorded."""

    experiment: str
    metric: str
    treatment: str
    log_e: float
    threshold: float
    counted: str  # what ``n`` counts
    n: tuple[int, int]  # of control and treatment
    failed: tuple[int, int] | None  # units that failed, where failures alone tell
    onset_us: int | None
    words: str


@dataclass(slots=True)
class _Watched:
    """One running experiment: its watches by metric and treatment, and the units of each variant,
    remembered up to what the guardrails ask for.
    """

    conducted: Conducted
    watches: dict[tuple[str, str], RateWatch]
    seen: dict[str, set[str]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    most: int = 0
    invalid: bool = False
    look_at_s: float = 0.0
    analyse_at_s: float = 0.0


class Guard:
    """Rates are weighed at every failure, before the answer's log is written; the rest every few
    seconds from the log. What is found acts by the desk, on the next request.
    """

    def __init__(self, parts: GuardParts) -> None:
        self._parts = parts
        self._watched: dict[str, _Watched] = {}
        self._acting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[tuple[str, str, str]] = set()
        self.warnings_: dict[str, str] = {}
        self._incomplete: dict[str, str] = {}  # rollbacks that are in effect and not durable yet

    # at every outcome -------------------------------------------------------------------------

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        """A request of some experiments has ended; costs nothing where none runs. What a provider
        answered in a batch is weighed by nobody.
        """
        if outcome.mode is Mode.BATCH:
            return
        for assigned in decision.assigned:
            watched = self._watched.get(assigned.experiment)
            if watched is not None:
                self._weigh(watched, assigned, outcome)

    def _weigh(self, watched: _Watched, assigned: Assigned, outcome: Outcome) -> None:
        watched.requests[assigned.variant] = watched.requests.get(assigned.variant, 0) + 1
        seen = watched.seen.setdefault(assigned.variant, set())
        if len(seen) < watched.most:
            seen.add(assigned.unit)
        design = watched.conducted.design
        control = design.control.name
        for (metric, treatment), watch in watched.watches.items():
            if assigned.variant not in (control, treatment) or not _FAILED[metric](outcome):
                continue
            share = share_against_control(design, treatment, assigned.variant, assigned.probability)
            mine = assigned.variant == treatment
            watch.failed(float(share), mine, assigned.unit, outcome.at_us)
            if watch.breached:
                self._breached(watched, metric, treatment, watch)

    def _breached(self, watched: _Watched, metric: str, treatment: str, watch: RateWatch) -> None:
        guardrail = next(g for g in watched.conducted.design.guardrails if g.metric == metric)
        units = len(watched.seen.get(treatment, ()))
        if units < guardrail.least:
            return
        failed = watch.failures
        words = (
            f"{metric} of {treatment}: {failed[1]} units failed against {failed[0]} of the "
            f"control, an e-value of {min(watch.evidence.e_value, LARGEST):.4g}"
        )
        control = watched.conducted.design.control.name
        n = watched.requests.get(control, 0), watched.requests.get(treatment, 0)
        harm = Harm(
            watched.conducted.id, metric, treatment, watch.peak, 1.0 / watch.alpha, "requests", n,
            failed, watch.onset_us, words,
        )  # fmt: skip
        self._answer(guardrail, harm)

    # every few seconds ------------------------------------------------------------------------

    async def look(self) -> None:
        """Weigh all guardrails from the log, and end watches whose time is over."""
        try:
            await self._parts.desk.retry()
            await self._parts.promotions.catch_up()
            await self._parts.promotions.retry()
            self._incomplete.clear()
        except HeadgateError as error:  # what runs is judged all the same
            log.warning("what was done is not wholly durable yet: %s", error)
        self._parts.desk.follow_again()
        for watched in list(self._watched.values()):
            try:
                await self._look_at(watched)
            except (ExperimentError, StorageError) as error:
                log.warning("%s cannot be judged: %s", watched.conducted.id, error)
        await self._parts.promotions.end_overdue(self._parts.clock.wall_us())

    async def _look_at(self, watched: _Watched) -> None:
        mine, began_s = watched.conducted, self._parts.clock.monotonic_s()
        if mine.started_us is None or began_s < watched.look_at_s:
            return
        whole = began_s >= watched.analyse_at_s
        report, verdicts, onsets = await asyncio.to_thread(self._read, mine, whole)
        if self._watched.get(mine.id) is not watched:
            return  # it was moved meanwhile: nothing is done to what no longer runs
        took_s = self._parts.clock.monotonic_s() - began_s
        watched.look_at_s = began_s + took_s * IDLE  # a long history is looked at less often
        if report is not None:
            watched.analyse_at_s = began_s + ANALYSE_EVERY_S
            self._ratio(watched, report)
        watched.verdicts = verdicts
        for verdict, began in zip(verdicts, onsets, strict=True):
            if not verdict.breached or verdict.log_e is None:
                continue
            guardrail = next(g for g in mine.design.guardrails if g.metric == verdict.metric)
            harm = Harm(
                mine.id, verdict.metric, verdict.treatment, verdict.log_e, verdict.threshold,
                "units", verdict.units, None, began, verdict.words,
            )  # fmt: skip
            self._answer(guardrail, harm)

    def _read(self, mine: Conducted, whole: bool) -> _Looked:
        assert mine.started_us is not None
        frame = self._parts.frame(mine.id, mine.started_us)
        verdicts = tuple(judge(mine.design, frame))
        report = analyse(mine.design, frame) if whole else None
        return report, verdicts, [onset(mine.design, frame, each) for each in verdicts]

    def _ratio(self, watched: _Watched, report: Report) -> None:
        if report.valid or watched.invalid:
            return
        watched.invalid = True
        mine, why = watched.conducted, report.invalid[0]
        self._parts.desk.hold(mine.id, f"its data are not what was drawn: {why}")
        self.warnings_[mine.id] = f"{mine.id} is invalid: {why}"
        self._log("experiment.invalid", mine.id, why, {"alpha": ALPHA, "rows": report.rows})

    def moved(self, conducted: Conducted) -> None:
        """An experiment has been moved: watch it from the first failure on, or no longer."""
        if conducted.standing.state is not State.RUNNING:
            self._watched.pop(conducted.id, None)
            self.warnings_.pop(conducted.id, None)
        elif conducted.id in self._watched:
            self._watched[conducted.id].conducted = conducted
        else:
            self._watched[conducted.id] = self._fresh(conducted)

    def resume(self) -> None:
        """After a restart: the watches as the log's failures leave them; blocks."""
        for each in self._parts.desk.running():
            watched = self._watched[each.id] = self._fresh(each)
            if each.started_us is not None:
                frame = self._parts.frame(each.id, each.started_us)
                replay(each.design, frame, watched.watches)
                watched.seen = units_seen(frame, watched.most)

    def _fresh(self, conducted: Conducted) -> _Watched:
        known = {
            key: watch for key, watch in watches(conducted.design).items() if key[0] in _FAILED
        }
        most = max((g.least for g in conducted.design.guardrails), default=0)
        return _Watched(conducted, known, most=most)

    # what is done -----------------------------------------------------------------------------

    def _answer(self, guardrail: Guardrail, harm: Harm) -> None:
        """Warn, hold or roll back; a dry run says what it would have done."""
        key = harm.experiment, harm.metric, harm.treatment
        if guardrail.dry_run or guardrail.action is Action.WARN:
            if key not in self._told:
                self._told.add(key)
                what = "would" if guardrail.dry_run else "warns"
                act = f"guardrail.{what}"
                self.warnings_[harm.experiment] = harm.words
                self._log(act, harm.experiment, harm.words, self._cause(harm, guardrail))
            return
        if guardrail.action is Action.HOLD:
            if key not in self._told:
                self._told.add(key)
                self._parts.desk.hold(harm.experiment, harm.words)
                self.warnings_[harm.experiment] = f"held: {harm.words}"
                self._log("guardrail.holds", harm.experiment, harm.words,
                          self._cause(harm, guardrail))  # fmt: skip
            return
        self._roll_back(guardrail, harm)

    def _roll_back(self, guardrail: Guardrail, harm: Harm) -> None:
        if harm.experiment in self._acting:
            return
        last_us = self._parts.desk.acted_us(harm.experiment, harm.metric)
        if last_us is not None and self._parts.clock.wall_us() - last_us < AT_MOST_EVERY_US:
            key = harm.experiment, harm.metric, "cools down"
            if key not in self._told:
                self._told.add(key)
                self._parts.desk.hold(harm.experiment, harm.words)
                said = f"{harm.words}; rolled back less than 15 minutes ago, so it is held instead"
                self.warnings_[harm.experiment] = said
                self._log("guardrail.cools_down", harm.experiment, said,
                          self._cause(harm, guardrail))  # fmt: skip
            return
        self._acting.add(harm.experiment)
        task = asyncio.get_running_loop().create_task(self._rolled_back(guardrail, harm))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rolled_back(self, guardrail: Guardrail, harm: Harm) -> None:
        cause = json.dumps(self._cause(harm, guardrail))
        by = Signature(HEADGATE, harm.words, cause)
        try:
            await self._parts.promotions.roll_back_experiment(harm.experiment, by, harm.onset_us)
            log.error("%s is rolled back: %s", harm.experiment, harm.words)
        except HeadgateError as error:
            log.error("%s cannot be rolled back wholly: %s", harm.experiment, error)
            self._incomplete[harm.experiment] = f"rollback incomplete: {error.message}"
        finally:
            self._acting.discard(harm.experiment)

    def _cause(self, harm: Harm, guardrail: Guardrail) -> dict[str, object]:
        """What an act of the service's own rests on: figures, where it returns to, and the query
        over the history that shows it.
        """
        mark = self._parts.live().current.mark
        return {
            "metric": harm.metric,
            "treatment": harm.treatment,
            "e_value": min(Evidence(harm.log_e).e_value, LARGEST),
            "log_e": min(harm.log_e, LARGEST),
            "threshold": harm.threshold,
            "n": list(harm.n),
            "n_of": harm.counted,
            "failed_units": harm.failed and list(harm.failed),
            "tolerance": guardrail.tolerance,
            "kind": METRICS[harm.metric].kind.value,
            "onset_us": harm.onset_us,
            "live_version": mark.version_id,
            "live_checkpoint": mark.checkpoint_id,
            "query": evidence_query(harm.experiment, harm.metric),
        }

    def _log(self, act: str, subject: str, reason: str, detail: dict[str, object]) -> None:
        now_us = self._parts.clock.wall_us()
        self._parts.log.append(
            Act(new_id(), now_us, HEADGATE, act, subject, reason, json.dumps(detail))
        )

    # what is shown ----------------------------------------------------------------------------

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        return [*self.warnings_.values(), *self._incomplete.values()]

    def invalid(self) -> dict[str, str]:
        """Running experiments whose data are not what was drawn, and why."""
        return {
            name: self.warnings_.get(name, name)
            for name, watched in self._watched.items()
            if watched.invalid
        }

    def verdicts(self, experiment: str) -> tuple[Verdict, ...]:
        """What the guardrails of a running experiment said at the last look."""
        watched = self._watched.get(experiment)
        return watched.verdicts if watched else ()

    async def settle(self) -> None:
        """Wait for what is being rolled back."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
