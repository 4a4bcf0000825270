"""Which overrides hold for a request: of one scope the later, of several the one of less risk."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from service.domain.records import Override
from service.domain.will import (
    NO_WILL,
    Action,
    applies,
    bounds_of,
    frozen,
    frozen_whole,
    will_for,
)
from tests.service.storage.test_tables import decision

PRICES = {"cheap": 1.0, "middle": 2.0, "dear": 3.0}


def laid(action: str, deployment: str = "", **more: Any) -> Override:
    name = more.pop("id", f"{action} {deployment} {sorted(more.items())}")
    return Override(name, 0, action, deployment, more.pop("task", ""), "why", "me", 0, 10, **more)


def resolved(*holding: Override, task: str = "code", tenant: str = "acme", tier: str = "gold"):  # type: ignore[no-untyped-def]
    return will_for(task, holding, tenant, tier, PRICES.__getitem__)


@pytest.mark.parametrize("parts", list(itertools.product((False, True), repeat=3)))
def test_a_scope_takes_the_requests_of_all_its_parts(parts: tuple[bool, bool, bool]) -> None:
    named = {"task": "code", "tenant": "acme", "tier": "gold"}
    scope = {key: value for (key, value), given in zip(named.items(), parts, strict=True) if given}
    override = laid("exclude", "x", **scope)
    assert applies(override, **named)
    for key in named:
        assert applies(override, **(named | {key: "other"})) == (key not in scope)


def test_nothing_in_force_and_nothing_in_scope_want_nothing() -> None:
    assert will_for("code", ()) is NO_WILL
    assert resolved(laid("kill", "cheap", task="maths")) is NO_WILL


@pytest.mark.parametrize("action", ["force", "kill"])
def test_a_narrower_scope_beats_a_wider_one_only_towards_the_cheaper(action: str) -> None:
    def held(*holding: Override) -> str:
        will = resolved(*holding)
        one = will.forced if action == "force" else will.killed
        assert one is not None
        return one.deployment

    wide, narrow = laid(action, "middle"), laid(action, "dear", tenant="acme")
    assert held(wide, narrow) == held(narrow, wide) == "middle"
    narrow = replace(narrow, deployment="cheap")
    assert held(wide, narrow) == held(narrow, wide) == "cheap"
    assert held(laid(action, "cheap"), laid(action, "dear")) == "dear", "one scope: the later"
    assert held(laid(action, "cheap", task="code"), laid(action, "cheap", tenant="acme",
                tier="gold")) == "cheap"  # fmt: skip


def test_of_equal_risk_the_narrower_holds_then_the_later() -> None:
    pins = [laid("pin", target="a"), laid("pin", target="b", task="code"),
            laid("pin", target="c", tier="gold"), laid("pin", target="d")]  # fmt: skip
    for order in itertools.permutations(pins):
        pinned = resolved(*order).pinned
        narrower = [each.target for each in order if each.target in ("b", "c")]
        assert pinned is not None and pinned.target == narrower[-1]


def test_caps_all_hold_and_of_one_scope_the_later() -> None:
    caps = resolved(laid("cost_cap", usd=0.5), laid("cost_cap", usd=0.1, task="code"),
                    laid("cost_cap", usd=0.7), laid("cost_cap", "dear", usd=0.2)).caps  # fmt: skip
    assert sorted((cap.usd, cap.deployment) for cap in caps) == [
        (0.1, ""),
        (0.2, "dear"),
        (0.7, ""),
    ]


def test_of_bounds_the_lower_shares_hold() -> None:
    wide = laid("bounds", "dear", least=0.2, greatest=0.6, id="wide")
    narrow = laid("bounds", "dear", greatest=0.3, tenant="acme", id="narrow")
    for order in ([wide, narrow], [narrow, wide]):
        (bound,) = bounds_of(order).values()
        assert (bound.least, bound.greatest, bound.override_id) == (0.2, 0.3, "narrow")
    raising = laid("bounds", "dear", least=0.5, greatest=0.9, tenant="acme", id="raising")
    (bound,) = bounds_of([wide, raising]).values()
    assert (bound.least, bound.greatest) == (0.2, 0.6), "a narrower one raises nothing"
    (bound,) = bounds_of([wide, laid("bounds", "dear", greatest=0.1, task="code")]).values()
    assert (bound.least, bound.greatest) == (0.1, 0.1), "the greatest cuts the least"
    (bound,) = bounds_of([wide, replace(wide, id="w2", least=None, greatest=0.9)]).values()
    assert (bound.least, bound.greatest) == (0.0, 0.9), "one scope: the later alone"


def test_exclusions_and_ended_experiments_add_up() -> None:
    will = resolved(laid("exclude", "cheap"), laid("exclude", "dear", task="code"),
                    laid("kill_experiment", target="a@1"),
                    laid("kill_experiment", target="b@1", tenant="acme"))  # fmt: skip
    assert set(will.excluded) == {"cheap", "dear"} and set(will.ended) == {"a@1", "b@1"}


def test_a_freeze_is_of_its_scope_and_deployment() -> None:
    made = decision()
    task, who = made.task, made.caller
    assert frozen(made, [laid(Action.FREEZE)]) and frozen_whole([laid(Action.FREEZE)])
    mine = laid(Action.FREEZE, made.deployment, task=task, tenant=who.tenant, tier=who.tier)
    assert frozen(made, [mine]) and not frozen_whole([mine])
    assert not frozen(made, [replace(mine, deployment="another")], made.deployment)
    assert frozen(made, [replace(mine, deployment="another")], "another"), "as a fallback"
    assert not frozen(made, [laid(Action.FREEZE, tenant="another")])
    assert not frozen(made, [laid("exclude", made.deployment)])
