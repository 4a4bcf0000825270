"""The linear contextual bandit: a ridge model of quality an arm, drawn towards a shared one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from scipy.linalg.blas import ddot

from learning import regression
from learning.changes import Changes, Rated
from learning.decay import DecayClock
from learning.drift import UP
from learning.errors import InvalidInteraction, SnapshotSchema
from learning.evidence import Evidence
from learning.interaction import Interaction, Vector
from learning.length import LengthModel
from learning.live import Alarm, WatchedRatio
from learning.pacing import Pacer
from learning.policies.base import Policy, PolicySetup, Prior, take_parameters
from learning.policies.linear_chooser import LinearChooser, priced
from learning.policies.linear_parameters import LinearParameters
from learning.policies.linear_standing import TRIAL_AMONG, Standing
from learning.regression import Priors, Sums
from learning.reward import Reward
from learning.snapshot import Frozen

LAYOUT = 2
REFIT_MOST = 64  # rated answers between two full fits, at most
JUMP = 0.1  # points of reward that an answer is suddenly worth less


class Linear(Policy):
    """Sums that add and forget by time; coefficients refitted as answers come in.

    Quality: ``learning.regression`` (arms share strength), its changes: ``learning.changes``.
    Cost: ``learning.length`` times the prices. Latency and errors: ``learning.live``.
    Utility: quality times the chance of an answer, less cost and waiting at their exchange
    rates. Each arm gets its tempered chance of being the best, above a floor.
    """

    kind = "linear"
    takes_budget = takes_evidence = True

    def __init__(self, setup: PolicySetup, parameters: LinearParameters) -> None:
        super().__init__(setup)
        self.parameters = parameters
        count, dimension = len(setup.arms), len(setup.features)
        similar = [self._index.get(arm.similar_to, -1) for arm in setup.arms]
        self._priors = Priors.flat(self._declared(), np.array(similar), dimension)
        self._sums = Sums.of(count, dimension)
        self._changes = Changes(count, dimension, parameters.drift, parameters.threshold)
        self._length = LengthModel(count, dimension)
        self._latency = WatchedRatio.of(count, 0.5, 8.0)
        self._errors = WatchedRatio.of(count, 0.35, 7.0)
        self._alarmed_s = np.full(count, -math.inf)
        self._new = np.zeros(count, dtype=np.int64)  # 1: came when the others were known
        self._slow = DecayClock(parameters.quality_half_life_s)
        self._fast = DecayClock(parameters.live_half_life_s)
        self._pacer = Pacer(parameters.budget_usd, count, dimension)
        self._shrinkage = regression.GRID[2]
        self._weighed_at = 0.0  # how many answers there were when the shrinkage was chosen
        self._unfitted = 0
        self._fit = regression.fit(self._sums, 1.0, self._shrinkage, self._priors)

    @classmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        return cls(setup, take_parameters(LinearParameters, parameters))

    # learning ---------------------------------------------------------------------------------

    def learn(self, interaction: Interaction) -> None:
        at = self.index(interaction.choice.arm)
        x = interaction.context.features.astype(np.float64)
        # The square first: it is a third of the price, and seldom infinite of what is finite.
        if not math.isfinite(ddot(x, x)) and not np.isfinite(x).all():
            raise InvalidInteraction("features must be finite")
        self._rescale(interaction.at_s)
        reward, old = interaction.reward, interaction.revises
        if reward.quality is not None or (old is not None and old.quality is not None):
            self._learn_quality(at, x, interaction)
        if reward.cost_usd is not None and old is None:
            context, expected = interaction.context, None
            if self._pacer.budget_usd is not None:
                expected = self._expected_usd(at, x, context.tokens_in, interaction.at_s)
            self._pacer.spent(at, context, reward.cost_usd, expected)
        if reward.failed is not None and old is None:
            self._learn_live(at, x, reward, interaction.at_s)

    def _rescale(self, at_s: float) -> None:
        slow = self._slow.rescale(at_s)
        if slow != 1.0:
            for part in (self._sums, self._changes, self._length):
                part.scale(slow)
        fast = self._fast.rescale(at_s)
        if fast != 1.0:
            self._latency.scale(fast)
            self._errors.scale(fast)

    def _learn_quality(self, at: int, x: Vector, interaction: Interaction) -> None:
        at_s = interaction.at_s
        whole = self._slow.weight(at_s)
        trust, trusted = interaction.weight, interaction.revises_weight
        worth = whole * self._changes.worth(at, at_s)
        weight, before = worth * trust, worth * trusted
        old = interaction.revises.quality if interaction.revises else None
        new = interaction.reward.quality
        self._changes.told(at, x, (old, new), (whole * trusted, whole * trust), at_s)
        discount = self._slow.discount(at_s)
        changed = old is None or new is None
        if old is None and new is not None:
            error = new - float(self._fit.theta[at] @ x)
            step = self._fit.covariance[at] @ x
            spread = math.sqrt(self._fit.noise[at] * (1.0 + max(0.0, float(step @ x))))
            self._sums.add(at, x, new, weight)
            self._fit.absorb(at, x, error, weight * discount)
            rated = Rated(x, new, weight, error, spread, at_s, trust)
            changed = self._changes.observe(at, rated, self._sums, self._fit, discount)
        elif old is not None and new is not None and weight != before:
            self._sums.add(at, x, old, -before)
            self._sums.add(at, x, new, weight)
            changed = True
        elif old is not None and new is not None:
            self._sums.revise(at, x, (old, new), weight)
            change = weight * discount * (new - old)
            self._fit.theta[at] += change * (self._fit.covariance[at] @ x)
        elif old is not None:
            self._sums.add(at, x, old, -before)
        if self._new[at] and not self._standing(discount, at_s).trial[at]:
            self._new[at] = 0  # for good
        self._unfitted += 1
        total = float(self._sums.count.sum()) * discount
        if changed or self._unfitted >= min(REFIT_MOST, max(1.0, total / 32.0)):
            self._refit(discount, total)

    def _refit(self, discount: float, total: float) -> None:
        if total >= 1.1 * self._weighed_at + 8.0 or total < 0.5 * self._weighed_at:
            self._weighed_at = total
            self._shrinkage = regression.choose_shrinkage(self._sums, discount, self._priors)
        self._fit = regression.fit(self._sums, discount, self._shrinkage, self._priors)
        self._unfitted = 0

    def _expected_usd(self, at: int, x: Vector, tokens_in: int, at_s: float) -> float:
        arm = self.setup.arms[at]
        usual = self._length.usual_of(at, self._slow.discount(at_s))
        out = usual * self._length.factor_of(x)
        return (tokens_in * arm.price_input_usd_mtok + out * arm.price_output_usd_mtok) * 1e-6

    def _learn_live(self, at: int, x: Vector, reward: Reward, at_s: float) -> None:
        # A call that has just ended is news, even when the wall clock was set back meanwhile.
        now_s = max(at_s, self._fast.latest_s)
        weight, now = self._fast.weight(now_s), self._fast.discount(now_s)
        p, arm = self.parameters, self.setup.arms[at]
        rate = self._errors.ratio_of(at, now, p.prior_error_rate, p.live_prior)
        worse = _jump(self._errors.event(at, bool(reward.failed), weight, rate), p.prior_error_rate)
        if reward.latency_s is not None:
            seconds = (max(reward.latency_s, 1e-6), 1.0)
            alarm = self._latency.positive(at, seconds, weight, now)
            worse += self.setup.scale.per_second * _jump(alarm, arm.prior_latency_s)
        if worse >= JUMP:
            # From when the estimate will have faded to a jump's size: till then it holds by itself.
            fades_s = p.live_half_life_s * math.log2(worse / JUMP)
            self._alarmed_s[at] = max(self._alarmed_s[at], now_s + fades_s)
        if reward.tokens_out is not None and not reward.failed:
            slow = self._slow.weight(at_s)
            self._length.learn(at, x, reward.tokens_out, slow, self._slow.discount(at_s))

    def take_prior(self, prior: Prior) -> bool:
        if prior.evidence is not None:
            self._take_evidence(prior.evidence)
        arms, features = prior.arms, {name: i for i, name in enumerate(prior.features)}
        columns = np.array([features.get(name, -1) for name in self.setup.features])
        known = np.flatnonzero(columns >= 0)
        for at, name in enumerate(self.setup.names):
            if name in arms:
                self._priors.centre[at, known] = prior.theta[arms.index(name), columns[known]]
        discount = self._slow.discount(self._slow.latest_s) if self._slow.started else 1.0
        self._refit(discount, float(self._sums.count.sum()) * discount)
        return True

    def _take_evidence(self, evidence: Evidence) -> None:
        """Answers as if they had been given here, at the evidence's time."""
        known, was = evidence.columns(self.setup.features)
        self._rescale(evidence.at_s)
        weight = self._slow.weight(evidence.at_s)
        for at, of in evidence.add_to(self._sums, self._index, self.setup.features, weight):
            self._length.usual.add(at, (weight * evidence.length[of]).tolist())
        grams = (evidence.length_gram, evidence.length_moment)
        self._length.add_shared(grams, weight, (known, was), self._slow.discount(evidence.at_s))
        self._pacer.saw(evidence.contexts[:, was], evidence.tokens_in, known)

    def alarms(self) -> Mapping[str, int]:
        return dict(zip(self.setup.names, self._changes.alarms.tolist(), strict=True))

    # publishing -------------------------------------------------------------------------------

    def _error_rate(self, discount: float) -> Vector:
        p = self.parameters
        return self._errors.ratio(discount, p.prior_error_rate, p.live_prior)

    def _latency_s(self, discount: float) -> Vector:
        prior = np.array([arm.prior_latency_s for arm in self.setup.arms])
        return self._latency.ratio(discount, prior, self.parameters.live_prior)

    def chooser(self, at_s: float) -> LinearChooser:
        slow, fast = self._slow.discount(at_s), self._fast.discount(at_s)
        if not self._slow.started:
            slow = fast = 1.0
        p, arms = self.parameters, self.setup.arms
        returning = tuple(sorted(self._changes.kept))
        standing = self._standing(slow, max(at_s, self._fast.latest_s))
        kept = [self._changes.kept[at] for at in returning]
        chooser = LinearChooser(
            arms=self.setup.names,
            everybody=tuple(range(len(arms))),
            theta=self._fit.theta.copy(),
            covariance=self._fit.covariance.reshape(-1, len(self.setup.features)).copy(),
            noise=self._fit.noise.copy(),
            usual_tokens=self._length.usual_tokens(slow),
            length_weights=self._length.weights.copy(),
            price_in=np.array([arm.price_input_usd_mtok for arm in arms]) * 1e-6,
            price_out=np.array([arm.price_output_usd_mtok for arm in arms]) * 1e-6,
            latency_s=self._latency_s(fast),
            error_rate=self._error_rate(fast),
            per_usd=self.setup.scale.per_usd,
            dual_price=0.0,
            per_second=self.setup.scale.per_second,
            exploring=standing.exploring(p),
            caps=standing.caps(p),
            returning=returning,
            remembered=np.array([k.theta for k in kept]).reshape(-1, len(self.setup.features)),
            chances=np.array([k.chance() for k in kept]),
            states=standing.states(),
        )
        return priced(chooser, self._pacer, p.optimism)

    def _declared(self) -> Vector:
        return np.array([arm.prior_quality for arm in self.setup.arms])

    def _standing(self, discount: float, now_s: float) -> Standing:
        p = self.parameters
        risen = p.rise_per_minute * (now_s - self._alarmed_s) / 60.0
        count, calls = self._sums.count * discount, self._length.usual.count * discount
        return Standing.of((count, calls), self._new > 0, self._changes.kept, risen, p)

    # rest -------------------------------------------------------------------------------------

    def state(self) -> Frozen:
        about = {
            "layout": LAYOUT,
            "arms": list(self.setup.names),
            "features": list(self.setup.features),
            "parameters": asdict(self.parameters),
            "clocks": [
                [clock.reference_s, clock.latest_s, clock.started]
                for clock in (self._slow, self._fast)
            ],
            "fitting": [self._shrinkage, self._weighed_at, self._unfitted],
        }
        arrays = {
            "gram": self._sums.gram, "moment": self._sums.moment, "square": self._sums.square,
            "count": self._sums.count, "theta": self._fit.theta, "noise": self._fit.noise,
            "covariance": self._fit.covariance, "target": self._fit.target,
            "centre": self._priors.centre, "declared": self._declared(),
            "alarmed_s": self._alarmed_s, "new": self._new,
        }  # fmt: skip
        for part in (
            self._length.arrays(), self._length.shared(), self._latency.arrays("latency"),
            self._errors.arrays("errors"), self._changes.arrays(), self._pacer.arrays(),
        ):  # fmt: skip
            arrays |= part
        return Frozen(self.kind, about, {name: array.copy() for name, array in arrays.items()})

    def restore(self, frozen: Frozen) -> None:
        if frozen.about.get("layout") != LAYOUT:
            raise SnapshotSchema("the snapshot was written by another version of this policy")
        arms = {name: i for i, name in enumerate(frozen.about["arms"])}
        features = {name: i for i, name in enumerate(frozen.about["features"])}
        if "constant" not in features:
            raise SnapshotSchema("the snapshot's features lack the constant")
        columns = np.array([features.get(name, -1) for name in self.setup.features])
        known = np.flatnonzero(columns >= 0)
        was = columns[known]
        arrays = frozen.arrays
        # Sums keep what they are worth at their reference, whatever the half-life from now on.
        clocks = frozen.about["clocks"]
        for clock, (reference_s, latest_s, started) in zip(
            (self._slow, self._fast), clocks, strict=True
        ):
            clock.reference_s, clock.latest_s, clock.started = reference_s, latest_s, started
        discount = self._slow.discount(self._slow.latest_s) if self._slow.started else 1.0
        self._new[:] = arrays["count"].sum() * discount >= TRIAL_AMONG
        both = {at: arms[name] for at, name in enumerate(self.setup.names) if name in arms}
        for at, old in both.items():
            self._sums.gram[at][np.ix_(known, known)] = arrays["gram"][old][np.ix_(was, was)]
            self._sums.moment[at][known] = arrays["moment"][old][was]
            self._sums.square[at] = arrays["square"][old]
            self._priors.centre[at, known] = arrays["centre"][old][was]
            self._priors.centre[at, -1] += self._declared()[at] - arrays["declared"][old]
            self._sums.count[at] = arrays["count"][old]
            self._alarmed_s[at], self._new[at] = arrays["alarmed_s"][old], arrays["new"][old]
            self._length.usual.restore("length", arrays, at, old)
            self._latency.restore("latency", arrays, at, old)
            self._errors.restore("errors", arrays, at, old)
        self._length.restore_shared(arrays, known, was)
        self._changes.restore(arrays, both, known, was)
        self._pacer.restore(arrays, columns, both)
        self._shrinkage, self._weighed_at, self._unfitted = frozen.about["fitting"]
        same = list(arms) == list(self.setup.names) and list(features) == list(self.setup.features)
        if same:
            self._fit = regression.Fit(*(arrays[name].copy() for name in (
                "theta", "covariance", "noise", "target")))  # fmt: skip
        else:
            self._refit(discount, float(self._sums.count.sum()) * discount)


def _jump(alarm: Alarm | None, prior: float) -> float:
    """By how much a ratio has suddenly risen."""
    if alarm is None or alarm.side != UP:
        return 0.0
    return alarm.since - (prior if alarm.before is None else alarm.before)
