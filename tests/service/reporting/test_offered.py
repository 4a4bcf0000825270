"""What could be saved stands in the weekly review, in all its forms."""

from __future__ import annotations

import json

from experiments.reviewing.finding import Review
from experiments.statistics.moments import Interval
from service.reporting import pages


def test_the_list_is_cited_in_all_forms(weekly: Review) -> None:
    found = [each for each in weekly.findings if each.kind == "opportunity"]
    assert found[0].slug == "opportunity-together"
    tiers = [each for each in found if "deployment" in each.subject]
    assert tiers and all(isinstance(each.money, Interval) for each in tiers)
    command = 'headgate cost opportunities try "tier:'
    assert all(each.proposal.startswith(command) for each in tiers)
    told = json.loads(pages.as_json(weekly))
    assert told["figures"]["opportunities"]["days"] == 21
    rows = [each for each in told["findings"] if each["kind"] == "opportunity"]
    assert all(each["money"]["low"] <= each["money"]["high"] for each in rows)
    text, page = pages.as_markdown(weekly), pages.as_html(weekly)
    assert "## What could be saved" in text and command in text
    assert "<h2>What could be saved</h2>" in page and "opportunities try &quot;tier:" in page
    (cache,) = [each for each in found if each.subject.get("change") == "cache:write ttl=24h"]
    assert pages.money_words(cache).startswith("at most $")
