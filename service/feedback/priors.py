"""Priors from the capability matrix: told to the policy, by a logged update, when they are news."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from learning.capability import Beliefs, at_rest, prior_from, says_more
from learning.errors import SnapshotError
from learning.policies.base import Prior
from learning.snapshot import freeze
from service.domain.clock import Clock, new_id
from service.feedback.apply import CAPABILITY
from service.feedback.learner import Learner
from service.storage.database import Cursor
from service.storage.ratings import last_taken

log = logging.getLogger("headgate.learning")

BY = 0.02  # of quality: what is less is no news


@dataclass(frozen=True, slots=True)
class PriorParts:
    """What it stands on. ``known``: what the matrix says of arms, by their declared quality."""

    known: Callable[[Mapping[str, float]], Beliefs]
    cursor: Callable[[], Cursor]
    learner: Learner
    clock: Clock


class PriorGiver:
    """Where the policy's version changed, or a quality model was taken since, it is told anew: of
    those that are still cold, the matrix knows more than a model fitted on others' answers.
    """

    def __init__(self, parts: PriorParts) -> None:
        self._parts = parts
        self._given: Prior | None = None
        self._under: tuple[str, str] = ("", "")
        self.given = 0

    def resume(self) -> None:
        """Stand where the last run stood; before the learner starts."""
        taken = last_taken(self._parts.cursor(), CAPABILITY)
        if taken is None or not taken.standing:
            return
        try:
            models = self._parts.learner.parts.versions.models
            self._given = models.prior(taken.model_id)
        except SnapshotError as error:
            log.warning("what the matrix said last cannot be read: %s", error)
            return
        self._under = taken.version_id, taken.before

    async def turn(self) -> None:
        """Give what is new, the file first, then the update."""
        learner = self._parts.learner
        if learner.frozen or learner.parts.freeze.whole:
            return
        prior = await asyncio.to_thread(self._due)
        if prior is None:
            return
        model_id = new_id()
        models = learner.parts.versions.models
        await asyncio.to_thread(models.write, model_id, freeze(at_rest(prior)))
        self._given, self._under = prior, self._standing()
        self.given += 1
        learner.adopt(model_id, CAPABILITY)

    def _standing(self) -> tuple[str, str]:
        learner = self._parts.learner
        model = learner.prediction.model_id if learner.prediction is not None else ""
        return learner.version.id, model

    def _due(self) -> Prior | None:
        setup = self._parts.learner.policy.setup
        known = self._parts.known({arm.name: arm.prior_quality for arm in setup.arms})
        if not known.arms:
            return None
        prior = prior_from(known, setup.features)
        was = self._given if self._under == self._standing() else None
        return prior if says_more(prior, was, BY) else None
