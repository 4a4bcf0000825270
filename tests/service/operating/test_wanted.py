"""What is wanted is checked: field by field, and as bounds on what all leave together."""

from __future__ import annotations

from typing import Any

import pytest

from service.check import load_checked
from service.domain.errors import Conflict, HeadgateError
from service.domain.records import Override
from service.operating.wanted import (
    MOST,
    MOST_AT_ALL,
    MOST_OF_A_TENANT,
    Wanted,
    check,
    check_room,
    lifting_reduces,
    reduces,
)
from tests.conftest import ROOT

PLAN = load_checked(ROOT / "examples" / "simulated.yaml", secrets=False)


def laid(action: str, deployment: str = "", **more: Any) -> Override:
    name = more.pop("id", f"{action}-{deployment}")
    return Override(name, 0, action, deployment, more.pop("task", ""), "why", "me", 0, 10, **more)


def bounds(deployment: str, **more: Any) -> Override:
    return laid("bounds", deployment, **more)


@pytest.mark.parametrize(("wanted", "param", "said"), [
    (Wanted("excluded", "mill"), "action", "did you mean exclude"),
    (Wanted("kill"), "deployment", "safe_deployment"),
    (Wanted("exclude"), "deployment", "needs a deployment"),
    (Wanted("force", "nobody"), "deployment", "known: brook"),
    (Wanted("pin", "mill", target="v"), "deployment", "takes no deployment"),
    (Wanted("pin"), "version", "needs the version"),
    (Wanted("kill_experiment"), "experiment", "needs the experiment"),
    (Wanted("force", "mill", target="v"), "target", "takes no version"),
    (Wanted("force", "mill", task="nothing"), "task", "known: "),
    (Wanted("force", "mill", tier="nothing"), "tier", "tier"),
    (Wanted("force", "mill", least=0.1), "least", "bounds does"),
    (Wanted("bounds", "mill"), "least", "least, greatest or both"),
    (Wanted("bounds", "mill", least=1.5), "least", "from 0 to 1"),
    (Wanted("bounds", "mill", greatest=float("nan")), "greatest", "from 0 to 1"),
    (Wanted("bounds", "mill", greatest=0.0), "greatest", "exclude it"),
    (Wanted("bounds", "mill", least=0.5, greatest=0.4), "least", "0.5 is above greatest 0.4"),
    (Wanted("cost_cap"), "usd", "needs usd"),
    (Wanted("cost_cap", usd=0.0), "usd", "above 0"),
    (Wanted("exclude", "mill", usd=1.0), "usd", "cost_cap does"),
    (Wanted("exclude", "mill", lasts_s=0.0), "expires_in_s", "seven days"),
    (Wanted("exclude", "mill", lasts_s=8 * 86_400.0), "expires_in_s", "seven days"),
])  # fmt: skip
def test_what_cannot_be_names_the_field_and_the_mend(wanted: Wanted, param: str, said: str) -> None:
    with pytest.raises(HeadgateError) as refused:
        check(wanted, PLAN)
    assert refused.value.param == param and said in refused.value.message
    assert refused.value.status in (400, 422)


def test_a_kill_without_a_deployment_takes_the_plans_safe_one() -> None:
    plan = PLAN.model_copy(update={"safe_deployment": "mill"})
    assert check(Wanted("kill"), plan).deployment == "mill"
    assert check(Wanted("kill", "fall"), plan).deployment == "fall"
    with pytest.raises(HeadgateError):
        check(Wanted("exclude"), plan)


def test_bounds_that_leave_too_little_or_ask_too_much_are_refused_with_the_numbers() -> None:
    holding = [bounds("brook", least=0.5), bounds("mill", least=0.3, tenant="acme")]
    check_room(bounds("fall", least=0.5), [holding[0]], PLAN)
    with pytest.raises(Conflict, match=r"0\.5 \(brook\) \+ 0\.3 \(mill\).*0\.4 \(fall\) = 1\.2"):
        check_room(bounds("fall", least=0.4), holding, PLAN)
    check_room(bounds("fall", least=0.4, tenant="other"), holding, PLAN)  # they never meet
    names = [each.name for each in PLAN.deployments]
    low = [bounds(name, greatest=0.2) for name in names]
    check_room(low[0], low[1:-1], PLAN)
    with pytest.raises(Conflict, match=r"would leave only .* = 0\.8 of 1"):
        check_room(low[0], low[1:], PLAN)
    out = [laid("exclude", name) for name in names[2:]]
    with pytest.raises(Conflict, match=r"= 0\.9 of 1"):
        check_room(bounds(names[0], greatest=0.4),
                   [*out, bounds(names[1], greatest=0.5)], PLAN)  # fmt: skip


