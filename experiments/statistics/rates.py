"""Rate guardrails: does the canary fail more often than it may? From the failures alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.errors import ExperimentError
from experiments.statistics.evidence import Evidence
from experiments.statistics.inputs import Floats, alike, counts, finite, within

MULTIPLES = np.exp(np.linspace(math.log(1.05), math.log(100.0), 40))  # odds of the alternatives


def tolerated(share: float, tolerance: float = 0.0) -> float:
    """The canary's greatest share of failures while its rate is at most 1 + tolerance of the rest.

    ``share``: of the traffic that the canary gets. ``tolerance``: relative, 0.2 is a fifth more.
    """
    if not 0.0 < share < 1.0:
        raise ExperimentError(f"share is {share!r}: give the canary's part of traffic, in (0, 1)")
    if not (math.isfinite(tolerance) and tolerance >= 0.0):
        raise ExperimentError(f"tolerance is {tolerance!r}: give a relative excess of at least 0")
    raised = share * (1.0 + tolerance)
    return raised / (raised + 1.0 - share)


def log_evidence(
    canary: ArrayLike, control: ArrayLike, share: float, tolerance: float = 0.0
) -> Floats:
    """The logarithm of the e-process that the canary's rate exceeds (1 + tolerance) of control's.

    ``canary`` and ``control``: failures so far, arrays broadcast. While requests are drawn to the
    canary with probability ``share``, each failure is the canary's with at most the tolerated
    chance w; a uniform mixture over chances in (w, 1) bets against that (Robbins's method of
    mixtures, AMS 1970, for a one-sided Bernoulli null). Successes need not be counted, and the
    rate of failures may move as it will, if it moves in both.
    """
    ours = counts(canary, "canary").astype(np.float64)
    theirs = counts(control, "control").astype(np.float64)
    w = tolerated(share, tolerance)
    above = log_beta_tail(ours + 1.0, theirs + 1.0, w)
    told: Floats = (
        special.betaln(ours + 1.0, theirs + 1.0)
        + above
        - math.log1p(-w)
        - ours * math.log(w)
        - theirs * math.log1p(-w)
    )
    return told


def rate_guardrail(canary: int, control: int, share: float, tolerance: float = 0.0) -> Evidence:
    """Evidence that the canary fails too often, from failures of each at a constant share.

    Roll back when it ``rejects(alpha)``. Failures of one unit must not count twice if they come
    together: count units that failed.
    """
    return Evidence(float(log_evidence(canary, control, share, tolerance)))


def varying_guardrail(shares: ArrayLike, in_canary: ArrayLike, tolerance: float = 0.0) -> Evidence:
    """The same where the canary's share changes, in a ramp or by a policy that learns.

    ``shares``: for each failure, the probability with which its request was drawn to the canary,
    [k]; ``in_canary``: whether it was, [k]. The alternatives multiply the tolerated odds by
    ``MULTIPLES``, each with the same weight; for every one the likelihood ratio is a
    supermartingale, and so is their average.
    """
    w, ours = finite(shares, "shares"), np.asarray(in_canary)
    alike({"shares": len(w), "in_canary": len(ours)})
    if ours.dtype != np.bool_:
        raise ExperimentError(f"in_canary is of {ours.dtype}: give booleans")
    tolerated(0.5, tolerance)
    within(w, "shares", 0.0, 1.0)
    if ((w <= 0.0) & ours).any() or ((w >= 1.0) & ~ours).any():
        raise ExperimentError("shares rule out a failure that was seen: log what was drawn from")
    raised = w * (1.0 + tolerance)
    null = raised / (raised + 1.0 - w)
    # likelihood ratio of odds times m: m / (m w + 1 - w) in the canary, 1 / (m w + 1 - w) out of it
    spread = np.log1p((MULTIPLES[:, None] - 1.0) * null)
    told = np.log(MULTIPLES) * int(ours.sum()) - spread.sum(1)
    return Evidence(float(special.logsumexp(told) - math.log(len(MULTIPLES))))


def log_beta_tail(yes: Floats, no: Floats, above: float) -> Floats:
    """log P(Beta(yes, no) > above); a lower bound of it, so valid, where that underflows."""
    tail = special.betaincc(yes, no, above)
    # the integral of x^(yes-1) (1-x)^(no-1) from the edge on, with the first factor at its least
    edge = (
        np.maximum(yes - 1.0, 0.0) * math.log(above)
        + no * math.log1p(-above)
        - np.log(no)
        - special.betaln(yes, no)
    )
    told: Floats = np.where(tail > 1e-290, np.log(np.maximum(tail, 1e-300)), edge)
    return told
