"""The linear contextual bandit: a ridge model of quality an arm, drawn towards a shared one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from learning import exploration
from learning.decay import DecayClock
from learning.errors import InvalidInteraction, SnapshotSchema
from learning.interaction import Context, Interaction, Vector
from learning.pacing import Pacer
from learning.policies.base import Chooser, Policy, PolicySetup, Scores, take_parameters
from learning.reward import Reward
from learning.snapshot import Frozen

# columns of the live sums, per arm
_LATENCY_N, _LATENCY, _ERROR_N, _ERROR = range(4)
PRIOR_TOKENS_OUT = 300.0


@dataclass(frozen=True, slots=True)
class LinearParameters:
    """``shrinkage`` and ``word_shrinkage``: ridge penalties, in rated answers. ``pooling``: the
    penalty of the shared model. ``gamma``: greed per square root of ratings (inverse-gap
    weighting). ``floor``: the least probability of an eligible arm. Half-lives in seconds.
    ``live_prior``: how many calls the latency and error priors are worth. ``budget_usd``:
    dollars per request, none for no budget.
    """

    shrinkage: float = 12.0
    word_shrinkage: float = 60.0
    pooling: float = 4.0
    gamma: float = 12.0
    floor: float = 0.005
    quality_half_life_s: float = 14 * 86_400.0
    live_half_life_s: float = 120.0
    live_prior: float = 4.0
    prior_error_rate: float = 0.01
    budget_usd: float | None = None

    def __post_init__(self) -> None:
        for name in asdict(self):
            number = getattr(self, name)
            if name == "budget_usd" and number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise ValueError(f"{name} must be a number, not {number!r}")
            if not (math.isfinite(number) and number >= 0):
                raise ValueError(f"{name} must be finite and not negative, not {number!r}")
        for name in ("shrinkage", "word_shrinkage", "pooling", "budget_usd"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above zero")
        for name in ("quality_half_life_s", "live_half_life_s"):
            if getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be at least one second")
        if self.floor > 0.2:
            raise ValueError(f"floor must be at most 0.2, not {self.floor!r}")


@dataclass(frozen=True)
class LinearChooser(Chooser):
    """Frozen coefficients: quality from ``theta`` [K, d], the rest one number an arm."""

    arms: tuple[str, ...]
    everybody: tuple[int, ...]
    theta: NDArray[np.float64]
    tokens_out: Vector
    price_in: Vector  # dollars per token
    price_out: Vector
    latency_s: Vector
    error_rate: Vector
    per_usd: float  # points per dollar that the plan sets
    dual_price: float  # points per dollar that the budget adds
    per_second: float
    gamma: float
    floor: float

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        # Usually everybody is eligible; then no array need be picked apart.
        at = slice(None) if tuple(eligible) == self.everybody else list(eligible)
        out = self.tokens_out[at]
        if context.tokens_out_limit:
            out = np.minimum(out, context.tokens_out_limit)
        cost = context.tokens_in * self.price_in[at] + self.price_out[at] * out
        quality = (self.theta @ context.features)[at].clip(0.0, 1.0)
        latency, errors = self.latency_s[at], self.error_rate[at]
        per_usd = context.cost_dial * self.per_usd + self.dual_price
        utility = quality * (1.0 - errors) - per_usd * cost - self.per_second * latency
        return Scores(quality, cost, latency, errors, utility)

    def propensities(self, scores: Scores) -> Vector:
        weights = exploration.inverse_gap(scores.utility, self.gamma)
        return exploration.with_floor(weights, self.floor)


class Linear(Policy):
    """Sums that add and forget by time; coefficients solved anew whenever one publishes.

    Quality of arm a: ``theta_a = (A_a + L)^-1 (b_a + L theta_0)`` with the shared ``theta_0``
    ridged from all arms together (a two-level model; Jiang and Nachum's pooling in its plainest
    form). Utility: quality times the chance of an answer, less cost and waiting at their
    exchange rates. Exploration: inverse-gap weighting over a floor.
    """

    kind = "linear"

    def __init__(self, setup: PolicySetup, parameters: LinearParameters) -> None:
        super().__init__(setup)
        self.parameters = parameters
        count, dimension = len(setup.arms), len(setup.features)
        self._gram = np.zeros((count, dimension, dimension))
        self._moment = np.zeros((count, dimension))
        self._rated = np.zeros(count)
        self._tokens = np.zeros((count, 2))
        self._live = np.zeros((count, 4))
        self._slow = DecayClock(parameters.quality_half_life_s)
        self._fast = DecayClock(parameters.live_half_life_s)
        self._pacer = Pacer(parameters.budget_usd, dimension)
        words = np.array([name.startswith(("word_", "embedding_")) for name in setup.features])
        self._ridge = np.where(words, parameters.word_shrinkage, parameters.shrinkage)
        self._ridge[-1] = 1.0

    @classmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        return cls(setup, take_parameters(LinearParameters, parameters))

    # learning ---------------------------------------------------------------------------------

    def learn(self, interaction: Interaction) -> None:
        at = self.index(interaction.choice.arm)
        if not np.isfinite(interaction.context.features).all():
            raise InvalidInteraction("features must be finite")
        self._rescale(interaction.at_s)
        reward, old = interaction.reward, interaction.revises
        if reward.quality is not None or (old is not None and old.quality is not None):
            self._learn_quality(at, interaction)
        if reward.cost_usd is not None and old is None:
            self._pacer.spent(
                interaction.context.features, interaction.context.tokens_in, reward.cost_usd
            )
        if reward.failed is not None and old is None:
            self._learn_live(at, reward, interaction.at_s)

    def _rescale(self, at_s: float) -> None:
        slow = self._slow.rescale(at_s)
        if slow != 1.0:
            for sums in (self._gram, self._moment, self._rated, self._tokens):
                sums *= slow
        fast = self._fast.rescale(at_s)
        if fast != 1.0:
            self._live *= fast

    def _learn_quality(self, at: int, interaction: Interaction) -> None:
        x = interaction.context.features.astype(np.float64)
        weight = self._slow.weight(interaction.at_s)
        old = interaction.revises.quality if interaction.revises else None
        new = interaction.reward.quality
        if old is None or new is None:  # a first rating, or one that is taken back
            signed = weight if old is None else -weight
            self._gram[at] += np.multiply.outer(signed * x, x)
            self._rated[at] += signed
        self._moment[at] += (weight * ((new or 0.0) - (old or 0.0))) * x

    def _learn_live(self, at: int, reward: Reward, at_s: float) -> None:
        # A call that has just ended is news, even when the wall clock was set back meanwhile.
        weight = self._fast.weight(max(at_s, self._fast.latest_s))
        live = self._live[at]
        live[_ERROR_N] += weight
        live[_ERROR] += weight * bool(reward.failed)
        if reward.latency_s is not None:
            live[_LATENCY_N] += weight
            live[_LATENCY] += weight * reward.latency_s
        if reward.tokens_out is not None and not reward.failed:
            slow = self._slow.weight(at_s)
            self._tokens[at] += (slow, slow * reward.tokens_out)

    # publishing -------------------------------------------------------------------------------

    def chooser(self, at_s: float) -> LinearChooser:
        slow, fast = self._slow.discount(at_s), self._fast.discount(at_s)
        if not self._slow.started:
            slow = fast = 1.0
        p, arms = self.parameters, self.setup.arms
        prior_latency = np.array([arm.prior_latency_s for arm in arms])
        live = self._live * fast
        latency = (live[:, _LATENCY] + p.live_prior * prior_latency) / (
            live[:, _LATENCY_N] + p.live_prior
        )
        errors = (live[:, _ERROR] + p.live_prior * p.prior_error_rate) / (
            live[:, _ERROR_N] + p.live_prior
        )
        chooser = LinearChooser(
            arms=self.setup.names,
            everybody=tuple(range(len(arms))),
            theta=self._solve(slow),
            tokens_out=self._tokens_out(slow),
            price_in=np.array([arm.price_input_usd_mtok for arm in arms]) * 1e-6,
            price_out=np.array([arm.price_output_usd_mtok for arm in arms]) * 1e-6,
            latency_s=latency,
            error_rate=errors,
            per_usd=self.setup.scale.per_usd,
            dual_price=0.0,
            per_second=self.setup.scale.per_second,
            gamma=p.gamma * math.sqrt(1.0 + slow * float(self._rated.sum())),
            floor=p.floor,
        )
        return replace(chooser, dual_price=self._dual_price(chooser))

    def _solve(self, discount: float) -> NDArray[np.float64]:
        gram, moment = self._gram * discount, self._moment * discount
        priors = np.array([arm.prior_quality for arm in self.setup.arms])
        ridge = self._ridge
        centre = np.zeros(ridge.shape[0])
        centre[-1] = priors.mean()
        pool = np.full(ridge.shape[0], self.parameters.pooling)
        shared = np.linalg.solve(gram.sum(0) + np.diag(pool), moment.sum(0) + pool * centre)
        target = np.tile(shared, (len(priors), 1))
        target[:, -1] += priors - priors.mean()
        matrix = gram + np.diag(ridge)
        theta: NDArray[np.float64] = np.linalg.solve(matrix, (moment + ridge * target)[..., None])
        return theta[..., 0]

    def _tokens_out(self, discount: float) -> Vector:
        weights, sums = self._tokens[:, 0] * discount, self._tokens[:, 1] * discount
        known = weights.sum() > 0
        typical = float(sums.sum() / weights.sum()) if known else PRIOR_TOKENS_OUT
        means: Vector = (sums + typical) / (weights + 1.0)
        return means

    def _dual_price(self, chooser: LinearChooser) -> float:
        features, tokens = self._pacer.window()
        if self._pacer.budget_usd is None or not len(tokens):
            return 0.0
        cost = np.outer(tokens, chooser.price_in) + chooser.price_out * chooser.tokens_out
        quality = np.clip(features @ chooser.theta.T, 0.0, 1.0) * (1.0 - chooser.error_rate)
        base = quality - chooser.per_usd * cost - chooser.per_second * chooser.latency_s
        rows, count = np.arange(len(tokens)), len(chooser.arms)
        share = min(chooser.floor * count, 1.0)

        def spend_at(price: float) -> float:
            utility = base - price * cost
            best = utility.argmax(1)
            gap = utility[rows, best][:, None] - utility
            weights = 1.0 / (count + chooser.gamma * gap)
            weights[rows, best] = 0.0
            weights[rows, best] = 1.0 - weights.sum(1)
            weights = (1.0 - share) * weights + share / count
            return float((weights * cost).sum() / len(tokens))

        return self._pacer.solve(spend_at)

    # rest -------------------------------------------------------------------------------------

    def state(self) -> Frozen:
        about = {
            "arms": list(self.setup.names),
            "features": list(self.setup.features),
            "parameters": asdict(self.parameters),
            "clocks": [
                [clock.reference_s, clock.latest_s, clock.started]
                for clock in (self._slow, self._fast)
            ],
        }
        arrays = {
            "gram": self._gram, "moment": self._moment, "rated": self._rated,
            "tokens": self._tokens, "live": self._live,
        }  # fmt: skip
        copies = {name: array.copy() for name, array in arrays.items()}
        return Frozen(self.kind, about, copies | self._pacer.arrays())

    def restore(self, frozen: Frozen) -> None:
        arms = {name: i for i, name in enumerate(frozen.about["arms"])}
        features = {name: i for i, name in enumerate(frozen.about["features"])}
        if "constant" not in features:
            raise SnapshotSchema("the snapshot's features lack the constant")
        columns = np.array([features.get(name, -1) for name in self.setup.features])
        known = np.flatnonzero(columns >= 0)
        for at, name in enumerate(self.setup.names):
            if name not in arms:
                continue
            was = arms[name]
            grid = np.ix_(columns[known], columns[known])
            self._gram[at][np.ix_(known, known)] = frozen.arrays["gram"][was][grid]
            self._moment[at][known] = frozen.arrays["moment"][was][columns[known]]
            for sums, key in (
                (self._rated, "rated"),
                (self._tokens, "tokens"),
                (self._live, "live"),
            ):
                sums[at] = frozen.arrays[key][was]
        # Sums keep what they are worth at their reference, whatever the half-life from now on.
        clocks = frozen.about["clocks"]
        for clock, (reference_s, latest_s, started) in zip(
            (self._slow, self._fast), clocks, strict=True
        ):
            clock.reference_s, clock.latest_s, clock.started = reference_s, latest_s, started
        self._pacer.restore(frozen.arrays, columns)
