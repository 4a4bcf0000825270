"""Has a share changed against an earlier one? Evidence that may be looked at at any time."""

from __future__ import annotations

from scipy import special

PRIOR = 0.5  # Krichevsky and Trofimov (IEEE Trans. Inf. Theory 1981)
Counts = tuple[int, int]  # how many of how many


def log_evidence(before: Counts, now: Counts) -> float:
    """The logarithm of an e-process against one common share, as ``now`` grows.

    Universal inference (Wasserman, Ramdas, Balakrishnan, PNAS 2020): each stretch by a Beta mixture
    of its own, over the best common share in hindsight. While requests are alike and independent,
    the chance that it ever reaches log 1/alpha is at most alpha, however often one looks.
    """
    for yes, count in (before, now):
        if not 0 <= yes <= count:
            raise ValueError(f"{yes} of {count} cannot be")
    yes, count = before[0] + now[0], before[1] + now[1]
    if not count:
        return 0.0
    share = yes / count
    common = special.xlogy(yes, share) + special.xlog1py(count - yes, -share)
    return float(_mixture(*before) + _mixture(*now) - common)


def _mixture(yes: int, count: int) -> float:
    told = special.betaln(PRIOR + yes, PRIOR + count - yes) - special.betaln(PRIOR, PRIOR)
    return float(told)
