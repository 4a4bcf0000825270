"""What prediction brings in dollars: by what was held out and what was skipped, less its cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from service.feedback.worth import Prices, worth
from service.storage.predictions import Used

PRICES = Prices(cpu_usd_per_hour=0.036, worth_usd=0.1, check_usd=0.002, after=10_000)


def used(gain: float = 0.0, n: int = 4_000, **more: object) -> Used:
    rng = np.random.default_rng(4)
    treated = rng.random(n) < 0.95
    quality = np.clip(0.6 + gain * treated + rng.normal(0, 0.1, n), 0.0, 1.0)
    fields: dict[str, object] = {
        "predictions": 100_000, "skipped": 0, "audited": 0, "acted": 8_000, "treated": treated,
        "quality": quality, "cost_usd": np.full(n, 0.001), "refit_s": 100.0,
    }  # fmt: skip
    return Used(**(fields | more))  # type: ignore[arg-type]


def test_skipped_checks_are_saved_and_audits_and_cpu_are_paid() -> None:
    found = worth(used(skipped=1_900, audited=100, acted=0), 30e-6, PRICES, acts=False)
    assert found.checks_usd == pytest.approx(4.0) and found.audits_usd == pytest.approx(0.2)
    assert found.cpu_usd == pytest.approx(3.0 * 1e-5) and found.refit_usd == pytest.approx(0.001)
    assert found.net.estimate == found.net.low == found.net.high
    assert found.net.estimate == pytest.approx(3.8 - 3e-5 - 0.001) and not found.loses


def test_what_was_done_is_worth_what_it_has_over_what_was_held_out() -> None:
    found = worth(used(gain=0.1), 30e-6, PRICES, acts=True)
    assert found.gained is not None and found.gained.low > 0.0
    assert found.gained.estimate == pytest.approx(8_000 * 0.1 * 0.1, rel=0.15)
    assert found.gained.low < 80.0 < found.gained.high and not found.loses


def test_a_loss_is_one_only_when_the_whole_interval_says_so() -> None:
    assert worth(used(gain=-0.1), 30e-6, PRICES, acts=True).loses
    assert not worth(used(gain=-0.005, n=400), 30e-6, PRICES, acts=True).loses
    early = Prices(0.036, 0.1, 0.002, after=1_000_000)
    assert not worth(used(gain=-0.1), 30e-6, early, acts=True).loses
    idle = worth(used(acted=0), 30e-6, PRICES, acts=False)
    assert idle.loses and idle.net.high < 0.0  # it costs, and nothing is done by it


def test_without_anything_held_out_it_cannot_be_said() -> None:
    found = worth(used(treated=np.ones(4_000, bool)), 30e-6, PRICES, acts=True)
    assert found.gained is None and "held out" in found.unsaid
    assert math.isnan(found.net.estimate) and not found.loses
    few = worth(used(gain=0.1, n=300), 30e-6, PRICES, acts=True)
    assert few.gained is None and "100 values of each arm" in few.unsaid
