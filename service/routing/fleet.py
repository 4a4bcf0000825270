"""The health of all deployments: who is left alone, who is full, and how much may be retried."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service.domain.catalog import Deployment
from service.domain.records import ErrorKind
from service.routing.breaker import COUNTED, Breaker, BreakerRules, State
from service.routing.concurrency import CALM, AdaptiveLimit
from service.routing.retries import RetryBudget, Throttle
from service.routing.windows import RateWindows

OVERLOADS = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED})
TOLD_FROM_S = 10.0  # shorter cool-downs are everyday
EJECTED = frozenset({"ejected", "probing", "silent"})  # what a panic disregards
SOFT = frozenset({"filling", "silent"})  # what steers to others, and refuses nobody without them


@dataclass(frozen=True, slots=True)
class FleetRules:
    """How health is judged over the whole fleet.

    ``most_ejected``: the share that breakers may leave alone at the same time (one always may).
    ``panic_below``: when less than this share of those who could serve a request is left, the
    breakers are disregarded for it (Envoy's panic threshold); cool-downs are not. Outliers: success
    rates under the mean less ``outlier_sigmas`` deviations in an interval, with enough hosts and
    calls to say so (Envoy).
    """

    breaker: BreakerRules = field(default_factory=BreakerRules)
    most_ejected: float = 0.67
    panic_below: float = 0.3
    throttle_k: float = 2.0
    retry_share: float = 0.1
    retry_reserve: float = 20.0
    silent_calls: int = CALM
    silent_s: float = 2.0
    outlier_interval_s: float = 10.0
    outlier_hosts: int = 5
    outlier_calls: int = 100
    outlier_sigmas: float = 1.9


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker that opened or closed, a cool-down that began."""

    deployment: str
    state: str
    why: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """One deployment's health as it is shown. ``bar``: why no call is sent now, or empty."""

    deployment: str
    state: str
    bar: str
    why: str
    free_in_s: float
    ejections: int
    in_flight: int
    limit: int
    throttled: float


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed: the kind, when to come back, and what call it was."""

    kind: ErrorKind
    retry_after_s: float | None = None
    probe: bool = False
    stream: bool = False
    waited_s: float = 0.0


@dataclass(slots=True)
class _Member:
    breaker: Breaker
    limit: AdaptiveLimit
    throttle: Throttle
    peers: list[_Member] = field(default_factory=list)  # of the same provider, itself included
    calls: int = 0
    good: int = 0
    suspect: bool = False  # something failed since it was last found well


class Fleet:
    """Told of each call's beginning and end; says who may be called. Times are monotonic seconds.

    Driven by the calls themselves and by nothing that is logged of them.
    """

    def __init__(
        self,
        catalog: Sequence[Deployment],
        rules: FleetRules | None = None,
        chance: random.Random | None = None,
        changed: Callable[[Change], None] | None = None,
    ) -> None:
        self.rules = rules or FleetRules()
        self.windows = RateWindows(catalog)
        self.retries = RetryBudget(self.rules.retry_share, self.rules.retry_reserve)
        self._catalog = {each.name: each for each in catalog}
        self._chance = chance or random.Random(0)
        self._changed = changed or (lambda _: None)
        throttles = {each.provider: Throttle(self.rules.throttle_k) for each in catalog}
        self._members = {
            each.name: _Member(
                Breaker(self.rules.breaker),
                AdaptiveLimit(each.most_in_flight),
                throttles[each.provider],
            )
            for each in catalog
        }
        self._interval_s = 0.0
        self._group()

    def _group(self) -> None:
        """Deployments of one provider share its throttle, and are suspected together."""
        by_provider: dict[str, list[_Member]] = {}
        for each in self._catalog.values():
            by_provider.setdefault(each.provider, []).append(self._members[each.name])
        for peers in by_provider.values():
            for member in peers:
                member.peers, member.throttle = peers, peers[0].throttle

    # who may be called ------------------------------------------------------------------------

    def bar(self, name: str, now_s: float) -> str:
        """Why a deployment is sent nothing now; empty when nothing stands against it."""
        member = self._members[name]
        breaker, limit = member.breaker, member.limit
        if now_s < breaker.cooling_until_s:
            return "cooling"
        state = breaker.state(now_s)
        if state is State.OPEN:
            return "ejected"
        if state is State.HALF_OPEN and breaker.probing:
            return "probing"
        if limit.in_flight:
            if limit.silent(now_s, self.rules.silent_calls, self.rules.silent_s):
                return "silent"
            if limit.full:
                return "busy" if limit.tight(now_s) else "filling"
        return ""

    def refusal(self, name: str, now_s: float) -> str:
        """Why a deployment must not be called even where there is no other."""
        bar = self.bar(name, now_s)
        return "" if bar in SOFT else bar

    def admit(
        self, catalog: Sequence[Deployment], able: Sequence[int], now_s: float
    ) -> tuple[list[int], list[tuple[int, str]]]:
        """Of those able to serve a request: who may be called, and why the others may not."""
        members = [self._members[catalog[index].name] for index in able]
        for member in members:
            if member.suspect or member.limit.in_flight >= member.limit.calm:
                return self._admit_warily(catalog, able, now_s)
        return list(able), []

    def _admit_warily(
        self, catalog: Sequence[Deployment], able: Sequence[int], now_s: float
    ) -> tuple[list[int], list[tuple[int, str]]]:
        bars = [self.bar(catalog[index].name, now_s) for index in able]
        bars = self._throttled(catalog, able, bars, now_s)
        for index, bar in zip(able, bars, strict=True):
            member = self._members[catalog[index].name]
            closed = member.breaker.state(now_s) is State.CLOSED
            member.suspect = bool(bar) or not closed or member.throttle.chance(now_s) > 0.0
        left = sum(not bar for bar in bars)
        if left == len(bars):
            return list(able), []
        if left < self.rules.panic_below * len(bars):
            bars = ["" if bar in EJECTED else bar for bar in bars]
        if all(bars):  # a limit that nothing has proved yet steers, and refuses nobody
            bars = ["" if bar == "filling" else bar for bar in bars]
        kept = [index for index, bar in zip(able, bars, strict=True) if not bar]
        out = [(index, bar) for index, bar in zip(able, bars, strict=True) if bar]
        return kept, out

    def _throttled(
        self, catalog: Sequence[Deployment], able: Sequence[int], bars: list[str], now_s: float
    ) -> list[str]:
        """Hold back from providers that refuse for load: one draw a provider and request."""
        held: dict[str, bool] = {}
        for at, index in enumerate(able):
            throttle = self._members[catalog[index].name].throttle
            if bars[at] or not (chance := throttle.chance(now_s)):
                continue
            provider = catalog[index].provider
            if provider not in held:
                held[provider] = self._chance.random() < chance
            if held[provider]:
                bars[at] = "throttled"
        return bars

    def free_in_s(self, names: Iterable[str], now_s: float) -> float:
        """Seconds until the first of these may be tried again, at least 1."""
        waits = [self._members[n].breaker.free_in_s(now_s) for n in names if n in self._members]
        return max(min(waits, default=1.0), 1.0)

    def soonest_s(self, now_s: float) -> float:
        """Seconds until any deployment may be tried, 0 where one may be now."""
        return min(each.breaker.free_in_s(now_s) for each in self._members.values())

    def p95_s(self, name: str, now_s: float) -> float | None:
        """The 95th percentile of a deployment's whole answers, None while too few are known."""
        return self._members[name].limit.p95(now_s)

    # what the calls show ----------------------------------------------------------------------

    def began(self, name: str, now_s: float) -> bool:
        """A call begins; whether it is a probe."""
        member = self._members[name]
        member.limit.began(now_s)
        return member.breaker.began(now_s)

    def heard(self, name: str, first_s: float | None, now_s: float) -> None:
        """A stream goes on; ``first_s``: how long its first content took, where this is it."""
        self._members[name].limit.heard(now_s, first_s)

    def answered(self, name: str, probe: bool, whole_s: float | None, now_s: float) -> None:
        """A call was answered; ``whole_s`` None where it was a stream."""
        member = self._members[name]
        member.limit.ended(now_s, whole_s)
        member.throttle.ended(True, now_s)
        member.breaker.succeeded(now_s, probe, whole_s is None)
        member.calls += 1
        member.good += 1
        if probe:
            self._changed(Change(name, State.CLOSED.value, "the probe was answered", 0.0))
        self._intervals(now_s)

    def failed(self, name: str, how: Failure, now_s: float) -> None:
        """A call failed; one that blames no deployment (a refused request, a caller who left)
        says nothing of it.
        """
        kind, probe = how.kind, how.probe
        member = self._members[name]
        if kind is ErrorKind.DIALECT:  # nothing was sent: it is no sign of life either
            member.limit.ended(now_s)
            member.breaker.neutral(probe)
            return
        for peer in member.peers:
            peer.suspect = True
        overloaded = kind in OVERLOADS or kind is ErrorKind.TIMEOUT
        member.limit.ended(now_s, overloaded=overloaded)
        if kind not in (ErrorKind.TIMEOUT, ErrorKind.CANCELLED, ErrorKind.STALLED):
            member.limit.heard(now_s)
        if kind is ErrorKind.CANCELLED:
            member.limit.waited(how.waited_s, now_s)
        if not kind.blames_deployment:
            member.breaker.neutral(probe)
            return
        member.throttle.ended(kind not in OVERLOADS, now_s)
        if kind in COUNTED:
            member.calls += 1
        was_cooling = member.breaker.cooling(now_s)
        reason = member.breaker.failed(kind, now_s, how.retry_after_s, probe, how.stream)
        if reason and self._may_eject(member, now_s):
            self._eject(name, member, now_s)
        if not was_cooling and member.breaker.cooling(now_s):
            for_s = member.breaker.cooling_until_s - now_s
            if kind is ErrorKind.AUTH or for_s >= TOLD_FROM_S:
                self._changed(Change(name, "cooling", kind.value, for_s))
        self._intervals(now_s)

    def _may_eject(self, wanted: _Member, now_s: float) -> bool:
        others = sum(
            member.breaker.state(now_s) is not State.CLOSED
            for member in self._members.values()
            if member is not wanted
        )
        return others == 0 or (others + 1) / len(self._members) <= self.rules.most_ejected

    def _eject(self, name: str, member: _Member, now_s: float, why: str = "") -> None:
        member.suspect = True
        for_s = member.breaker.open(now_s, why)
        self._changed(Change(name, State.OPEN.value, member.breaker.why, for_s))

    def _intervals(self, now_s: float) -> None:
        """At the end of an interval: whose success rate lies far under the others'?"""
        rules = self.rules
        if now_s - self._interval_s < rules.outlier_interval_s:
            return
        self._interval_s = now_s
        rates = {
            name: member.good / member.calls
            for name, member in self._members.items()
            if member.calls >= rules.outlier_calls
        }
        for member in self._members.values():
            member.calls = member.good = 0
        if len(rates) < rules.outlier_hosts:
            return
        mean = sum(rates.values()) / len(rates)
        deviation = math.sqrt(sum((rate - mean) ** 2 for rate in rates.values()) / len(rates))
        for name, rate in rates.items():
            member = self._members[name]
            apart = rate < mean - rules.outlier_sigmas * deviation and deviation > 0.0
            closed = member.breaker.state(now_s) is State.CLOSED
            if apart and closed and self._may_eject(member, now_s):
                why = f"{rate:.1%} of its calls succeed, {mean:.1%} of the others'"
                self._eject(name, member, now_s, why)

    def cool_key(
        self, endpoint: Deployment, kind: ErrorKind, wait_s: float | None, now_s: float
    ) -> bool:
        """A key was refused or is at its limit; whether it is one of several, and cools alone."""
        if kind is ErrorKind.AUTH and wait_s is None:
            wait_s = self.rules.breaker.refused_key_s
        for_s = self.windows.cool(endpoint, wait_s, now_s)
        if kind is ErrorKind.AUTH and for_s:
            why = f"{kind.value}, key {endpoint.endpoint + 1} of the deployment"
            self._changed(Change(endpoint.name, "cooling", why, for_s))
        return for_s > 0.0

    def forgive(self, name: str) -> None:
        """An operator ends a deployment's ejection and cool-down."""
        self._members[name].breaker.forgive()
        self.windows.forgive(name)
        self._changed(Change(name, State.CLOSED.value, "reset by an operator", 0.0))

    # what is shown ----------------------------------------------------------------------------

    def standings(self, now_s: float) -> list[Standing]:
        """Every deployment's health."""
        return [
            Standing(
                deployment=name,
                state=member.breaker.state(now_s).value,
                bar=(bar := self.bar(name, now_s)),
                why=member.breaker.why if bar else "",
                free_in_s=member.breaker.free_in_s(now_s),
                ejections=member.breaker.ejections,
                in_flight=member.limit.in_flight,
                limit=int(member.limit.limit),
                throttled=member.throttle.chance(now_s),
            )
            for name, member in self._members.items()
        ]

    def inherit(self, other: Fleet) -> None:
        """Take over what another fleet knows of the deployments that both have, its calls under
        way included, and go on by the rules of this one. Another address or key is another one.
        """
        for name, deployment in self._catalog.items():
            was = other._catalog.get(name)
            if was is None or _where(was) != _where(deployment):
                continue
            member = self._members[name] = other._members[name]
            member.breaker.follow(self.rules.breaker)
            member.limit.follow(deployment.most_in_flight)
            member.throttle.follow(self.rules.throttle_k)
            member.suspect = True
        self._group()
        self.windows.inherit(other.windows)
        self.retries = other.retries
        self.retries.follow(self.rules.retry_share, self.rules.retry_reserve)


def _where(deployment: Deployment) -> tuple[object, ...]:
    return tuple((end.base_url, end.api_key) for end in deployment.ends)
