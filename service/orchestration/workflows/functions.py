"""What the language of workflows can call: pure, each linear in what it is given, nothing more."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.orchestration.scorers import final_number
from service.orchestration.structure import code_in, parsed
from service.orchestration.workflows.kinds import (
    ANY,
    BOOLEAN,
    INTEGER,
    LIST,
    NUMBER,
    NUMBERS,
    OBJECT,
    TEXT,
    TEXTS,
    Kind,
    fits,
    joined,
    list_of,
)

MOST_CHARACTERS = 2_000_000  # of a text that an expression makes
MOST_ITEMS = 10_000


class ValueFault(ValueError):
    """What an expression met while it was worked out: the message says what."""


Returns = Kind | Callable[[Sequence[Kind]], Kind]


@dataclass(frozen=True, slots=True)
class Function:
    """``takes``: the kinds of its arguments; ``least`` of them must be given."""

    takes: tuple[Kind, ...]
    least: int
    returns: Returns
    apply: Callable[..., Any]
    told: str

    def of(self, given: Sequence[Kind]) -> Kind:
        """The kind of what it gives."""
        return self.returns if isinstance(self.returns, Kind) else self.returns(given)


def shown(value: Any) -> str:
    """A value as it stands in a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return ""
    return (
        bounded(json.dumps(value, ensure_ascii=False))
        if not isinstance(value, int)
        else (str(value))
    )


def bounded(text: str) -> str:
    """The text itself, if it is not too long."""
    if len(text) > MOST_CHARACTERS:
        raise ValueFault(f"a text of more than {MOST_CHARACTERS} characters")
    return text


def listed(items: list[Any]) -> list[Any]:
    """The list itself, if it is not too long."""
    if len(items) > MOST_ITEMS:
        raise ValueFault(f"a list of more than {MOST_ITEMS} items")
    return items


def _join(items: Sequence[Any], between: str = "\n") -> str:
    parts = [shown(each) for each in items]
    size = sum(len(each) for each in parts) + len(between) * max(len(parts) - 1, 0)
    if size > MOST_CHARACTERS:
        raise ValueFault(f"a text of more than {MOST_CHARACTERS} characters")
    return between.join(parts)


def _numbered(items: Sequence[Any]) -> str:
    return _join([f"{at}. {shown(each)}" for at, each in enumerate(items, 1)])


def _parse(text: str) -> Any:
    try:
        return parsed(text)
    except ValueError:
        raise ValueFault("parse: that is no JSON") from None


def _chunks(text: str, words: int, overlap: int = 0) -> list[str]:
    """Pieces of at most so many words, cut between paragraphs where that keeps half of the room."""
    if words < 1 or not 0 <= overlap < words:
        raise ValueFault("chunks: words must be at least 1, and overlap less than words")
    pieces: list[str] = []
    current: list[str] = []
    for paragraph in text.split("\n\n"):
        mine = paragraph.split()
        if current and len(current) + len(mine) > words and len(current) * 2 >= words:
            pieces.append(" ".join(current))
            current = current[-overlap:] if overlap else []
        current += mine
        while len(current) > words:
            pieces.append(" ".join(current[:words]))
            current = current[words - overlap :]
        if len(pieces) > MOST_ITEMS:
            raise ValueFault(f"chunks: more than {MOST_ITEMS} pieces")
    return [*pieces, " ".join(current)] if current else pieces


def _range(count: int) -> list[int]:
    if not 0 <= count <= MOST_ITEMS:
        raise ValueFault(f"range: from 0 to {MOST_ITEMS}")
    return list(range(count))


def _number(text: str) -> float:
    found = final_number(text)
    if found is None or not math.isfinite(found):
        raise ValueFault("number: there is none in the text")
    return found


def _pluck(items: Sequence[Any], name: str) -> list[Any]:
    return [each.get(name) for each in items if isinstance(each, dict)]


def _where(items: Sequence[Any], name: str, wanted: Any = True) -> list[Any]:
    return [each for each in items if isinstance(each, dict) and each.get(name) == wanted]


