"""Reviews as they are shown: never a prompt or an answer."""

from __future__ import annotations

import json
from typing import Any

from learning.features import Featurizer
from service.api import shown
from service.domain.reviews import Kind, ReviewItem
from service.people.asked import Found
from service.runtime import Runtime

MOST_FEATURES = 40


def shown_review(found: Found) -> dict[str, Any]:
    """An item as it stands."""
    item, end = found.item, found.end
    return {
        "id": item.id,
        "kind": item.kind,
        "state": found.state,
        "subject": item.subject,
        "why": item.why,
        "opened_at": shown.when(item.at_us),
        "due_at": shown.when(item.due_us),
        "left_s": found.left_s,
        "overdue": end is None and found.left_s < 0.0,
        "decision_id": item.decision_id,
        "key_id": item.key_id,
        "tenant": item.tenant,
        "tier": item.tier,
        "task": item.task,
        "deployment": item.deployment,
        "confidence": item.confidence,
        "probability": item.probability,
        **_refused(found),
        "detail": json.loads(item.detail),
        "claim": found.lease
        and {
            "reviewer": found.lease.holder.reviewer,
            "key_id": found.lease.holder.key_id,
            "until": shown.when(found.lease.until_us),
        },
        "decision": end
        and {
            "verdict": end.verdict,
            "at": shown.when(end.at_us),
            "reviewer": end.reviewer,
            "note": end.note,
        },
    }


def _refused(found: Found) -> dict[str, Any]:
    """What only a refusal has."""
    review = found.review
    if found.item.kind != Kind.REFUSAL or review is None:
        return {}
    return {
        "incident": review.incident, "unit": review.unit, "provider": review.provider,
        "word": review.word,
    }  # fmt: skip


async def shown_subject(runtime: Runtime, item: ReviewItem) -> dict[str, Any] | None:
    """What is known of the request that an item is about; None where it is known no more. The
    probabilities of its task are those that were thought of when it was routed.
    """
    case = await runtime.case(item.decision_id or "")
    if case is None:
        return None
    decision = case.decision
    names = Featurizer(runtime.plan.task_names).names
    values = decision.features.tolist()
    fitting = len(names) == len(values)
    features = {name: value for name, value in zip(names, values, strict=False) if value}
    greatest = sorted(features.items(), key=lambda pair: -abs(pair[1]))[:MOST_FEATURES]
    return {
        "prompt_hash": decision.prompt_hash,
        "task_source": decision.task_source,
        "task_probabilities": (
            decision.guess.top()
            if decision.guess is not None
            else {decision.task: decision.task_confidence}
        ),
        "tokens_in": decision.tokens_in,
        "stream": decision.stream,
        "features": dict(greatest) if fitting else None,
        "served_by": case.answered_by,
        "status": case.outcome.status if case.outcome else None,
        "tokens_out": case.outcome.usage.tokens_out if case.outcome else None,
    }
