"""Findings that propose something cite what was tried before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.errors import CannotSay
from experiments.reviewing.finding import Finding, Review
from service.domain.knowledge import Entry
from service.reporting.citing import with_citations
from service.reporting.pages import as_html, as_markdown

SEPTEMBER_US = 1_789_000_000_000_000  # 10 September 2026
LATE_US = SEPTEMBER_US + 90 * 86_400_000_000
OF_SAGE = {"task": "extract", "tenant": "", "deployment": "sage", "other": "brook"}


def entry(title: str, decision: str = "rolled back", at_us: int = SEPTEMBER_US) -> Entry:
    return Entry(f"{title}-{at_us}", at_us, "person", "", title, "", {}, {}, decision, "", "mara")


def review(kind: str = "dominated", subject: dict[str, str] | None = None) -> Review:
    about = OF_SAGE if subject is None else subject
    finding = Finding(kind, "x", "X", "x", CannotSay("y"), None, "", "z", ("kept",), about)
    return Review("weekly-2026-W47", "W47", "-", "-", "-", (), (finding,), {})


def links(tried: list[Entry], made: Review, until_us: int = LATE_US) -> tuple[str, ...]:
    return with_citations(made, tried, until_us).findings[0].links


def test_an_earlier_try_is_cited_with_when_and_what_came_of_it() -> None:
    kept, cited = links([entry("extract without sage")], review())
    assert kept == "kept"
    assert cited == (
        "extract without sage: tried in September 2026: rolled back (headgate knowledge show "
        "extract )"
    )


@pytest.mark.parametrize(
    "title", ["extract without brook", "the dial of extract", "sage in another place"]
)
def test_what_is_not_of_the_deployment_and_the_task_is_not(title: str) -> None:
    others = [entry("write without granite"), entry("extract and write, granite")]
    assert links([entry(title), *others], review()) == ("kept",)


def test_what_ended_after_the_period_is_not_so_that_it_says_the_same_when_made_again() -> None:
    tried = [entry("extract without sage")]
    assert links(tried, review(), SEPTEMBER_US) == ("kept",)
    assert len(links(tried, review(), SEPTEMBER_US + 1)) == 2


def test_an_entry_that_was_superseded_is_not() -> None:
    first = entry("extract without sage")
    second = replace(first, id="second", supersedes=first.id, decision="shipped")
    assert [each for each in links([first, second], review()) if "rolled back" in each] == []


def test_a_setting_is_found_by_its_name_and_value() -> None:
    dial = review("proposal", {"quality_cost": "0.4"})
    assert len(links([entry("quality_cost 0.4 for all")], dial)) == 2
    assert links([entry("a shorter prompt")], dial) == ("kept",)


def test_of_a_task_alone_what_was_tried_against_the_same_is_found() -> None:
    made = review("cache", {"task": "extract"})
    assert links([entry("extract without sage")], made) == ("kept",)
    assert len(links([entry("a cache for extract"), entry("sage for extract")], made)) == 2


@pytest.mark.parametrize("kind", ["override", "experiment", "savings", "moved"])
def test_what_proposes_nothing_cites_nothing(kind: str) -> None:
    assert links([entry("extract without sage")], review(kind)) == ("kept",)


def test_the_weekly_review_of_a_history_cites_its_knowledge_base(weekly: Review) -> None:
    said = [link for each in weekly.findings for link in each.links]
    assert any("rolled back, lost 2.0 % of quality" in link for link in said)
    assert {each.subject["deployment"] for each in weekly.findings if each.links} == {"sage"}
    assert "lost 2.0 % of quality" in as_html(weekly)
    assert "lost 2.0 % of quality" in as_markdown(weekly)
