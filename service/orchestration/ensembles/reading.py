"""Answers read as votes: the number, the choice, the JSON, the words; equals are equal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.orchestration.scorers import MAX_ANSWER, chosen, final_number
from service.orchestration.structure import bare, parsed

PLACES = 9  # significant digits in which two numbers must agree


def number(text: str, letters: str = "") -> str | None:
    """The last number of an answer."""
    found = final_number(text)
    if found is None or not math.isfinite(found):
        return None
    return f"{found + 0.0:.{PLACES}g}"


def choice(text: str, letters: str = "ABCD") -> str | None:
    """The letter that an answer chooses."""
    return chosen(text, letters)


def json_value(text: str, letters: str = "") -> str | None:
    """The JSON of an answer: names in order, numbers by value, texts without outer blanks."""
    try:
        return json.dumps(_plain(parsed(text)), sort_keys=True, ensure_ascii=True)
    except (ValueError, RecursionError):
        return None


def words(text: str, letters: str = "") -> str | None:
    """The words, without case and outer punctuation."""
    return bare(text) or None


READERS: Mapping[str, Callable[[str, str], str | None]] = {
    "number": number, "choice": choice, "json": json_value, "text": words,
}  # fmt: skip


def vote(kind: str, text: str, letters: str) -> str | None:
    """What an answer says, as its kind is read; None where it says nothing of that kind."""
    return READERS[kind](text[:MAX_ANSWER], letters)


def lettered(votes: Sequence[str | None]) -> tuple[str, ...]:
    """Equal votes share a letter, in the order in which they come; an empty one for none."""
    names: dict[str, str] = {}
    for each in votes:
        if each is not None and each not in names:
            at = len(names)
            names[each] = chr(ord("A") + at % 26) + (str(at // 26) if at >= 26 else "")
    return tuple("" if each is None else names[each] for each in votes)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a number of JSON")
    return value
