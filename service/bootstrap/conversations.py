"""The conversations that are kept, made where the plan wants them and joined to the runtime."""

from __future__ import annotations

from service.bootstrap.shadow import strained
from service.orchestration.conversation.keeping import Conversations, KeepParts, KeepRules
from service.orchestration.conversation.summarising import (
    Summariser,
    SummaryParts,
    SummaryRules,
)
from service.plan.conversations import ConversationPlan
from service.plan.whole import Plan
from service.runtime import Runtime
from service.scheduler import Job
from service.storage.conversations import DAY_US, FILE, Bounds, ConversationStore

EXPIRE_S = 60.0


def attach_conversations(runtime: Runtime, secret: bytes) -> None:
    """Open the store where the plan keeps conversations; say so where a file lies unused."""
    plan, kept = runtime.plan.conversations, runtime.kept
    if plan.enabled:
        _open(runtime, secret)
    elif (kept.state_dir / FILE).exists():
        runtime.notices.append(
            f"conversations are not kept any more, yet {FILE} lies in the state directory and "
            "holds what was said; turn conversations.enabled on, or delete the file"
        )
    runtime.scheduler.put(conversation_job(runtime))


def _open(runtime: Runtime, secret: bytes) -> None:
    kept, clock = runtime.kept, runtime.clock
    store = ConversationStore(
        kept.state_dir, bounds_of(runtime.plan.conversations), clock, runtime.notices
    )
    runtime.conversations = Conversations(
        KeepParts(
            store, lambda: rules_of(runtime.plan.conversations), lambda: runtime.catalog, clock,
            secret,
        )
    )  # fmt: skip
    parts = SummaryParts(
        runtime.conversations, lambda: runtime.dispatcher, lambda: summary_rules(runtime.plan),
        lambda: strained(runtime), clock,
    )  # fmt: skip
    runtime.summariser = Summariser(parts)
    runtime.conversations.went_on = runtime.summariser.went_on


def summary_rules(plan: Plan) -> SummaryRules | None:
    """Who sums up what no longer fits; None: nobody."""
    wanted = plan.conversations.summary
    if wanted is None:
        return None
    return SummaryRules(
        wanted.deployment, wanted.after_tokens, wanted.most_tokens, wanted.timeout_s,
        round(wanted.usd_per_day * 1e6), plan.conversations.most_tokens,
    )  # fmt: skip


def bounds_of(plan: ConversationPlan) -> Bounds:
    """How much is kept."""
    return Bounds(plan.most_conversations, plan.most_bytes, plan.most_turns)


def rules_of(plan: ConversationPlan) -> KeepRules:
    """Whose conversations are kept, for how long, and what of them is sent."""
    return KeepRules(
        frozenset(plan.keys), int(plan.keep_days * DAY_US), plan.most_tokens, plan.reserve_tokens
    )


def conversation_job(runtime: Runtime) -> Job:
    """Erase what nobody has gone on with for as long as it is kept."""

    async def expire() -> None:
        if runtime.conversations is not None:
            await runtime.conversations.expire()

    return Job("conversations", EXPIRE_S, expire)
