"""The face of learning: the share that each deployment now gets of a task, and why it moved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from learning.interaction import Context
from service.domain.clock import Clock
from service.domain.live import LivePolicy
from service.domain.records import Decision, Mode, Override, Weight
from service.domain.will import will_for
from service.monitoring.overridden import KILLED, TAKEN_OUT, shares_under, why_under

CONTEXTS = 32
MOVED = 0.01
KEEP_EVERY_S = 60.0
STEADY = "steady"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A recent request of a task: its context and who was eligible but for overrides."""

    context: Context
    names: tuple[str, ...]
    who: tuple[str, str]  # tenant and tier


class WeightBoard:
    """Evaluates the published policy on each task's recent contexts, so that a weight tells what
    the *next* requests get, not what the last ones got.
    """

    def __init__(
        self, live: LivePolicy, holding: Callable[[], Sequence[Override]], clock: Clock
    ) -> None:
        self._live = live
        self._holding = holding
        self._clock = clock
        self._seen: dict[str, deque[_Seen]] = {}
        self._kept: dict[tuple[str, str], tuple[Weight, float]] = {}
        self.current: tuple[Weight, ...] = ()

    def saw(self, decision: Decision) -> None:
        """Remember a request's context."""
        if decision.mode is Mode.PINNED or decision.reason == KILLED:
            return
        names = decision.candidates.names
        if decision.override_id is not None:
            gone = [d.deployment for d in decision.disqualified if d.reason in TAKEN_OUT]
            names = (*names, *gone)
        seen = self._seen.get(decision.task)
        if seen is None:
            seen = self._seen[decision.task] = deque(maxlen=CONTEXTS)
        context = Context(
            decision.features, decision.tokens_in, decision.tokens_out_limit, decision.cost_dial
        )
        caller = decision.caller
        seen.append(_Seen(context, names, (caller.tenant, caller.tier)))

    def evaluate(self) -> list[Weight]:
        """All weights as they stand, and of those the ones worth keeping in the log."""
        live, holding = self._live, self._holding()
        now_us, now_s = self._clock.wall_us(), self._clock.monotonic_s()
        current: list[Weight] = []
        for task, seen in list(self._seen.items()):
            current += _of_task(task, list(seen), live, holding, now_us)
        keep: list[Weight] = []
        shown: list[Weight] = []
        for weight in current:
            before = self._kept.get((weight.task, weight.deployment))
            if before is None:
                if weight.state not in ("", STEADY):
                    weight = _turned(weight, "")
                keep.append(weight)
            else:
                old, kept_s = before
                turned = weight.state != old.state
                moved = abs(old.share - weight.share) >= MOVED
                if moved:
                    weight = explained(weight, old)
                if turned:
                    weight = _turned(weight, old.state)
                if not moved and not turned:
                    weight = _with_why(weight, old.why)
                if moved or turned or now_s - kept_s >= KEEP_EVERY_S:
                    keep.append(weight)
            shown.append(weight)
        for weight in keep:
            self._kept[weight.task, weight.deployment] = (weight, now_s)
        self.current = tuple(shown)
        return keep


def _of_task(
    task: str, seen: Sequence[_Seen], live: LivePolicy, holding: Sequence[Override], now_us: int
) -> list[Weight]:
    published = live.current
    chooser = published.chooser
    count = len(chooser.arms)
    index: Mapping[str, int] = {name: i for i, name in enumerate(chooser.arms)}
    shares, sums, known = np.zeros(count), np.zeros((5, count)), np.zeros(count)
    whys: dict[str, str] = {}
    scoped = any(each.tenant or each.tier for each in holding)
    for (names, who), contexts in _alike(seen, scoped).items():
        everybody = [index[name] for name in names if name in index]
        if not everybody:
            continue
        told = chooser.expected(contexts, everybody)
        parts = (told.quality, told.cost_usd, told.latency_s, told.error_rate, told.utility)
        sums[:, everybody] += len(contexts) * np.array(parts)
        known[everybody] += len(contexts)
        will = will_for(task, holding, *who)
        shares += len(contexts) * shares_under(will, live, contexts, everybody, told)
        whys |= why_under(will, names)
    means = sums / np.maximum(known, 1)
    states = published.states()
    return [
        Weight(
            at_us=now_us,
            task=task,
            deployment=name,
            share=float(shares[i] / len(seen)),
            quality=float(means[0, i]),
            cost_usd=float(means[1, i]),
            latency_s=float(means[2, i]),
            error_rate=float(means[3, i]),
            utility=float(means[4, i]),
            contexts=len(seen),
            update_seq=published.mark.update_seq,
            why=whys.get(name, ""),
            state=states.get(name, ""),
        )
        for name, i in index.items()
        if known[i]
    ]


def _alike(
    seen: Sequence[_Seen], scoped: bool
) -> Mapping[tuple[tuple[str, ...], tuple[str, str]], list[Context]]:
    """Contexts for which the same were eligible go together; where overrides tell tenants and tiers
    apart, those of the same.
    """
    found: dict[tuple[tuple[str, ...], tuple[str, str]], list[Context]] = {}
    for each in seen:
        who = each.who if scoped else ("", "")
        found.setdefault((each.names, who), []).append(each.context)
    return found


def _with_why(weight: Weight, why: str) -> Weight:
    return weight if weight.why else replace(weight, why=why)


def _turned(now: Weight, was: str) -> Weight:
    """Name the state that a deployment came to, after what moved it."""
    told = f"no longer {was}" if now.state == STEADY else f"now {now.state}"
    return replace(now, why=f"{now.why}; {told}" if now.why else told)


def explained(now: Weight, before: Weight) -> Weight:
    """Name the part of the deployment's own score that moved its utility most."""
    if now.why:
        return now
    if "by an operator" in before.why:
        return _with_why(now, "an operator's override ended")
    effects = {
        "quality": (now.quality - before.quality) * (1 - now.error_rate),
        "errors": (before.error_rate - now.error_rate) * now.quality,
    }
    rest = (now.utility - before.utility) - sum(effects.values())
    slower = now.latency_s - before.latency_s
    effects["latency" if slower * rest < 0 else "cost"] = rest
    part = max(effects, key=lambda name: abs(effects[name]))
    direction = now.share - before.share
    if abs(effects[part]) < 1e-4 or effects[part] * direction < 0:
        return _with_why(now, "others moved")
    told = {
        "quality": f"quality {before.quality:.3f} to {now.quality:.3f}",
        "errors": f"error rate {before.error_rate:.1%} to {now.error_rate:.1%}",
        "latency": f"latency {before.latency_s:.2f} s to {now.latency_s:.2f} s",
        "cost": "cost or the price of a dollar",
    }
    return _with_why(now, told[part])
