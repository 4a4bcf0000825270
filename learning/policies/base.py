"""What a policy is: it learns off the request path and publishes choosers that answer on it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from learning import exploration
from learning.errors import SnapshotSchema, UnknownArm, UnknownParameter
from learning.evidence import Evidence
from learning.interaction import Arm, Choice, Context, Interaction, Vector
from learning.reward import RewardScale
from learning.snapshot import Frozen, freeze, thaw

P = TypeVar("P")

# Every word that a chooser may say of an arm, and what it means to an operator.
STATES: Mapping[str, str] = {
    "steady": "nothing holds it back",
    "on trial": "new here: its share is bounded until enough of its answers are rated",
    "re-exploring": "its quality changed: it is tried anew",
    "held back": "slow or failing: its share is held down, and rises slowly when it is well",
}


@dataclass(frozen=True, slots=True)
class Scores:
    """What a chooser thinks of each eligible arm; every array has shape [eligible].

    ``quality`` in [0, 1] (expected, given an answer), ``cost_usd``, ``latency_s``,
    ``error_rate`` in [0, 1], and the ``utility`` that the probabilities are made from, in
    points of reward. How the probabilities may be made: ``spread`` (the utility's posterior
    standard deviation, tempered), ``floor`` and ``cap`` (the least and the greatest share).
    """

    quality: Vector
    cost_usd: Vector
    latency_s: Vector
    error_rate: Vector
    utility: Vector
    spread: Vector | None = None
    floor: Vector | None = None
    cap: Vector | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """Means over some contexts, each [eligible]: the probabilities, and parts of ``Scores``."""

    share: Vector
    quality: Vector
    cost_usd: Vector
    latency_s: Vector
    error_rate: Vector
    utility: Vector

    @classmethod
    def of(cls, told: Sequence[Scores], shares: NDArray[np.float64]) -> Expected:
        """From the scores of each context and its probabilities [n, eligible]."""

        def mean(of: Callable[[Scores], Vector]) -> Vector:
            return np.asarray(np.mean([of(scores) for scores in told], axis=0))

        return cls(
            shares.mean(0), mean(lambda s: s.quality), mean(lambda s: s.cost_usd),
            mean(lambda s: s.latency_s), mean(lambda s: s.error_rate), mean(lambda s: s.utility),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prior:
    """What a model fitted elsewhere believes of quality: ``theta`` [arms, features].

    A policy takes it as the centre that each arm is drawn towards, for the arms and features
    that both know. ``evidence``: rated answers that it has not seen, which it takes as its own.
    """

    arms: tuple[str, ...]
    features: tuple[str, ...]
    theta: NDArray[np.float64]
    evidence: Evidence | None = None

    @classmethod
    def told(cls, evidence: Evidence) -> Self:
        """Answers alone, and no other belief."""
        return cls((), (), np.zeros((0, 0)), evidence)


@dataclass(frozen=True, slots=True)
class PolicySetup:
    """What every policy is built from: its arms, the names of the features, the reward scale."""

    arms: tuple[Arm, ...]
    features: tuple[str, ...]
    scale: RewardScale

    @property
    def names(self) -> tuple[str, ...]:
        """The arms' names, in order."""
        return tuple(arm.name for arm in self.arms)


class Chooser(ABC):
    """An immutable view of a policy: what it would choose, until the next one is published."""

    arms: tuple[str, ...]
    states: tuple[str, ...] = ()  # of each arm a word of STATES; empty where nothing is told

    @abstractmethod
    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        """Scores of the eligible arms, given by their indices into ``arms``."""

    @abstractmethod
    def propensities(self, scores: Scores) -> Vector:
        """The exact probability of each eligible arm; shape [eligible], sum 1."""

    def choose(
        self, context: Context, eligible: Sequence[int], number: float
    ) -> tuple[Choice, Vector, Scores]:
        """The arm that ``number`` in [0, 1) draws, all probabilities, and the scores."""
        scores = self.scores(context, eligible)
        probabilities = self.propensities(scores)
        at = exploration.draw(probabilities, number)
        return Choice(self.arms[eligible[at]], float(probabilities[at])), probabilities, scores

    def expected(self, contexts: Sequence[Context], eligible: Sequence[int]) -> Expected:
        """What those ``contexts`` get together, one by one unless a chooser can do better."""
        told = [self.scores(context, eligible) for context in contexts]
        return Expected.of(told, np.array([self.propensities(scores) for scores in told]))


