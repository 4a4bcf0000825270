"""The words of one round: what was known, what was chosen, what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.reward import Reward

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arm:
    """A deployment as the learner sees it.

    Prices are US dollars per million tokens. The priors are what is believed before any
    traffic: ``prior_quality`` in [0, 1] and ``prior_latency_s`` in seconds. A prior is never
    zero by default: a new arm must be worth a try. ``similar_to`` names an arm that it is
    believed to resemble until its own answers say otherwise.
    """

    name: str
    price_input_usd_mtok: float = 0.0
    price_output_usd_mtok: float = 0.0
    prior_quality: float = 0.7
    prior_latency_s: float = 1.0
    similar_to: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known before choosing.

    ``features`` has shape [d] (float32, the trailing entry is the constant 1). ``tokens_in``
    counts prompt tokens; ``tokens_out_limit`` is the caller's cap on the answer, 0 for none.
    ``cost_dial`` scales how much a dollar counts for this request: 1 as the plan says, 0 for
    quality alone, above 1 for thrift.
    """

    features: NDArray[np.float32]
    tokens_in: int
    tokens_out_limit: int = 0
    cost_dial: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """An arm and the exact probability with which it was drawn."""

    arm: str
    propensity: float


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing that a policy is told: context, choice, and the parts of the reward now known.

    ``at_s`` is seconds since the epoch of the *decision*, so that forgetting by time gives a
    late rating the weight of the answer that it rates. ``revises`` is the reward that this one
    replaces: the policy undoes that one and does this one. ``weight`` in [0, 1] is how much the
    quality counts beside an answer that is wholly believed, ``revises_weight`` how much the one
    that is undone counted.
    """

    context: Context
    choice: Choice
    reward: Reward
    at_s: float
    revises: Reward | None = None
    weight: float = 1.0
    revises_weight: float = 1.0
