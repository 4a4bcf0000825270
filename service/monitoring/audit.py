"""Do the draws follow the logged propensities? A test that never ends, over the log itself."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import SUM_TOLERANCE
from experiments.statistics.sample_ratio import ALPHA, PropensityCalibration
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock
from service.domain.errors import Conflict, StorageUnavailable
from service.domain.experiments import AuditMark
from service.domain.records import Act
from service.monitoring.notify import Notice
from service.storage.audits import Drawn
from service.storage.event_log import EventLog

SPAN = 25_000  # rows of the log a turn, so that a long history is never sorted whole
BATCH = 5_000  # decisions a turn
MARK_S = 60.0
DURABLE_S = 30.0
SUBJECT = "propensities"
TICKET = ("ticket",)  # somebody today
ALARM, ACKNOWLEDGED = "propensities.alarm", "propensities.acknowledged"

NOTHING = PropensityCalibration.of(2)

Read = Callable[[int, int, int], list[Drawn]]  # after, through (rows of the log), at most


@dataclass(frozen=True, slots=True)
class Worst:
    """The deployment whose draws are furthest, in standard deviations, from what was logged."""

    deployment: str
    ratio: float  # drawn over expected
    drawn: int
    expected: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What the test has seen since it began: through which row, of how many decisions.

    ``broken``: rows that hold no distribution over their eligible deployments; the first refutes
    the log outright.
    """

    through_seq: int
    since_us: int
    decisions: int = 0
    broken: int = 0
    arms: tuple[str, ...] = ()
    sums: PropensityCalibration = NOTHING  # its last columns may be unused
    alarmed_us: int | None = None

    @property
    def evidence(self) -> Evidence:
        """The greatest evidence so far against the log."""
        return Evidence(math.inf) if self.broken else self.sums.evidence

    @property
    def worst(self) -> Worst | None:
        """The deployment that is furthest off; None before any decision."""
        found, furthest = None, -1.0
        for name, seen, due in zip(self.arms, self.sums.drawn, self.sums.expected, strict=False):
            off = abs(seen - due) / math.sqrt(due) if due > 0.0 else math.inf if seen else -1.0
            if off > furthest:
                ratio = seen / due if due > 0.0 else math.inf
                found, furthest = Worst(name, ratio, int(seen), due), off
        return found

    def with_rows(self, rows: Sequence[Drawn], through_seq: int) -> Standing:
        """With drawn decisions in their order. One whose whole probability lies on one deployment
        says nothing either way: what it forecasts is what it gets.
        """
        arms = tuple(dict.fromkeys((*self.arms, *(name for row in rows for name in row.names))))
        at = {name: column for column, name in enumerate(arms)}
        sums = self.sums.widened(max(len(arms), len(self.sums.drawn)))
        whole = [row for row in rows if _whole(row)]
        logged = np.zeros((len(whole), len(sums.drawn)))
        for place, row in enumerate(whole):
            logged[place, [at[name] for name in row.names]] = row.propensities
        return replace(
            self,
            through_seq=through_seq,
            decisions=self.decisions + len(rows),
            broken=self.broken + len(rows) - len(whole),
            arms=arms,
            sums=sums.add(logged, [at[row.deployment] for row in whole]),
        )

    def text(self) -> str:
        """The sums as JSON; floats come back as they were."""
        sums = self.sums
        return json.dumps(
            {
                "since_us": self.since_us,
                "broken": self.broken,
                "alarmed_us": self.alarmed_us,
                "arms": self.arms,
                "drawn": sums.drawn,
                "expected": sums.expected,
                "log_excess": sums.log_excess,
                "log_tempered": sums.log_tempered,
                "log_tilted": sums.log_tilted,
                "peak": finite(sums.peak),
            }
        )

    @classmethod
    def from_mark(cls, mark: AuditMark) -> Standing:
        """As it was when the mark was logged; tilts that it does not have yet begin at 0."""
        was: dict[str, Any] = json.loads(mark.state)
        sums = PropensityCalibration(
            tuple(was["drawn"]),
            tuple(was["expected"]),
            was["log_excess"],
            tuple(was["log_tempered"]),
            tuple(tuple(each) for each in was.get("log_tilted", ())),
            math.inf if was["peak"] is None else was["peak"],
        )
        return cls(
            mark.through_seq, was["since_us"], mark.decisions, was["broken"], tuple(was["arms"]),
            sums, was["alarmed_us"],
        )  # fmt: skip


def finite(number: float) -> float | None:
    """A number as JSON may hold it: null for infinity."""
    return number if math.isfinite(number) else None


def _whole(row: Drawn) -> bool:
    """Whether it holds a distribution over its eligible deployments, the drawn one among them."""
    given = row.propensities
    return (
        len(given) == len(row.names) == len(set(row.names))
        and row.deployment in row.names
        and all(0.0 <= each <= 1.0 for each in given)
        and abs(math.fsum(given) - 1.0) <= SUM_TOLERANCE / 2.0
    )


