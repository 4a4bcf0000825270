"""Refits of the chance to be acceptable: when due, in a child, believed or set aside, logged."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning.acceptance import ASIDE, AcceptanceModel, Tally, finite, tally_of
from learning.errors import SnapshotError
from learning.quality import Rows
from learning.snapshot import freeze, thaw
from service.domain.clock import Clock, new_id
from service.domain.errors import StorageUnavailable
from service.domain.records import Act
from service.feedback.child import run_child
from service.feedback.learner import Learner
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.models import AcceptanceModels
from service.storage.predictions import rows_to_fit
from service.storage.ratings import last_act, new_ratings

log = logging.getLogger("headgate.learning")

CHILD = (sys.executable, "-m", "service.feedback.acceptance_fitting")
FITTED_ACT, ASIDE_ACT, FAILED = "prediction.fitted", "prediction.aside", "prediction.failed"
ACTS = (FITTED_ACT, ASIDE_ACT, FAILED)


@dataclass(frozen=True, slots=True)
class AcceptanceRules:
    """The bar from which an answer is acceptable, and when a refit is due; as for quality."""

    bar: float
    least_ratings: int = 200
    half_life_s: float = 14 * 86_400.0
    limit_s: int = 300
    child: tuple[str, ...] = CHILD


@dataclass(frozen=True, slots=True)
class AcceptanceParts:
    """What a refit stands on; ``environment`` is all that the child sees of ours."""

    log: EventLog
    cursor: Callable[[], Cursor]
    models: AcceptanceModels
    learner: Learner
    clock: Clock
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Believed:
    """What came of the last refit that said something: a model, or why none is believed."""

    model: AcceptanceModel | None
    model_id: str
    reason: str
    tally: Tally | None
    standing: Mapping[str, Any] | None
    at_us: int


class AcceptanceRefitter:
    """One refit at a time; ``believed`` is None before the first."""

    def __init__(self, rules: AcceptanceRules, parts: AcceptanceParts) -> None:
        self.rules, self._parts = rules, parts
        self.believed: Believed | None = None
        self.setback = ""  # why the last one failed, until another does not
        self._tried_seq = 0

    def resume(self) -> None:
        """Stand where the last run stood, if the bar is the same."""
        cursor = self._parts.cursor()
        last = last_act(cursor, *ACTS)
        told = last_act(cursor, FITTED_ACT, ASIDE_ACT)
        if last is None or told is None:
            return
        detail = json.loads(told["detail"])
        if detail.get("bar") != self.rules.bar:
            return
        self._tried_seq = json.loads(last["detail"]).get("through", 0)
        try:
            self._believe(told["act"], told["subject"], told["reason"], detail)
        except SnapshotError as error:
            log.warning("the last fit of the prediction cannot be read: %s", error)
            self._tried_seq = 0

    async def turn(self) -> bool:
        """Refit when enough new ratings have come; whether something else is believed now."""
        if not self._parts.log.healthy:
            return False
        tried_seq = self._tried_seq
        try:
            rows = await asyncio.to_thread(self._due)
            return rows is not None and await self._refit(rows)
        except (OSError, StorageUnavailable):
            self._tried_seq = tried_seq  # nothing is wrong with the ratings: tried again
            raise

    def _due(self) -> Rows | None:
        cursor = self._parts.cursor()
        count, newest_seq = new_ratings(cursor, self._tried_seq)
        if count < self.rules.least_ratings:
            return None
        self._tried_seq = newest_seq
        learner = self._parts.learner
        versions = learner.parts.versions.versions
        return rows_to_fit(cursor, learner.policy.setup.names, versions, self.rules.half_life_s)

    async def _refit(self, rows: Rows) -> bool:
        folder = Path(tempfile.mkdtemp(prefix="fitting-", dir=self._parts.models.root))
        limit_s = self.rules.limit_s
        try:
            await asyncio.to_thread((folder / "rows").write_bytes, freeze(rows.state()))
            command = (*self.rules.child, "rows", str(self.rules.bar), "out", str(limit_s))
            failure = await run_child(command, folder, limit_s, self._parts.environment)
            data = b"" if failure else await asyncio.to_thread((folder / "out").read_bytes)
            frozen = None if failure else thaw(data)
        except SnapshotError as error:
            failure, frozen = f"the child's file: {type(error).__name__}", None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if frozen is None:
            self.setback = failure
            await self._log(FAILED, "", failure, {})
            return False
        self.setback = ""
        if frozen.kind == ASIDE:
            about = dict(frozen.about)
            reason = str(about.pop("reason"))
            await self._log(ASIDE_ACT, "", reason, about)
            self._believe(ASIDE_ACT, "", reason, about)
            return True
        model, model_id = AcceptanceModel.of(frozen), new_id()
        await asyncio.to_thread(self._parts.models.write, model_id, data)
        about = {"standing": finite(model.standing), "seconds": model.seconds}
        await self._log(FITTED_ACT, model_id, "", about)
        self._believe(FITTED_ACT, model_id, "", about)
        await asyncio.to_thread(self._parts.models.keep_newest)
        return True

    def _believe(self, act: str, model_id: str, reason: str, about: Mapping[str, Any]) -> None:
        now_us = self._parts.clock.wall_us()
        if act == FITTED_ACT:
            model = self._parts.models.read(model_id)
            standing = finite(model.standing)
            self.believed = Believed(model, model_id, "", model.tally, standing, now_us)
        else:
            tally = tally_of(about["tally"])
            self.believed = Believed(None, "", reason, tally, about.get("standing"), now_us)

    async def _log(self, act: str, subject: str, reason: str, about: Mapping[str, Any]) -> None:
        detail = {"bar": self.rules.bar, "through": self._tried_seq, **about}
        record = Act(
            new_id(), self._parts.clock.wall_us(), "headgate", act, subject, reason,
            json.dumps(detail),
        )  # fmt: skip
        if reason:
            log.info("%s: %s", act, reason)
        await asyncio.wrap_future(self._parts.log.append_durable(record))