def _flatten(items: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for each in items:
        flat += each if isinstance(each, list) else [each]
    return listed(flat)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _unique(items: Sequence[Any]) -> list[Any]:
    return list({_key(each): each for each in reversed(items)}.values())[::-1]


def _most_common(items: Sequence[Any]) -> Any:
    if not items:
        raise ValueFault("most_common: the list is empty")
    counts = Counter(_key(each) for each in items)
    best = counts.most_common(1)[0][0]
    return next(each for each in items if _key(each) == best)


def _mean(items: Sequence[Any]) -> float:
    if not items:
        raise ValueFault("mean: the list is empty")
    return math.fsum(items) / len(items)


def _least(*given: Any) -> Any:
    return min(_several("min", given))


def _greatest(*given: Any) -> Any:
    return max(_several("max", given))


def _several(name: str, given: Sequence[Any]) -> Sequence[Any]:
    items = given[0] if len(given) == 1 and isinstance(given[0], list) else given
    numbers = [each for each in items if isinstance(each, int | float)]
    if not numbers or len(numbers) < len(items):
        raise ValueFault(f"{name}: takes numbers, or a list of them that is not empty")
    return numbers


def _at_best(items: Sequence[Any], scores: Sequence[float]) -> Any:
    if not items or len(items) != len(scores):
        raise ValueFault("best: takes a list and as many scores")
    return items[max(range(len(items)), key=lambda at: scores[at])]


def _cited(text: str) -> list[str]:
    """What stands in square brackets: [3], [a, b]; each once."""
    found: dict[str, None] = {}
    for part in text.split("[")[1:]:
        inner, closing, _ = part.partition("]")
        if closing and len(inner) <= 200:
            found |= dict.fromkeys(each.strip() for each in inner.split(",") if each.strip())
    return list(found)


def _overlap(one: str, other: str) -> float:
    """How alike two texts are by their words, 0 to 1: F1 of the bags of words."""
    first, second = (Counter(each.casefold().split()) for each in (one, other))
    both = sum((first & second).values())
    total = sum(first.values()) + sum(second.values())
    return 2.0 * both / total if total else 1.0


def _short(text: str, most: int) -> str:
    if most < 1:
        raise ValueFault("short: at least one character")
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        raise ValueFault("replace: of nothing")
    if len(text) + text.count(old) * len(new) > MOST_CHARACTERS:
        raise ValueFault(f"a text of more than {MOST_CHARACTERS} characters")
    return text.replace(old, new)


def _sort(items: Sequence[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        raise ValueFault("sort: the items are not of one kind") from None


def _has(whole: Any, part: Any) -> bool:
    if isinstance(whole, str):
        return isinstance(part, str) and part.casefold() in whole.casefold()
    return part in whole


def _index(value: Mapping[str, Any], name: str, otherwise: Any = None) -> Any:
    return value.get(name, otherwise)


def _item(given: Sequence[Kind]) -> Kind:
    return given[0].item or ANY


def _same(given: Sequence[Kind]) -> Kind:
    return given[0]


def _numeric(given: Sequence[Kind]) -> Kind:
    of = [each.item or ANY if each.name == "list" else each for each in given]
    kind = of[0]
    for each in of[1:]:
        kind = joined(kind, each)
    return kind if fits(kind, NUMBER) else NUMBER


def _unnested(given: Sequence[Kind]) -> Kind:
    item = given[0].item or ANY
    return item if item.name == "list" else list_of(item)


def _plucked(given: Sequence[Kind]) -> Kind:
    return LIST


_F = Function
FUNCTIONS: Mapping[str, Function] = {
    "len": _F((ANY,), 1, INTEGER, lambda v: len(v) if isinstance(v, str | list | dict) else 0,
              "characters of a text, items of a list"),
    "words": _F((TEXT,), 1, INTEGER, lambda t: len(t.split()), "how many words"),
    "lower": _F((TEXT,), 1, TEXT, str.lower, "in small letters"),
    "upper": _F((TEXT,), 1, TEXT, str.upper, "in capitals"),
    "strip": _F((TEXT,), 1, TEXT, str.strip, "without space around it"),
    "short": _F((TEXT, INTEGER), 2, TEXT, _short, "at most so many characters"),
    "replace": _F((TEXT, TEXT, TEXT), 3, TEXT, _replace, "one part for another"),
    "starts": _F((TEXT, TEXT), 2, BOOLEAN, lambda t, p: t.startswith(p), "begins so"),
    "ends": _F((TEXT, TEXT), 2, BOOLEAN, lambda t, p: t.endswith(p), "ends so"),
    "has": _F((ANY, ANY), 2, BOOLEAN, _has,
              "a text holds a part (case is no matter), a list an item"),
    "lines": _F((TEXT,), 1, TEXTS,
                lambda t: listed([x.strip() for x in t.splitlines() if x.strip()]),
                "the lines that are not empty"),
    "split": _F((TEXT, TEXT), 2, TEXTS, lambda t, by: listed(t.split(by)) if by else [t],
                "parts between a separator"),
    "join": _F((LIST, TEXT), 1, TEXT, _join,
               "the items with something between; new lines if none"),
    "bullets": _F((LIST,), 1, TEXT, lambda v: _join([f"- {shown(x)}" for x in v]), "a list"),
    "numbered": _F((LIST,), 1, TEXT, _numbered, "a numbered list, from 1"),
    "json": _F((ANY,), 1, TEXT, lambda v: bounded(json.dumps(v, ensure_ascii=False)), "as JSON"),
    "parse": _F((TEXT,), 1, ANY, _parse, "the JSON of a text, in a fence or alone"),
    "code": _F((TEXT,), 1, TEXT, code_in, "the fenced code of a text; all where there is none"),
    "text": _F((ANY,), 1, TEXT, shown, "a value as a text"),
    "number": _F((TEXT,), 1, NUMBER, _number, "the last number of a text"),
    "cited": _F((TEXT,), 1, TEXTS, _cited, "what stands in square brackets, each once"),
    "overlap": _F((TEXT, TEXT), 2, NUMBER, _overlap, "how alike by words, 0 to 1"),
    "chunks": _F((TEXT, INTEGER, INTEGER), 2, TEXTS, _chunks, "pieces of so many words, overlap"),
    "range": _F((INTEGER,), 1, list_of(INTEGER), _range, "0, 1, ... up to without the number"),
    "take": _F((LIST, INTEGER), 2, _same, lambda v, n: v[: max(n, 0)], "the first so many"),
    "last": _F((LIST, INTEGER), 2, _same, lambda v, n: v[-n:] if n > 0 else [], "the last so many"),
    "sort": _F((LIST,), 1, _same, _sort, "in order"),
    "unique": _F((LIST,), 1, _same, _unique, "each once"),
    "flatten": _F((LIST,), 1, _unnested, _flatten, "lists of a list put together"),
    "pluck": _F((LIST, TEXT), 2, _plucked, _pluck, "one field of each object"),
    "where": _F((LIST, TEXT, ANY), 2, _same, _where, "the objects whose field is so (or true)"),
    "get": _F((OBJECT, TEXT, ANY), 2, ANY, _index, "a field, or what is given instead"),
    "most_common": _F((LIST,), 1, _item, _most_common, "the item that stands there most often"),
    "best": _F((LIST, NUMBERS), 2, _item, _at_best, "the item with the highest score"),
    "count": _F((LIST, ANY), 2, INTEGER, lambda v, x: v.count(x), "how often an item"),
    "sum": _F((NUMBERS,), 1, _numeric, sum, "of a list of numbers"),
    "mean": _F((NUMBERS,), 1, NUMBER, _mean, "of a list of numbers"),
    "min": _F((ANY, ANY, ANY, ANY), 1, _numeric, _least, "the least of numbers, or of a list"),
    "max": _F((ANY, ANY, ANY, ANY), 1, _numeric, _greatest, "the greatest of them"),
    "round": _F((NUMBER, INTEGER), 1, NUMBER, lambda x, n=0: round(x, max(min(n, 12), 0)),
                "to so many digits"),
    "abs": _F((NUMBER,), 1, _same, abs, "without the sign"),
}  # fmt: skip
