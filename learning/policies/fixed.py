"""One arm for everything: the best of these is the baseline that every claim is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from learning import exploration
from learning.interaction import Context, Interaction, Vector
from learning.policies.base import Chooser, Policy, PolicySetup, Scores, take_parameters, unscored
from learning.snapshot import Frozen


@dataclass(frozen=True, slots=True)
class FixedParameters:
    """``arm``: the one to use (the first when empty); ``floor``: the least share of each other."""

    arm: str = ""
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.floor <= 1.0:
            raise ValueError(f"floor must lie in [0, 1], not {self.floor!r}")


class FixedChooser(Chooser):
    """The one arm where it is eligible, otherwise the first that is."""

    def __init__(self, setup: PolicySetup, at: int, floor: float) -> None:
        self.arms = setup.names
        self._setup, self._at, self._floor = setup, at, floor

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        utility = np.array([1.0 if i == self._at else 0.0 for i in eligible])
        return replace(unscored(self._setup, eligible), utility=utility)

    def propensities(self, scores: Scores) -> Vector:
        return exploration.with_floor(exploration.epsilon_greedy(scores.utility, 0.0), self._floor)


class Fixed(Policy):
    """The fixed policy; it holds no state."""

    kind = "fixed"

    def __init__(self, setup: PolicySetup, parameters: FixedParameters) -> None:
        super().__init__(setup)
        self.parameters = parameters
        self._at = self.index(parameters.arm) if parameters.arm else 0

    @classmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        return cls(setup, take_parameters(FixedParameters, parameters))

    def learn(self, interaction: Interaction) -> None:
        self.index(interaction.choice.arm)

    def chooser(self, at_s: float) -> FixedChooser:
        return FixedChooser(self.setup, self._at, self.parameters.floor)

    def state(self) -> Frozen:
        return Frozen(self.kind, {"arms": list(self.setup.names)}, {})

    def restore(self, frozen: Frozen) -> None:
        return None