class Policy(ABC):
    """Learns from interactions, one at a time and in order; equal inputs give equal states.

    A chooser is a pure function of the state and ``at_s``, so a decision is replayed bit for
    bit from a frozen state and the interactions after it (one machine, one BLAS thread).
    """

    kind: ClassVar[str]
    takes_budget: ClassVar[bool] = False  # whether `budget_usd` is a parameter of it
    takes_evidence: ClassVar[bool] = False  # whether answers rated elsewhere teach it

    def __init__(self, setup: PolicySetup) -> None:
        self.setup = setup
        self._index = {name: i for i, name in enumerate(setup.names)}

    def index(self, arm: str) -> int:
        """The arm's place; raises UnknownArm."""
        try:
            return self._index[arm]
        except KeyError:
            raise UnknownArm(arm, self.setup.names) from None

    def knows(self, arm: str) -> bool:
        """Whether this is one of the arms."""
        return arm in self._index

    @abstractmethod
    def learn(self, interaction: Interaction) -> None:
        """Take one interaction into the sums."""

    def take_prior(self, prior: Prior) -> bool:
        """Believe ``prior`` until answers say otherwise; whether this policy has a use for it."""
        return False

    @abstractmethod
    def chooser(self, at_s: float) -> Chooser:
        """The view to publish, as of ``at_s`` (seconds since the epoch)."""

    def alarms(self) -> Mapping[str, int]:
        """How often each arm's quality was found changed; empty for a policy that does not look."""
        return {}

    @abstractmethod
    def state(self) -> Frozen:
        """The state at rest."""

    @abstractmethod
    def restore(self, frozen: Frozen) -> None:
        """Take the state of ``frozen`` for the arms and features that both know."""

    @classmethod
    @abstractmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        """A new policy; raises ValueError that names a wrong parameter."""

    def freeze(self) -> bytes:
        """The state as bytes."""
        return freeze(self.state())

    def thaw(self, data: bytes) -> None:
        """Take the state from bytes; raises SnapshotError."""
        frozen = thaw(data)
        if frozen.kind != self.kind:
            raise SnapshotSchema(f"a snapshot of a {frozen.kind!r} policy, not of {self.kind!r}")
        self.restore(frozen)


def take_parameters(cls: type[P], parameters: Mapping[str, Any]) -> P:
    """Build a parameter dataclass, with an error that names an unknown parameter."""
    known = tuple(cls.__dataclass_fields__)  # type: ignore[attr-defined]
    for name in parameters:
        if name not in known:
            raise UnknownParameter(name, known)
    return cls(**parameters)


def check_numbers(parameters: Mapping[str, Any]) -> None:
    """Every parameter a finite number and not negative, ``budget_usd`` or none; ValueError."""
    for name, number in parameters.items():
        if name == "budget_usd" and number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError(f"{name} must be a number, not {number!r}")
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{name} must be finite and not negative, not {number!r}")


def unscored(setup: PolicySetup, eligible: Sequence[int]) -> Scores:
    """Scores of a policy that learns nothing: the priors and the list prices, utility zero."""
    arms = [setup.arms[i] for i in eligible]
    zeros = np.zeros(len(arms))
    return Scores(
        quality=np.array([arm.prior_quality for arm in arms]),
        cost_usd=zeros,
        latency_s=np.array([arm.prior_latency_s for arm in arms]),
        error_rate=zeros,
        utility=zeros,
    )
