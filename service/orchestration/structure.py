"""The structure of an answer: JSON, words, lines, lists, beginnings and ends; no patterns."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

FENCE = "```"
HALF = "\\ud"  # how JSON writes half a character


def held(wanted: Mapping[str, Any], answer: str) -> dict[str, bool]:
    """Whether each of the named checks holds for an answer."""
    return {name: CHECKS[name](want, answer) for name, want in wanted.items()}


def code_in(answer: str) -> str:
    """The fenced blocks of an answer, joined; the whole where there are none."""
    parts = answer.split(FENCE)
    if len(parts) < 3:
        return answer
    blocks = []
    for part in parts[1::2]:
        head, line, rest = part.partition("\n")
        named = line and (not head.strip() or head.strip().replace("+", "").isalnum())
        blocks.append(rest if named else part)
    return "\n".join(blocks)


def bare(text: str, strict: bool = False) -> str:
    """Without case, outer punctuation and runs of space; ``strict``: only without the last."""
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if strict:
        return plain
    return plain.casefold().strip(" .,:;!?\"'`*_()[]\u201c\u201d\u2018\u2019")


def parsed(answer: str) -> Any:
    """The JSON of an answer, in a fence or alone; raises ValueError."""
    text = answer.strip()
    if text.startswith(FENCE):
        text = code_in(text)
    try:
        found = json.loads(text)
        if HALF in text.lower():  # half a character cannot be told to anybody
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None
    return found


def _json(want: Any, answer: str) -> bool:
    try:
        parsed(answer)
    except ValueError:
        return not want
    return bool(want)


def _keys(want: Sequence[str], answer: str) -> bool:
    try:
        found = parsed(answer)
    except ValueError:
        return False
    return isinstance(found, dict) and all(name in found for name in want)


def _values(want: Mapping[str, Any], answer: str) -> bool:
    try:
        found = parsed(answer)
    except ValueError:
        return False
    return isinstance(found, dict) and all(_same(found.get(k), v) for k, v in want.items())


def _same(said: Any, wanted: Any) -> bool:
    if isinstance(said, str) and isinstance(wanted, str):
        return bare(said) == bare(wanted)
    if isinstance(said, bool) or isinstance(wanted, bool):
        return said is wanted
    return bool(said == wanted)


def _lines(answer: str) -> list[str]:
    return [line for line in answer.strip().splitlines() if line.strip()]


def _items(answer: str) -> int:
    """Lines that are items of a list: after a dash, a star, a dot, or a number."""
    count = 0
    for line in _lines(answer):
        head, _, rest = line.strip().partition(" ")
        numbered = head[:-1].isdigit() and head[-1:] in ".)"
        count += bool(rest.strip()) and (head in ("-", "*", "\u2022", "+") or numbered)
    return count


def _has(part: str, answer: str) -> bool:
    return part.casefold() in answer.casefold()


CHECKS: Mapping[str, Callable[[Any, str], bool]] = {
    "json": _json,
    "keys": _keys,
    "values": _values,
    "contains": lambda want, answer: all(_has(each, answer) for each in want),
    "absent": lambda want, answer: not any(_has(each, answer) for each in want),
    "starts": lambda want, answer: answer.strip().startswith(want),
    "ends": lambda want, answer: answer.strip().endswith(want),
    "min_words": lambda want, answer: len(answer.split()) >= want,
    "max_words": lambda want, answer: 0 < len(answer.split()) <= want,
    "lines": lambda want, answer: len(_lines(answer)) == want,
    "max_lines": lambda want, answer: 0 < len(_lines(answer)) <= want,
    "items": lambda want, answer: _items(answer) == want,
}
TEXTS = ("keys", "contains", "absent")
COUNTS = ("min_words", "max_words", "lines", "max_lines", "items")
