"""The record of whether a conversation should leave the deployment that holds it."""

from __future__ import annotations

from dataclasses import dataclass

STAYED, LEFT, HELD_OUT = "stayed", "left", "held_out"


@dataclass(frozen=True, slots=True)
class Stay:
    """The break-even of a turn, where the plan looks at it. Points are those of the reward.

    ``gain``: points a turn that ``best`` is expected to bring more than ``held``, caches aside;
    ``spread``: its standard deviation, tempered as the policy's is; ``turns``: that are expected,
    this one among them; ``prefix_tokens``: of the conversation so far, of which the held
    deployment's provider is expected to take ``cached_share`` from its cache; ``cache_usd``: what
    that saves over these turns less what the other's cache would, which is warm from the next turn
    on; ``reread_s``: how long reading anew takes; ``lost``: both in points; ``value``: what leaving
    is worth, ``sureness`` deviations taken off. ``verdict``: stayed, left (drawn anew), or held_out
    (it would have left, and stayed by lot); ``probability``: of that verdict.
    """

    decision_id: str
    at_us: int
    session_decision_id: str
    held: str
    best: str
    gain: float
    spread: float
    turns: float
    prefix_tokens: int
    cached_share: float
    cache_usd: float
    reread_s: float
    lost: float
    value: float
    verdict: str
    probability: float
