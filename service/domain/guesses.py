"""What a classifier thinks a request's task is: the tasks' probabilities, and what it saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSIFIER, ASKED = "classifier", "asked"  # sources of a task, beside caller, rule and none
UNSURE = "unsure"  # who left the draw since the task was not sure
NO_SAFE = "unsure_without_safe"  # nobody of the safe ones could serve
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Guess:
    """``probabilities`` [T] of ``tasks``, by the classifier of ``version``, from ``x`` [width]."""

    version: str
    tasks: tuple[str, ...]
    probabilities: NDArray[np.float64]
    x: NDArray[np.float32]

    @property
    def best(self) -> tuple[str, float]:
        """The likeliest task, and its probability."""
        at = int(self.probabilities.argmax())
        return self.tasks[at], float(self.probabilities[at])

    def top(self, count: int = SHOWN) -> dict[str, float]:
        """The likeliest tasks with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return {self.tasks[i]: float(self.probabilities[i]) for i in order}
