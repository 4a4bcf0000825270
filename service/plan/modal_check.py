"""What is wrong with a plan's modalities: chat's work given to who does not chat."""

from __future__ import annotations

from collections.abc import Iterator

from service.domain.modalities import CHAT
from service.plan.whole import Plan

Found = tuple[tuple[str | int, ...], str, str]  # where, what, and the mend


def modal_problems(plan: Plan) -> Iterator[Found]:
    """Every problem of them."""
    of = {each.name: each.modality for each in plan.deployments}
    for path, names in _chatting(plan):
        for name in names:
            if of.get(name, CHAT) != CHAT:
                yield path, f"{name} has modality: {of[name]}", "name one that chats"
    for index, each in enumerate(plan.deployments):
        if each.similar_to and of.get(each.similar_to, each.modality) != each.modality:
            yield (
                ("deployments", index, "similar_to"),
                f"{each.similar_to} has modality: {of[each.similar_to]}",
                f"name one of modality: {each.modality}",
            )


def _chatting(plan: Plan) -> Iterator[tuple[tuple[str | int, ...], list[str]]]:
    """Where the plan names who is to chat."""
    yield ("judging", "judges"), list(plan.judging.judges)
    yield ("safe_deployment",), [plan.safe_deployment] if plan.safe_deployment else []
    if plan.taxonomy is not None:
        yield ("taxonomy", "safe"), list(plan.taxonomy.safe)
        if plan.taxonomy.ask is not None:
            yield ("taxonomy", "ask", "deployment"), [plan.taxonomy.ask.deployment]
