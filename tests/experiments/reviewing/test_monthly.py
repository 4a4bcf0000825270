"""The monthly review: proposals with worth, power and place, whose designs are taken."""

from __future__ import annotations

import json

import numpy as np

from experiments.design import BUCKETS
from experiments.design_json import from_json
from experiments.errors import CannotSay
from experiments.reviewing import monthly
from experiments.reviewing.finding import Review
from experiments.reviewing.scheduling import Held
from experiments.statistics.moments import Interval
from tests.experiments.reviewing.tables import RATES, drawn

MONTH = monthly.Month("2026-11", "2026-11-01", "2026-11-30", "a week", "now", "2026-12", 31)
FLOW = monthly.Flow(3_000.0, 4_000.0, 0.4)
FREE = monthly.Standing("main", [], [])


def asked(standing: monthly.Standing = FREE, dear: float = 0.01) -> Review:
    made = drawn(np.random.default_rng(0), 5_000, (0.001, 0.001, dear), (0.8, 0.8, 0.5))
    return monthly.review(MONTH, [made], RATES, standing, FLOW, [])


def test_proposals_have_worth_power_and_a_place_and_their_designs_are_taken() -> None:
    found = asked()
    assert found.findings and len(found.findings) <= monthly.MOST
    assert all(each.kind == "proposal" for each in found.findings)
    first = found.findings[0]
    assert isinstance(first.money, Interval) and first.money.low > 0.0
    assert "80 % power" in first.words and "approve it" in first.proposal
    designs = found.figures["designs"]
    assert designs
    for slug, placed in designs.items():
        design = from_json(json.dumps(placed["design"]))
        assert design.slug == slug and design.treatments[0].settings
    assert len(found.figures["schedule"]) == len(designs)


def test_a_full_layer_has_no_place_and_says_so() -> None:
    found = asked(monthly.Standing("main", [Held("a@1", 0, BUCKETS, 1, 10_000)], []))
    assert not found.figures["designs"]
    assert all("no place" in each.words for each in found.findings)


def test_versions_that_passed_are_candidates() -> None:
    version = ("0193F2AA-1", "linear", Interval(0.5, 0.4, 0.6))
    found = asked(monthly.Standing("main", [], [version]))
    assert found.findings[0].slug == "version-0193f2aa"
    assert found.figures["designs"]["version-0193f2aa"]["layer"] == "main"


def test_without_decisions_nothing_is_proposed_and_it_is_said() -> None:
    found = monthly.review(MONTH, [], RATES, FREE, monthly.Flow(0.0, 0.0, 0.0), [])
    assert found.findings == () and "nothing can be proposed" in found.missing[0]


def test_what_the_log_cannot_say_is_proposed_once_for_that() -> None:
    made = drawn(np.random.default_rng(1), 60)
    found = monthly.review(MONTH, [made], RATES, FREE, FLOW, [])
    assert len(found.findings) == monthly.MOST_UNKNOWN
    assert isinstance(found.findings[0].money, CannotSay)
