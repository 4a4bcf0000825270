"""What is wrong with the batches that a plan says its providers offer."""

from __future__ import annotations

from collections.abc import Iterator

from service.domain.modalities import CHAT
from service.plan.deployments import DeploymentPlan
from service.plan.whole import Plan

Found = tuple[tuple[str | int, ...], str, str]  # where, what, and the mend
DIALECTS = ("openai",)  # whose providers may offer batches of the form that is spoken here
LEAST_S = 60.0  # between the provider's last moment and the deadline: for single calls


def batch_problems(plan: Plan) -> Iterator[Found]:
    """Every problem of them."""
    for index, each in enumerate(plan.deployments):
        if each.batch is not None:
            yield from _offer_problems(plan, index, each)


def _offer_problems(plan: Plan, index: int, each: DeploymentPlan) -> Iterator[Found]:
    where: tuple[str | int, ...] = ("deployments", index, "batch")
    if each.dialect not in DIALECTS:
        yield (
            where, f"batches of the dialect {each.dialect} are not spoken here",
            f"drop it; {', '.join(DIALECTS)} is",
        )  # fmt: skip
    if each.modality != CHAT:
        yield where, f"only chats go to a provider's batch, not {each.modality}", "drop it"
    if not any("batch_factor" in price.model_fields_set for price in each.price):
        yield (
            where, "no price of it has a batch_factor, so that nothing would be saved",
            "give price.batch_factor (0.5 for half the price), or drop batch",
        )  # fmt: skip
    if plan.batches is None:
        yield where, "the plan takes no batches", "give the section batches, or drop it"
        return
    assert each.batch is not None
    needs_s = each.batch.offer().needs_s + LEAST_S
    if needs_s > plan.batches.longest_s:
        yield (
            (*where, "window_s"),
            f"no batch has the {needs_s:g} seconds that window_s and cancel_s take: the longest "
            f"completion window is {plan.batches.longest_s:g}",
            "raise batches.longest_s, or lower window_s",
        )  # fmt: skip
