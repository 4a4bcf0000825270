"""What was tried: an entry of the knowledge base, how entries are found, and how one is cited."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

WORTH: Mapping[str, float] = {
    "title": 4.0, "tags": 4.0, "hypothesis": 3.0, "why": 2.0, "decision": 1.0, "design": 1.0,
    "result": 1.0,
}  # fmt: skip
BEGUN = 0.5  # of a word that only begins as the one asked for
LEAST_BEGUN = 3  # letters
RELATED = 0.5  # of the weight of the words asked for, at least
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_EMPTY = frozenset(
    ("a", "all", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "has", "in",
     "is", "it", "its", "no", "not", "of", "on", "or", "so", "than", "that", "the", "their",
     "this", "to", "was", "were", "when", "while", "with")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A change that was tried, and what came of it; written once.

    ``source``: ``experiment``, ``promotion``, ``override``, ``review`` or ``person``; ``subject``:
    what it is about (``experiment:slug@1``); ``occasion``: what it was written upon, once each;
    ``design`` and ``result``: as JSON holds them, each with its ``words``
    (and the result of what ended with ``ended_us``); ``author``: who made
    the change. ``supersedes``: the entry in whose place this one stands.
    """

    id: str
    at_us: int
    source: str
    subject: str
    title: str
    hypothesis: str
    design: Mapping[str, Any]
    result: Mapping[str, Any]
    decision: str
    why: str
    author: str
    links: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    supersedes: str | None = None
    occasion: str = ""

    @property
    def tried_us(self) -> int:
        """When what it tells of ended; of a person's entry when it was written."""
        return int(self.result.get("ended_us") or self.at_us)

    def texts(self) -> dict[str, str]:
        """The parts that are searched."""
        return {
            "title": self.title,
            "tags": " ".join(self.tags),
            "hypothesis": self.hypothesis,
            "why": self.why,
            "decision": self.decision,
            "design": str(self.design.get("words", "")),
            "result": str(self.result.get("words", "")),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """An entry and how well it fits; 0 where no words were asked for."""

    entry: Entry
    worth: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. ``past``: entries that were superseded as well."""

    words: str = ""
    tags: tuple[str, ...] = ()
    since_us: int = 0
    past: bool = False


def in_force(entries: Iterable[Entry]) -> list[Entry]:
    """Without those that a later one supersedes."""
    known = list(entries)
    gone = {each.supersedes for each in known if each.supersedes}
    return [each for each in known if each.id not in gone]


def search(entries: Sequence[Entry], wanted: Wanted) -> list[Found]:
    """Those that fit, the best first, and the newest first among equals.

    A word that stands in a part counts as that part is worth (``WORTH``), half as much where it
    only begins a word there; the best part counts, and a rare word more than a frequent one
    (log(1 + entries / entries with it)). The sum is then scaled by the part of the words that was
    found. Case does not matter, words such as "the" do not count.
    """
    kept = [
        each for each in (entries if wanted.past else in_force(entries))
        if each.tried_us >= wanted.since_us and set(wanted.tags) <= set(each.tags)
    ]  # fmt: skip
    asked = words_of(wanted.words)
    if not asked:
        plain = [Found(each, 0.0) for each in kept] if not wanted.words.strip() else []
        return sorted(plain, key=lambda found: (-found.entry.tried_us, found.entry.id))
    told = [(each, worth) for each, worth, _ in _weighed(kept, asked) if worth > 0.0]
    found = [Found(each, worth) for each, worth in told]
    return sorted(found, key=lambda f: (-f.worth, -f.entry.tried_us, f.entry.id))


def related(entries: Sequence[Entry], about: Entry | str, most: int = 3) -> list[Found]:
    """Earlier tries of something like it, the likest first: those in which words of half the
    weight are found. Of an entry its title, hypothesis and tags are asked for, and never itself
    nor what it supersedes.
    """
    if isinstance(about, str):
        text, but = about, set[str | None]()
    else:
        text = " ".join((about.title, about.hypothesis, *about.tags))
        but = {about.id, about.supersedes}
    asked = words_of(text)
    kept = [each for each in in_force(entries) if each.id not in but]
    if isinstance(about, Entry):
        kept = [each for each in kept if each.subject != about.subject or not about.subject]
    found = [Found(each, worth) for each, worth, share in _weighed(kept, asked) if share >= RELATED]
    return sorted(found, key=lambda f: (-f.worth, -f.entry.tried_us, f.entry.id))[:most]


def cited(entry: Entry) -> str:
    """In a clause, such as "tried in March 2026: rolled back, lost 2.0 % of quality"."""
    month = datetime.fromtimestamp(entry.tried_us / 1e6, UTC).strftime("%B %Y")
    result = str(entry.result.get("brief") or entry.result.get("words") or "")
    told = ", ".join(part for part in (entry.decision, result) if part)
    return f"tried in {month}: {told}" if told else f"tried in {month}"


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, once each, without those that say nothing. A word with a
    hyphen counts whole and in its parts.
    """
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        found += [word, *(word.split("-") if "-" in word else ())]
    return tuple(dict.fromkeys(each for each in found if each not in _EMPTY))


def _weighed(
    entries: Sequence[Entry], asked: Sequence[str]
) -> Iterable[tuple[Entry, float, float]]:
    """Each entry, its worth, and the part of the weight of the words that it holds."""
    fits = [_fits(each, asked) for each in entries]
    with_word = Counter(word for fit in fits for word in fit)
    weight = {word: math.log1p(len(fits) / max(1, with_word[word])) for word in asked}
    whole = math.fsum(weight.values()) or 1.0
    for entry, fit in zip(entries, fits, strict=True):
        share = math.fsum(weight[word] for word in fit) / whole
        worth = math.fsum(weight[word] * part for word, part in fit.items())
        yield entry, worth * len(fit) / max(1, len(asked)), share


def _fits(entry: Entry, asked: Sequence[str]) -> dict[str, float]:
    """Of each word that was found the worth of its best part."""
    best: dict[str, float] = {}
    for part, text in entry.texts().items():
        there = words_of(text)
        for word in asked:
            if word in there:
                value = WORTH[part]
            elif len(word) >= LEAST_BEGUN and any(each.startswith(word) for each in there):
                value = WORTH[part] * BEGUN
            else:
                continue
            best[word] = max(best.get(word, 0.0), value)
    return best
