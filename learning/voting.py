"""Votes for equal answers counted: weighed by how often each voter is right, ties by a fixed rule.

The plurality of sampled answers is self-consistency (Wang et al., ICLR 2023, arXiv 2203.11171). The
weights are the logarithm of the odds of being right over those of one given wrong answer: best for
voters that err independently and each wrong answer alike (Nitzan and Paroush, International
Economic Review 23, 1982, for two answers). Voters that err together count too much by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learning.errors import InvalidInteraction

SURE = 0.99  # nobody is taken to be right more often: one voter is not to outvote a hundred
NEAR = 1e-9  # weights that differ by less are the same


@dataclass(frozen=True, slots=True)
class Vote:
    """``rank``: its place in a fixed order of the voters, the smaller comes first at a tie;
    ``accuracy``: how often its voter is right, in [0, 1].
    """

    answer: str
    rank: int
    accuracy: float = 0.5


@dataclass(frozen=True, slots=True)
class Count:
    """``answer`` won with ``share`` of the weight, ``lead`` of it before the next; ``rank``: of the
    vote that stands for it; ``tied``: the answers that the tie rule chose from, else empty.
    """

    answer: str
    share: float
    lead: float
    rank: int
    tied: tuple[str, ...]
    weights: tuple[tuple[str, float], ...]  # every answer, the heaviest first


def weight(accuracy: float, answers: int) -> float:
    """What a voter's word counts where ``answers`` are possible; 0 for one who only guesses."""
    if not 0.0 <= accuracy <= 1.0:
        raise InvalidInteraction(f"accuracy is {accuracy!r}: give a share from 0 to 1")
    if answers < 2:
        raise InvalidInteraction(f"answers is {answers}: at least two are possible")
    held = min(accuracy, SURE)
    if held <= 1.0 / answers:
        return 0.0
    return math.log(held * (answers - 1) / (1.0 - held))


def calibrated(right: float, count: float, prior: float, strength: float = 10.0) -> float:
    """How often a voter is right: what was seen, with ``strength`` answers' worth of belief before
    (a Beta prior of that mean).
    """
    if not (0.0 <= right <= count and 0.0 <= prior <= 1.0 and strength > 0.0):
        raise InvalidInteraction("right lies from 0 to count, prior from 0 to 1, strength above 0")
    return (strength * prior + right) / (strength + count)


def majority(votes: Sequence[Vote]) -> Count | None:
    """The answer that most gave; None without votes. The order of the votes does not matter."""
    return _count(votes, [1.0] * len(votes))


def weighted(votes: Sequence[Vote], answers: int) -> Count | None:
    """The answer with the greatest weight; where nobody's word weighs anything, that of most."""
    weights = [weight(each.accuracy, answers) for each in votes]
    return _count(votes, weights) if any(weights) else majority(votes)


def _count(votes: Sequence[Vote], weights: Sequence[float]) -> Count | None:
    """Sums are exact (``fsum``), so no order of the votes changes a bit of them.

    A tie goes to the answer of more voters, then of the most accurate voter, then of the voter who
    comes first, then to the text that comes first.
    """
    if not votes:
        return None
    heard: dict[str, list[tuple[Vote, float]]] = {}
    for vote, each in zip(votes, weights, strict=True):
        heard.setdefault(vote.answer, []).append((vote, each))
    sums = {answer: math.fsum(w for _, w in told) for answer, told in heard.items()}
    whole = math.fsum(weights)
    best = max(sums.values())
    even = [answer for answer, sum_ in sums.items() if sum_ >= best - NEAR * max(whole, 1.0)]

    def order(answer: str) -> tuple[int, float, int, str]:
        told = [vote for vote, _ in heard[answer]]
        return -len(told), -max(v.accuracy for v in told), min(v.rank for v in told), answer

    won = min(even, key=order)
    rest = [sum_ for answer, sum_ in sums.items() if answer != won]
    speaker = min((v for v, _ in heard[won]), key=lambda v: (-v.accuracy, v.rank))
    ordered = sorted(sums.items(), key=lambda each: (-each[1], each[0]))
    return Count(
        won, sums[won] / whole, (sums[won] - max(rest, default=0.0)) / whole, speaker.rank,
        tuple(sorted(even)) if len(even) > 1 else (), tuple(ordered),
    )  # fmt: skip
