"""Entries are found by plain words, related ones are told, and each is cited in a clause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.knowledge import Entry, Wanted, cited, in_force, related, search, words_of

MARCH_US = 1_773_000_000_000_000  # 8 March 2026
DAY_US = 86_400_000_000


def entry(name: str, title: str, **more: object) -> Entry:
    made = Entry(
        name, MARCH_US, "experiment", f"experiment:{name}", title, "", {"words": ""},
        {"words": ""}, "stopped", "", "ann",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


KNOWN = [
    entry("one", "mill for code", hypothesis="cheap answers to code are as good", tags=("mill",)),
    entry("two", "longer cap", why="answers to code were cut", at_us=MARCH_US + DAY_US),
    entry("three", "river for chat", tags=("river", "chat"), at_us=MARCH_US + 2 * DAY_US),
    entry("four", "river for chat again", tags=("river",), supersedes="three"),
]


def names(*found: object) -> list[str]:
    return [each.entry.id for each in found]  # type: ignore[attr-defined]


def test_the_best_part_counts_and_a_superseded_entry_is_out_unless_asked_for() -> None:
    assert names(*search(KNOWN, Wanted("code"))) == ["one", "two"]  # a title before a why
    assert names(*search(KNOWN, Wanted("RIVER"))) == ["four"]
    assert names(*search(KNOWN, Wanted("river chat", past=True))) == ["three", "four"]
    assert [each.id for each in in_force(KNOWN)] == ["one", "two", "four"]


def test_tags_dates_and_no_words_at_all() -> None:
    assert names(*search(KNOWN, Wanted())) == ["two", "four", "one"]  # the newest first
    assert names(*search(KNOWN, Wanted(tags=("mill",)))) == ["one"]
    assert names(*search(KNOWN, Wanted(since_us=MARCH_US + 1))) == ["two"]
    assert search(KNOWN, Wanted("the of and")) == []  # words that say nothing find nothing
    assert search(KNOWN, Wanted("zebra")) == []


def test_a_word_that_only_begins_as_asked_counts_half() -> None:
    whole, begun = search(KNOWN[:1], Wanted("cheap")), search(KNOWN[:1], Wanted("chea"))
    assert begun[0].worth == pytest.approx(whole[0].worth / 2.0)
    assert search(KNOWN[:1], Wanted("ch")) == []


def test_words_that_were_not_found_scale_the_fit_down() -> None:
    one, two = search(KNOWN, Wanted("mill")), search(KNOWN, Wanted("mill zebra"))
    assert two[0].worth == pytest.approx(one[0].worth / 2.0)


def test_a_hyphenated_word_is_found_by_its_parts() -> None:
    assert words_of("Cost-per-request, COST") == ("cost-per-request", "cost", "per", "request")
    assert search([entry("x", "ship cost-per-request")], Wanted("request"))


def test_what_is_like_an_entry_is_not_itself_nor_its_subject() -> None:
    again = entry("five", "mill for code", tags=("mill",), subject="experiment:five")
    assert names(*related([*KNOWN, again], again)) == ["one"]
    assert names(*related(KNOWN, "cheap code with mill")) == ["one"]
    assert related(KNOWN, "a zebra for code in winter mornings") == []  # too little of it
    assert related([], "anything") == []


def test_an_entry_is_cited_in_a_clause() -> None:
    lost = entry("x", "y", decision="rolled back", result={"words": "w", "brief": "lost 2.0 %"})
    assert cited(lost) == "tried in March 2026: rolled back, lost 2.0 %"
    assert cited(entry("x", "y", decision="")) == "tried in March 2026"
    late = entry("x", "y", result={"ended_us": MARCH_US - 20 * DAY_US})  # written after its end
    assert cited(late).startswith("tried in February 2026")
    assert search([late], Wanted(since_us=MARCH_US - DAY_US)) == []
