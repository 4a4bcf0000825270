"""What could be saved stands in the weekly review, in all its forms, or what it lacks does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.reviewing.finding import Review
from experiments.statistics.moments import Interval
from service.reporting import pages
from service.reporting.making import make
from tests.service.reporting.histories import Truth, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dear(tmp_path_factory: pytest.TempPathFactory) -> Review:
    """Three weeks in which brook costs a quarter of the others and is as good; repeats besides."""
    state = tmp_path_factory.mktemp("dear")
    cost = {"brook": 0.001, "granite": 0.004, "sage": 0.004}
    write(state, Truth(a_day=200, rated=0.5, cost=cost, repeats=0.2))
    return make(state, "weekly")


def test_the_list_is_cited_in_all_forms(dear: Review) -> None:
    found = [each for each in dear.findings if each.kind == "opportunity"]
    assert found[0].slug == "opportunity-together"
    tiers = [each for each in found if each.subject.get("deployment") == "brook"]
    assert tiers and all(isinstance(each.money, Interval) for each in tiers)
    command = 'headgate cost opportunities try "tier:'
    assert all(each.proposal.startswith(command) for each in tiers)
    told = json.loads(pages.as_json(dear))
    assert told["figures"]["opportunities"]["days"] == 21
    rows = [each for each in told["findings"] if each["kind"] == "opportunity"]
    assert all(each["money"]["low"] <= each["money"]["high"] for each in rows)
    text, page = pages.as_markdown(dear), pages.as_html(dear)
    assert "## What could be saved" in text and command in text
    assert "<h2>What could be saved</h2>" in page and "opportunities try &quot;tier:" in page


def test_too_few_days_are_told(tmp_path: Path) -> None:
    write(tmp_path, Truth(a_day=300, weeks=1, skip_days=(0, 1)))
    made = make(tmp_path, "weekly")
    assert "what could be saved cannot be said: 7 days" in " ".join(made.missing)
    assert not [each for each in made.findings if each.kind == "opportunity"]
