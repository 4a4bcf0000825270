"""Answers that were rated elsewhere, told to the policy once, by a logged update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from learning.evidence import Answers, Evidence
from learning.policies.base import Policy
from learning.snapshot import freeze
from service.domain.acting import Told
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, StorageUnavailable, Unprocessable
from service.domain.records import Act
from service.domain.will import Action, applies
from service.feedback.apply import EVIDENCE
from service.feedback.learner import Learner
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.evidence import TAKEN, Taken, taken_evidence, unlearned_evidence


@dataclass(frozen=True, slots=True)
class Lesson:
    """Answers to be taken together. ``tasks``: of each; ``prompts``: how many different ones;
    ``content``: a hash by which the same is known again.
    """

    source: str
    answers: Answers
    tasks: tuple[str, ...]
    prompts: int
    content: str

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Of each deployment that answered how often, and the mean quality."""
        told = {}
        for at, name in enumerate(self.answers.arms):
            quality = self.answers.quality[self.answers.arm == at]
            if len(quality):
                told[name] = {"answers": len(quality), "quality": float(np.mean(quality))}
        return told


@dataclass(frozen=True, slots=True)
class TeacherParts:
    """What it stands on."""

    log: EventLog
    cursor: Callable[[], Cursor]
    learner: Learner
    clock: Clock


class Teacher:
    """Takes one lesson at a time: the file first, then the act, then the update, so that a kill
    between them loses nothing and nothing is learned twice.
    """

    def __init__(self, parts: TeacherParts) -> None:
        self._parts = parts
        self._one = asyncio.Lock()

    def resume(self) -> None:
        """Learn what was taken and not learned; before the learner starts."""
        learner = self._parts.learner
        for evidence_id in unlearned_evidence(self._parts.cursor(), learner.seq):
            learner.adopt(evidence_id, EVIDENCE)

    @property
    def policy(self) -> Policy:
        """The live policy, whose arms and features a lesson is in."""
        return self._parts.learner.policy

    def taken(self, limit: int | None = None) -> list[Taken]:
        """What was taken, newest first; blocks."""
        return taken_evidence(self._parts.cursor(), limit)

    async def take(self, lesson: Lesson, act: Callable[[Told], Act], why: Told) -> str:
        """Take a lesson; its id. ``why`` has the reason and the author of the act, which ``act``
        signs. Raises Conflict for what was taken before and while learning is frozen,
        Unprocessable where the live policy has no use for it.
        """
        parts = self._parts
        self._check(lesson)
        async with self._one:
            await asyncio.to_thread(self._once, lesson)
            evidence_id = new_id()
            told = Told(TAKEN, evidence_id, why.reason, why.author, detail_of(lesson))
            await asyncio.to_thread(self._write, evidence_id, lesson.answers)
            try:
                await asyncio.wrap_future(parts.log.append_durable(act(told)))
            except StorageUnavailable:
                parts.learner.parts.versions.models.path(evidence_id).unlink(missing_ok=True)
                raise
            parts.learner.adopt(evidence_id, EVIDENCE)
        return evidence_id

    def _check(self, lesson: Lesson) -> None:
        learner = self._parts.learner
        if not learner.policy.takes_evidence:
            raise Unprocessable(
                f"the live policy is of the kind {learner.version.kind}, which has no use for "
                "answers from elsewhere: promote one of the kind linear",
                code="policy_takes_none",
            )
        if learner.frozen:
            raise StorageUnavailable(
                "learning is frozen because the log cannot be written; try again", retry_after_s=5.0
            )
        asked = set(zip(lesson.tasks, lesson.answers.arm.tolist(), strict=True))
        for each in learner.parts.freeze.holding():
            if each.action == Action.FREEZE and any(
                applies(each, task, "", "") and each.deployment in ("", lesson.answers.arms[arm])
                for task, arm in asked
            ):
                raise Conflict(
                    f"learning is frozen by the override {each.id}: lift it, or wait for its end",
                    code="learning_frozen",
                )

    def _once(self, lesson: Lesson) -> None:
        for each in self.taken():
            if each.detail.get("content") == lesson.content:
                at = each.at.isoformat(timespec="seconds")
                raise Conflict(
                    f"these answers were taken before, as {each.id} at {at}Z; nothing is learned "
                    "twice",
                    param="answers",
                    code="evidence_taken",
                )

    def _write(self, evidence_id: str, answers: Answers) -> None:
        evidence = Evidence.of(answers, self._parts.clock.wall_us() / 1e6)
        models = self._parts.learner.parts.versions.models
        models.write(evidence_id, freeze(evidence.state()))


def detail_of(lesson: Lesson) -> dict[str, Any]:
    """What the act tells of a lesson: sums and a hash, none of its prompts."""
    return {
        "source": lesson.source,
        "answers": len(lesson.tasks),
        "prompts": lesson.prompts,
        "deployments": lesson.deployments(),
        "content": lesson.content,
    }
