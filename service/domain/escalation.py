"""Climbing from cheap deployments to strong ones: where a request began, and every verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

WAY = "cascade"  # auto:cascade asks for it by name
IN_NO_RUNG, EARLIER_RUNG, LATER_RUNG = "in_no_rung", "earlier_rung", "later_rung"


class Began(StrEnum):
    """Why a request began where it did; the reason of its decision. A closed set."""

    CASCADE = "cascade"  # at the first rung; the rule says when to stop
    BY_LOT = "cascade_by_lot"  # at the first rung; a lot says where it ends
    DIRECT = "cascade_direct"  # by lot straight to the last rung, to compare with
    BYPASSED = "cascade_bypassed"  # straight to the last rung: climbing does not pay there now
    TRIED = "cascade_tried"  # by lot at the first rung all the same
    AGAIN = "cascade_again"  # one rung above what answered nearly the same question before

    @property
    def climbs(self) -> bool:
        """Whether its answers are looked at, and it may go on."""
        return self not in (Began.DIRECT, Began.BYPASSED)

    @property
    def selected(self) -> bool:
        """Whether who answered depends on how good the answer looked: such ratings teach no
        policy how good a deployment is.
        """
        return self in (Began.CASCADE, Began.TRIED, Began.AGAIN)

    @property
    def compared(self) -> bool:
        """Whether it was drawn into one of the two arms that are compared."""
        return self is not Began.AGAIN


SELECTED = frozenset(each.value for each in Began if each.selected)


class Trigger(StrEnum):
    """What is wrong with an answer, so that it is not taken while another rung can be asked."""

    NONE = ""
    FAILED = "failed"  # the call itself
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    SCHEMA = "schema"
    TOOLS = "tools"
    LOW_SCORE = "low_score"


class By(StrEnum):
    """What settled an act."""

    RULE = "rule"
    LOT = "lot"
    TRIGGER = "trigger"
    END = "end"  # there was no rung left that could be asked


STOP, GO_ON = "stop", "go_on"


@dataclass(frozen=True, slots=True)
class ClimbStart:
    """One a request that may climb. ``rungs``: those that could be asked, cheap first; ``level``:
    at which of them, from 1, it began, with which ``probability``. ``asker`` and ``sketch`` are in
    memory alone: by whom and what was asked, as hashes, so that asking again is noticed.
    """

    decision_id: str
    at_us: int
    task: str
    began: Began
    probability: float
    rungs: tuple[str, ...]
    level: int
    asker: tuple[str, ...] = ()
    sketch: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RungVerdict:
    """One a call of a climb: what was seen of the answer, and what was done then.

    ``number``: of the call; ``rung``: from 1. ``foreseen`` to ``below``: the signals
    (``learning.stopping.Signals``); ``chance``: that it is acceptable, null where a trigger
    settled it. ``act``: ``stop`` or ``go_on`` to ``onward``; ``gain_usd``: of the best step over
    stopping; ``probability``: of the act, given all that was seen. ``skipped``: rungs that were
    not asked, each with the reason: ``fall: deadline``.
    """

    decision_id: str
    at_us: int
    number: int
    rung: int
    deployment: str
    trigger: Trigger
    foreseen: float
    logprob: float | None
    verified: float | None
    judged: float | None
    below: float | None
    chance: float | None
    act: str
    by: By
    onward: str
    gain_usd: float
    probability: float
    skipped: tuple[str, ...]
    rule: str
    rated: int
    cost_micro_usd: int
    check_micro_usd: int
    latency_s: float
