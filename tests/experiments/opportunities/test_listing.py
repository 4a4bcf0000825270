"""The list of opportunities: each alone, those that nothing beats, those that go together."""

from __future__ import annotations

import numpy as np

from experiments.errors import CannotSay
from experiments.opportunities.changes import Cache, Tier
from experiments.opportunities.estimating import Estimated
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
    found = opportunities(world(5, days=28, a_day=300).traffic)
    kinds = [type(each.change).__name__ for each in found.found]
    assert {"Tier", "Cache", "Batch"} <= set(kinds)
    assert found.found[0].change == Tier("code", "small")
    lows = [each.saved.low for each in found.found if isinstance(each.saved, Interval)]
    assert lows == sorted(lows, reverse=True)
    tier = found.found[0].quality
    assert isinstance(tier, Interval) and tier.low < -MOST_LOST
    assert 0 not in found.taken  # it loses quality, so it is not among those taken together
    changes = {each.change.text for each in found.joint.parts}
    assert changes == {found.found[at].change.text for at in found.taken}
