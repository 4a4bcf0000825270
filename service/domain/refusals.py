"""The records of a provider's refusal: the refusal, its review by a person, what that came to.

None holds a prompt, an answer or a word of the vendor's: only keyed hashes and code words of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

VERDICTS = ("uphold", "allow", "dismiss")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that a provider's content policy refused; ``id`` is the incident's."""

    id: str
    at_us: int
    decision_id: str
    prompt_hash: str  # of the messages, as in the decision
    request_hash: str  # of the messages and of all else that a model reads
    key_id: str
    tenant: str
    tier: str
    unit: str
    task: str
    deployment: str
    provider: str
    word: str  # one of a closed set
    repeat_of: str | None = None  # the incident that it repeats: refused here, without a call


@dataclass(frozen=True, slots=True)
class Review:
    """A refusal that a person is to look at, until ``due_us``."""

    id: str
    at_us: int
    incident: str
    decision_id: str
    request_hash: str
    key_id: str
    tenant: str
    tier: str
    unit: str
    task: str
    deployment: str
    provider: str
    word: str
    due_us: int


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What a reviewer decided: one of VERDICTS."""

    review_id: str
    at_us: int
    verdict: str
    reviewer: str
    note: str
