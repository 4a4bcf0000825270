"""How several outputs became one answer, as it is kept: who was asked, how they voted, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NAMED = "auto:ensemble"  # who asks for one by name


class Arm(StrEnum):
    """How a request that an ensemble is for was answered."""

    ENSEMBLE = "ensemble"
    SINGLE = "single"  # by the best single deployment, to compare with
    ROUTED = "routed"  # as drawn, so that the policy goes on learning
    ASIDE = "aside"  # as drawn, since the ensemble is no use here, or cannot


@dataclass(frozen=True, slots=True)
class Ensembled:
    """One ensemble decision. No prompt and no answer: equal answers share a letter.

    ``probability``: with which the lot gave this arm; 1 where no lot was drawn. Of each member, in
    the order in which they were asked: its deployment, the number of its call, how that ended, the
    letter of what it said (empty: nothing that counts), and its weight, score or wins. ``digest``:
    of the ensemble's rules; ``episode``: of the evidence. ``beside_micro_usd``: what judges cost,
    which is in no outcome; ``multiplier``: of the whole cost over that of the single deployment.
    """

    decision_id: str
    at_us: int
    ensemble: str
    digest: str
    episode: int
    task: str
    arm: str
    probability: float
    members: tuple[str, ...]
    numbers: tuple[int, ...]
    states: tuple[str, ...]
    votes: tuple[str, ...]
    weights: tuple[float, ...]
    aggregator: str
    chosen: int | None
    deployment: str | None
    tied: bool
    stopped: str
    why: str
    cost_micro_usd: int
    beside_micro_usd: int
    multiplier: float | None
    latency_s: float