class PropensityAudit:
    """Reads drawn decisions once they are durable, in log order, and goes on where it had been
    after a restart. An alarm stays until an operator has acknowledged it.
    """

    def __init__(self, read: Read, log: EventLog, clock: Clock, mark: AuditMark | None) -> None:
        self._read, self._log, self._clock = read, log, clock
        self._lock = threading.Lock()
        self._marked_s = clock.monotonic_s()
        self._marked = mark.decisions if mark else 0
        self.current = Standing.from_mark(mark) if mark else Standing(0, clock.wall_us())

    def evaluate(self) -> bool:
        """Take in what is new, at most a batch; whether this raised the alarm. Blocks."""
        with self._lock:
            was, through = self.current, self._log.last_seq
            through = max(min(through, was.through_seq + SPAN), was.through_seq)
            rows = self._read(was.through_seq, through, BATCH)
            if len(rows) == BATCH:
                through = rows[-1].log_seq
            now = was.with_rows(rows, through)
            if was.alarmed_us is None and now.evidence.rejects(ALPHA):
                now = replace(now, alarmed_us=self._clock.wall_us())
                told = Told(ALARM, SUBJECT, in_words(now), detail=shown(now))
                self._settle(now, act_of(None, self._clock.wall_us(), told))
                return True
            self.current = now
            now_s = self._clock.monotonic_s()
            if now.decisions != self._marked and now_s - self._marked_s >= MARK_S:
                self._log.append(self._mark(now))
                self._marked, self._marked_s = now.decisions, now_s
            return False

    def acknowledge(
        self, author: str, reason: str, key_id: str, who: Person | None = None
    ) -> Standing:
        """An operator has seen the alarm: the test begins anew with what is logged from here on.
        Durable when this returns; blocks.
        """
        with self._lock:
            was = self.current
            if was.alarmed_us is None:
                raise Conflict("there is no alarm of the propensities to acknowledge")
            new = Standing(max(self._log.last_seq, was.through_seq), self._clock.wall_us())
            told = Told(
                ACKNOWLEDGED, SUBJECT, reason, author, shown(was) | {"key": key_id},
                {"state": "alarm"}, {"state": "no alarm"},
            )  # fmt: skip
            self._settle(new, act_of(who, self._clock.wall_us(), told))
            return new

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        return [in_words(self.current)] if self.current.alarmed_us is not None else []

    def _settle(self, new: Standing, act: Act) -> None:
        """Mark and act together or neither, so that an alarm is told once whatever happens."""
        try:
            self._log.append_durable(self._mark(new), act).result(timeout=DURABLE_S)
        except TimeoutError:
            raise StorageUnavailable(
                "the audit's mark is not durable yet; try again", retry_after_s=5.0
            ) from None
        self.current = new
        self._marked, self._marked_s = new.decisions, self._clock.monotonic_s()

    def _mark(self, standing: Standing) -> AuditMark:
        return AuditMark(
            self._clock.wall_us(), standing.through_seq, standing.decisions,
            standing.evidence.log_e, standing.text(),
        )  # fmt: skip


def shown(standing: Standing) -> dict[str, Any]:
    """The standing as JSON: ``evidence`` is the natural logarithm of the e-value, null where a row
    is impossible by its own account; the alarm is raised at ``limit``.
    """
    worst = standing.worst
    return {
        "decisions": standing.decisions,
        "evidence": finite(standing.evidence.log_e),
        "limit": -math.log(ALPHA),
        "broken": standing.broken,
        "worst": worst
        and {
            "deployment": worst.deployment,
            "ratio": finite(worst.ratio),
            "drawn": worst.drawn,
            "expected": worst.expected,
        },
    }


def in_words(standing: Standing) -> str:
    """What the alarm says."""
    if standing.broken:
        told = f"{standing.broken} decisions hold no distribution over their eligible deployments"
    elif math.isinf(standing.evidence.log_e):
        told = "a deployment was drawn whose logged probability is 0"
    else:
        told = f"the evidence is {standing.evidence.e_value:.3g} to 1"
    worst, furthest = standing.worst, ""
    if worst is not None:
        furthest = (
            f"; furthest off is {worst.deployment}, drawn {worst.drawn} times where the log says "
            f"{worst.expected:.0f}"
        )
    return (
        f"the draws do not follow the logged propensities: of {standing.decisions} decisions "
        f"{told}{furthest}; what is estimated from this log is wrong until the cause is found"
    )


def alarm_notice(standing: Standing, acknowledged_by: str = "") -> Notice:
    """What operators are told of the alarm of a standing, or of its acknowledgement."""
    began_us = standing.alarmed_us or 0
    identity = f"{SUBJECT}-{began_us}"
    if acknowledged_by:
        text = f"{acknowledged_by} has acknowledged the alarm of the propensities; the test is new"
        return Notice(ACKNOWLEDGED, identity, began_us, text, True, TICKET)
    return Notice(ALARM, identity, began_us, in_words(standing), severities=TICKET)
