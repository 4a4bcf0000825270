"""The closed forms of a made-up past: shares, draws, ids, budgets, the service's assignment."""

from __future__ import annotations

import uuid

import numpy as np

from experiments.assignment import Assigner
from experiments.design import Allocation, Layer
from experiments.offline.past_columns import id_text, ids_at, ragged
from experiments.offline.past_events import DAY_US
from experiments.offline.past_policy import Manner, drawn, propensities
from experiments.offline.past_trials import trials
from learning import exploration
from tests.service.storage.made_up import END_US, past


def test_shares_sum_to_one_above_their_floor_and_only_where_eligible() -> None:
    rng = np.random.default_rng(1)
    eligible = rng.random((2_000, 4)) < 0.7
    eligible[~eligible.any(axis=1), 0] = True
    shares = propensities(
        rng.normal(size=(2_000, 4)), eligible, np.full(2_000, 0.05), np.full(2_000, 0.01)
    )
    assert np.abs(shares.sum(axis=1) - 1.0).max() < 1e-12
    assert (shares[~eligible] == 0.0).all() and (shares[eligible] >= 0.01 - 1e-12).all()


def test_a_draw_falls_where_the_gateway_s_falls() -> None:
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.ones(4), 500)
    shares[:, 1] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    numbers = rng.random(500)
    expected = [exploration.draw(p, n) for p, n in zip(shares, numbers.tolist(), strict=True)]
    assert drawn(shares, numbers).tolist() == expected


def test_ids_are_of_version_7_and_of_their_time() -> None:
    times = np.array([END_US, END_US + 5_000_000])
    made = [uuid.UUID(id_text(each)) for each in ids_at(times, np.random.default_rng(3))]
    assert [each.version for each in made] == [7, 7]
    assert [each.int >> 80 for each in made] == (times // 1000).tolist()


def test_ragged_keeps_the_masked_values_row_by_row() -> None:
    mask = np.array([[True, False], [True, True]])
    told = ragged(np.array([[1.0, 2.0], [3.0, 4.0]]), mask)
    assert told.lengths.tolist() == [1, 2]
    assert told.values.values.tolist() == [1.0, 3.0, 4.0]  # type: ignore[union-attr]


def test_every_decision_is_made_and_weekends_are_quieter() -> None:
    made = past(decisions=5_000, days=14)
    assert made.budget.sum() == 5_000
    first = made.happened.start_us // DAY_US
    weekday = (first + 3 + np.arange(14)) % 7
    assert made.budget[weekday >= 5].max() < made.budget[weekday < 5].min()


def test_units_get_the_variant_that_the_service_gives_them() -> None:
    happened = past(decisions=500, days=14).happened
    trial = trials(happened, "v", Manner(0.05, 0.01))[0]
    at_us, units = trial.steps[3][0] + 1, [f"unit-{n}" for n in range(2_000)]
    allocation = Allocation(trial.design.slug, 0, 10_000)
    layer = Layer(trial.layer, (allocation,))
    service = Assigner((layer,), (trial.design,), {trial.design.slug: trial.steps[3][1]})
    names = [each.name for each in trial.design.variants]
    expected = [each.variant for unit in units for each in service.assign(unit)]
    found = trial.variants(units, np.full(len(units), at_us))
    assert [names[each] if each >= 0 else None for each in found.tolist()] == expected
