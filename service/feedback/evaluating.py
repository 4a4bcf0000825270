"""What a version would have earned on the published history, as a report; and the child for it.

    python -m service.feedback.evaluating JOB OUT SECONDS

JOB and OUT are files of JSON. It ends itself after SECONDS, also when nobody is left to wait.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.offline.log_replay import Drawn, Replayed, Shown, Target, Told, replay
from experiments.offline.policy_verdict import Question, judge
from learning.errors import LearningError, SnapshotError
from learning.interaction import Arm
from learning.policies.base import Policy, Prior
from learning.reward import Reward, RewardScale, value
from service.domain.records import Checkpoint, Decision, Mode, Update, Version
from service.feedback.apply import TICK, TOLD, context_of, interaction_of
from service.feedback.versions import policy_of
from service.storage.errors import StorageError
from service.storage.logged import Ended, LoggedHistory, Span
from service.storage.models import QualityModels

MOST_DECISIONS = 200_000
WARM_UP = 200_000  # updates that an untaught policy is told before the first decision
CAP_TOKENS = 4_000  # in and out: the greatest price is that of so many at the dearest deployment
NICE = 10
DAY_US = 86_400_000_000

LEFT_OUT: Mapping[Mode, str] = {
    Mode.STICKY: "held by a session",
    Mode.PINNED: "named by the caller",
    Mode.OVERRIDE: "settled by an operator",
    Mode.CACHE: "answered from the cache",
}
NO_OUTCOME = "without an outcome yet"
BY_EXPERIMENT = "pinned by an experiment"
NO_DRAW = "without sound probabilities"
_SUM_TOLERANCE = 1e-6

Progress = Callable[[int, int], None]  # decisions done, of how many


@dataclass(frozen=True, slots=True)
class Job:
    """Which version on which decisions. ``cost_cap_usd`` as of ``Question``; None: from the
    version's prices.
    """

    version: Version
    since_us: int
    until_us: int
    cost_cap_usd: float | None = None
    most: int = MOST_DECISIONS

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Job:
        """From JSON."""
        content = json.loads(text)
        return cls(**content | {"version": Version(**content["version"])})


def evaluate(
    history: LoggedHistory, job: Job, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """The report, with ``passed`` and ``reason``; raises LearningError or ValueError where the
    version's policy cannot be made.
    """
    policy_of(job.version)  # or it is not worth reading anything
    span = history.span(job.since_us, job.until_us, job.most)
    report: dict[str, Any] = {
        "version_id": job.version.id,
        "policy": job.version.policy,
        "kind": job.version.kind,
        "since": _iso(span.since_us if span else job.since_us),
        "until": _iso(job.until_us),
        "published_at": _iso(history.published_us),
        "decisions": span.decisions if span else 0,
        "newest_only": bool(span and span.decisions >= job.most),
    }
    if span is None:
        return report | {
            "passed": False,
            "reason": "no decision was logged and published in that time",
            "metric": "",
        }
    found, begun = replayed(history, job.version, span, progress)
    cap = _greatest_usd(job.version) if job.cost_cap_usd is None else job.cost_cap_usd
    ended_us = max(span.since_us, min(job.until_us, history.published_us))
    verdict = judge(found, Question((ended_us - span.since_us) / DAY_US, cap))
    return report | {
        "passed": verdict.passed,
        "reason": verdict.reason,
        "metric": verdict.metric,
        "begun_with": begun,
        "used": len(found),
        "left_out": dict(found.left_out),
        "updates": found.updates,
        "updates_passed_over": found.passed_over,
        "views": found.views,
        "cost_cap_usd": cap,
        **verdict.report,
    }


def replayed(
    history: LoggedHistory, version: Version, span: Span,
    progress: Progress = lambda done, total: None,
    taken: Callable[[Drawn], Drawn] = lambda row: row,
) -> tuple[Replayed, dict[str, Any]]:  # fmt: skip
    """The replay of a version on a span, and what it began with. ``taken``: the rows as they are to
    be used.
    """
    target, begun = _target(history, version, span)
    told = _told(history, version, begun)
    scales = {each.id: scale_of(each) for each in history.versions()}
    usual = scale_of(version)
    rows = (taken(drawn_of(each, scales.get(each.decision.policy.version_id, usual)))
            for each in history.decisions(span))  # fmt: skip
    progress(0, span.decisions)
    found = replay(target, rows, told, lambda count: progress(count, span.decisions))
    progress(span.decisions, span.decisions)
    return found, begun


def _target(history: LoggedHistory, version: Version, span: Span) -> tuple[Target, dict[str, Any]]:
    """The policy as it stood before the first decision: from its nearest checkpoint, else
    untaught; the updates up to there it is told on the way.
    """
    known = span.update_seq
    for checkpoint in reversed(history.checkpoints(version.id)):
        if checkpoint.update_seq > known or checkpoint.at_us > span.since_us:
            continue
        policy = _kept(history, checkpoint, version)
        if policy is None:
            continue
        seq = checkpoint.update_seq
        at_us = history.update_us(seq)
        begun = {"checkpoint_id": checkpoint.id, "update_seq": seq}
        return Target(policy, at_us or version.at_us), begun
    seq = max(0, known - WARM_UP)
    at_us = history.update_us(seq) if seq else min(version.at_us, span.since_us)
    begun = {"checkpoint_id": None, "update_seq": seq}
    return Target(policy_of(version), at_us or span.since_us), begun


def _kept(history: LoggedHistory, checkpoint: Checkpoint, version: Version) -> Policy | None:
    """A checkpoint's policy, None where its file is gone or damaged."""
    data, policy = history.checkpoint_bytes(checkpoint), policy_of(version)
    try:
        if data is not None:
            policy.thaw(data)
    except SnapshotError:
        return None
    return policy if data is not None else None


