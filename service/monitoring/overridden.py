"""What the overrides in force make of the shares that a policy gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from learning import exploration
from learning.interaction import Context, Vector
from learning.policies.base import Chooser, Expected
from service.domain.live import LivePolicy
from service.domain.will import Will, limits

KILLED = "killed_by_operator"  # the reason of a decision whose other candidates nobody looked at
TAKEN_OUT = ("override", "cost_cap")  # for what operators take a deployment out


def shares_under(
    will: Will, live: LivePolicy, contexts: Sequence[Context], everybody: Sequence[int],
    told: Expected,
) -> Vector:  # fmt: skip
    """The mean share of each arm over contexts for which ``everybody`` was eligible; shape [arms].

    ``told``: what the live policy gives without any override.
    """
    chooser = live.current.chooser
    names = chooser.arms
    shares = np.zeros(len(names))
    settled = will.killed or will.forced
    eligible = [i for i in everybody if names[i] not in will.excluded]
    if settled is not None and settled.deployment in names:
        at = names.index(settled.deployment)
        if will.killed is not None or at in eligible:
            shares[at] = 1.0
            return shares
    if not eligible:
        return shares
    drawing = _pinned(will, live, eligible)
    if not will.caps and not will.bounds and drawing is chooser:
        same = eligible == list(everybody)
        shares[eligible] = told.share if same else chooser.expected(contexts, eligible).share
        return shares
    for context in contexts:
        kept = _capped(will, chooser, context, eligible)
        at_drawing = [drawing.arms.index(names[i]) for i in kept if names[i] in drawing.arms]
        kept = [i for i in kept if names[i] in drawing.arms]
        drawn = drawing.propensities(drawing.scores(context, at_drawing))
        shares[kept] += _bounded(will, names, kept, drawn) / len(contexts)
    return shares


def _pinned(will: Will, live: LivePolicy, eligible: Sequence[int]) -> Chooser:
    """Who draws: the pinned version, where it is there and knows any of them."""
    pinned = live.of(will.pinned.target) if will.pinned is not None else None
    if pinned is None:
        return live.current.chooser
    known = {live.current.chooser.arms[i] for i in eligible} & set(pinned.chooser.arms)
    return pinned.chooser if known else live.current.chooser


def _capped(will: Will, chooser: Chooser, context: Context, eligible: list[int]) -> list[int]:
    if not will.caps:
        return eligible
    cost = chooser.scores(context, eligible).cost_usd
    fits = [
        i for i, usd in zip(eligible, cost, strict=True)
        if all(usd <= cap.usd for cap in will.caps if cap.deployment in ("", chooser.arms[i]))
    ]  # fmt: skip
    return fits or [eligible[int(cost.argmin())]]


def _bounded(will: Will, names: Sequence[str], kept: Sequence[int], drawn: Vector) -> Vector:
    found = limits([names[i] for i in kept], will.bounds)
    return drawn if found is None else exploration.between(drawn, *found)


def why_under(will: Will, names: Sequence[str]) -> Mapping[str, str]:
    """What an operator did to each deployment's share, where one did."""
    told: dict[str, str] = {}
    if will.pinned is not None:
        told |= dict.fromkeys(names, "a version pinned by an operator")
    if will.caps:
        told |= dict.fromkeys(names, "costs capped by an operator")
    if will.bounds:
        told |= dict.fromkeys(names, "bounded by an operator")
    if will.forced is not None:
        told |= dict.fromkeys(names, "forced by an operator")
    told |= dict.fromkeys(will.excluded, "excluded by an operator")
    if will.killed is not None:
        told |= dict.fromkeys(names, "killed by an operator")
    return told
