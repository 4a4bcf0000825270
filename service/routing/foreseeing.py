"""What is foreseen of a request on its way: its scores, and each deployment's chance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.acceptance import Foresight
from learning.difficulty import Demand, demand, with_chances
from learning.features import Signals

COLD, FITTED, ASIDE, OFF = "cold", "fitted", "aside", "off"
TIMED = 16  # one prediction in so many is timed


@dataclass(frozen=True, slots=True)
class PredictionRules:
    """What the plan wants done by chances. ``margin``: how far below the best a deployment may lie
    (None: nobody is taken out); ``below``: the chance under which a first tier is passed over
    (None: never), where the next is better by ``gain``; ``held_out``: the share of what would be
    done that is not, so that its worth can be told.
    """

    margin: float | None = None
    below: float | None = None
    gain: float = 0.1
    held_out: float = 0.05


@dataclass(frozen=True, slots=True)
class Published:
    """What predicts now; swapped whole. ``state``: ``cold`` (nothing fitted yet), ``fitted``,
    ``aside`` (no fit beats the baselines), ``off`` (it costs more than it brings, or by hand).
    """

    foresight: Foresight
    model_id: str = ""
    state: str = COLD
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Of one request: its scores, those of its text alone, each deployment's chance in the
    order of the catalogue, and what foresaw them.
    """

    demand: Demand
    of_text: Demand
    chances: tuple[float, ...]
    by: Published


class Foreseer:
    """Foresees for one catalogue; counts what that costs. Never waits, touches no disk."""

    def __init__(self, names: Sequence[str], rules: PredictionRules, published: Published) -> None:
        self.names, self.rules, self.published = tuple(names), rules, published
        self.predictions = self.timed = 0
        self.cpu_s = 0.0  # of those that were timed

    @property
    def seconds_each(self) -> float:
        """The CPU time of a prediction, as measured; 0 before the first."""
        return self.cpu_s / self.timed if self.timed else 0.0

    def ahead(self, signals: Signals, features: NDArray[np.float32]) -> Ahead | None:
        """What is foreseen of a request; None while it is switched off."""
        published = self.published
        if published.state == OFF:
            return None
        self.predictions += 1
        if self.predictions % TIMED:
            return _foreseen(published, signals, features)
        begun = time.thread_time()
        found = _foreseen(published, signals, features)
        self.cpu_s += time.thread_time() - begun
        self.timed += 1
        return found


def _foreseen(published: Published, signals: Signals, features: NDArray[np.float32]) -> Ahead:
    of_text = demand(signals)
    chances = tuple(published.foresight.told(features, of_text))
    told = of_text
    if published.state == FITTED:
        told = with_chances(of_text, sum(chances) / len(chances))
    return Ahead(told, of_text, chances, published)
