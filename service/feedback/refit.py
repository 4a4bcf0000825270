"""The quality model's refits: from the log, in a child process, accepted or refused, and logged."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learning.errors import SnapshotError
from learning.online import OnlineCorrection
from learning.quality import REFUSED, QualityModel, Rows
from learning.snapshot import Frozen, freeze, thaw
from service.domain.clock import Clock, id_time_us, new_id
from service.domain.errors import StorageUnavailable
from service.domain.records import Act
from service.feedback.child import run_child
from service.feedback.learner import Learner
from service.feedback.learner_parts import Prediction
from service.storage.cases import us
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.ratings import (
    first_ratings,
    last_act,
    last_prior,
    new_ratings,
    rated_answers,
)
from service.storage.versions import VersionStore

log = logging.getLogger("headgate.learning")

CHILD = (sys.executable, "-m", "service.feedback.fitting")
ACCEPTED, REFUSED_ACT, FAILED = "quality.accepted", "quality.refused", "quality.failed"
WORK = "fitting-"


@dataclass(frozen=True, slots=True)
class RefitRules:
    """When a refit is due, how fast answers age in it, and how long it may take."""

    least_ratings: int = 200
    half_life_s: float = 14 * 86_400.0
    limit_s: int = 300
    child: tuple[str, ...] = CHILD


@dataclass(frozen=True, slots=True)
class RefitParts:
    """What a refit stands on; ``environment`` is all that the child sees of ours."""

    log: EventLog
    cursor: Callable[[], Cursor]
    versions: VersionStore
    learner: Learner
    clock: Clock
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Setback:
    """A refit that came to nothing: ``act`` says whether it was refused or failed."""

    act: str
    at_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class QualityStanding:
    """The model in use, and the last refit that came to nothing."""

    model_id: str
    since_us: int
    online: OnlineCorrection | None
    setback: Setback | None


class Refitter:
    """One refit at a time. The swap is an update that the learner takes in its sequence."""

    def __init__(self, rules: RefitRules, parts: RefitParts) -> None:
        self.rules, self._parts = rules, parts
        self._tried_seq = 0
        self._setback: Setback | None = None

    def resume(self, is_new: bool) -> None:
        """Stand where the last run stood; before the learner starts.

        A model that was accepted but not taken (a kill between the two, a new version) is taken.
        """
        root = self._parts.versions.models.root
        for leftover in root.glob(WORK + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        cursor = self._parts.cursor()
        last = last_act(cursor, ACCEPTED, REFUSED_ACT, FAILED)
        if last is not None:
            self._tried_seq = json.loads(last["detail"]).get("through", 0)
        found = last_act(cursor, REFUSED_ACT, FAILED)
        if found is not None:
            self._setback = Setback(found["act"], us(found["ts"]), found["reason"])
        taken, accepted = last_prior(cursor), last_act(cursor, ACCEPTED)
        if accepted and (is_new or taken is None or taken[0] != accepted["subject"]):
            self._parts.learner.adopt(accepted["subject"])
        elif taken is not None:
            self._corrected(cursor, *taken)

    def _corrected(self, cursor: Cursor, model_id: str, seq: int) -> None:
        """The correction as it stood: every rating since the model was taken, in order."""
        try:
            online = OnlineCorrection(self._parts.versions.models.read(model_id))
        except SnapshotError as error:
            log.warning("the quality model in use cannot be shown: %s", error)
            return
        for arm, x, quality, weight in first_ratings(cursor, seq):
            online.learn(arm, x, quality, weight)
        self._parts.learner.prediction = Prediction(model_id, online)

    def standing(self) -> QualityStanding:
        """What there is to show."""
        now = self._parts.learner.prediction
        if now is None:
            return QualityStanding("", 0, None, self._setback)
        return QualityStanding(
            now.model_id, id_time_us(now.model_id), now.online, self._setback
        )  # fmt: skip

    async def turn(self) -> None:
        """Refit when enough new ratings have come."""
        if not self._parts.log.healthy:
            return
        tried_seq = self._tried_seq
        try:
            await self._turn()
        except (OSError, StorageUnavailable):
            self._tried_seq = tried_seq  # nothing is wrong with the ratings: tried again
            raise

    async def _turn(self) -> None:
        rows = await asyncio.to_thread(self._due)
        if rows is None:
            return
        found = await self._fitted(rows)
        if isinstance(found, QualityModel):
            await self._accept(found)
        else:
            act, reason, figures = found
            await self._log(act, "", reason, {"figures": figures, "through": self._tried_seq})

    def _due(self) -> Rows | None:
        cursor = self._parts.cursor()
        count, newest_seq = new_ratings(cursor, self._tried_seq)
        if count < self.rules.least_ratings:
            return None
        self._tried_seq = newest_seq
        setup = self._parts.learner.policy.setup
        versions = self._parts.versions.versions
        return rated_answers(cursor, setup.names, versions, self.rules.half_life_s)

    async def _fitted(self, rows: Rows) -> QualityModel | tuple[str, str, Any]:
        """What the child made of the rows: a model, or act, reason and figures."""
        models = self._parts.versions.models
        folder = Path(tempfile.mkdtemp(prefix=WORK, dir=models.root))
        try:
            await asyncio.to_thread(_write, folder / "rows", rows)
            now = self._parts.learner.prediction
            current = str(models.path(now.model_id).resolve()) if now else "-"
            reason = await self._child(folder, current)
            if reason:
                return FAILED, reason, None
            frozen: Frozen = thaw(await asyncio.to_thread((folder / "out").read_bytes))
            if frozen.kind == REFUSED:
                return REFUSED_ACT, frozen.about["reason"], frozen.about["figures"]
            return QualityModel.of(frozen)
        except (OSError, SnapshotError) as error:
            return FAILED, f"the refit's files: {type(error).__name__}", None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _child(self, folder: Path, current: str) -> str:
        """Run the child; why it failed, empty when it did not."""
        limit_s = self.rules.limit_s
        command = (*self.rules.child, "rows", current, "out", str(limit_s))
        return await run_child(command, folder, limit_s, self._parts.environment)

    async def _accept(self, model: QualityModel) -> None:
        """The file first, then the act, then the update: a kill between them loses nothing."""
        model_id = new_id()
        data = freeze(model.state())
        await asyncio.to_thread(self._parts.versions.models.write, model_id, data)
        figures = {"figures": asdict(model.figures), "through": self._tried_seq}
        await self._log(ACCEPTED, model_id, "", figures)
        self._parts.learner.adopt(model_id)

    async def _log(self, act: str, subject: str, reason: str, detail: Mapping[str, Any]) -> None:
        now_us = self._parts.clock.wall_us()
        record = Act(new_id(), now_us, "headgate", act, subject, reason, json.dumps(detail))
        if act != ACCEPTED:
            self._setback = Setback(act, now_us, reason)
            log.warning("%s: %s", act, reason)
        await asyncio.wrap_future(self._parts.log.append_durable(record))


def _write(path: Path, rows: Rows) -> None:
    path.write_bytes(freeze(rows.state()))
