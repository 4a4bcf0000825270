"""What was tried before, cited under the findings of a review that propose to try it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from experiments.reviewing.finding import Finding, Review
from service.domain.knowledge import Entry, cited, related, words_of

CITED = ("waste", "dominated", "mispriced", "slow", "fallback", "cache", "proposal", "retire",
         "candidate", "price", "opportunity")  # fmt: skip
MOST = 2  # of a finding
ABOUT = ("deployment", "use", "exclude")  # what an entry must name to be of a finding
ASKED = (*ABOUT, "task", "other")
ENTRY_DIGITS = 8


def with_citations(review: Review, entries: Sequence[Entry], until_us: int) -> Review:
    """The review with the likest earlier tries under each finding that proposes something: those
    that ended before ``until_us``, so that a review made again says the same.
    """
    before = [each for each in entries if each.tried_us < until_us]
    if not before:
        return review
    found = tuple(_citing(each, before) for each in review.findings)
    return replace(review, findings=found)


def _citing(finding: Finding, entries: Sequence[Entry]) -> Finding:
    if finding.kind not in CITED:
        return finding
    subject = {name: str(value) for name, value in finding.subject.items() if value}
    about = words_of(" ".join(value for name, value in subject.items() if name in ABOUT))
    asked = [value for name, value in subject.items() if name in ASKED]
    if finding.kind == "proposal":  # a setting, by its name too
        asked = [*subject, *subject.values()]
    elif not about:  # of a task alone: what was tried against the same
        about = words_of(finding.kind)
        asked.append(finding.kind)
    named = [each for each in entries if set(about) <= _words(each)]
    like = related(named, " ".join(asked), MOST)
    links = tuple(_clause(found.entry) for found in like)
    return replace(finding, links=finding.links + links)


def _words(entry: Entry) -> set[str]:
    return set(words_of(" ".join(entry.texts().values())))


def _clause(entry: Entry) -> str:
    return f"{entry.title}: {cited(entry)} (headgate knowledge show {entry.id[:ENTRY_DIGITS]})"
