"""What ratings count, as the plan says and as the log left it."""

from __future__ import annotations

from learning.influence import ShareRule
from service.domain.hashing import keyed_hash
from service.feedback.intake import Weights
from service.feedback.refit import RefitRules
from service.feedback.trust import LevelRules, Trust, TrustRules
from service.plan.feedback import AuthorPlan
from service.plan.whole import Plan
from service.runtime import Kept
from service.storage.trust import newest_steps, newest_weights
from service.telemetry import Telemetry


def trust_rules(plan: Plan) -> TrustRules | None:
    """The plan's section, with the time in which the policy forgets; None without one."""
    asked = plan.feedback.trust
    if asked is None:
        return None
    half_life_s = plan.policy.parameters.get("quality_half_life_s", RefitRules().half_life_s)
    return TrustRules(
        level(asked.key), level(asked.tenant), level(asked.user), asked.least, asked.learned,
        float(half_life_s), frozenset(asked.trusted), dict(asked.keys),
        {str(role): each for role, each in asked.roles.items()},
        {str(kind): each for kind, each in asked.kinds.items()},
    )  # fmt: skip


def level(asked: AuthorPlan) -> LevelRules:
    share = ShareRule(asked.share, asked.burst) if asked.share < 1.0 else None
    return LevelRules(asked.hour, asked.day, asked.hour_each, asked.day_each, share)


def weights(plan: Plan, kept: Kept, secret: bytes, telemetry: Telemetry) -> Weights:
    """What ratings count; blocks, for it reads the log."""

    def named(key_id: str) -> str:
        key = kept.keys.by_id(key_id)
        return key.name if key is not None else ""

    trust = Trust(trust_rules(plan), named)
    if trust.rules is not None:
        cursor = kept.database.cursor()
        trust.resume(newest_weights(cursor), newest_steps(cursor))
    return Weights(
        trust, lambda key_id, user: keyed_hash(secret, "user", key_id, user), telemetry.weighed
    )
