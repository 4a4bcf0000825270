"""Decisions in a list, the same wherever they stand."""

from __future__ import annotations

from collections.abc import Sequence

from service.console.nodes import Column, Node, badge, empty, h, link, moment, table
from service.console.wording import percent, seconds, short, usd
from service.storage.lookups import Found

_COLUMNS = (
    Column("Decision"), Column("When"), Column("Task"), Column("Chosen"), Column("Chance", True),
    Column("How"), Column("Ended"), Column("Latency", True), Column("Cost", True),
    Column("Tenant"),
)  # fmt: skip
ENDED = {200: ("answered", "good"), 499: ("caller left", "quiet")}


def listed(found: Sequence[Found]) -> Node:
    """A row each, with the way to why."""
    if not found:
        return empty("None found. Widen the time, or leave a field empty.")
    return table("Decisions", _COLUMNS, [(each.id, _row(each)) for each in found])


def _row(each: Found) -> tuple[Node, ...]:
    other = each.answered_by and each.answered_by != each.deployment
    chosen = f"{each.deployment} → {each.answered_by}" if other else each.deployment
    cost = None if each.cost_micro_usd is None else each.cost_micro_usd / 1e6
    return (
        link(short(each.id), f"/console/decisions/{each.id}"), h("span", moment(each.at_us)),
        each.task, chosen, percent(each.propensity, 1), each.mode, ended(each.status),
        seconds(each.latency_s), usd(cost), each.tenant or "–",
    )  # fmt: skip


def ended(status: int | None) -> Node:
    """How a request ended, in words."""
    if status is None:
        return badge("under way", "info")
    text, tone = ENDED.get(status, (f"failed ({status})", "bad"))
    return badge(text, tone)
