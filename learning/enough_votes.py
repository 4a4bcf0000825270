"""Enough votes: when further ones would hardly change the winner.

Adaptive-Consistency (Aggarwal, Madaan, Yang, Mausam, EMNLP 2023, arXiv 2305.11860): answers are
sampled one after another until the leader is the most probable answer with a wanted posterior
probability. What is stated of it here: over vote distributions that are drawn uniformly, the winner
of all votes is another than the leader at the stop in at most ``1 - sure`` of runs (simulated for 2
to 10 answers and 5 to 40 votes: at most a third of that). Of one fixed distribution nothing is
promised: with two answers that are all but equally likely the winner changes more often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special

from learning.errors import InvalidInteraction

Stop = Callable[[Sequence[int]], float]  # counts of each answer -> how sure the leader is
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)


def by_beta(counts: Sequence[int]) -> float:
    """How surely the leader is before the next one, all others left out: the paper's default.

    P(p1 > p2) = I_{1/2}(v2 + 1, v1 + 1), under a uniform prior.
    """
    first, second = (*_sorted(counts), 0, 0)[:2]
    return float(special.betainc(second + 1.0, first + 1.0, 0.5))


def by_dirichlet(counts: Sequence[int]) -> float:
    """How surely the leader is the most probable of all answers: those seen and one unseen.

    With independent Gamma(v + 1) variables, the greatest is the greatest of the Dirichlet's parts:
    the mean over the leader's of the others' joint distribution function, by Gauss and Legendre on
    the quantiles.
    """
    ordered = (*_sorted(counts), 0)
    if len(ordered) < 2:
        return 0.0
    leader, rest = ordered[0] + 1.0, np.asarray(ordered[1:], dtype=np.float64) + 1.0
    at = special.gammaincinv(leader, (_NODES + 1.0) / 2.0)
    below = special.gammainc(rest[:, None], at[None, :]).prod(0)
    return float((below * _WEIGHTS).sum() / 2.0)


RULES: Mapping[str, Stop] = {"beta": by_beta, "dirichlet": by_dirichlet}


def enough(rule: str, counts: Sequence[int], left: int, sure: float) -> str:
    """Why no further vote is needed; empty where one is. ``left``: votes that may still come.

    ``decided``: they could not change the winner, even if they all agreed; else the rule's name.
    """
    if not 0.5 < sure < 1.0:
        raise InvalidInteraction(f"sure is {sure!r}: give a probability above 0.5 and below 1")
    ordered = _sorted(counts)
    if not ordered:
        return ""
    second = ordered[1] if len(ordered) > 1 else 0
    if ordered[0] - second > left:
        return "decided"
    return rule if RULES[rule](counts) >= sure else ""


def decided(weights: Sequence[float], left: float) -> bool:
    """Whether votes of a weight of ``left`` together could not change the winner."""
    ordered = sorted(weights, reverse=True)
    if not ordered:
        return False
    second = ordered[1] if len(ordered) > 1 else 0.0
    return ordered[0] - second > left and math.isfinite(left)


def _sorted(counts: Sequence[int]) -> list[int]:
    if any(each < 0 for each in counts):
        raise InvalidInteraction(f"counts are {list(counts)}: none is below 0")
    return sorted((each for each in counts if each), reverse=True)
