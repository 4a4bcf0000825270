"""What became of a rating: how much it counts, why not, and what it said of its author."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RatingWeight:
    """How much a rating counts of what it might teach: ``weight`` in [0, 1], by the ``trust`` in
    its author, and 0 for a ``reason``. ``author``: the key; ``rater``: keyed hash of the end user
    behind it, empty where nobody is told; ``tenant``: the key's.
    """

    feedback_id: str
    at_us: int
    decision_id: str
    decided_us: int
    author: str
    rater: str
    tenant: str
    arm: str
    task: str
    kind: str
    weight: float
    trust: float
    reason: str


@dataclass(frozen=True, slots=True)
class TrustStep:
    """An author was seen beside ``reference``: what it agreed, in [0, 1], and what that counts."""

    feedback_id: str
    at_us: int
    author: str
    rater: str
    reference: str  # of whom: trusted, judge, others, itself
    agreement: float
    weight: float
