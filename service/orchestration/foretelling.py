"""Prediction as a whole: what predicts, its refits, the checks it skips, and what it is worth."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.statistics.moments import Moments
from learning.acceptance import Foresight
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock
from service.domain.judging import Drawn
from service.domain.records import Act, Decision
from service.feedback.acceptance_refit import AcceptanceRefitter
from service.feedback.skipping import ACT as SKIPPING
from service.feedback.skipping import Skipping
from service.feedback.worth import Prices, Worth, worth
from service.routing.foreseeing import ASIDE, COLD, FITTED, OFF, Foreseer, Published
from service.storage.cases import us
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.predictions import Judged, borne_out, check_cost_usd, used_since
from service.storage.ratings import last_act

log = logging.getLogger("headgate.learning")

SWITCHED, WORSE = "prediction.switched", "prediction.worse"
ON = "on"
WINDOW_US = 30 * 86_400_000_000
LEAST_BORNE = 200  # rated answers foreseen by a model before it may be called worse than a constant
SURE = 3.0  # standard errors: it is looked at many times


@dataclass(frozen=True, slots=True)
class ForetellingRules:
    """The bar, whose verdict counts as a check, prices, and declared qualities by name."""

    judged: Judged
    prices: Prices
    check_usd: float | None
    arms: dict[str, float]


@dataclass(frozen=True, slots=True)
class ForetellingParts:
    """What it stands on."""

    foreseer: Foreseer
    refitter: AcceptanceRefitter
    skipping: Skipping | None
    log: EventLog
    cursor: Callable[[], Cursor]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Borne:
    """The fit since it is in use: Brier's scores of what it foresaw and of the constant."""

    rated: int
    brier: float
    constant_brier: float
    worse: bool


class Foretelling:
    """Holds these together; ``turn`` is called by the clock, never by a request."""

    def __init__(self, rules: ForetellingRules, parts: ForetellingParts) -> None:
        self.rules, self._parts = rules, parts
        self.foreseer, self.refitter, self.skipping = (
            parts.foreseer, parts.refitter, parts.skipping
        )  # fmt: skip
        self.worth: Worth | None = None
        self.borne: Borne | None = None
        self._off = ""  # why it is switched off; empty: it is not
        self._worse = ""  # the model of which its own foresight says that it is no use

    def resume(self) -> None:
        """Stand where the last run stood; before requests are taken."""
        cursor = self._parts.cursor()
        self.refitter.resume()
        if self.skipping is not None:
            self.skipping.resume(last_act(cursor, SKIPPING))
        switched = last_act(cursor, SWITCHED)
        if switched is not None and switched["subject"] == OFF:
            self._off = switched["reason"]
        self.publish()

    def publish(self) -> None:
        """Let what is believed now predict."""
        rules, found = self.rules, self.refitter.believed
        model = None if found is None else found.model
        tally = None if found is None else found.tally
        state, reason = COLD, "nothing was fitted yet"
        if found is not None:
            state, reason = (FITTED, "") if found.model is not None else (ASIDE, found.reason)
        if found is not None and found.model_id and found.model_id == self._worse:
            state, model = ASIDE, None
            reason = "what it foresaw since its fit was worse than the arms' shares"
        if self._off:
            state, reason = OFF, self._off
        foresight = Foresight(rules.arms, rules.judged.bar, model, tally)
        model_id = found.model_id if found is not None and model is not None else ""
        self.foreseer.published = Published(foresight, model_id, state, reason)

    def gate(self, decision: Decision, served: str) -> Drawn | None:
        """Whether an answer needs its check; None where nothing is said of it."""
        if self.skipping is None or self.foreseer.published.state != FITTED:
            return None
        return self.skipping.gate(decision, served)

    async def refit(self) -> None:
        """Refit when that is due."""
        if not self._off and await self.refitter.turn():
            self.publish()

    async def turn(self) -> None:
        """Look at what came of it: the checks, the fit's own foresight, the money."""
        if self.skipping is not None:
            self.skipping.weigh(await asyncio.to_thread(self.skipping.measured))
        await asyncio.to_thread(self._look)
        if self._worse_now():
            self._worse = self.foreseer.published.model_id
            self.publish()
            self._tell(WORSE, self._worse, self.foreseer.published.reason)
        if self.worth is not None and self.worth.loses and not self._off:
            net = self.worth.net
            self._off = (
                f"it cost more than it brought: ${net.estimate:.4f} net, at most ${net.high:.4f}, "
                f"over {self.worth.predictions} predictions"
            )
            self._tell(SWITCHED, OFF, self._off)
            self.publish()

    def switch(self, on: bool, reason: str, author: str, who: Person | None) -> Act:
        """Somebody switches prediction; the act, which is to be durable before ``take``."""
        state = ON if on else OFF
        before = {"state": self.foreseer.published.state}
        told = Told(SWITCHED, state, reason, author, {}, before, {"state": state})
        return act_of(who, self._parts.clock.wall_us(), told)

    def take(self, act: Act) -> None:
        """Do what an act says."""
        if act.act == SKIPPING and self.skipping is not None:
            self.skipping.take(act)
        if act.act == SWITCHED:
            self._off = act.reason if act.subject == OFF else ""
            self._worse, self.worth = "", None
            self.publish()

    def warnings(self) -> list[str]:
        """What an operator should be told."""
        told, published = [], self.foreseer.published
        if published.state in (ASIDE, OFF):
            told.append(f"prediction is {published.state}: {published.reason}")
        rule = self.skipping
        if rule is not None and rule.episode > 1 and not rule.skips:
            told.append(f"checks are not skipped ({rule.state.value}): {rule.reason}")
        return told

    def _tell(self, act: str, subject: str, reason: str) -> None:
        log.warning("%s: %s", act, reason)
        told = Told(act, subject, reason)
        self._parts.log.append(act_of(None, self._parts.clock.wall_us(), told))

    def _worse_now(self) -> bool:
        published = self.foreseer.published
        return (
            published.state == FITTED and self.borne is not None and self.borne.worse
        )  # fmt: skip

    def _look(self) -> None:
        cursor, rules = self._parts.cursor(), self.rules
        published = self.foreseer.published
        self.borne = None
        if published.state == FITTED:
            self.borne = _borne(cursor, published, rules.judged)
        if published.state != OFF:
            since_us = max(self._parts.clock.wall_us() - WINDOW_US, self._switched_us(cursor))
            check = rules.check_usd
            if check is None:
                check = check_cost_usd(cursor, since_us)
            prices = Prices(
                rules.prices.cpu_usd_per_hour, rules.prices.worth_usd, check, rules.prices.after
            )
            acting = self.foreseer.rules
            acts = acting.margin is not None or acting.below is not None
            used = used_since(cursor, since_us, rules.judged.metric)
            self.worth = worth(used, self.foreseer.seconds_each, prices, acts)

    def _switched_us(self, cursor: Cursor) -> int:
        """When somebody last switched it on: what was lost before is forgiven."""
        found = last_act(cursor, SWITCHED)
        if found is None or found["subject"] != ON:
            return 0
        return us(found["ts"])

    def shown(self) -> dict[str, Any]:
        """All of it, for people."""
        published, found = self.foreseer.published, self.refitter.believed
        return {
            "on": True,
            "state": published.state,
            "reason": published.reason or None,
            "acceptable": self.rules.judged.bar,
            "model": published.model_id or None,
            "setback": self.refitter.setback or None,
            "fit": None if found is None else found.standing,
            "since": None if self.borne is None else _plain(self.borne),
            "predictions": self.foreseer.predictions,
            "seconds_each": self.foreseer.seconds_each,
            "route": {"margin": self.foreseer.rules.margin, "below": self.foreseer.rules.below,
                      "held_out": self.foreseer.rules.held_out},
            "skipping": None if self.skipping is None else _skipping(self.skipping),
            "worth": None if self.worth is None else _worth(self.worth),
        }  # fmt: skip


