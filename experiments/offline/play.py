"""A policy against a stream: it decides, is told what it may know, and is measured."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.offline.outcomes import Outcomes
from experiments.offline.streams import UNSCORED, Event, Stream
from learning.evidence import Answers, Evidence
from learning.interaction import Arm, Choice, Context, Interaction
from learning.policies import registry
from learning.policies.base import Chooser, Policy, PolicySetup, Prior
from learning.reward import Reward, RewardScale

PUBLISH_EVERY = 8
START_S, SECONDS_A_REQUEST = 1e9, 1.0
NO_EXCHANGE = RewardScale(1e12, 1e12)
SHARE_WINDOW, NEWCOMER_WINDOW = 50, 100
ADOPTED, ADOPTED_FOR, FIRST = 0.1, 50, 300
HALVED, GIVEN_BACK = 0.5, 0.8


@dataclass(frozen=True, slots=True)
class Wanted:
    """A policy by its kind and parameters; ``budget_usd`` is dollars a request. ``evidence``: what
    it is told before the first request.
    """

    kind: str
    parameters: Mapping[str, Any]
    budget_usd: float | None
    publish_every: int = PUBLISH_EVERY
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What was chosen at every step [n], with its propensity, and the policy's alarms of change."""

    arm: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    alarms_at: tuple[int, ...]


class Beside(Protocol):
    """What sits beside the policy: it may tell it things, and take arms out before the draw."""

    def publishing(self, step: int, policy: Policy) -> None:
        """The policy is about to publish."""

    def allowed(self, step: int, arms: Sequence[int]) -> Sequence[int]:
        """The places in ``arms`` that may be drawn, at least one."""

    def rated(self, step: int, arm: int, quality: float) -> None:
        """A rating of an arm's answer has come, of the request at ``step``."""


class _Table:
    """The policy at the table: the arms that are there, and the view it last published."""

    def __init__(self, outcomes: Outcomes, stream: Stream, dimension: int, wanted: Wanted) -> None:
        self._outcomes, self._wanted = outcomes, wanted
        self._price_in = outcomes.price_input_usd_mtok.copy()
        self._price_out = outcomes.price_output_usd_mtok.copy()
        self._features = feature_names(dimension)
        self.arms = list(stream.starting)
        self.policy = self._build()
        if wanted.evidence is not None:
            self.policy.take_prior(Prior.told(wanted.evidence))
        self.view: Chooser = self.policy.chooser(START_S)

    def _build(self) -> Policy:
        names, wanted = self._outcomes.names, self._wanted
        arms = tuple(
            Arm(names[at], float(self._price_in[at]), float(self._price_out[at]))
            for at in self.arms
        )
        setup = PolicySetup(arms, self._features, NO_EXCHANGE)
        parameters = dict(wanted.parameters)
        if wanted.budget_usd is not None and registry.POLICIES[wanted.kind].takes_budget:
            parameters["budget_usd"] = wanted.budget_usd
        return registry.build(wanted.kind, setup, parameters)

    def take(self, event: Event, step: int) -> None:
        """An arrival or an announced price: a changed plan, the state carried over."""
        if event.arrives:
            self.arms.append(event.arm)
        else:
            self._price_in[event.arm] *= event.factor
            self._price_out[event.arm] *= event.factor
        before = self.policy.freeze()
        self.policy = self._build()
        self.policy.thaw(before)
        self.publish(step)

    def publish(self, step: int) -> None:
        self.view = self.policy.chooser(_time(step))

    def tokens_out(self, arm: int, tokens_in: int, cost_usd: float) -> int:
        """What a provider would report."""
        return tokens_of(cost_usd, tokens_in, (self._price_in[arm], self._price_out[arm]))


def feature_names(dimension: int) -> tuple[str, ...]:
    """The names of features without names; the last is the constant."""
    return (*(f"f{i}" for i in range(dimension - 1)), "constant")


def tokens_of(cost_usd: float, tokens_in: int, prices: tuple[float, float]) -> int:
    """The tokens of the answer that a cost stands for, at the prices of a million in and out."""
    paid = cost_usd * 1e6 - prices[0] * tokens_in
    return max(1, round(float(paid / prices[1])))


def known_before(outcomes: Outcomes, features: NDArray[np.float32], stream: Stream) -> Evidence:
    """All that the unscored prompts tell of the deployments that are there from the start."""
    rows, arms = stream.rows[stream.phase == UNSCORED], list(stream.starting)
    tokens = outcomes.tokens_in
    prices = [
        (float(outcomes.price_input_usd_mtok[at]), float(outcomes.price_output_usd_mtok[at]))
        for at in arms
    ]
    written = [
        tokens_of(float(outcomes.cost_usd[row, at]), int(tokens[row]), price)
        for row in rows
        for at, price in zip(arms, prices, strict=True)
    ]
    answers = Answers(
        tuple(outcomes.names[at] for at in arms), feature_names(features.shape[1]),
        np.tile(np.arange(len(arms)), len(rows)),
        np.repeat(features[rows].astype(np.float64), len(arms), axis=0),
        outcomes.reward[np.ix_(rows, arms)].ravel(),
        np.repeat(tokens[rows].astype(np.float64), len(arms)), np.array(written, dtype=np.float64),
    )  # fmt: skip
    return Evidence.of(answers, START_S)


def _time(step: int) -> float:
    return START_S + SECONDS_A_REQUEST * step


