"""One update into a policy: the same fold for the live learner, a restart, and a replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from learning.interaction import Choice, Context, Interaction
from learning.policies.base import Policy, Prior
from learning.reward import Reward
from service.domain.records import Decision, Update

TICK = "tick"
PRIOR = "prior"  # of a quality model
CAPABILITY = "capability"  # a prior too: what the capability matrix says of those that are new
EVIDENCE = "evidence"  # answers that were rated elsewhere, as sums
TOLD = (PRIOR, CAPABILITY, EVIDENCE)  # what a policy is told by a file

Models = Callable[[str], Prior]  # by id; raises SnapshotError where there is none


def context_of(decision: Decision) -> Context:
    """The context as the decision recorded it."""
    return Context(
        decision.features, decision.tokens_in, decision.tokens_out_limit, decision.cost_dial
    )


def fits(policy: Policy, update: Update, decision: Decision | None) -> bool:
    """Whether the policy knows the arm and the decision's features."""
    if update.kind == TICK or update.kind in TOLD:
        return True
    return (
        decision is not None
        and policy.knows(update.arm)
        and decision.features.shape[0] == len(policy.setup.features)
    )


def apply(policy: Policy, update: Update, decision: Decision | None, models: Models) -> None:
    """Tell the policy. A tick only says that time has passed; a prior is read by its model's id,
    and raises SnapshotError where that is gone.
    """
    if update.kind == TICK:
        return
    if update.kind in TOLD:
        policy.take_prior(models(update.model_id or ""))
        return
    assert decision is not None
    policy.learn(interaction_of(update, decision))


def interaction_of(update: Update, decision: Decision) -> Interaction:
    """An update of an outcome or a rating, as the policy is told it."""
    revises = None
    if update.revises_quality is not None:
        revises = Reward(quality=update.revises_quality)
    return Interaction(
        context=context_of(decision),
        choice=Choice(update.arm, _propensity(decision, update.arm)),
        reward=Reward(
            quality=update.quality,
            cost_usd=update.cost_usd,
            latency_s=update.latency_s,
            tokens_out=update.tokens_out,
            failed=update.failed,
        ),
        at_s=update.decided_us / 1e6,
        revises=revises,
        weight=update.weight,
        revises_weight=update.revises_weight,
    )


def _propensity(decision: Decision, arm: str) -> float:
    """The probability with which this arm was drawn: after a fallback that of the one that
    answered, not that of the one that was drawn.
    """
    names = decision.candidates.names
    return decision.candidates.propensities[names.index(arm)] if arm in names else 0.0


def tick(now_us: int, version_id: str) -> Update:
    """Time has passed."""
    return Update(
        0, now_us, "", now_us, "", TICK, None, None, None, None, None, None, None, version_id
    )


def prior(now_us: int, model_id: str, version_id: str, kind: str = PRIOR) -> Update:
    """What a file says is to be believed: a quality model, the capability matrix, evidence."""
    return replace(tick(now_us, version_id), kind=kind, model_id=model_id)