def _borne(cursor: Cursor, published: Published, judged: Judged) -> Borne | None:
    model = published.foresight.model
    if model is None:
        return None
    tally = model.tally
    shares = {
        name: float(tally.accepted[at] / tally.count[at])
        for at, name in enumerate(tally.arms) if tally.count[at] > 0
    }  # fmt: skip
    found = borne_out(cursor, published.model_id, shares, judged)
    if not len(found.good):
        return None
    ours, constant = (found.chance - found.good) ** 2, (found.constant - found.good) ** 2
    off = Moments.of(ours - constant)
    error = math.sqrt(off.variance / off.count) if off.count > 1 else math.inf
    worse = off.count >= LEAST_BORNE and off.mean - SURE * error > 0.0
    return Borne(off.count, float(ours.mean()), float(constant.mean()), worse)


def _plain(found: Borne) -> dict[str, Any]:
    return {
        "rated": found.rated, "brier": found.brier, "constant_brier": found.constant_brier,
        "worse": found.worse,
    }  # fmt: skip


def _skipping(rule: Skipping) -> dict[str, Any]:
    rate, through = rule.rate, rule.let_through()
    return {
        "state": rule.state.value, "reason": rule.reason, "episode": rule.episode,
        "above": rule.rules.above, "audit": rule.rules.audit, "most_bad": rule.rules.most_bad,
        "audited": rate.count, "bad": rate.events, "waiting": rule.seen.waiting,
        "skipped": rule.seen.skipped,
        "rate": rate.events / rate.count if rate.count else None,
        "low": rate.interval.low if rate.count else None,
        "high": rate.interval.high if rate.count else None,
        "let_through": None if through is None else dict(
            zip(("estimate", "low", "high"), through, strict=True)
        ),
    }  # fmt: skip


def _worth(found: Worth) -> dict[str, Any]:
    def said(value: float) -> float | None:
        return value if math.isfinite(value) else None

    gained = found.gained
    return {
        "predictions": found.predictions, "cpu_s": found.cpu_s, "cpu_usd": found.cpu_usd,
        "refit_s": found.refit_s, "refit_usd": found.refit_usd, "skipped": found.skipped,
        "audited": found.audited, "checks_usd": found.checks_usd, "audits_usd": found.audits_usd,
        "acted": found.acted, "compared": list(found.compared),
        "gained_usd": None if gained is None else [gained.estimate, gained.low, gained.high],
        "unsaid": found.unsaid or None,
        "net_usd": [said(found.net.estimate), said(found.net.low), said(found.net.high)],
        "loses": found.loses,
    }  # fmt: skip
