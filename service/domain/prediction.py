"""What is foreseen of a request before anybody answers it, and which checks that saves."""

from __future__ import annotations

from dataclasses import dataclass

UNLIKELY = "unlikely_acceptable"  # why a deployment left before the draw
NARROWED, ESCALATED, HELD_OUT = "narrowed", "escalated", "held_out"
EARLY = "early_escalation"  # the reason of a decision that began at a higher tier


@dataclass(frozen=True, slots=True)
class Predicted:
    """One a decision while prediction is on: the three scores of the request from 0 to 100, and the
    chance that each deployment's answer is acceptable.

    ``act``: what was done by it: ``narrowed`` or ``escalated``; or ``held_out``, where one of these
    would have been and was not, by lot, so that their worth can be told; empty: nothing.
    ``probability``: with which the act was done, or held out. ``taken_out``: whom it took out, or
    would have. ``state``: of the prediction then.
    """

    decision_id: str
    at_us: int
    model_id: str
    state: str
    complexity: float
    ambiguity: float
    difficulty: float
    deployments: tuple[str, ...]
    chances: tuple[float, ...]
    act: str = ""
    probability: float = 1.0
    taken_out: tuple[str, ...] = ()

    def chance(self, deployment: str) -> float | None:
        """That this deployment's answer is acceptable; None where it was not there then."""
        if deployment not in self.deployments:
            return None
        return self.chances[self.deployments.index(deployment)]


@dataclass(frozen=True, slots=True)
class CheckDrawn:
    """An answer that was likely enough to need no check: checked all the same (an audit, or while
    the rule is not proven yet) with ``probability``, or not. ``episode``: of the rule's evidence.
    """

    decision_id: str
    at_us: int
    deployment: str
    chance: float
    checked: bool
    probability: float
    episode: int
