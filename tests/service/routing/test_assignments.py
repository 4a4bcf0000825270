"""Variants by unit: exclusive in a layer, independent over layers, kept with the session."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from experiments.design import Experiment, Unit, Variant
from experiments.switchback import Blocks
from service.domain.records import Caller
from service.routing.assignments import HOLDOUT, Assignments, Drawn, Holdout, Running
from service.routing.treatments import NO_TREATMENT, Treatment

CALLER = Caller("key-1", "acme", session="s")


def running(slug: str = "one", layer: str = "main", first: int = 0, stop: int = 10_000,
            **more: Any) -> Running:  # fmt: skip
    fields: dict[str, Any] = {
        "slug": slug, "hypothesis": "h", "goals": ("quality",), "unit": Unit.SESSION,
        "variants": (Variant("a", 0.5), Variant("b", 0.5, (("deployment", "wide"),))),
    }  # fmt: skip
    percent = more.pop("percent", 100)
    design = Experiment(**(fields | more))
    treatments = {"a": NO_TREATMENT, "b": Treatment({slug: "b"})}
    return Running(f"{slug}@1", design, layer, first, stop, percent, treatments)


def drawn(which: Assignments, session: str, **more: Any) -> Drawn:
    return which.draw(replace(CALLER, session=session), more.get("user", ""),
                      more.get("request", "r"), more.get("now_us", 0))  # fmt: skip


def test_a_unit_has_its_variant_whatever_else_is_asked() -> None:
    which = Assignments([running()])
    first = [drawn(which, f"s{i}", request=f"r{i}") for i in range(300)]
    again = [drawn(Assignments([running()]), f"s{i}", request="other") for i in range(300)]
    assert first == again
    counts = Counter(each.assigned[0].variant for each in first)
    assert 110 < counts["a"] < 190  # a fair coin leaves this once in 10,000
    assert all(each.treatment.get("one") == ("b" if each.assigned[0].variant == "b" else None)
               for each in first)  # fmt: skip
    assert {each.assigned[0].unit for each in first} == {f"s{i}" for i in range(300)}


def test_experiments_of_a_layer_exclude_each_other_and_those_of_two_meet() -> None:
    which = Assignments([
        running("one", stop=5_000), running("two", first=5_000), running("three", "side"),
    ])  # fmt: skip
    for i in range(200):
        ids = [each.experiment for each in drawn(which, f"s{i}").assigned]
        assert len(set(ids) & {"one@1", "two@1"}) == 1 and "three@1" in ids
    both = Counter(tuple(a.variant for a in drawn(which, f"s{i}").assigned) for i in range(2_000))
    assert all(both[pair] > 400 for pair in (("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")))


def test_a_ramp_moves_nobody_out() -> None:
    inside: set[str] = set()
    for percent in (1, 5, 10, 25, 50, 100):
        which = Assignments([running(percent=percent)])
        now = {f"s{i}" for i in range(1_000) if drawn(which, f"s{i}").assigned}
        assert inside <= now
        inside = now
    assert len(inside) == 1_000


@pytest.mark.parametrize(("unit", "named"), [
    (Unit.SESSION, "s"), (Unit.USER, "hashed"), (Unit.REQUEST, "r9"), (Unit.TENANT, "key-1/acme"),
])  # fmt: skip
def test_units(unit: Unit, named: str) -> None:
    which = Assignments([running(unit=unit)])
    assert which.by_user == (unit is Unit.USER)
    assert drawn(which, "s", user="hashed", request="r9").assigned[0].unit == named
    if unit is Unit.USER:
        assert drawn(which, "s").assigned == ()  # nobody named a user
    if unit is Unit.SESSION:
        assert drawn(which, "", request="r9").assigned[0].unit == "r9"


def test_the_holdout_is_in_nothing_and_has_one_policy() -> None:
    held = Holdout(0.05, Treatment({"deployment": "wide"}))
    which = Assignments([running(), running("side", "side")], held)
    found = [drawn(which, f"s{i}") for i in range(4_000)]
    out = [each for each in found if each.held_out]
    assert 140 < len(out) < 260  # 200, 4.3 standard deviations
    assert all(len(each.assigned) == 1 and each.assigned[0].experiment == HOLDOUT for each in out)
    assert all(each.treatment.get("deployment") == "wide" for each in out)
    assert all(len(each.assigned) == 2 for each in found if not each.held_out)


def test_blocks_of_time() -> None:
    blocks = Blocks("one/1", 0, 60, 10)
    which = Assignments([running(unit=Unit.BLOCK, blocks=blocks)])
    seen = {
        number: drawn(which, f"s{number}", now_us=number * 60_000_000 + 5).assigned[0]
        for number in range(40)
    }
    for number, each in seen.items():
        assert each.variant == ("b" if blocks.treated(number) else "a")
        assert (each.unit, each.probability) == (f"block:{number}", 0.5)
    assert {seen[0].variant, seen[1].variant} == {"a", "b"}


def test_what_was_shipped_is_for_all_but_the_holdout() -> None:
    shipped = Treatment({"deployment": "small"})
    which = Assignments([], Holdout(0.5, Treatment({"deployment": "wide"})), shipped)
    assert which.active
    served = Counter(drawn(which, f"s{i}").treatment.get("deployment") for i in range(100))
    assert set(served) == {"small", "wide"}
    assert not Assignments().active and drawn(Assignments(), "s").assigned == ()


def test_a_session_keeps_its_variants_until_they_end() -> None:
    before = drawn(Assignments([running()]), "s")
    same, ended = Assignments([running()]), Assignments()
    assert same.stand(before.assigned, drawn(same, "s"))
    assert same.stand((), drawn(same, "s"))  # it began before the experiment
    assert not ended.stand(before.assigned, drawn(ended, "s"))
    by_request = Assignments([running(unit=Unit.REQUEST)])
    one = drawn(by_request, "s", request="r1")
    assert by_request.stand(one.assigned, drawn(by_request, "s", request="r2"))
