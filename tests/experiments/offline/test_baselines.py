"""Ours beside the other ways, where every outcome is known."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.offline.baselines import Known, compare, static_mix

NAMES = ("cheap", "good")


def known() -> Known:
    rng = np.random.default_rng(0)
    reward = np.stack([rng.random(400) * 0.6, 0.3 + rng.random(400) * 0.6], axis=1)
    cost = np.tile([0.001, 0.011], (400, 1))
    return Known(NAMES, reward, cost)


def test_every_baseline_is_what_it_says() -> None:
    data = known()
    served = data.reward[:, 1]
    rows = {row.name.split(" (")[0]: row for row in compare(data, served, data.cost_usd[:, 1])}
    assert rows["best fixed"].reward.estimate == pytest.approx(served.mean())
    assert rows["best fixed"].reward_gain.estimate == pytest.approx(0.0)
    assert rows["cheapest"].spend_usd == pytest.approx(0.4)
    assert rows["cheapest"].saved_usd.estimate == pytest.approx(-0.01)
    assert rows["random"].reward.estimate == pytest.approx(data.reward.mean())
    assert rows["oracle"].reward.estimate == pytest.approx(data.reward.max(1).mean())
    assert rows["oracle"].reward_gain.high < 0.0


def test_the_oracle_takes_the_cheaper_of_equals() -> None:
    data = Known(NAMES, np.ones((5, 2)), np.tile([0.001, 0.011], (5, 1)))
    rows = {row.name: row for row in compare(data, np.ones(5), data.cost_usd[:, 1])}
    assert rows["oracle"].spend_usd == pytest.approx(0.005)


def test_the_mix_spends_the_budget() -> None:
    data = known()
    value, shares = static_mix(data, 0.006)
    assert shares == pytest.approx([0.5, 0.5])
    assert value == pytest.approx(data.reward.mean())
    assert static_mix(data, 1.0)[1] == pytest.approx([0.0, 1.0])
    with pytest.raises(CannotSay, match="cheapest"):
        static_mix(data, 0.0001)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CannotSay):
        Known(NAMES, np.ones((5, 3)), np.ones((5, 3)))
