"""What could be saved as a review tells it: a week's money, intervals, and a command that works."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from experiments.opportunities.changes import Tier, parse
from experiments.opportunities.listing import opportunities
from experiments.reviewing.finding import scaled
from experiments.reviewing.offering import MOST, Offer, as_findings, cannot_say
from experiments.statistics.moments import Interval
from tests.experiments.opportunities.worlds import world

OFFER = Offer("2024-10-04", "2024-11-01")


def test_each_has_its_interval_and_its_command() -> None:
    made = opportunities(world(5, days=28, a_day=300).traffic)
    found = as_findings(made, OFFER)
    assert cannot_say(made) is None and len(found) == 1 + min(MOST, len(made.found))
    assert found[0].slug == "opportunity-together" and isinstance(found[0].money, Interval)
    assert found[0].money.estimate * 4.0 * 1e6 == made.joint.saved_micro_usd  # of 28 days
    tried = re.findall(r'--change "([^"]+)"', found[0].proposal)
    assert tried == [each.change.text for each in made.joint.parts]
    for told, each in zip(found[1:], made.found, strict=False):
        assert isinstance(each.saved, Interval)
        assert told.money == scaled(each.saved, 1e-6 / 4.0) and told.evidence is None
        command = re.search(r'opportunities try "([^"]+)"', told.proposal)
        assert command is not None and parse(command[1]) == each.change
        quality = "quality of an answer" in told.words
        assert quality == isinstance(each.change, Tier) and "it stands on" in told.words
    assert "at most" in next(each.words for each in found if "cache" in each.slug[:20])


def test_a_span_that_says_nothing_says_why() -> None:
    short = opportunities(world(5, days=6, a_day=300).traffic)
    assert short.found == () and as_findings(short, OFFER) == []
    assert "7 days with traffic are needed, there are 6" in str(cannot_say(short))
    thin = world(5, days=8, a_day=20).traffic
    plain = replace(thin, same=np.full(len(thin), -1), labels=np.zeros(len(thin), np.int64),
                    checks=replace(thin.checks, chance=np.full(300, np.nan)))  # fmt: skip
    none = opportunities(plain)
    (found,) = as_findings(none, OFFER)
    assert none.found == () and cannot_say(none) is None
    assert found.slug == "opportunity-none" and "nothing can be said" in found.words
