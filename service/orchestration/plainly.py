"""An answer without its decoration: what a judge sees when style is not to count."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^[ \t]*(```|~~~)[^\n]*$", re.M)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+", re.M)
_BULLET = re.compile(r"^([ \t]*)[*+•–—][ \t]+", re.M)
_RULE = re.compile(r"^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$\n?", re.M)
_QUOTE = re.compile(r"^[ \t]*>[ \t]?", re.M)
_TABLE_RULE = re.compile(
    r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(\|[ \t]*:?-{2,}:?[ \t]*)+\|?[ \t]*$\n?", re.M
)
_TABLE_ROW = re.compile(r"^[ \t]*\|(.*)\|[ \t]*$", re.M)
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_SOFT = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])")
_PICTURES = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]+")
_BLANK = re.compile(r"\n{3,}")
_CODE = re.compile(r"(^[ \t]*(?:```|~~~)[^\n]*\n.*?^[ \t]*(?:```|~~~)[ \t]*$)", re.M | re.S)


@dataclass(frozen=True, slots=True)
class Plain:
    """``text``: the words alone; ``decoration``: how many marks of style were taken off."""

    text: str
    decoration: int


def plainly(answer: str) -> Plain:
    """The same words without headings, emphasis, bullets, quotes, rules, table frames and
    pictures; code in fences stays letter by letter, and loses its fences alone.
    """
    marks, parts = 0, []
    for index, part in enumerate(_CODE.split(answer)):
        if index % 2:
            parts.append(_FENCE.sub("", part).strip("\n"))
            marks += 1
            continue
        for pattern, instead in (
            (_TABLE_RULE, ""), (_RULE, ""), (_HEADING, ""), (_QUOTE, ""), (_BULLET, r"\1- "),
            (_STRONG, r"\2"), (_SOFT, r"\1"), (_PICTURES, ""),
        ):  # fmt: skip
            part, count = pattern.subn(instead, part)
            marks += count
        part, count = _TABLE_ROW.subn(_cells, part)
        marks += count
        parts.append(part)
    text = _BLANK.sub("\n\n", "".join(parts))
    return Plain("\n".join(line.rstrip() for line in text.splitlines()).strip(), marks)


def _cells(row: re.Match[str]) -> str:
    return "; ".join(cell.strip() for cell in row[1].split("|"))