def play(
    outcomes: Outcomes,
    features: NDArray[np.float32],
    stream: Stream,
    wanted: Wanted,
    seed: int,
    beside: Beside | None = None,
) -> Played:
    """Run a policy through a stream. What a call costs is told at once, a rating when it comes."""
    count = len(stream.rows)
    x, tokens = features[stream.rows], outcomes.tokens_in[stream.rows].tolist()
    draws = np.random.default_rng([seed, 77]).random(count)
    arm, propensity = np.zeros(count, dtype=np.int64), np.ones(count)
    table = _Table(outcomes, stream, features.shape[1], wanted)
    late: list[tuple[int, int, Interaction]] = []
    alarms, alarms_at = 0, []
    for step in range(count):
        if step in stream.events:
            table.take(stream.events[step], step)
            alarms = _alarms(table.policy)
        while late and late[0][0] <= step:
            _, begun, rating = heapq.heappop(late)
            table.policy.learn(rating)
            if beside is not None:
                beside.rated(begun, int(arm[begun]), float(stream.reward[begun, arm[begun]]))
        if step % wanted.publish_every == 0:
            if beside is not None:
                beside.publishing(step, table.policy)
            table.publish(step)
        context = Context(x[step], tokens[step])
        everybody: Sequence[int] = range(len(table.arms))
        if beside is not None:
            everybody = beside.allowed(step, table.arms)
        choice, _, _ = table.view.choose(context, everybody, float(draws[step]))
        at = table.arms[table.view.arms.index(choice.arm)]
        arm[step], propensity[step] = at, choice.propensity
        cost, quality = float(stream.cost_usd[step, at]), float(stream.reward[step, at])
        told = Reward(cost_usd=cost, tokens_out=table.tokens_out(at, tokens[step], cost),
                      failed=False)  # fmt: skip
        shown = Interaction(context, Choice(choice.arm, choice.propensity), told, _time(step))
        table.policy.learn(shown)
        if stream.missing is None or not stream.missing[step]:
            rating = replace(shown, reward=Reward(quality=quality))
            wait = int(stream.delay[step]) if stream.delay is not None else 0
            if wait:
                heapq.heappush(late, (step + wait, step, rating))
            else:
                table.policy.learn(rating)
                if beside is not None:
                    beside.rated(step, at, quality)
        now = _alarms(table.policy)
        alarms_at += [step] * (now - alarms)
        alarms = now
    rows = np.arange(count)
    return Played(
        arm, propensity, stream.reward[rows, arm], stream.cost_usd[rows, arm], tuple(alarms_at)
    )


def _alarms(policy: Policy) -> int:
    return sum(policy.alarms().values())


def measure(stream: Stream, played: Played, budget_usd: float | None) -> dict[str, float]:
    """The figures of one run, over the scored requests."""
    scored = stream.phase != UNSCORED
    found = {"reward": float(played.reward[scored].mean())}
    found["cost_usd"] = float(played.cost_usd[scored].mean())
    phases = sorted(set(stream.phase[scored].tolist()))
    if budget_usd is not None:
        found["spend_over_budget"] = found["cost_usd"] / budget_usd
    if len(phases) > 1:
        for phase in phases:
            here = stream.phase == phase
            found[f"reward_phase_{phase}"] = float(played.reward[here].mean())
            if budget_usd is not None:
                spent = float(played.cost_usd[here].mean())
                found[f"spend_over_budget_phase_{phase}"] = spent / budget_usd
    found |= _alarm_figures(stream, played)
    if stream.scenario == "quality":
        found |= _fall_figures(stream, played)
    if stream.scenario.startswith("new"):
        found |= _newcomer_figures(stream, played)
    return found


def _alarm_figures(stream: Stream, played: Played) -> dict[str, float]:
    """Alarms while nothing had changed, and the decisions in which they might have come."""
    still = np.ones(len(stream.phase), dtype=bool)
    if stream.scenario in ("quality", "price_drop", "price_drop_silent"):
        still = stream.phase < 2
    false = sum(1 for step in played.alarms_at if still[step])
    return {"false_alarms": float(false), "still_decisions": float(still.sum())}


def _rolling(values: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=float)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - window)
    rolled: NDArray[np.float64] = (sums[ends] - sums[begins]) / (ends - begins)
    return rolled


def _first(which: NDArray[np.bool_]) -> float:
    found = np.flatnonzero(which)
    return float(found[0]) if len(found) else float(len(which))


def _fall_figures(stream: Stream, played: Played) -> dict[str, float]:
    """Steps until the fallen deployment's share (of 50) is halved, and until it is back at 80 %."""
    own = played.arm == stream.focus
    base = float(own[stream.phase == 1].mean())
    share = _rolling(own, SHARE_WINDOW)
    return {
        "share_before": base,
        "steps_to_halve": _first(share[stream.phase == 2] < HALVED * base),
        "steps_to_give_back": _first(share[stream.phase == 3] >= GIVEN_BACK * base),
    }


def _newcomer_figures(stream: Stream, played: Played) -> dict[str, float]:
    """Steps until a newcomer keeps a tenth, and what the first 300 decisions earned."""
    start = next(iter(stream.events))
    own = played.arm[start:] == stream.focus
    above = _rolling(own, NEWCOMER_WINDOW) >= ADOPTED
    kept = np.convolve(above, np.ones(ADOPTED_FOR), "valid") == ADOPTED_FOR
    return {
        "steps_to_adopt": _first(kept),
        "reward_first_300": float(played.reward[start : start + FIRST].mean()),
        "share_first_300": float(own[:FIRST].mean()),
        "share_last_200": float(own[-200:].mean()),
    }
