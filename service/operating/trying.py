"""An override tried on the published history, as a report; and the child process for it.

    python -m service.operating.trying JOB OUT SECONDS

JOB and OUT are files of JSON. It ends itself after SECONDS, also when nobody is left to wait.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.offline.log_replay import Drawn, Replayed
from experiments.offline.policy_verdict import Question, judge
from experiments.statistics.inputs import Floats
from learning.errors import LearningError
from service.domain.records import Mode, Override, Version
from service.domain.will import Action, Will, applies, will_for
from service.feedback.evaluating import BY_EXPERIMENT, drawn_of, replayed, scale_of
from service.operating.effects import Seen, Shares, after, flows
from service.storage.errors import StorageError
from service.storage.logged import LoggedHistory, Span

NICE = 10
HOUR_US = 3_600_000_000
MOST_TENANTS = 50
CAP_TOKENS = 4_000  # as an evaluation of a version has it
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Job:
    """Which override, beside which in force, on the newest ``most`` decisions of which time.
    ``version``: whose draws take the place of the logged ones (of a pin, or of the live policy
    where an experiment is killed); ``prices``: of a typical request, US dollars.
    """

    override: Override
    holding: tuple[Override, ...]
    since_us: int
    until_us: int
    most: int
    prices: Mapping[str, float]
    cost_cap_usd: float
    version: Version | None = None

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Job:
        """From JSON."""
        told = json.loads(text)
        version = told.pop("version")
        return cls(
            Override(**told.pop("override")),
            tuple(Override(**each) for each in told.pop("holding")),
            version=Version(**version) if version else None,
            **told,
        )


@dataclass(slots=True)
class _Tried:
    """What is counted on the way through the log."""

    decisions: int = 0
    read: int = 0
    moved: float = 0.0
    refused: int = 0
    rated: int = 0
    flows: Counter[tuple[str, str]] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    tenants: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0.0])
    )
    rows: list[tuple[Drawn, Seen, Shares]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def tried(history: LoggedHistory, job: Job) -> dict[str, Any]:
    """The report. Raises StorageError, LearningError or ValueError where it cannot be made."""
    span = history.span(job.since_us, job.until_us, job.most)
    if span is None:
        none = Span(0, 0, job.since_us, job.until_us, 0)
        return _report(_Tried(), none, job, (job.until_us - job.since_us) / HOUR_US)
    drawn = _drawn(history, job, span)
    found, read = _Tried(), _read(history, job, span)
    usual = _usual([each for _, each, _, _ in read.rows])
    found.read = read.count
    for number, seen, row, rated in read.rows:
        found.decisions += 1
        found.rated += rated
        target = _target(job, seen, usual.get(seen.task, {}), drawn.get(number))
        _count(found, seen, target)
        if row.left_out or target is None:
            found.left_out[row.left_out or "it would be refused"] += 1
        else:
            found.rows.append((row, seen, target))
    hours = max(span.until_us - span.since_us, 1) / HOUR_US
    return _report(found, span, job, hours)


def _target(job: Job, seen: Seen, usual: Shares, drawn: Shares | None) -> Shares | None:
    """As it was, where the override changes nothing beside those that are in force."""
    beside = [each for each in job.holding if each.id != job.override.id]
    without = _will(job, seen, beside)
    with_it = _will(job, seen, [*beside, job.override])
    if without == with_it:
        return seen.logged
    if job.override.action == Action.KILL_EXPERIMENT:
        mine = job.override.target in seen.experiments
        return after(with_it, seen, usual, drawn) if mine else seen.logged
    pinned = with_it.pinned is not None and with_it.pinned.id == job.override.id
    before, now = (
        after(without, seen, usual),
        after(with_it, seen, usual, drawn if pinned else None),
    )
    return seen.logged if before == now else now


def _will(job: Job, seen: Seen, overrides: list[Override]) -> Will:
    return will_for(
        seen.task, overrides, seen.tenant, seen.tier, lambda name: job.prices.get(name, math.inf)
    )


def _drawn(history: LoggedHistory, job: Job, span: Span) -> Mapping[int, Shares]:
    """What the version would have drawn at each decision, knowing what was known then."""
    if job.version is None:
        return {}
    found, _ = replayed(history, job.version, span, taken=lambda row: _taken(job, row))
    return {
        int(number): dict(zip(found.names, found.target[at].tolist(), strict=True))
        for at, number in enumerate(found.row)
    }


@dataclass(frozen=True, slots=True)
class _Read:
    """How many decisions there were, and those of the scope: number, what is seen of it, the row
    as comparisons take it, and whether it is rated.
    """

    count: int
    rows: list[tuple[int, Seen, Drawn, bool]]


def _read(history: LoggedHistory, job: Job, span: Span) -> _Read:
    scales = {each.id: scale_of(each) for each in history.versions()}
    if not scales:
        raise ValueError("no version is published")
    last, rows, count = next(reversed(scales.values())), [], 0
    for number, ended in enumerate(history.decisions(span)):
        count += 1
        seen = Seen.of(ended.decision)
        if applies(job.override, seen.task, seen.tenant, seen.tier):
            row = _taken(job, drawn_of(ended, scales.get(ended.decision.policy.version_id, last)))
            rows.append((number, seen, row, ended.quality is not None))
    return _Read(count, rows)


def _taken(job: Job, row: Drawn) -> Drawn:
    """Where an experiment is killed, the rows that its variants settled are what it is about."""
    settled = row.left_out == BY_EXPERIMENT and job.override.action == Action.KILL_EXPERIMENT
    return replace(row, left_out="") if settled else row


def _usual(rows: Sequence[Seen]) -> Mapping[str, Shares]:
    """The mean shares of each task's drawn decisions."""
    sums: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for each in rows:
        if each.mode is Mode.RANDOMISED:
            for name, share in each.logged.items():
                sums[each.task][name] += share
    return {
        task: {name: share / sum(shares.values()) for name, share in shares.items()}
        for task, shares in sums.items()
    }


