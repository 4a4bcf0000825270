"""Who was eligible, as it is recorded: each with its probability and what was thought of it."""

from __future__ import annotations

from learning.policies.base import Scores
from service.domain.records import Candidates


def candidates(
    names: tuple[str, ...], probabilities: tuple[float, ...], scores: Scores
) -> Candidates:
    """The candidates of a draw."""
    return Candidates(
        names,
        probabilities,
        tuple(scores.quality.tolist()),
        tuple(scores.cost_usd.tolist()),
        tuple(scores.latency_s.tolist()),
        tuple(scores.error_rate.tolist()),
        tuple(scores.utility.tolist()),
    )
