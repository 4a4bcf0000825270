"""A share beside an earlier one: silent however often one looks, loud where it has changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from experiments.statistics.share_change import log_evidence

ALPHA = 0.05


def paths(rng: np.random.Generator, runs: int, before: float, now: float, looks: int) -> np.ndarray:
    """The greatest evidence of each day: 2,000 requests before it, ten between looks."""
    yes = rng.binomial(2_000, before, runs)
    seen = np.cumsum(rng.binomial(10, now, (runs, looks)), 1)
    count = 10 * np.arange(1, looks + 1)
    whole, sum_ = yes[:, None] + seen, 2_000 + count
    share = whole / sum_
    told = special.xlogy(whole, share) + special.xlog1py(sum_ - whole, -share)

    def mixture(x: np.ndarray, n: np.ndarray | int) -> np.ndarray:
        return special.betaln(0.5 + x, 0.5 + n - x) - special.betaln(0.5, 0.5)

    found = mixture(yes, 2_000)[:, None] + mixture(seen, count) - told
    assert found[0, -1] == pytest.approx(
        log_evidence((int(yes[0]), 2_000), (int(seen[0, -1]), int(count[-1])))
    )
    return np.asarray(found.max(1))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_the_share_of_days_with_a_false_alarm_stays_below_alpha(share: float) -> None:
    # 3,000 days of 200 looks; were the rate alpha, more than 190 would be seen in 0.1 % of runs.
    greatest = paths(np.random.default_rng(7), 3_000, share, share, 200)
    assert int((greatest >= -math.log(ALPHA)).sum()) <= 190


def test_a_long_run_at_the_rules_own_level_is_silent() -> None:
    # 20,000 days at alpha 0.001: at most 20 are expected, 35 are seen in 0.1 % of runs at most.
    greatest = paths(np.random.default_rng(8), 20_000, 0.1, 0.1, 60)
    assert int((greatest >= -math.log(0.001)).sum()) <= 35


def test_a_change_is_found_within_the_day() -> None:
    greatest = paths(np.random.default_rng(9), 500, 0.1, 0.2, 100)
    assert (greatest >= -math.log(0.001)).mean() > 0.95


def test_nothing_and_what_cannot_be() -> None:
    assert log_evidence((0, 0), (0, 0)) == 0.0
    assert log_evidence((0, 100), (0, 100)) < 0.0
    with pytest.raises(ValueError, match="5 of 4"):
        log_evidence((5, 4), (0, 0))
