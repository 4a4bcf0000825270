"""Demands of region and data policy: met or not, added up, told."""

from __future__ import annotations

from service.domain.demands import DATA_POLICY, NO_DEMAND, REGION, Demand, promised
from tests.service.routing.world import deployment

EU, US = Demand(frozenset({"eu"})), Demand(frozenset({"us"}))


def test_who_says_nothing_meets_no_demand() -> None:
    silent = deployment("a")
    assert NO_DEMAND.unmet(silent) is None
    assert EU.unmet(silent) == REGION
    assert Demand(None, frozenset({"no_training"})).unmet(silent) == DATA_POLICY


def test_every_word_is_needed_and_keeping_nothing_is_keeping_it_for_no_longer() -> None:
    words = promised(frozenset({"no_retention", "no_training"}))
    kind = deployment("a", region="eu", data_policy=words)
    assert Demand(frozenset({"eu", "us"}), frozenset({"retention_30_days"})).unmet(kind) is None
    month = deployment("b", region="eu", data_policy=promised(frozenset({"retention_30_days"})))
    assert Demand(None, frozenset({"no_retention"})).unmet(month) == DATA_POLICY


def test_demands_add_up_and_none_relaxes_another() -> None:
    both = EU.along(US)
    assert both.regions == frozenset()
    assert both.unmet(deployment("a", region="eu")) == REGION
    assert "none fits all" in both.told(REGION)
    assert EU.along(NO_DEMAND) == EU and NO_DEMAND.along(EU) == EU
    words = Demand(None, frozenset({"a"})).along(Demand(None, frozenset({"b"})))
    assert words.told(DATA_POLICY) == "data_policy (demanded: a and b)"
    assert words.told("context_window") == "context_window"
