"""Pages: the same bytes each time, well formed, self-contained, safe with what people typed."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from experiments.errors import CannotSay
from experiments.reviewing.finding import Finding, Review
from experiments.statistics.moments import Interval
from service.reporting import pages
from service.reporting.making import make

VOID = {"meta", "br", "line", "rect", "circle", "polygon", "polyline"}


class Balanced(HTMLParser):
    """Refuses a page whose elements do not close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        names = {name for name, _ in attrs}
        assert not names & {"src", "href", "onload", "onclick", "srcdoc"}, (tag, names)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_same_history_gives_the_same_bytes(marked: Path, weekly: Review) -> None:
    one, two = weekly, make(marked, "weekly")
    for form in (pages.as_html, pages.as_markdown, pages.as_json):
        assert form(one) == form(two)
    html = pages.as_html(one)
    found = Balanced(html)
    assert {"svg", "style", "details", "polygon"} <= found.seen and "script" not in found.seen
    assert not re.search(r"https?://|//[a-z]|url\(|@import", html)
    assert "History through 2026-11-22" in html
    assert json.loads(pages.as_json(one))["name"] == "weekly-2026-W47"
    text = pages.as_markdown(one)
    assert text.startswith("# Week 2026-W47") and "```sql" in text


def test_what_people_typed_is_shown_and_does_nothing() -> None:
    bad = '<script>alert("x")</script>'
    finding = Finding("override", "o", bad, bad, CannotSay(bad), None, bad, bad, (bad,))
    review = Review("weekly-x", bad, bad, bad, bad, (bad,), (finding,), {})
    html = pages.as_html(review)
    assert "<script" not in html and "&lt;script&gt;" in html
    Balanced(html)


def test_money_is_told_as_what_it_is() -> None:
    def told(kind: str, money: Interval | CannotSay) -> str:
        return pages.money_words(Finding(kind, "s", "", "", money, None, "", ""))

    assert told("waste", Interval(2.0, 1.0, 3.0)) == "$2.00 [$1.00 to $3.00] a week, 95 %"
    assert told("cache", Interval(3.0, 0.0, 3.0)) == "at most $3.00 a week"
    assert told("moved", Interval(3.0, 3.0, 3.0)) == "$3.00 a week (an exact difference)"
    assert told("moved", CannotSay("no rates")) == "cannot be said: no rates"


def test_every_kind_of_finding_has_a_heading() -> None:
    kinds = set()
    for path in Path(pages.__file__).parents[2].glob("experiments/reviewing/*.py"):
        kinds |= set(re.findall(r"Finding\(\s*\"([a-z]+)\"", path.read_text("utf-8")))
    assert kinds and kinds <= set(pages.HEADINGS)
