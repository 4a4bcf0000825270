"""False ratings against the shares of traffic: within the stated bound, and what it would be."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.poisoning import ARMS, CALLERS, Attack, Found, run
from learning.influence import ShareRule, greatest_pull

pytestmark = pytest.mark.slow
STEPS = 3_000
RULE = ShareRule(0.1, 5.0)  # the plan's own, of a key
CLEAN = dict.fromkeys(range(2))


@pytest.fixture(scope="module")
def clean() -> dict[int, Found]:
    return {seed: run(seed, True, None, STEPS) for seed in CLEAN}


def within(found: Found, rule: ShareRule, authors: int) -> None:
    """In every deployment the false evidence lies below the bound, which is a share's."""
    for arm in ARMS:
        own, others = found.own[arm.name], found.others[arm.name]
        assert own <= rule.burst + rule.ratio(authors) * others + 1e-6, (arm.name, own, others)


def test_a_flood_from_one_key_takes_all_traffic_without_caps_and_next_to_none_with() -> None:
    bare = run(0, False, Attack(), STEPS)
    assert bare.given >= 4_000 and bare.shares["best"] < 0.2 < 0.8 < bare.shares["worst"]


@pytest.mark.parametrize("seed", CLEAN)
def test_a_flood_moves_mean_and_shares_by_the_bound_at_most(
    clean: dict[int, Found], seed: int
) -> None:
    found = run(seed, True, Attack(), STEPS)
    within(found, RULE, CALLERS + 1)
    bound = greatest_pull(RULE, found.others["best"], CALLERS + 1)
    assert bound < 0.2
    assert (
        abs(found.mean - clean[seed].mean) <= bound + 0.04
    )  # and what chance makes of 700 ratings
    assert found.shares["best"] > clean[seed].shares["best"] - 0.1
    assert found.reasons["key_share"] > 0.9 * found.given - 300


@pytest.mark.parametrize(
    "attack",
    [Attack(users=10**9), Attack(each=1, most=1_500, turns=3), Attack(each=1, every=10)],
    ids=["a new user each time", "turned round again and again", "a slow drip"],
)
def test_no_way_of_spreading_them_gets_round_it(clean: dict[int, Found], attack: Attack) -> None:
    found = run(0, True, attack, STEPS)
    within(found, RULE, CALLERS + 1)
    assert found.shares["best"] > clean[0].shares["best"] - 0.1


def test_several_keys_of_a_tenant_have_the_tenants_share_together(clean: dict[int, Found]) -> None:
    found = run(0, True, Attack(keys=5, each=1, tenant="acme"), STEPS)
    within(found, ShareRule(0.1, 10.0), CALLERS + 1)  # as the benchmark's plan has it
    assert found.shares["best"] > clean[0].shares["best"] - 0.1
    assert found.reasons["tenant_share"] > 1_000


def test_who_nobody_lies_about_loses_nothing_by_the_caps(clean: dict[int, Found]) -> None:
    for seed, found in clean.items():
        bare = run(seed, False, None, STEPS)
        assert sum(found.others.values()) > 0.95 * sum(bare.others.values())
        assert np.isclose(found.shares["best"], bare.shares["best"], atol=0.05)
