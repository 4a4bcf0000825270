"""Every eligible arm alike: the baseline that explores and never learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from learning import exploration
from learning.interaction import Context, Interaction, Vector
from learning.policies.base import Chooser, Policy, PolicySetup, Scores, take_parameters, unscored
from learning.snapshot import Frozen


@dataclass(frozen=True, slots=True)
class UniformParameters:
    """None."""


class UniformChooser(Chooser):
    """Alike for all."""

    def __init__(self, setup: PolicySetup) -> None:
        self.arms = setup.names
        self._setup = setup

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        return unscored(self._setup, eligible)

    def propensities(self, scores: Scores) -> Vector:
        return exploration.uniform(scores.utility.shape[0])


class Uniform(Policy):
    """The uniform policy; it holds no state."""

    kind = "uniform"

    @classmethod
    def build(cls, setup: PolicySetup, parameters: Mapping[str, Any]) -> Self:
        take_parameters(UniformParameters, parameters)
        return cls(setup)

    def learn(self, interaction: Interaction) -> None:
        self.index(interaction.choice.arm)

    def chooser(self, at_s: float) -> UniformChooser:
        return UniformChooser(self.setup)

    def state(self) -> Frozen:
        return Frozen(self.kind, {"arms": list(self.setup.names)}, {})

    def restore(self, frozen: Frozen) -> None:
        return None
