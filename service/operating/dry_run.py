"""What an override would have done to the last hours' traffic, before anybody lays it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.catalog import Deployment, typical_usd
from service.domain.clock import Clock
from service.domain.errors import StorageUnavailable
from service.domain.records import Override, Version
from service.domain.will import Action
from service.feedback.child import run_child
from service.feedback.promoting import Signature, VersionDesk
from service.operating.overrides import OverrideDesk, words
from service.operating.trying import CAP_TOKENS, HOUR_US, Job
from service.operating.wanted import Wanted, check_room
from service.plan.whole import Plan

CHILD = (sys.executable, "-m", "service.operating.trying")
WORK = "trying-"
LIMIT_S = 240
MOST_DECISIONS = 50_000
MOST_HOURS = 168.0


@dataclass(frozen=True, slots=True)
class DryRunParts:
    """What a dry run stands on. ``publish`` publishes all that is durable, and blocks;
    ``environment`` is all that the child sees of ours.
    """

    desk: OverrideDesk
    versions: VersionDesk
    clock: Clock
    plan: Callable[[], Plan]
    catalog: Callable[[], tuple[Deployment, ...]]
    live: Callable[[], str]
    state_dir: Path
    publish: Callable[[], None]
    environment: Mapping[str, str]
    child: tuple[str, ...] = CHILD


@dataclass(frozen=True, slots=True)
class Tried:
    """The override as it would be laid, the tag of what is in force beside it, and the report."""

    override: Override
    version: str
    report: Mapping[str, Any]


class DryRun:
    """One at a time, in a child process, on at most so many decisions."""

    def __init__(self, parts: DryRunParts) -> None:
        self._parts = parts
        self._one_at_a_time = asyncio.Lock()
        for leftover in parts.state_dir.glob(WORK + "*"):
            shutil.rmtree(leftover, ignore_errors=True)

    async def __call__(
        self, wanted: Wanted, by: Signature, hours: float, tenant: str = ""
    ) -> Tried:
        """What it would have done to the last hours; raises HeadgateError as laying it would, and
        StorageUnavailable where the log cannot be read. ``tenant``: of the key that asks; it is
        told of nothing that is not its tenant's.
        """
        desk = self._parts.desk
        override = desk.drafted(wanted, by)
        check_room(override, desk.holding, self._parts.plan(), tenant)
        async with self._one_at_a_time:
            version, holding = desk.version(tenant), desk.holding
            await asyncio.wrap_future(self._parts.versions.flush())
            await asyncio.to_thread(self._parts.publish)
            report = await self._report(self._job(override, holding, hours))
        told = {
            "words": words(override),
            "reduces_risk": desk.reduces(override),
            "in_force": [words(each) for each in holding if tenant in ("", each.tenant)],
            **report,
        }
        if tenant:
            told["read"] = report["decisions"]
        return Tried(override, version, told)

    def _job(self, override: Override, holding: tuple[Override, ...], hours: float) -> Job:
        now_us = self._parts.clock.wall_us()
        catalog = self._parts.catalog()
        prices = {each.name: typical_usd(each, now_us) for each in catalog}
        dearest = max(
            CAP_TOKENS * (price.input_micro_usd_mtok + price.output_micro_usd_mtok) / 1e12
            for price in (each.price_at(now_us) for each in catalog)
        )
        return Job(
            override, holding, now_us - int(hours * HOUR_US), now_us, MOST_DECISIONS, prices,
            dearest, self._version(override),
        )  # fmt: skip

    def _version(self, override: Override) -> Version | None:
        if override.action == Action.PIN:
            return self._parts.versions.find(override.target)
        if override.action == Action.KILL_EXPERIMENT:
            return self._parts.versions.find(self._parts.live())
        return None

    async def _report(self, job: Job) -> dict[str, Any]:
        try:
            folder = Path(tempfile.mkdtemp(prefix=WORK, dir=self._parts.state_dir))
        except OSError as error:
            raise _unread(type(error).__name__) from None
        try:
            content = {"state_dir": str(self._parts.state_dir.resolve()), "job": job.text()}
            await asyncio.to_thread((folder / "job").write_text, json.dumps(content), "utf-8")
            command = (*self._parts.child, "job", "out", str(LIMIT_S))
            said = await run_child(command, folder, LIMIT_S, self._parts.environment)
            if said:
                raise _unread(said)
            text = await asyncio.to_thread((folder / "out").read_text, "utf-8")
            report: dict[str, Any] = json.loads(text)
        except (OSError, ValueError) as error:
            raise _unread(type(error).__name__) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if "failed" in report:
            raise _unread(report["failed"])
        return report


def _unread(why: str) -> StorageUnavailable:
    return StorageUnavailable(f"the dry run could not be made: {why}", retry_after_s=5.0)
