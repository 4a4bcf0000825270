"""What overrides do to a request: one before the other, exactly, within hard limits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.design import Experiment, Unit, Variant
from service.domain.errors import CapabilityMissing, NoDeployment
from service.domain.live import Published
from service.domain.records import Decision, Key, Mode, Override, PolicyMark
from service.domain.will import will_for
from service.routing.assignments import Assignments, Holdout, Running
from service.routing.treatments import NO_TREATMENT, Treatment
from tests.service.routing.world import CATALOG, KEY, World, ask

ACME = Key("key-2", 0, "k", "caller", "acme", "paid", "d")
SERVING = ("small", "wide", "seeing", "slow-lane")  # everybody but the coder, of a usual request


def world_of(**more: Any) -> World:
    world = World(**more)
    # Nobody is at a rate limit here, or a long test would change who is eligible.
    world.windows.exhausted = lambda *_: False  # type: ignore[method-assign]
    return world


def lay(world: World, action: str, deployment: str = "", **more: Any) -> Override:
    made = Override(f"{action}-{len(world.overrides)}", 0, action, deployment,
                    more.pop("task", ""), "because", "me", 0, 10, **more)  # fmt: skip
    world.overrides.append(made)
    return made


def with_pin(world: World) -> None:
    """A second version, which draws uniformly; the live one has learned otherwise."""
    other = World(kind="uniform")
    world.live.others = {
        "v2": Published(other.policy.chooser(0.0), PolicyMark("default", "v2", "", 0))
    }


def with_experiment(world: World, deployment: str = "small") -> None:
    design = Experiment(
        slug="one", hypothesis="it is as good", variants=(Variant("a", 0.5), Variant("b", 0.5)),
        goals=("success_rate",), unit=Unit.REQUEST,
    )  # fmt: skip
    treatments = {name: Treatment({"deployment": deployment}) for name in "ab"}
    running = Running("one@1", design, "main", 0, 10_000, 100, treatments)
    world.assignments.current = Assignments([running])


def decide(world: World, key: Key = KEY, **more: Any) -> Decision:
    return world.router.decide(ask(**more), key)


# kill -----------------------------------------------------------------------------------------


def test_a_kill_sends_all_to_one_deployment_and_nowhere_else() -> None:
    world = world_of()
    with_experiment(world)
    session = {"headgate": {"session_id": "s"}}
    decide(world, **session)
    killed = lay(world, "kill", "coder")  # a task that it is not for is no hard limit
    for more in (session, {}):
        made = decide(world, **more)
        assert (made.deployment, made.propensity, made.mode) == ("coder", 1.0, Mode.OVERRIDE)
        assert made.reason == "killed_by_operator" and made.override_id == killed.id
        assert made.candidates.names == ("coder",) and not made.assigned
        assert world.router.alternatives(made) == []
    with pytest.raises(NoDeployment) as refused:
        decide(world, model="small")
    assert refused.value.code == "killed_by_operator"
    assert decide(world, model="coder").mode is Mode.PINNED
    with pytest.raises(CapabilityMissing, match="context_window"):
        decide(world, text="word " * 20_000)


def test_a_kill_refuses_where_its_deployment_cannot_answer_now() -> None:
    world = World()
    lay(world, "kill", "slow-lane")
    with pytest.raises(NoDeployment, match=r"slow-lane now.*\(rate_limit\)") as no:
        decide(world, text="word " * 1_000)
    assert no.value.code == "killed_by_operator" and no.value.retry_after_s
    world.overrides.clear()
    lay(world, "kill", "gone from the plan")
    with pytest.raises(NoDeployment, match="the plan no longer has it"):
        decide(world)


def test_what_is_under_way_when_a_kill_is_laid_goes_nowhere_else() -> None:
    world = world_of()
    made = decide(world)
    other = next(name for name in made.candidates.names if name != made.deployment)
    lay(world, "kill", other)
    assert [each.name for each in world.router.alternatives(made)] == [other]
    world.overrides.clear()
    lay(world, "exclude", other, tenant="acme")
    assert other in [each.name for each in world.router.alternatives(made)]
    lay(world, "exclude", other)
    assert other not in [each.name for each in world.router.alternatives(made)]


def test_an_exclusion_hides_no_outage_of_the_others() -> None:
    world = World()
    for name in SERVING[1:]:
        lay(world, "exclude", name)
    with_ill = decide(world)
    assert with_ill.deployment == "small"
    world.windows.exhausted = (  # type: ignore[method-assign]
        lambda deployment, *_: deployment.name in ("small", "wide")
    )
    with pytest.raises(NoDeployment) as no:
        decide(world)
    assert no.value.code == "deployments_rate_limited" and not no.value.willed
    lay(world, "exclude", "small")
    with pytest.raises(NoDeployment) as no:
        decide(world)
    assert no.value.code == "excluded_by_operator" and no.value.willed


def test_of_two_kills_one_that_the_plan_has_lost_is_not_the_cheaper() -> None:
    world = world_of()
    lay(world, "kill", "gone from the plan")
    kept = lay(world, "kill", "wide", task="other")
    lay(world, "kill", "gone too", tenant="acme")
    assert decide(world).override_id == kept.id
    assert decide(world, ACME).deployment == "wide"


def test_the_one_id_is_of_the_last_that_changed_the_draw() -> None:
    world = world_of(sticky=False)
    shares = dict(zip(*_drawn(decide(world)), strict=True))
    loose = lay(world, "bounds", "wide", greatest=0.999)
    assert decide(world).override_id is None
    excluded = lay(world, "exclude", "seeing")
    assert decide(world).override_id == excluded.id, "the loose bounds move nothing"
    slight = lay(world, "bounds", "small", least=shares["small"] / 3.0, greatest=0.9)
    strong = lay(world, "bounds", "wide", least=0.95)
    made = decide(world)
    assert made.override_id == strong.id and made.reason == "bounded_by_operator"
    assert slight.id != strong.id != loose.id
    world.overrides[:] = [excluded, slight]
    assert decide(world).override_id == excluded.id


def _drawn(made: Decision) -> tuple[tuple[str, ...], tuple[float, ...]]:
    return made.candidates.names, made.candidates.propensities


# scopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [{}, {"tenant": "acme"}, {"tier": "paid"}, {"task": "other"},
                                   {"tenant": "acme", "tier": "paid", "task": "other"},
                                   ])  # fmt: skip
@pytest.mark.parametrize("action", ["kill", "force", "exclude", "bounds"])
def test_an_override_acts_in_its_scope_alone(action: str, scope: dict[str, str]) -> None:
    world = world_of()
    more: dict[str, Any] = {"greatest": 0.01} if action == "bounds" else {}
    made = lay(world, action, "wide", **scope, **more)
    inside = decide(world, ACME)
    assert inside.override_id == made.id
    outside = (
        [decide(world, ACME, text="def f(): return 1 # python code")] if "task" in scope else []
    )
    if "tenant" in scope or "tier" in scope:
        outside.append(decide(world, KEY))
    assert all(each.override_id is None for each in outside)
    assert bool(outside) == bool(scope)


# bounds ---------------------------------------------------------------------------------------


def test_propensities_under_bounds_are_the_frequencies_that_are_drawn() -> None:
    """Seeded; a chi-square test of 3,000 draws, with a false alarm in 1,000 seeds."""
    world = world_of(sticky=False)
    least, most = (
        lay(world, "bounds", "wide", least=0.4),
        lay(world, "bounds", "small", greatest=0.05),
    )
    expected, counts = Counter[str](), Counter[str]()
    for _ in range(3_000):
        made = decide(world)
        shares = dict(zip(made.candidates.names, made.candidates.propensities, strict=True))
        assert abs(sum(shares.values()) - 1.0) < 1e-9
        assert shares["wide"] >= 0.4 - 1e-9 and shares["small"] <= 0.05 + 1e-9
        assert made.mode is Mode.RANDOMISED and made.propensity == shares[made.deployment]
        assert made.override_id in (least.id, most.id)
        expected.update(shares)
        counts[made.deployment] += 1
    names = sorted(expected)
    told = stats.chisquare([counts[n] for n in names], [expected[n] for n in names])
    assert told.pvalue > 0.001


def test_bounds_that_hold_anyhow_change_nothing_and_leave_no_mark() -> None:
    world, plain = world_of(), world_of()
    lay(world, "bounds", "wide", greatest=1.0)
    made, other = decide(world), decide(plain)
    assert made.candidates == other.candidates and made.deployment == other.deployment
    assert made.reason in ("policy", "exploration") and made.override_id is None


def test_bounds_stand_over_what_a_variant_names_and_it_stays_in_its_experiment() -> None:
    world = world_of(sticky=False)
    with_experiment(world, "small")
    lay(world, "bounds", "small", greatest=0.25)
    drawn = Counter[str]()
    for _ in range(1_000):
        made = decide(world)
        shares = dict(zip(made.candidates.names, made.candidates.propensities, strict=True))
        assert (
            shares["small"] == pytest.approx(0.25) and made.assigned and made.reason == "experiment"
        )
        drawn[made.deployment] += 1
    assert stats.binomtest(drawn["small"], 1_000, 0.25).pvalue > 0.001
    free = [shares[name] for name in SERVING if name != "small"]
    assert min(free) > 0.01, "what is left goes as the policy draws"


# pin ------------------------------------------------------------------------------------------


def test_a_pinned_version_draws_exactly_and_nothing_of_it_counts() -> None:
    world = world_of()
    with_pin(world)
    with_experiment(world)
    pin = lay(world, "pin", target="v2")
    made = decide(world, headgate={"session_id": "s"})
    assert made.mode is Mode.OVERRIDE and made.reason == "pinned_by_operator"
    assert made.override_id == pin.id and made.policy.version_id == "v2" and not made.assigned
    np.testing.assert_allclose(made.candidates.propensities, 0.25)
    again = decide(world, headgate={"session_id": "s"})
    assert again.deployment == made.deployment and again.mode is Mode.OVERRIDE
    assert again.propensity == 1.0 and again.override_id == pin.id
    world.overrides.clear()
    after = decide(world, headgate={"session_id": "s"})
    assert after.mode is Mode.RANDOMISED and after.policy.version_id == "v" and after.assigned


def test_a_session_that_began_before_a_pin_keeps_its_deployment() -> None:
    world = world_of()
    with_pin(world)
    first = decide(world, headgate={"session_id": "s"})
    lay(world, "pin", target="v2")
    held = decide(world, headgate={"session_id": "s"})
    assert held.mode is Mode.STICKY and held.deployment == first.deployment


def test_a_pinned_version_that_is_not_there_yet_is_told() -> None:
    world = world_of()
    lay(world, "pin", target="v9")
    made = decide(world)
    assert made.mode is Mode.RANDOMISED and made.reason == "pin_not_ready"
    assert made.override_id is None


def test_a_pin_keeps_what_was_shipped_and_no_holdout() -> None:
    world = world_of()
    with_pin(world)
    shipped = Treatment({"deployment": "small", "use": ("small", "wide")})
    world.assignments.current = Assignments([], Holdout(1.0, NO_TREATMENT), shipped)
    assert decide(world).assigned
    lay(world, "pin", target="v2")
    made = decide(world)
    assert set(made.candidates.names) == {"small", "wide"} and not made.assigned


# cost cap -------------------------------------------------------------------------------------


def test_a_cost_cap_takes_out_whom_the_policy_expects_to_cost_more() -> None:
    world = world_of()
    cost = dict(zip(*(lambda m: (m.candidates.names, m.candidates.cost_usd))(decide(world)),
                    strict=True))  # fmt: skip
    order = sorted(cost, key=lambda name: cost[name])
    cap = lay(world, "cost_cap", usd=cost[order[1]] + 1e-12)
    made = decide(world)
    kept = {name for name in cost if cost[name] <= cost[order[1]] + 1e-12}
    assert set(made.candidates.names) == kept and made.mode is Mode.RANDOMISED
    out = {each.deployment for each in made.disqualified if each.reason == "cost_cap"}
    assert out == set(cost) - kept and (not out or made.override_id == cap.id)
    assert abs(sum(made.candidates.propensities) - 1.0) < 1e-9
    world.overrides.clear()
    lay(world, "cost_cap", usd=1e-12)
    assert len(decide(world).candidates.names) == 1, "where none fits the cheapest stays"
    world.overrides.clear()
    lay(world, "cost_cap", "wide", usd=1e-12)
    assert set(decide(world).candidates.names) == set(SERVING) - {"wide"}


# experiments ----------------------------------------------------------------------------------


def test_a_killed_experiment_counts_as_not_running_in_its_scope() -> None:
    world = world_of()
    with_experiment(world)
    held = decide(world, ACME, headgate={"session_id": "s"})
    assert held.assigned and held.deployment == "small"
    lay(world, "kill_experiment", target="one@1", tenant="acme")
    assert not decide(world, ACME).assigned and decide(world, KEY).assigned
    drawn = decide(world, ACME, headgate={"session_id": "s"})
    assert drawn.mode is Mode.RANDOMISED and not drawn.assigned, "its sessions are drawn anew"
    assert len(drawn.candidates.names) == len(SERVING)


# precedence -----------------------------------------------------------------------------------

NAMES = st.sampled_from(SERVING)
SCOPES = st.fixed_dictionaries({
    "task": st.sampled_from(["", "other", "code"]), "tenant": st.sampled_from(["", "acme", "b"]),
    "tier": st.sampled_from(["", "paid", "free"]),
})  # fmt: skip
WISHES = st.one_of(
    st.tuples(st.sampled_from(["kill", "exclude", "force"]), NAMES, st.just({})),
    st.tuples(st.just("bounds"), NAMES,
              st.fixed_dictionaries({"least": st.sampled_from([None, 0.1, 0.3]),
                                     "greatest": st.sampled_from([0.3, 0.5, 0.9])})),
    st.tuples(st.just("pin"), st.just(""), st.just({"target": "v2"})),
    st.tuples(st.just("kill_experiment"), st.just(""), st.just({"target": "one@1"})),
    st.tuples(st.just("cost_cap"), NAMES, st.just({"usd": 1e-12})),
)  # fmt: skip


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.tuples(WISHES, SCOPES), max_size=6))
def test_kill_before_exclude_before_force_before_bounds_before_pin_before_experiment(
    wishes: list[tuple[tuple[str, str, dict[str, Any]], dict[str, str]]],
) -> None:
    """A plain model of the table of docs/semantics.md says what must come of any that are laid."""
    world = PRECEDENCE
    world.overrides.clear()
    for (action, deployment, more), scope in wishes:
        lay(world, action, deployment, **more, **scope)
    will = will_for("other", world.overrides, "acme", "paid")
    left = [name for name in SERVING if name not in will.excluded]
    if will.killed is None and not left:
        with pytest.raises(NoDeployment):
            decide(world, ACME)
        return
    made = decide(world, ACME)
    shares = dict(zip(made.candidates.names, made.candidates.propensities, strict=True))
    assert abs(sum(shares.values()) - 1.0) < 1e-9 and shares[made.deployment] == made.propensity
    if will.killed is not None:
        assert made.deployment == will.killed.deployment and made.override_id == will.killed.id
        assert made.mode is Mode.OVERRIDE and not made.assigned
        return
    assert not set(shares) & set(will.excluded)
    if will.forced is not None and will.forced.deployment in left:
        assert made.deployment == will.forced.deployment and made.override_id == will.forced.id
        assert made.mode is Mode.OVERRIDE and not made.assigned
        return
    capped = {cap.deployment for cap in will.caps}
    assert set(shares) == (set(left) - capped or set(shares)) and len(shares) >= 1
    bounds = {name: will.bounds[name] for name in shares if name in will.bounds}
    room = sum(bounds[n].greatest if n in bounds else 1.0 for n in shares)
    if room >= 1.0 and sum(each.least for each in bounds.values()) <= 1.0:
        for name, bound in bounds.items():
            assert bound.least - 1e-9 <= shares[name] <= bound.greatest + 1e-9
    if will.pinned is not None:
        assert made.mode is Mode.OVERRIDE and made.override_id == will.pinned.id
        assert made.policy.version_id == "v2" and not made.assigned
        return
    assert made.mode is Mode.RANDOMISED and bool(made.assigned) == ("one@1" not in will.ended)
    if made.assigned and "small" in shares and "small" not in bounds and len(bounds) == 0:
        assert made.deployment == "small" and made.propensity == 1.0


def _precedence() -> World:
    world = world_of(sticky=False)
    with_pin(world)
    with_experiment(world)
    return world


PRECEDENCE = _precedence()


def test_the_catalogue_is_what_the_tests_take_it_for() -> None:
    world = world_of()
    assert set(decide(world).candidates.names) == set(SERVING)
    assert {each.name for each in CATALOG} == {*SERVING, "coder"}
    assert replace(ACME, id="x").tenant == "acme"
