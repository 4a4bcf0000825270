"""One run of a workflow: what was asked, how it stands, who may see it, what is logged of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.domain.clock import Clock
from service.domain.errors import NotFound
from service.domain.records import Key
from service.domain.workflows import WorkflowRun, WorkflowStep
from service.orchestration.workflows.allowance import Allowance
from service.orchestration.workflows.asks import Ask, Entry, Said
from service.orchestration.workflows.engine import Ended, spent
from service.orchestration.workflows.keeping import Progress, Shelf
from service.orchestration.workflows.routed import RoutedParts
from service.orchestration.workflows.steps import Workflow
from service.storage.run_store import KeptRun

GOES_ON = ("async",)


@dataclass(frozen=True, slots=True)
class RunRules:
    """The plan's part. ``allowed``: by key name; ``keep_s``: after the end."""

    workflows: Mapping[str, Workflow]
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keep_s: float = 86_400.0
    most_at_once: int = 100
    most_per_key: int = 20


@dataclass(frozen=True, slots=True)
class RunsParts:
    """What the runs stand on."""

    routed: RoutedParts
    rules: Callable[[], RunRules]
    record: Callable[[Any], object]
    key: Callable[[str], Key | None]
    shelf: Shelf
    clock: Clock
    secret: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that is asked for. ``keep``: its texts on disk, as of those that go on by themselves;
    ``labels``: as of a request's metadata.
    """

    workflow: str
    inputs: Mapping[str, Any]
    mode: str = "sync"
    keep: bool = False
    idempotency: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""

    @property
    def kept(self) -> bool:
        """Whether it is to survive its caller."""
        return self.keep or self.mode in GOES_ON


@dataclass(slots=True)
class Run:
    """A run in memory. ``ended``: how, once it did; its texts go with whoever asked."""

    id: str
    key_id: str
    tenant: str
    workflow: Workflow
    mode: str
    created_us: int
    journal: Progress
    allowance: Allowance
    kept: bool
    ended: Ended | None = None
    ended_us: int | None = None
    resumed: int = 0
    task: asyncio.Task[None] | None = None
    mark: str = ""
    digest: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)  # until it ends

    @property
    def state(self) -> str:
        """running, or how it ended."""
        return "running" if self.ended is None else self.ended.status


class Nobody:
    """Who makes no calls: of a replay."""

    def worst_micro_usd(self, ask: Ask) -> tuple[int, int]:
        """Nothing is asked."""
        return 0, 0

    async def make(self, ask: Ask, bill: list[Any]) -> Said:
        """Refused."""
        raise NotFound(f"the replay has no result of {ask.path}", code="not_recorded")

    def kin(self, names: Any) -> tuple[str, ...]:
        """Nobody's."""
        return ()


def may_see(key: Key, key_id: str, tenant: str) -> bool:
    """Whether a run is this key's, or its tenant's."""
    return key.id == key_id or (bool(key.tenant) and key.tenant == tenant)


def ended_of(kept: KeptRun) -> Ended | None:
    """How a run on disk ended."""
    return None if kept.ended is None else msgspec.json.decode(kept.ended, type=Ended)


def records(run: Run, ended: Ended) -> list[WorkflowStep | WorkflowRun]:
    """What is logged of a run that has ended."""
    assert run.ended_us is not None
    total, form = spent(ended.entries), run.workflow.form
    return [
        *(_step(run, each) for each in ended.entries),
        WorkflowRun(
            run.id, run.ended_us, run.created_us, run.key_id, run.tenant, form.name,
            form.version, run.workflow.digest, run.mode, ended.status, ended.code, ended.step,
            len(ended.entries), sum(each.calls for each in ended.entries), total.tokens_in,
            total.tokens_out, total.cost_micro_usd, ended.took_s, run.resumed,
        ),
    ]  # fmt: skip


def _step(run: Run, entry: Entry) -> WorkflowStep:
    assert run.ended_us is not None
    used = entry.usage
    return WorkflowStep(
        run.id, run.ended_us, run.workflow.name, entry.path, entry.step, entry.kind, entry.status,
        entry.code, entry.deployment, entry.decisions, entry.calls, used.tokens_in,
        used.tokens_out, used.cost_micro_usd, entry.began_s, entry.latency_s,
    )  # fmt: skip