def _count(found: _Tried, seen: Seen, target: Shares | None) -> None:
    logged = seen.logged
    found.modes[seen.mode.value] += 1
    found.before.update(logged)
    tenant = found.tenants[seen.tenant]
    tenant[0] += 1
    if target is None:
        found.refused += 1
        tenant[1] += 1.0
        return
    found.now.update(target)
    gone = flows(logged, target)
    found.flows.update(gone)
    moved = sum(gone.values())
    found.moved += moved
    tenant[1] += moved


def _report(found: _Tried, span: Span, job: Job, hours: float) -> dict[str, Any]:
    count = max(found.decisions, 1)
    ranked = sorted(found.tenants.items(), key=lambda each: (-each[1][1], each[0]))
    shares = {
        name: {"before": found.before[name] / count, "after": found.now[name] / count}
        for name in sorted({*found.before, *found.now})
    }
    return {
        "decisions": found.decisions,
        "read": found.read,
        "newest_only": span.decisions >= job.most,
        "hours": hours,
        "modes": dict(found.modes),
        "moved": found.moved / count,
        "refused": found.refused / count,
        "flows": [
            {"from": loser, "to": winner, "share": share / count}
            for (loser, winner), share in found.flows.most_common()
            if share > NEGLIGIBLE
        ],
        "shares": shares,
        "tenants": [
            {"tenant": tenant, "decisions": int(number), "moved": moved}
            for tenant, (number, moved) in ranked[:MOST_TENANTS]
            if moved > NEGLIGIBLE
        ],
        "tenants_touched": sum(moved > NEGLIGIBLE for _, (_, moved) in ranked),
        "held_back_per_hour": (
            {"decisions": found.decisions / hours, "rated": found.rated / hours}
            if job.override.action == Action.FREEZE else None
        ),
        "used": len(found.rows),
        "left_out": dict(found.left_out),
        **_judged(found, job, hours),
    }  # fmt: skip


def _judged(found: _Tried, job: Job, hours: float) -> dict[str, Any]:
    """Cost, quality and the rest beside what was logged, and where the log does not reach."""
    if not found.rows:
        return {"predicted": {}, "unsupported": {}, "unsupported_rows": 0}
    judged = judge(_rows(found), Question(hours / 24.0, job.cost_cap_usd)).report
    wanted = {}
    for metric, told in judged["metrics"].items():
        wanted[metric] = {
            key: told[key] for key in ("rows", "ess", "logged_mean", "refused", "difference")
            if key in told
        }  # fmt: skip
    footing = judged["footing"]
    return {
        "predicted": wanted,
        "unsupported": footing["unsupported"],
        "unsupported_rows": footing["unsupported_rows"],
    }


def _rows(found: _Tried) -> Replayed:
    """The rows as the machinery of comparisons takes them; expected is what the policy expected."""
    names = tuple(
        sorted({name for row, _, target in found.rows for name in (*row.eligible, *target)})
    )
    place = {name: at for at, name in enumerate(names)}

    def matrix(rows: Iterator[tuple[tuple[str, ...], Any]], empty: float) -> Floats:
        made = np.full((len(found.rows), len(names)), empty)
        for at, (which, values) in enumerate(rows):
            if len(which) == len(values):
                made[at, [place[name] for name in which]] = list(values)
        return made

    drawn = [row for row, _, _ in found.rows]
    seen = [each for _, each, _ in found.rows]
    shown = {
        key: np.array([getattr(row.shown, key) for row in drawn], dtype=np.float64)
        for key in ("status", "quality", "reward", "cost_micro_usd")
    }

    def expected(part: Callable[[Seen], tuple[float, ...]]) -> Floats:
        return matrix(((each.names, part(each)) for each in seen), math.nan)

    return Replayed(
        names=names,
        row=np.arange(len(drawn)),
        at_us=np.array([row.at_us for row in drawn], dtype=np.int64),
        drawn=np.array([place[row.arm] for row in drawn], dtype=np.int64),
        propensities=matrix(((r.eligible, r.propensities) for r in drawn), 0.0),
        target=matrix(((tuple(t), tuple(t.values())) for _, _, t in found.rows), 0.0),
        quality=expected(lambda each: each.quality),
        cost_usd=expected(lambda each: each.cost_usd),
        latency_s=expected(lambda each: each.latency_s),
        error_rate=expected(lambda each: each.error_rate),
        per_usd=np.array([row.scale.per_usd for row in drawn], dtype=np.float64),
        per_second=np.array([row.scale.per_second for row in drawn], dtype=np.float64),
        shown=shown,
        left_out=dict(found.left_out),
        updates=0,
        passed_over=0,
        views=0,
    )


def main(job: str, out: str, seconds: str) -> None:
    """Try, and write the report; ``failed`` in it where that was not possible."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    content = json.loads(Path(job).read_text("utf-8"))
    try:
        report = tried(LoggedHistory(Path(content["state_dir"])), Job.of(content["job"]))
    except (StorageError, LearningError, ValueError) as error:
        report = {"failed": str(error)}
    Path(out).write_text(json.dumps(report, allow_nan=False), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
