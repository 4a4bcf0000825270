"""What is put to a person, and each turn of it: claimed, released, decided, or left to its time.

None holds a prompt or an answer. Refusals keep the records of ``service/domain/refusals.py`` and
share the turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

HEADGATE = "headgate"
LEAVE = "leave"  # the verdict of whom nobody decided: what stood, stands
DISMISS = "dismiss"  # a person's: it cannot be said


class Kind(StrEnum):
    """What a person is asked."""

    CLASSIFICATION = "classification"  # of which task is this request?
    REFUSAL = "refusal"  # was the provider right to refuse it?
    JUDGE = "judge"  # how good is the answer over which a judge is at odds?
    POLICY = "policy"  # may a version that was rolled back be tried again?


class Turn(StrEnum):
    """What became of an item."""

    CLAIMED = "claimed"
    RELEASED = "released"
    DECIDED = "decided"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on an item: a key, and the person behind it."""

    key_id: str
    reviewer: str


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """Something that a person is to look at, until ``due_us``.

    ``subject``: the decision, incident, judgement or version that it is about. ``probability``:
    with which it was drawn to be looked at, among its like; a label weighs one over it.
    ``confidence``: of the task, where that is the question.
    """

    id: str
    at_us: int
    kind: str
    subject: str
    why: str
    decision_id: str | None
    key_id: str
    tenant: str
    tier: str
    task: str
    deployment: str
    confidence: float | None
    probability: float
    due_us: int
    detail: str = "{}"  # JSON


@dataclass(frozen=True, slots=True)
class ReviewTurn:
    """A turn of an item. ``until_us``: of a claim, the end of its lease; ``verdict``: of an end."""

    item_id: str
    at_us: int
    turn: str
    key_id: str
    reviewer: str
    until_us: int | None = None
    verdict: str | None = None
    note: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ClassifiedFeatures:
    """What the classifier saw of the request that an item is about: a projection [d], no text.
    ``features_version``: of which layout, so that it is never learned beside another's.
    """

    item_id: str
    at_us: int
    features_version: str
    features: NDArray[np.float32]