def _told(history: LoggedHistory, version: Version, begun: Mapping[str, Any]) -> Iterator[Told]:
    """The updates after the target's state, and the version's later checkpoints in their places:
    what it really was, after a rollback too.
    """
    models = QualityModels(history.state_dir)
    updates = (_as_told(*each, models) for each in history.updates(begun["update_seq"]))
    own = history.checkpoints(version.id)
    ids = [each.id for each in own]
    first = begun["checkpoint_id"]
    later = own[ids.index(first) + 1 :] if first in ids else own
    kept = (
        Told(each.update_seq, each.at_us, policy=policy)
        for each in later
        if each.update_seq >= begun["update_seq"]
        and (policy := _kept(history, each, version)) is not None
    )
    return heapq.merge(updates, kept, key=lambda told: (told.seq, told.policy is not None))


def _as_told(update: Update, decision: Decision | None, models: QualityModels) -> Told:
    if update.kind == TICK:
        return Told(update.seq, update.at_us)
    if update.kind in TOLD:
        return Told(update.seq, update.at_us, prior=_prior(update.model_id or "", models))
    if decision is None:
        return Told(update.seq, update.at_us)
    try:
        return Told(update.seq, update.at_us, interaction_of(update, decision))
    except LearningError:
        return Told(update.seq, update.at_us)


def _prior(model_id: str, models: QualityModels) -> Prior | None:
    try:
        return models.prior(model_id)
    except SnapshotError:
        return None


def drawn_of(ended: Ended, scale: RewardScale) -> Drawn:
    """A logged decision as the replay takes it, with why it is left out if it is."""
    decision = ended.decision
    candidates = decision.candidates
    return Drawn(
        at_us=decision.at_us,
        update_seq=decision.policy.update_seq,
        context=context_of(decision),
        eligible=candidates.names,
        propensities=candidates.propensities,
        arm=decision.deployment,
        scale=scale,
        shown=Shown(
            _number(ended.status), _number(ended.quality), _reward(ended, scale),
            _number(ended.cost_micro_usd),
        ),
        left_out=_left_out(ended),
    )  # fmt: skip


def _reward(ended: Ended, scale: RewardScale) -> float:
    if ended.status is None or ended.cost_micro_usd is None:
        return math.nan
    shown = Reward(
        quality=ended.quality,
        cost_usd=ended.cost_micro_usd / 1e6,
        latency_s=ended.latency_s,
        failed=ended.status >= 500,
    )
    return _number(value(shown, scale))


def _left_out(ended: Ended) -> str:
    decision = ended.decision
    if decision.mode is not Mode.RANDOMISED:
        return LEFT_OUT.get(decision.mode, decision.mode.value)
    shares = decision.candidates.propensities
    chance = dict(zip(decision.candidates.names, shares, strict=True)).get(decision.deployment, 0.0)
    if chance <= 0.0 or min(shares) < 0.0 or abs(sum(shares) - 1.0) > _SUM_TOLERANCE:
        return NO_DRAW
    if decision.assigned and len(shares) > 1 and max(shares) >= 1.0:
        return BY_EXPERIMENT
    return NO_OUTCOME if ended.status is None else ""


def scale_of(version: Version) -> RewardScale:
    """What money and waiting were worth under a version."""
    return RewardScale(**json.loads(version.parameters)["scale"])


def _greatest_usd(version: Version) -> float:
    arms = [Arm(**each) for each in json.loads(version.parameters)["arms"]]
    return max(
        CAP_TOKENS * (arm.price_input_usd_mtok + arm.price_output_usd_mtok) / 1e6 for arm in arms
    )


def _number(known: float | None) -> float:
    return math.nan if known is None else float(known)


def _iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def main(job: str, out: str, seconds: str) -> None:
    """Evaluate, and write the report; ``failed`` in it where that was not possible."""
    signal.alarm(int(seconds))
    os.nice(NICE)
    content = json.loads(Path(job).read_text("utf-8"))
    try:
        history = LoggedHistory(Path(content["state_dir"]))
        report = evaluate(history, Job.of(content["job"]))
    except (StorageError, LearningError, ValueError) as error:
        report = {"failed": str(error)}
    Path(out).write_text(json.dumps(report, allow_nan=False), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
