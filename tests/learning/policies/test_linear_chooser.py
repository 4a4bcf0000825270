"""The linear policy's view: exact floors, caps, and a chance for what once was better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.interaction import Context
from learning.pacing import Pacer
from learning.policies.linear_chooser import Exploring, LinearChooser, priced

EXPLORING = Exploring(np.full(3, 0.3), 0.0, np.full(3, 0.01), np.full(3, np.inf))


def _chooser(**changed: object) -> LinearChooser:
    theta = np.array([[0.0, 0.9], [0.0, 0.6], [0.0, 0.5]])
    made = LinearChooser(
        arms=("a", "b", "c"), everybody=(0, 1, 2), theta=theta,
        covariance=np.tile(np.eye(2) * 1e-6, (3, 1)), noise=np.full(3, 0.01),
        usual_tokens=np.array([100.0, 100.0, 100.0]), length_weights=np.zeros(2),
        price_in=np.zeros(3), price_out=np.array([10e-6, 1e-6, 0.1e-6]),
        latency_s=np.ones(3), error_rate=np.zeros(3), per_usd=0.0, dual_price=0.0,
        per_second=0.0, exploring=EXPLORING,
        caps=np.ones(3), returning=(), remembered=np.zeros((0, 2)), chances=np.zeros(0),
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


SEEN = Context(np.array([0.0, 1.0], np.float32), 10)


def _shares(chooser: LinearChooser, eligible: list[int] | None = None) -> np.ndarray:
    return chooser.propensities(chooser.scores(SEEN, eligible or [0, 1, 2]))


def test_the_best_leads_and_the_floor_holds() -> None:
    assert _shares(_chooser()) == pytest.approx([0.98, 0.01, 0.01])


def test_a_cap_gives_what_it_takes_to_the_others() -> None:
    found = _shares(_chooser(caps=np.array([0.1, 1.0, 1.0])))
    assert found[0] == pytest.approx(0.1) and found.sum() == pytest.approx(1.0)


def test_floors_of_dear_arms_cost_no_more_than_their_part_of_the_budget() -> None:
    exploring = Exploring(np.full(3, 0.3), 0.0, np.full(3, 0.01), np.full(3, 5e-7))
    chooser = _chooser(exploring=exploring, theta=np.array([[0, 0.5], [0, 0.6], [0, 0.9]]))
    found, cost = _shares(chooser), np.array([1e-3, 1e-4, 1e-5])
    assert (found[:2] > 0).all()
    assert float(found[:2] @ (cost[:2] - cost[2])) <= 1e-6 + 1e-12


def test_a_newcomer_keeps_its_trial_floor_only_where_it_may_lead() -> None:
    hopeful, floor = np.array([0.0, 0.2, 0.2]), np.full(3, 0.01)
    exploring = Exploring(np.full(3, 0.01), 0.0, floor, np.full(3, np.inf), hopeful)
    spread = np.tile(np.eye(2) * 1e-6, (3, 1))
    spread[2:4] = np.eye(2) * 10.0  # of the second arm, a deviation of 0.32
    found = _shares(_chooser(exploring=exploring, covariance=spread))
    assert found[1] >= 0.2 and found[2] == pytest.approx(0.01, abs=1e-6)


def test_an_arm_that_once_led_gets_the_chance_that_it_does_again() -> None:
    once = {"returning": (1,), "remembered": np.array([[0.0, 0.95]]), "chances": np.array([0.2])}
    assert _shares(_chooser(**once))[1] == pytest.approx(0.2, abs=0.01)
    once["remembered"] = np.array([[0.0, 0.8]])
    assert _shares(_chooser(**once))[1] == pytest.approx(0.01)
    assert _shares(_chooser(**once), [0, 2]).shape == (2,)


def test_many_contexts_at_once_get_what_each_gets() -> None:
    """Where an arm may be as it once was, another is on trial, and shares are capped."""
    exploring = Exploring(
        np.array([0.2, 1.0, 0.4]), 0.3, np.full(3, 0.01), np.full(3, 1e-4),
        np.array([0.0, 0.0, 0.25]),
    )  # fmt: skip
    chooser = _chooser(
        returning=(1,), remembered=np.array([[0.1, 0.9]]), chances=np.array([0.2]),
        exploring=exploring, caps=np.array([0.6, 1.0, 0.4]), length_weights=np.array([0.3, 0.0]),
    )  # fmt: skip
    seen = [Context(np.array([step / 5 - 2.0, 1.0], np.float32), 10 * step) for step in range(20)]
    for eligible in ([0, 1, 2], [0, 2], [2, 1]):
        each = [chooser.propensities(chooser.scores(one, eligible)) for one in seen]
        found = chooser.expected(seen, eligible).share
        assert found == pytest.approx(np.mean(each, axis=0), rel=1e-9)


@pytest.mark.parametrize(
    ("led", "kept", "found"),
    [(100, 0.1, 0.1), (25, 0.1, 0.2), (5, 0.1, 0.3), (25, 0.4, 0.5), (5, 0.9, 0.9), (0, 0.1, 0.3)],
)
def test_who_would_lead_seldom_is_looked_for_more_often_there(
    led: int, kept: float, found: float
) -> None:
    """The second arm would be as good as 1.1, and lead, where the first feature is 1."""
    pacer = Pacer(None, 3, 2)
    for number in range(100):
        pacer.spent(0, Context(np.array([number % 100 < led, 1.0], np.float32), 10), 1e-3)
    chooser = _chooser(
        returning=(1,), remembered=np.array([[0.5, 0.6]]), chances=np.array([kept])
    )  # fmt: skip
    assert priced(chooser, pacer, 1.0).chances == pytest.approx([found])


def test_the_price_keeps_the_expected_spend_at_the_budget() -> None:
    pacer = Pacer(4e-4, 3, 2)
    for step in range(100):
        pacer.spent(0, Context(np.array([step / 25 - 2.0, 1.0], np.float32), 10), 4e-4)
    theta = np.array([[0.1, 0.9], [0.0, 0.6], [-0.1, 0.5]])
    chooser = priced(_chooser(theta=theta), pacer, 0.5)
    assert chooser.dual_price > 0
    features = np.array([[step / 25 - 2.0, 1.0] for step in range(100)], np.float32)
    spent = 0.0
    for x in features:
        scores = chooser.scores(Context(x, 10), [0, 1, 2])
        spent += float(chooser.propensities(scores) @ scores.cost_usd) / 100
    assert spent == pytest.approx(4e-4, rel=0.02)


def test_money_left_over_buys_optimism_and_no_price() -> None:
    pacer = Pacer(1.0, 3, 2)
    for _ in range(50):
        pacer.spent(0, SEEN, 1e-4)
    chooser = priced(_chooser(), pacer, 0.5)
    assert chooser.dual_price == 0.0 and chooser.exploring.optimism == 0.5
