"""Evidence against a hypothesis: an e-value, kept as its logarithm."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.errors import ExperimentError
from experiments.statistics.inputs import level


@dataclass(frozen=True, slots=True)
class Evidence:
    """The value of an e-process at this look (Ramdas, Grünwald, Vovk, Shafer, Stat. Sci. 2023).

    Under the hypothesis P(it ever reaches 1 / alpha) <= alpha, however often one looks (Ville).
    ``log_e`` may be infinite: something has been seen that the hypothesis rules out.
    """

    log_e: float

    def __post_init__(self) -> None:
        if math.isnan(self.log_e):
            raise ExperimentError("log_e is NaN: give the logarithm of an e-value")

    @property
    def e_value(self) -> float:
        """The e-value; infinite beyond the range of a float."""
        return math.exp(self.log_e) if self.log_e < 709.0 else math.inf

    @property
    def p_value(self) -> float:
        """An always-valid p-value: min(1, 1/E)."""
        return math.exp(-max(self.log_e, 0.0))

    def rejects(self, alpha: float) -> bool:
        """Has it reached 1 / ``alpha``?"""
        return self.log_e >= -math.log(level(alpha))
