"""The records of experiments, promotions, shadows and audits; written once, as all records are.

Times are microseconds since the epoch (UTC), money integer micro-dollars.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Assigned:
    """The variant that a decision's unit has in one experiment.

    ``experiment``: its slug and version (``slug@2``); ``probability``: of the variant, given that
    the unit is in the experiment; ``unit``: keyed hash of what was assigned.
    """

    experiment: str
    variant: str
    probability: float
    unit: str


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """An experiment as it was made: its design (JSON) and its buckets in its layer."""

    id: str  # slug@version
    at_us: int
    slug: str
    version: int
    layer: str
    first: int
    stop: int
    design: str
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExperimentStep:
    """A step that was taken; ``cause`` (JSON) holds what the service saw when it took it itself."""

    id: str
    experiment: str
    at_us: int
    step: str
    before: str
    after: str
    percent: int
    variant: str | None
    author: str
    reason: str
    cause: str


class How(StrEnum):
    """What made a version live."""

    PLAN = "plan"
    PROMOTED = "promoted"
    SHIPPED = "shipped"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version became the live one, beginning with ``checkpoint_id``.

    ``restored_id``: the earlier checkpoint whose bytes it began with, byte for byte; None where it
    went on from what it knew. ``cause`` (JSON): of an automatic one metric, evidence and query.
    """

    id: str
    at_us: int
    version_id: str
    from_version_id: str | None
    checkpoint_id: str
    restored_id: str | None
    how: str
    author: str
    reason: str
    cause: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that decides beside the live one.

    ``share``: of the randomised decisions; ``mirror_share``: of these, whose calls are mirrored,
    for at most ``cap_micro_usd`` a day (UTC); ``judge``: the deployment that compares the answers,
    empty for none.
    """

    id: str
    at_us: int
    version_id: str
    share: float
    mirror_share: float
    cap_micro_usd: int
    judge: str
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShadowEnd:
    """Somebody stopped a shadow."""

    shadow_id: str
    at_us: int
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShadowDecision:
    """What another version would have decided for a decision: computed beside it, never served.

    ``eligible``: those of the decision's that the version knows; ``quality`` and ``cost_usd``: its
    own predictions of each. ``mirrored``: drawn to have its call made (at most one a decision).
    """

    decision_id: str
    at_us: int
    version_id: str
    update_seq: int
    deployment: str
    propensity: float
    eligible: tuple[str, ...]
    propensities: tuple[float, ...]
    draw: float
    quality: tuple[float, ...] = ()
    cost_usd: tuple[float, ...] = ()
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A blind comparison of the answer that was served with a mirrored one.

    ``preference``: 1 the mirrored one, 0 the served one, 0.5 a tie or a judge who changed its mind
    when the order was changed; None where it could not be read.
    """

    id: str
    decision_id: str
    at_us: int
    version_id: str
    served: str
    mirrored: str
    judge: str
    preference: float | None
    consistent: bool
    cost_micro_usd: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a version would have earned on logged decisions, or why that cannot be said."""

    id: str
    at_us: int
    version_id: str
    since_us: int
    until_us: int
    passed: bool
    reason: str
    report: str  # JSON


@dataclass(frozen=True, slots=True)
class AuditMark:
    """How far logged propensities have been held against the draws, and the sums of the test."""

    at_us: int
    through_seq: int
    decisions: int
    log_e: float
    state: str  # JSON
