"""Caches, batches, prices and budgets replayed over requests: what each takes off each of them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.changes import PERIODS, Batch, Cache, Cap, Price
from experiments.opportunities.traffic import Bools, Traffic, of_task
from experiments.statistics.inputs import Ints

MTOK = 1_000_000


def hits(traffic: Traffic, change: Cache) -> Bools:
    """Which requests [n] an exact cache would have answered.

    A request leads when none like it is kept; those that come while it is under way wait for it,
    and its answer counts for the time to live from its end. What failed is not kept. What the
    cache gave already, and what it is not asked for, has no part in it.
    Whether a request is a hit depends on what came before it alone, never on its own draw.
    """
    every = traffic.asked_again()
    mine = np.flatnonzero(of_task(every.task, change.task))
    order = mine[np.lexsort((mine, every.at_us[mine], every.same[mine]))]
    numbers, counts = np.unique(every.same[order], return_counts=True)
    often = order[np.isin(every.same[order], numbers[counts > 1])]
    ttl_us = int(change.ttl_s * 1e6)
    found = np.zeros(len(traffic), dtype=np.bool_)
    columns = (every.same, every.at_us, every.ended_us, every.keepable, every.place)
    name, until = -1, -1
    for same, at_us, ended_us, keepable, place in zip(
        *(each[often].tolist() for each in columns), strict=True
    ):
        if same != name:
            name, until = same, -1
        if at_us < until:
            if place >= 0:
                found[place] = True
        elif keepable:
            until = ended_us + ttl_us
    return found


def patient(traffic: Traffic, change: Batch) -> Bools | CannotSay:
    """Which requests [n] are marked as ones that can wait: by a tag or a tier, no stream, no later
    turn of a conversation, not settled.
    """
    marks = {*change.tags, *(f"tier:{tier}" for tier in change.tiers)}
    told = np.array([bool(marks & each) for each in traffic.labelled], dtype=np.bool_)
    mine = traffic.of_task(change.task)
    marked = mine & (told[traffic.labels] if len(told) else False)
    if not marked.any():
        return CannotSay(
            f"no request of it carries a mark of patience ({', '.join(sorted(marks))}): tag those "
            "that can wait, or name the tags or tiers that are such"
        )
    found: Bools = marked & ~traffic.stream & ~traffic.held & ~traffic.settled
    if not found.any():
        return CannotSay(
            "all its requests that carry a mark of patience went in a batch already, are streams, "
            "later turns of a conversation or steps of a workflow, or ask for no text"
        )
    return found


def batched(cost: Ints, rows: Bools, factor: float) -> Ints:
    """What a batch price takes off [n]; each bill is rounded half up once, as a call's is."""
    after = (cost * round(factor * 1e6) + 500_000) // 1_000_000
    taken: Ints = np.where(rows, cost - after, 0)
    return taken


def repriced(traffic: Traffic, change: Price) -> Ints | CannotSay:
    """What other prices take off each request [n]; below 0 where they are dearer."""
    calls = traffic.calls
    if calls is None:
        return CannotSay("the calls were not read")
    mine = calls.deployment == change.deployment
    if not mine.any():
        return CannotSay(f"{change.deployment} was not called")
    apart = mine & ~calls.plain
    if apart.any():
        return CannotSay(
            f"{int(apart.sum())} calls of {change.deployment} were billed for more than plain "
            "tokens (reasoning, images, characters), whose prices the change does not give"
        )
    cached = np.minimum(calls.cached, calls.tokens_in)
    units = (calls.tokens_in - cached) * change.input_micro + cached * change.cached
    units = units + calls.tokens_out * change.output_micro
    # what cost nothing was not billed (a call that never arrived), and is not now
    after = np.where(calls.cost > 0, (units + MTOK // 2) // MTOK, 0)
    taken = np.zeros(len(traffic), dtype=np.int64)
    np.add.at(taken, calls.request[mine], (calls.cost - after)[mine])
    return taken * traffic.one_in


def refused(traffic: Traffic, cost: Ints, change: Cap) -> Bools:
    """Which requests [n] come after the cap is spent, in their period (UTC), in the log's order."""
    if change.scope == "global":
        mine = np.ones(len(traffic), dtype=np.bool_)
    else:
        mine = getattr(traffic, change.scope) == change.name
    found = np.zeros(len(traffic), dtype=np.bool_)
    rows = np.flatnonzero(mine)
    if change.per == "month":
        months = [datetime.fromtimestamp(each / 1e6, UTC) for each in traffic.at_us[rows].tolist()]
        period = np.array([each.year * 12 + each.month for each in months], dtype=np.int64)
    else:
        period = traffic.at_us[rows] // (PERIODS[change.per] * 1_000_000)
    for each in np.unique(period):
        of = rows[period == each]
        spent = np.cumsum(cost[of]) - cost[of]
        found[of] = spent >= change.cap_micro
    return found
