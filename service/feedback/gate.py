"""The off-policy gate: before a version is ramped its value is estimated from the log."""

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

from service.domain.clock import Clock, new_id
from service.domain.experiments import Evaluation
from service.domain.records import Version
from service.feedback.child import run_child
from service.feedback.evaluating import Job
from service.storage.database import Cursor
from service.storage.evaluations import latest_evaluations
from service.storage.event_log import EventLog

log = logging.getLogger("headgate.learning")

CHILD = (sys.executable, "-m", "service.feedback.evaluating")
WORK = "evaluating-"


@dataclass(frozen=True, slots=True)
class GateRules:
    """How long an evaluation may take."""

    limit_s: int = 300
    child: tuple[str, ...] = CHILD


@dataclass(frozen=True, slots=True)
class GateParts:
    """What the gate stands on: ``log`` keeps the evaluations and ``cursor`` reads them at the
    start; ``state_dir`` holds the published history and the checkpoints that the child reads;
    ``environment`` is all that the child sees of ours.
    """

    log: EventLog
    cursor: Callable[[], Cursor]
    clock: Clock
    state_dir: Path
    environment: Mapping[str, str]


class Gate:
    """One evaluation at a time, in a child process. Make it before the loop runs: it reads."""

    def __init__(self, parts: GateParts, rules: GateRules | None = None) -> None:
        self._parts, self._rules = parts, rules or GateRules()
        self._latest = latest_evaluations(parts.cursor())
        self._one_at_a_time = asyncio.Lock()
        for leftover in parts.state_dir.glob(WORK + "*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def latest(self, version_id: str) -> Evaluation | None:
        """The last evaluation of a version."""
        return self._latest.get(version_id)

    async def evaluate(self, version: Version, since_us: int, until_us: int) -> Evaluation:
        """Evaluate a version on the decisions published of that time; the result is durable when
        this returns. One that could not be made has not passed, and says why. Raises
        StorageUnavailable where it cannot be kept.
        """
        async with self._one_at_a_time:
            report = await self._report(Job(version, since_us, until_us))
            made = Evaluation(
                id=new_id(),
                at_us=self._parts.clock.wall_us(),
                version_id=version.id,
                since_us=since_us,
                until_us=until_us,
                passed=bool(report.get("passed", False)),
                reason=str(report.get("reason") or report.get("failed")),
                report=json.dumps(report),
            )
            await asyncio.wrap_future(self._parts.log.append_durable(made))
            self._latest[version.id] = made
            return made

    async def _report(self, job: Job) -> dict[str, Any]:
        try:
            folder = Path(tempfile.mkdtemp(prefix=WORK, dir=self._parts.state_dir))
        except OSError as error:
            return _failed(f"its files: {type(error).__name__}")
        try:
            content = {"state_dir": str(self._parts.state_dir.resolve()), "job": job.text()}
            await asyncio.to_thread((folder / "job").write_text, json.dumps(content), "utf-8")
            limit_s = self._rules.limit_s
            command = (*self._rules.child, "job", "out", str(limit_s))
            said = await run_child(command, folder, limit_s, self._parts.environment)
            if said:
                return _failed(said)
            text = await asyncio.to_thread((folder / "out").read_text, "utf-8")
            report: dict[str, Any] = json.loads(text)
            return _failed(report["failed"]) if "failed" in report else report
        except (OSError, ValueError) as error:
            return _failed(f"its files: {type(error).__name__}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _failed(why: str) -> dict[str, Any]:
    log.warning("an evaluation could not be made: %s", why)
    return {"passed": False, "reason": f"the evaluation could not be made: {why}"}
