"""The classifier of tasks learns from people's labels: refits, refusals, rollbacks, all logged."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning.errors import SnapshotError
from learning.labels import COMPARED, REFUSED, Labels
from learning.snapshot import Frozen, freeze, thaw
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict
from service.feedback.child import run_child
from service.storage.cases import rows_of, us
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.labels import labels_of, new_labels

log = logging.getLogger("headgate.learning")

FOLDER, WORK = "relearned", "fitting-"
TAKEN, REFUSED_ACT = "classifier.relearned", "classifier.relearning_refused"
FAILED, BACK = "classifier.relearning_failed", "classifier.rolled_back"
SHOWN, KEPT = 20, 10_000
LIMIT_S = 600  # 7 s of CPU with 2,000 labels, but the child is nice: a busy machine lets it wait


@dataclass(frozen=True, slots=True)
class Wished:
    """What the classifier is to be: JSON for who fits it, its ``tasks``, the ``layout`` of its
    features, and a ``digest`` of it all: what was fitted for another is not taken.
    """

    told: Mapping[str, Any]
    tasks: tuple[str, ...]
    layout: str
    digest: str


@dataclass(frozen=True, slots=True)
class RelearnParts:
    """What it stands on. ``wished``: None while nothing is to be classified; ``adopt``: puts a
    classifier in force (None: the one without labels), whether it fits; ``fitter``: the module that
    fits; ``environment``: all that the child sees of ours; ``told``: counts what came of a refit.
    """

    log: EventLog
    cursor: Callable[[], Cursor]
    clock: Clock
    state_dir: Path
    environment: Mapping[str, str]
    fitter: str
    wished: Callable[[], Wished | None]
    adopt: Callable[[Frozen | None], bool]
    least_labels: Callable[[], int]
    told: Callable[[str], None] = lambda how: None


@dataclass
class _Known:
    """What the log knows of one thing that was wished: the classifier in force for it (empty: the
    one without labels), and the last label that a refit has seen.
    """

    current: str = ""
    tried_seq: int = 0


class Relearner:
    """One refit at a time. The file first, then the act, then the swap: a kill between them loses
    nothing, and a start or another plan goes on with the last act for what is wished then.
    """

    def __init__(self, parts: RelearnParts) -> None:
        self._parts = parts
        self._root = parts.state_dir / FOLDER
        self._known: dict[str, _Known] = defaultdict(_Known)  # by the digest of what is wished
        self._one_at_a_time = asyncio.Lock()
        self._swapping = asyncio.Lock()  # never held while a refit is fitted
        self.current = ""  # the id of the one in force; empty: the one without labels
        self._frozen: Frozen | None = None

    def resume(self) -> None:
        """Go on with what was in force; blocks."""
        for leftover in self._root.glob(WORK + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for act in reversed(self._acts(KEPT, TAKEN, REFUSED_ACT, FAILED, BACK)):
            detail = json.loads(act["detail"])
            known = self._known[str(detail.get("digest", ""))]
            known.tried_seq = max(known.tried_seq, int(detail.get("through", 0)))
            if act["act"] in (TAKEN, BACK):
                known.current = act["subject"]
        self.retake()

    def retake(self) -> None:
        """The plan was read: what was learned for what is wished now, if anything, is in force."""
        wished = self._parts.wished()
        wanted = "" if wished is None else self._known[wished.digest].current
        if wanted and wanted == self.current:
            self._parts.adopt(self._frozen)
        elif wanted and wished is not None:
            self._adopt(wanted, self._read(wanted))
            self._known[wished.digest].current = self.current  # its file may be gone
        else:
            self.current, self._frozen = "", None

    async def turn(self) -> None:
        """Refit when enough new labels have come."""
        wished = self._parts.wished()
        if wished is None or not self._parts.log.healthy:
            return
        async with self._one_at_a_time:
            labels = await asyncio.to_thread(self._due, wished, self._known[wished.digest])
            if labels is not None:
                await self._refit(wished, labels)

    async def rollback(self, reason: str, author: str, who: Person | None) -> dict[str, Any]:
        """Go back to what was in force before the one that is; durable when this returns."""
        async with self._swapping:
            wished = self._parts.wished()
            if not self.current or wished is None:
                raise Conflict(
                    "the classifier in force has learned from no labels: there is nothing to go "
                    "back to", code="nothing_relearned",
                )  # fmt: skip
            taken = await asyncio.to_thread(self._taken, self.current)
            before = str(taken.get("parent", ""))
            frozen = await asyncio.to_thread(self._read, before) if before else None
            if before and frozen is None:
                before = ""  # its file is gone: the one without labels is never gone
            detail = {"from": self.current, "digest": wished.digest}
            told = Told(BACK, before, reason, author, detail)
            await self._durable(told, who)
            self._take(before, frozen, wished)
            self._parts.told("rolled_back")
        return {"current": self.current, "from": detail["from"]}

    def standing(self) -> dict[str, Any]:
        """What is in force and what came of the last refits, newest first; reads the log."""
        acts = self._acts(SHOWN, TAKEN, REFUSED_ACT, FAILED, BACK)
        wished = self._parts.wished()
        waiting = (0, 0)
        if wished is not None:
            waiting = new_labels(
                self._parts.cursor(), self._known[wished.digest].tried_seq, wished.layout
            )
        return {
            "classifying": wished is not None,
            "current": self.current,
            "new_labels": waiting[0],
            "refit_at": self._parts.least_labels(),
            "acts": [
                {
                    "at_us": us(each["ts"]), "act": each["act"], "id": each["subject"],
                    "reason": each["reason"], **json.loads(each["detail"]),
                }
                for each in acts
            ],
        }  # fmt: skip

    def _take(self, model_id: str, frozen: Frozen | None, wished: Wished) -> None:
        """It is the one for what was wished; in force unless the plan wishes else by now."""
        self._known[wished.digest].current = model_id
        now = self._parts.wished()
        if now is not None and now.digest == wished.digest:
            self._adopt(model_id, frozen)

    def _adopt(self, model_id: str, frozen: Frozen | None) -> None:
        taken = self._parts.adopt(frozen) and frozen is not None
        self.current, self._frozen = (model_id, frozen) if taken else ("", None)

    # parts --------------------------------------------------------------------------------------

    def _due(self, wished: Wished, known: _Known) -> Labels | None:
        cursor = self._parts.cursor()
        count, newest = new_labels(cursor, known.tried_seq, wished.layout)
        if count < self._parts.least_labels():
            return None
        known.tried_seq = newest
        return labels_of(cursor, wished.tasks, wished.layout)

    async def _refit(self, wished: Wished, labels: Labels) -> None:
        model_id, known = new_id(), self._known[wished.digest]
        parent = known.current
        detail: dict[str, Any] = {
            "labels": len(labels), "through": known.tried_seq, "digest": wished.digest,
        }  # fmt: skip
        found = await self._fitted(wished, labels, model_id, parent)
        if not isinstance(found, str):
            detail["compared"] = found.about.get(COMPARED)
        async with self._swapping:
            if known.current != parent:
                found = "it was held against one that was rolled back meanwhile"
            if isinstance(found, str):
                self._parts.told("failed")
                log.warning("the classifier could not be fitted with labels: %s", found)
                await self._durable(Told(FAILED, "", found, detail=detail), None)
            elif found.kind == REFUSED:
                self._parts.told("refused")
                reason = str(found.about["reason"])
                await self._durable(Told(REFUSED_ACT, "", reason, detail=detail), None)
            else:
                await asyncio.to_thread(self._write, model_id, found)
                detail["parent"] = parent
                await self._durable(Told(TAKEN, model_id, "", detail=detail), None)
                self._take(model_id, found, wished)
                self._parts.told("accepted")

    async def _fitted(
        self, wished: Wished, labels: Labels, version: str, parent: str
    ) -> Frozen | str:
        """What the child made of them: a classifier, a refusal, or why it failed in words."""
        self._root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=WORK, dir=self._root))
        try:
            await asyncio.to_thread(_put, folder, {**wished.told, "version": version}, labels)
            current = str(self._path(parent).resolve()) if parent else "-"
            child = (sys.executable, "-m", self._parts.fitter)
            command = (*child, "wanted", "labels", current, "out", str(LIMIT_S))
            reason = await run_child(command, folder, LIMIT_S, self._parts.environment)
            if reason:
                return reason
            return thaw(await asyncio.to_thread((folder / "out").read_bytes))
        except (OSError, SnapshotError) as error:
            return f"the refit's files: {type(error).__name__}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _path(self, model_id: str) -> Path:
        return self._root / f"{model_id}.hgsn"

    def _write(self, model_id: str, found: Frozen) -> None:
        path = self._path(model_id)
        aside = path.with_suffix(".aside")
        with aside.open("wb") as file:
            file.write(freeze(found))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)

    def _read(self, model_id: str) -> Frozen | None:
        try:
            return thaw(self._path(model_id).read_bytes())
        except (OSError, SnapshotError) as error:
            log.warning("the relearned classifier %s cannot be read: %s", model_id, error)
            return None

    def _acts(self, most: int, *acts: str) -> list[dict[str, Any]]:
        return rows_of(
            self._parts.cursor(),
            "SELECT ts, act, subject, reason, detail FROM acts "
            "WHERE act IN (SELECT unnest(?::VARCHAR[])) ORDER BY log_seq DESC LIMIT ?",
            [list(acts), most],
        )

    def _taken(self, model_id: str) -> dict[str, Any]:
        found = rows_of(
            self._parts.cursor(), "SELECT detail FROM acts WHERE act = ? AND subject = ?",
            [TAKEN, model_id],
        )  # fmt: skip
        return dict(json.loads(found[0]["detail"])) if found else {}

    async def _durable(self, told: Told, who: Person | None) -> None:
        act = act_of(who, self._parts.clock.wall_us(), told)
        await asyncio.shield(asyncio.wrap_future(self._parts.log.append_durable(act)))


def _put(folder: Path, wanted: Mapping[str, Any], labels: Labels) -> None:
    (folder / "wanted").write_text(json.dumps(dict(wanted)), "utf-8")
    (folder / "labels").write_bytes(freeze(labels.state()))
