"""The story of a request: every mode, every refusal, and propensities that are true."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from service.domain.errors import CapabilityMissing, InvalidRequest, ModelNotFound, NoDeployment
from service.domain.records import Mode
from service.feedback.apply import context_of
from service.routing.asked import Dials, cost_dial
from service.routing.router import Router
from tests.service.routing.world import CATALOG, KEY, World, ask

NAMES = [each.name for each in CATALOG]


def test_a_drawn_decision_carries_every_probability() -> None:
    decision = World().router.decide(ask(), KEY)
    found = decision.candidates
    assert decision.mode is Mode.RANDOMISED and decision.deployment in found.names
    assert sum(found.propensities) == pytest.approx(1.0, abs=1e-12)
    assert decision.propensity == found.propensities[found.names.index(decision.deployment)]
    assert len(found.names) == len(found.quality) == len(found.utility) == 4
    assert {(d.deployment, d.reason) for d in decision.disqualified} == {("coder", "task")}
    assert (decision.task, decision.task_source) == ("other", "none")


def test_logged_propensities_are_the_frequencies_of_what_is_drawn() -> None:
    """Chi-square at p < 1e-4 on one seed, over exclusions and with a floor."""
    world = World(floor=0.05)
    world.override("exclude", "wide")
    counts: Counter[str] = Counter()
    for _ in range(5_000):
        decision = world.router.decide(ask(), KEY)
        counts[decision.deployment] += 1
    names, shares = decision.candidates.names, np.array(decision.candidates.propensities)
    assert "wide" not in names and decision.override_id == "exclude-wide"
    observed = np.array([counts[name] for name in names])
    assert stats.chisquare(observed, shares * 5_000).pvalue > 1e-4
    assert decision.mode is Mode.RANDOMISED


def test_the_logged_draw_gives_the_logged_arm_again_bit_for_bit() -> None:
    world = World()
    index = {name: i for i, name in enumerate(NAMES)}
    for _ in range(200):
        decision = world.router.decide(ask("Write a python function"), KEY)
        eligible = [index[name] for name in decision.candidates.names]
        choice, weights, _ = world.live.current.chooser.choose(
            context_of(decision), eligible, decision.draw
        )
        assert choice.arm == decision.deployment
        assert tuple(weights.tolist()) == decision.candidates.propensities


def test_a_pin_is_honoured() -> None:
    decision = World().router.decide(ask(model="wide"), KEY)
    assert (decision.mode, decision.deployment) == (Mode.PINNED, "wide")
    assert decision.candidates.propensities == tuple(
        1.0 if n == "wide" else 0.0 for n in decision.candidates.names
    )
    assert World().router.decide(ask(model="coder"), KEY).deployment == "coder"
    assert World().router.decide(ask(model="auto:default"), KEY).mode is Mode.RANDOMISED


def test_an_unknown_model_is_told_what_there_is() -> None:
    with pytest.raises(ModelNotFound) as caught:
        World().router.decide(ask(model="wid"), KEY)
    assert caught.value.did_you_mean == ("wide",)
    with pytest.raises(ModelNotFound):
        World().router.decide(ask(model="auto:other"), KEY)


def test_a_pin_cannot_cross_a_hard_limit_or_an_exclusion() -> None:
    world = World()
    with pytest.raises(CapabilityMissing, match="context_window"):
        world.router.decide(ask("x" * 9_000, model="small"), KEY)
    world.override("exclude", "wide")
    with pytest.raises(NoDeployment, match="excluded by an operator"):
        world.router.decide(ask(model="wide"), KEY)


def test_a_force_takes_all_and_says_so() -> None:
    world = World()
    world.override("force", "seeing", task="other")
    decision = world.router.decide(ask(), KEY)
    assert (decision.mode, decision.deployment) == (Mode.OVERRIDE, "seeing")
    assert decision.propensity == 1.0 and decision.override_id == "force-seeing"
    assert world.router.decide(ask("python code"), KEY).mode is Mode.RANDOMISED
    assert world.router.decide(ask(model="wide"), KEY).mode is Mode.PINNED


def test_a_force_does_not_cross_a_hard_limit_and_says_so() -> None:
    world = World()
    world.override("force", "small")
    decision = world.router.decide(ask("word " * 1_200), KEY)
    assert decision.mode is Mode.RANDOMISED and decision.reason == "force_not_eligible"


def test_exclusion_comes_before_force() -> None:
    world = World()
    world.override("force", "wide"), world.override("exclude", "wide")
    decision = world.router.decide(ask(), KEY)
    assert decision.deployment != "wide" and decision.mode is Mode.RANDOMISED


def test_when_nobody_is_left_the_reason_is_told() -> None:
    world = World()
    for name in NAMES:
        world.override("exclude", name)
    with pytest.raises(NoDeployment, match="excluded by an operator"):
        world.router.decide(ask(), KEY)
    with pytest.raises(CapabilityMissing, match="lacks audio"):
        audio = [{"role": "user", "content": [{"type": "input_audio"}]}]
        World().router.decide(ask(messages=audio), KEY)


def test_a_session_is_one_draw() -> None:
    world = World(floor=0.2)
    options = {"headgate": {"session_id": "s1"}}
    first = world.router.decide(ask(**options), KEY)
    later = [world.router.decide(ask(f"turn {i}", **options), KEY) for i in range(20)]
    assert first.mode is Mode.RANDOMISED
    assert {d.mode for d in later} == {Mode.STICKY}
    assert {d.deployment for d in later} == {first.deployment}
    assert {d.session_decision_id for d in later} == {first.id}
    assert {d.caller.unit for d in later} == {first.caller.session} != {""}
    assert world.router.decide(ask(), KEY, "s1").mode is Mode.STICKY
    other_key = replace(KEY, id="key-2")
    assert world.router.decide(ask(**options), other_key).mode is Mode.RANDOMISED


def test_a_held_deployment_that_may_not_serve_is_drawn_anew() -> None:
    world = World()
    options = {"headgate": {"session_id": "s1"}}
    first = world.router.decide(ask(**options), KEY)
    world.override("exclude", first.deployment)
    again = world.router.decide(ask(**options), KEY)
    assert again.mode is Mode.RANDOMISED and again.deployment != first.deployment


def test_a_derived_session_is_sticky_from_the_third_turn_and_a_first_turn_is_fresh() -> None:
    world = World()
    turns = [{"role": "user", "content": "a"}]
    assert world.router.decide(ask(messages=turns), KEY).caller.session == ""
    turns += [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert world.router.decide(ask(messages=turns), KEY).mode is Mode.RANDOMISED
    turns += [{"role": "assistant", "content": "d"}, {"role": "user", "content": "e"}]
    assert world.router.decide(ask(messages=turns), KEY).mode is Mode.STICKY


def test_a_dry_run_holds_nothing() -> None:
    world = World()
    options = {"headgate": {"session_id": "s1"}}
    world.router.decide(ask(**options), KEY, dry_run=True)
    assert world.router.decide(ask(**options), KEY).mode is Mode.RANDOMISED


def test_rules_tiers_and_the_callers_own_bounds() -> None:
    world = World()
    free = world.router.decide(ask(headgate={"tier": "free"}), KEY)
    assert set(free.candidates.names) == {"small", "wide"}
    assert free.caller.tier == "free"
    own = world.router.decide(ask(headgate={"deployments": ["wide", "seeing"]}), KEY)
    assert set(own.candidates.names) == {"wide", "seeing"}
    less = world.router.decide(ask(headgate={"exclude": ["wide"]}), KEY)
    assert "wide" not in less.candidates.names
    with pytest.raises(InvalidRequest, match="above the key's tier"):
        world.router.decide(ask(headgate={"tier": "paid"}), replace(KEY, tier="free"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tier": "gold"}, "tier is unknown"),
        ({"task": "poems"}, "task is unknown"),
        ({"deployments": ["nobody"]}, "unknown deployment"),
        ({"exclude": ["nobody"]}, "unknown deployment"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        World().router.decide(ask(headgate=options), KEY)


def test_cost_and_quality_bounds_keep_or_refuse() -> None:
    world = World()
    with pytest.raises(CapabilityMissing, match="max_cost_usd"):
        world.router.decide(ask(headgate={"max_cost_usd": 1e-9}), KEY)
    assert world.router.decide(ask(headgate={"max_cost_usd": 1.0, "min_quality": 0.1}), KEY)
    with pytest.raises(CapabilityMissing, match="min_quality"):
        world.router.decide(ask(headgate={"min_quality": 1.0}), KEY)


def test_a_limited_deployment_leaves_before_the_draw() -> None:
    world = World()
    world.windows.sent(CATALOG[-1], 1, 1_000.0)
    world.windows.sent(CATALOG[-1], 1, 1_000.0)
    decision = world.router.decide(ask(), KEY)
    assert ("slow-lane", "rate_limit") in {(d.deployment, d.reason) for d in decision.disqualified}


def test_alternatives_are_the_others_best_first_less_the_excluded() -> None:
    world = World()
    decision = world.router.decide(ask(), KEY)
    names = [each.name for each in world.router.alternatives(decision)]
    assert set(names) == set(decision.candidates.names) - {decision.deployment}
    world.override("exclude", names[0])
    assert names[0] not in [each.name for each in world.router.alternatives(decision)]


def test_the_dial() -> None:
    assert [cost_dial(x) for x in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, 1.0, 10.0]
    dials = [cost_dial(x / 100) for x in range(101)]
    assert dials == sorted(dials)


def test_a_requests_own_dial_beats_its_tenants_and_that_its_tiers() -> None:
    world = World()
    table = replace(world.router.table, dials=Dials({"acme": 0.7}, {"free": 0.3}))
    router = Router(table, world.router._parts)
    tenant, both = replace(KEY, tenant="acme"), replace(KEY, tenant="acme", tier="free")
    tier = replace(KEY, tier="paid")
    own, lower, of_tenant = {"quality_cost": 0.0}, {"tier": "free"}, cost_dial(0.7)
    for key, options, expected in (
        (KEY, {}, 1.0), (tier, {}, 1.0), (tier, lower, cost_dial(0.3)), (tenant, {}, of_tenant),
        (both, {}, of_tenant), (both, own, 0.0), (tier, own | lower, 0.0),
    ):  # fmt: skip
        assert router.decide(ask(headgate=options), key).cost_dial == expected
    labelled = ask(metadata={"tenant": "acme"})
    assert router.decide(labelled, KEY).cost_dial == of_tenant
