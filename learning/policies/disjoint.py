"""What the textbook bandits share: a ridge regression an arm, nothing shared, and the pacer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from learning.errors import InvalidInteraction, SnapshotSchema
from learning.interaction import Context, Interaction, Vector
from learning.pacing import Pacer, weight_of
from learning.policies.base import (
    Chooser,
    Policy,
    PolicySetup,
    Prior,
    Scores,
    check_numbers,
    take_parameters,
)
from learning.regression import Sums
from learning.snapshot import Frozen

PRIOR_TOKENS = 300.0
Explore = Callable[[Vector, Vector], Vector]  # utility and deviation to probabilities, all [K]


@dataclass(frozen=True, slots=True)
class RidgeParameters:
    """``ridge``: the penalty of every coefficient, in answers. ``exploration``: what the rule
    makes of it. ``budget_usd``: dollars per request, none for no budget.
    """

    ridge: float = 1.0
    exploration: float = 0.1
    budget_usd: float | None = None

    def __post_init__(self) -> None:
        check_numbers(asdict(self))
        for name in ("ridge", "budget_usd"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above zero")


@dataclass(frozen=True)
class RidgeChooser(Chooser):
    """Frozen coefficients ``theta`` [K, d] with ``covariance`` [K, d, d], and the rule."""

    arms: tuple[str, ...]
    theta: NDArray[np.float64]
    covariance: NDArray[np.float64]
    tokens_out: Vector
    price_in: Vector
    price_out: Vector
    latency_s: Vector
    error_rate: Vector
    per_usd: float
    dual_price: float
    explore: Explore

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        at, x = list(eligible), context.features.astype(np.float64)
        out = self.tokens_out[at]
        if context.tokens_out_limit:
            out = np.minimum(out, context.tokens_out_limit)
        cost = context.tokens_in * self.price_in[at] + self.price_out[at] * out
        quality = (self.theta @ x)[at]
        dial = context.cost_dial
        per_usd = dial * self.per_usd + float(weight_of(dial)) * self.dual_price
        variance = np.maximum(np.einsum("i,kij,j->k", x, self.covariance, x), 0.0)[at]
        return Scores(
            quality=quality.clip(0.0, 1.0),
            cost_usd=cost,
            latency_s=self.latency_s[at],
            error_rate=self.error_rate[at],
            utility=quality - per_usd * cost,
            spread=np.sqrt(variance),
        )

    def propensities(self, scores: Scores) -> Vector:
        assert scores.spread is not None
        return self.explore(scores.utility, scores.spread)


class Disjoint(Policy):
    """A textbook bandit: it knows neither forgetting nor latency nor errors.

    ``theta_a = (X_a' X_a + ridge I)^-1 X_a' y_a``. A budget is kept by the same pacer as the
    production policy's, on greedy choices, so that a comparison is of the learners.
    """

    parameters_type: ClassVar[type[RidgeParameters]] = RidgeParameters
    takes_budget = takes_evidence = True

    def __init__(self, setup: PolicySetup, parameters: RidgeParameters) -> None:
        super().__init__(setup)
        self.parameters = parameters
        count, dimension = len(setup.arms), len(setup.features)
        self._sums = Sums.of(count, dimension)
        self._tokens = np.zeros((count, 2))
        self._calls = np.zeros((count, 2))
        self._pacer = Pacer(parameters.budget_usd, count, dimension)

    @classmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        return cls(setup, take_parameters(cls.parameters_type, parameters))

    @abstractmethod
    def rule(self, rated: float) -> Explore:
        """Utility and deviation [K] to probabilities, after so many rated answers."""

    def learn(self, interaction: Interaction) -> None:
        at = self.index(interaction.choice.arm)
        if not np.isfinite(interaction.context.features).all():
            raise InvalidInteraction("features must be finite")
        x = interaction.context.features.astype(np.float64)
        reward, revised = interaction.reward, interaction.revises
        if revised is not None and revised.quality is not None:
            self._sums.add(at, x, revised.quality, -interaction.revises_weight)
        if reward.quality is not None:
            self._sums.add(at, x, reward.quality, interaction.weight)
        if reward.failed is None or revised is not None:
            return
        self._calls[at] += (1.0, float(reward.failed))
        if reward.cost_usd is not None:
            self._pacer.spent(at, interaction.context, reward.cost_usd)
        if reward.tokens_out is not None and not reward.failed:
            self._tokens[at] += (1.0, reward.tokens_out)

    def take_prior(self, prior: Prior) -> bool:
        """Answers given elsewhere are answers; it has no other use for a belief."""
        evidence = prior.evidence
        if evidence is None:
            return False
        known, was = evidence.columns(self.setup.features)
        for at, of in evidence.add_to(self._sums, self._index, self.setup.features):
            tokens, _, calls = evidence.length[of][:3]
            self._tokens[at] += (calls, tokens)
        self._pacer.saw(evidence.contexts[:, was], evidence.tokens_in, known)
        return True

    def chooser(self, at_s: float) -> RidgeChooser:
        arms = self.setup.arms
        dimension = len(self.setup.features)
        matrix = self._sums.gram + self.parameters.ridge * np.eye(dimension)
        covariance = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        known = self._tokens[:, 0].sum() > 0
        typical = self._tokens[:, 1].sum() / self._tokens[:, 0].sum() if known else PRIOR_TOKENS
        chooser = RidgeChooser(
            arms=self.setup.names,
            theta=np.einsum("kij,kj->ki", covariance, self._sums.moment),
            covariance=covariance,
            tokens_out=(self._tokens[:, 1] + typical) / (self._tokens[:, 0] + 1.0),
            price_in=np.array([arm.price_input_usd_mtok for arm in arms]) * 1e-6,
            price_out=np.array([arm.price_output_usd_mtok for arm in arms]) * 1e-6,
            latency_s=np.array([arm.prior_latency_s for arm in arms]),
            error_rate=(self._calls[:, 1] + 0.01) / (self._calls[:, 0] + 1.0),
            per_usd=self.setup.scale.per_usd,
            dual_price=0.0,
            explore=self.rule(float(self._sums.count.sum())),
        )
        return replace(chooser, dual_price=self._dual_price(chooser))

    def _dual_price(self, chooser: RidgeChooser) -> float:
        features, tokens, dials = self._pacer.window()
        if self._pacer.budget_usd is None or not len(tokens):
            return 0.0
        cost = np.outer(tokens, chooser.price_in) + chooser.price_out * chooser.tokens_out
        base = features @ chooser.theta.T - chooser.per_usd * dials[:, None] * cost
        weighted = weight_of(dials)[:, None] * cost
        rows = np.arange(len(tokens))
        return self._pacer.solve(
            lambda price: float(cost[rows, (base - price * weighted).argmax(1)].mean())
        )

    def state(self) -> Frozen:
        about = {
            "arms": list(self.setup.names),
            "features": list(self.setup.features),
            "parameters": asdict(self.parameters),
        }
        arrays = {
            "gram": self._sums.gram, "moment": self._sums.moment, "square": self._sums.square,
            "count": self._sums.count, "tokens": self._tokens, "calls": self._calls,
        }  # fmt: skip
        copies = {name: array.copy() for name, array in arrays.items()}
        return Frozen(self.kind, about, copies | self._pacer.arrays())

    def restore(self, frozen: Frozen) -> None:
        if frozen.about["features"] != list(self.setup.features):
            raise SnapshotSchema("the snapshot is of other features")
        arms = {name: i for i, name in enumerate(frozen.about["arms"])}
        pairs = (
            (self._sums.gram, "gram"), (self._sums.moment, "moment"),
            (self._sums.square, "square"), (self._sums.count, "count"),
            (self._tokens, "tokens"), (self._calls, "calls"),
        )  # fmt: skip
        for at, name in enumerate(self.setup.names):
            if name in arms:
                for mine, key in pairs:
                    mine[at] = frozen.arrays[key][arms[name]]
        both = {at: arms[name] for at, name in enumerate(self.setup.names) if name in arms}
        self._pacer.restore(frozen.arrays, np.arange(len(self.setup.features)), both)