def test_a_least_share_above_a_greatest_one_is_refused_but_for_its_own_replacement() -> None:
    standing = bounds("mill", greatest=0.2, id="first")
    with pytest.raises(Conflict, match=r"least 0\.5 is above the greatest share 0\.2 .* first"):
        check_room(bounds("mill", least=0.5, tenant="acme"), [standing], PLAN)
    check_room(bounds("mill", least=0.5), [standing], PLAN)  # it takes the place of the first


STOPPING = [laid("kill", "mill"), laid("kill", "mill", tenant="acme"),
            laid("exclude", "mill"), laid("exclude", "mill", task="code")]  # fmt: skip
OTHERS = [laid("freeze"), laid("force", "mill"), laid("exclude", "mill", tenant="acme"),
          laid("cost_cap", usd=0.1), bounds("mill", greatest=0.5)]  # fmt: skip


@pytest.mark.parametrize("override", STOPPING + OTHERS)
def test_there_are_at_most_so_many(override: Override) -> None:
    """When all is full a deployment can be stopped all the same, for all tenants; up to a limit."""
    check_room(override, [laid("freeze")] * (MOST - 1), PLAN)
    full = [laid("freeze")] * MOST
    if override in OTHERS:
        with pytest.raises(Conflict, match=r"100 overrides are in force, and 100 .*lift some"):
            check_room(override, full, PLAN)
        return
    check_room(override, full, PLAN)
    check_room(override, [laid("freeze")] * (MOST_AT_ALL - 1), PLAN)
    with pytest.raises(Conflict, match="lift some"):
        check_room(override, [laid("freeze")] * MOST_AT_ALL, PLAN)


def test_a_tenants_key_takes_no_room_from_others_for_long() -> None:
    """Nor has it the room that is kept for what stops traffic."""
    for override in (laid("kill", "mill", tenant="acme"), laid("freeze", tenant="acme")):
        mine = [laid("freeze", tenant="acme")] * MOST_OF_A_TENANT
        others = [laid("freeze", tenant="umbrella")] * (MOST - MOST_OF_A_TENANT)
        check_room(override, [*mine[1:], *others], PLAN, "acme")
        with pytest.raises(Conflict, match="20 overrides of acme are in force"):
            check_room(override, mine, PLAN, "acme")
        check_room(override, mine, PLAN)  # an operator of all tenants has all the room
        with pytest.raises(Conflict, match="100 overrides are in force"):
            check_room(override, [*mine[1:], *others, laid("freeze")], PLAN, "acme")


@pytest.mark.parametrize(("override", "holding", "reducing"), [
    (laid("kill", "mill"), [], True), (laid("kill", "fall"), [], False),
    (laid("kill", "brook"), [], True), (laid("kill", "brook"), [laid("exclude", "brook")], False),
    (laid("kill", "mill"), [laid("exclude", "mill")], True),
    (laid("kill", "mill"), [laid("kill", "brook")], False),
    (laid("kill", "mill"), [laid("kill", "brook", task="code")], True),
    (laid("kill", "brook"), [laid("kill", "fall")], True), (laid("exclude", "mill"), [], True),
    (laid("freeze"), [], True), (laid("kill_experiment", target="one@1"), [], True),
    (laid("force", "mill"), [], False), (laid("pin", target="v"), [], False),
    (laid("cost_cap", usd=0.1), [], True),
    (laid("cost_cap", usd=0.2), [laid("cost_cap", usd=0.1)], False),
    (laid("cost_cap", usd=0.2), [laid("cost_cap", usd=0.1, task="code")], True),
    (bounds("mill", greatest=0.2), [], True), (bounds("mill", least=0.2), [], False),
    (bounds("mill", greatest=0.5), [bounds("mill", greatest=0.2)], False),
])  # fmt: skip
def test_what_only_lowers_risk(override: Override, holding: list[Override], reducing: bool) -> None:
    safe = PLAN.model_copy(update={"safe_deployment": "mill"})
    assert reduces(override, holding, safe) is reducing


def test_lifting_a_force_or_a_pin_only_lowers_risk() -> None:
    assert lifting_reduces(laid("force", "mill")) and lifting_reduces(laid("pin", target="v"))
    assert not lifting_reduces(laid("exclude", "mill")) and not lifting_reduces(laid("freeze"))
