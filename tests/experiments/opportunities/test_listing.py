"""The list of opportunities: each alone, those that nothing beats, those that go together."""

from __future__ import annotations

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.changes import Cache, Tier
from experiments.opportunities.estimating import Estimated, together
from experiments.opportunities.listing import MOST_LOST, front, opportunities
from experiments.statistics.moments import Interval
from tests.experiments.opportunities.worlds import world


def _one(low: float, risk: float | None) -> Estimated:
    none = CannotSay("-")
    saved = Interval(low + 1.0, low, low + 2.0)
    return Estimated(Cache("code"), int(low), saved, 0, none, None, None, risk, "")


def test_the_front_is_what_the_plainest_search_finds() -> None:
    rng = np.random.default_rng(4)
    rows = [_one(float(s), float(r)) for s, r in rng.integers(0, 8, (40, 2))]
    expected = []
    for at, each in enumerate(rows):
        assert isinstance(each.saved, Interval) and each.risk is not None
        beaten = False
        for other in rows:
            assert isinstance(other.saved, Interval) and other.risk is not None
            better = other.saved.low - each.saved.low, each.risk - other.risk
            beaten |= min(better) >= 0 and max(better) > 0
        if not beaten:
            expected.append(at)
    assert front(rows) == tuple(expected) and 0 < len(expected) < 40
    assert front([_one(1.0, None), _one(0.5, 1.0)]) == (1,)


def test_found_in_a_world_where_they_were_put() -> None:
    """First what is sure, each part by what it surely saves; the tier loses quality, so it comes
    after, though it saves most, and is not among those taken together.
    """
    found = opportunities(world(5, days=28, a_day=300).traffic)
    kinds = [type(each.change).__name__ for each in found.found]
    assert {"Tier", "Cache", "Batch"} <= set(kinds)
    lows = [each.saved.low for each in found.found if isinstance(each.saved, Interval)]
    sure = len(found.taken)
    assert found.taken == tuple(range(sure)) and sure < len(lows)
    assert lows[:sure] == sorted(lows[:sure], reverse=True)
    assert lows[sure:] == sorted(lows[sure:], reverse=True) and lows[sure] > lows[0]
    tier = found.found[sure]
    assert tier.change == Tier("code", "small") and isinstance(tier.quality, Interval)
    assert tier.quality.low < -MOST_LOST
    changes = {each.change.text for each in found.joint.parts}
    assert changes == {found.found[at].change.text for at in found.taken}


def test_few_days_are_a_reason_and_not_an_empty_list() -> None:
    found = opportunities(world(5, days=6, a_day=300).traffic)
    assert not found.found and Tier("code", "small") in [each.change for each in found.unsaid]
    assert all(isinstance(each.saved, CannotSay) for each in found.unsaid)
    assert "7 days with traffic are needed, there are 6" in str(found.unsaid[0].saved)


def test_a_tier_that_was_picked_keeps_its_interval_among_what_is_taken_together() -> None:
    made = world(5, days=28, a_day=300).traffic
    tier, cache = Tier("code", "small"), Cache("code")
    plain, picked = (together(made, (tier, cache), 0.05, level) for level in (None, 0.005))
    widths = [
        [
            each.saved.high - each.saved.low
            for each in joint.parts
            if isinstance(each.saved, Interval)
        ]
        for joint in (plain, picked)
    ]
    assert widths[1][0] == widths[0][0] and widths[1][1] > 1.2 * widths[0][1]
    assert isinstance(plain.saved, Interval) and isinstance(picked.saved, Interval)
    assert picked.saved.low < plain.saved.low and picked.saved_micro_usd == plain.saved_micro_usd
