"""The graph of some steps: what reads what, in which order they can run, and circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from service.orchestration.workflows.templates import CLOSE, OPEN


def names_in(expression: str) -> set[str]:
    """The names that an expression reads; none where it cannot be read."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}


def names_of(text: str) -> set[str]:
    """The names that a template reads."""
    found: set[str] = set()
    for part in text.split(OPEN)[1:]:
        pieces = part.split(CLOSE)
        for upto in range(1, len(pieces)):
            found |= names_in(CLOSE.join(pieces[:upto]))
    return found


def ordered(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names in an order in which each comes after what it needs, else as they are given; those
    on a circle, or after one, are left out.
    """
    order: list[str] = []
    left = dict(needs)
    while left:
        free = [name for name, of in left.items() if not any(each in left for each in of)]
        if not free:
            break
        order += free
        for name in free:
            del left[name]
    return order


def circle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """A circle among the names, its first named again at its end; empty where there is none."""
    left = set(needs) - set(ordered(needs))
    on = {name for name in left if any(each in left for each in needs[name])}
    if not on:
        return []
    way = [next(name for name in needs if name in on)]
    while True:
        following = next(each for each in needs[way[-1]] if each in left)
        if following in way:
            return [*way[way.index(following) :], following]
        way.append(following)


def reached(wanted: Iterator[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    """All that is needed for some names, themselves included."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in found and name in needs:
            found.add(name)
            waiting += needs[name]
    return found
