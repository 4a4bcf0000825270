"""What the language does with values: compares, adds, reckons; kinds are checked before."""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from typing import Any

from service.orchestration.workflows.functions import ValueFault, bounded, listed
from service.orchestration.workflows.kinds import (
    ANY,
    MEDIA,
    NUMBER,
    TEXT,
    Kind,
    fits,
    joined,
    list_of,
)

GREATEST = 10**15
Names = Mapping[str, Any]
Run = Callable[[Names], Any]
Read = tuple[Kind, Run]


class LanguageInvalid(ValueError):
    """What is not of the language, or does not fit together; the message says what and how."""


class Absent(Exception):
    """Something is read that there is not: a step was skipped, a field is missing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_SAME: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


def inner(kind: Kind, name: str, told: str) -> Kind:
    """The kind of a field; raises LanguageInvalid where there is none of the name."""
    if kind.name in ("image", "audio"):
        fields: Mapping[str, Kind] | None = MEDIA
    elif kind.name == "object":
        fields = kind.fields
    elif kind.name == "any":
        fields = None
    else:
        raise LanguageInvalid(f"{told!r}: {kind} has no fields")
    if fields is None:
        return ANY
    if name not in fields:
        raise LanguageInvalid(f"{told!r}: {unknown(name, fields, 'field')}")
    return fields[name]


def unknown(name: str, known: Mapping[str, Any], what: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
    return f"no {what} {name!r} here; {hint}"


def comparison(op: ast.cmpop, left: Kind, right: Kind, told: str) -> Callable[[Any, Any], bool]:
    if isinstance(op, ast.In | ast.NotIn):
        if not fits(right, list_of(ANY)) and not fits(right, TEXT):
            raise LanguageInvalid(f"{told!r}: {right} holds nothing")
        inside = isinstance(op, ast.In)

        def holds(part: Any, whole: Any) -> bool:
            if isinstance(whole, str) and not isinstance(part, str):
                raise ValueFault(f"{told}: a text holds texts")
            if not isinstance(whole, str | list):
                raise ValueFault(f"{told}: neither a text nor a list")
            return (part in whole) is inside

        return holds
    if type(op) in _SAME:
        if not fits(left, right) and not fits(right, left):
            raise LanguageInvalid(f"{told!r}: {left} is never the same as {right}")
        return _SAME[type(op)]
    if type(op) not in _ORDER:
        raise LanguageInvalid(f"{told!r}: only ==, !=, <, <=, >, >=, in and not in compare")
    for kind in (left, right):
        if not fits(kind, NUMBER):
            raise LanguageInvalid(f"{told!r}: {kind} has no order; compare numbers")
    compare = _ORDER[type(op)]
    return lambda one, other: compare(number(one), number(other))


def added(left: Read, right: Read, told: str) -> Read:
    kinds = left[0], right[0]
    one, two = left[1], right[1]
    for kind in (TEXT, NUMBER, list_of(ANY)):
        if all(fits(each, kind) for each in kinds):
            break
    else:
        raise LanguageInvalid(f"{told!r}: {kinds[0]} and {kinds[1]} cannot be added")

    def add(names: Names) -> Any:
        a, b = one(names), two(names)
        if isinstance(a, str) and isinstance(b, str):
            return bounded(a + b)
        if isinstance(a, list) and isinstance(b, list):
            return listed(a + b)
        return calculated(operator.add, number(a), number(b), told)

    if "any" in (kinds[0].name, kinds[1].name):
        return joined(*kinds), add
    if kind.name == "number":
        return joined(*kinds), add
    return (list_of(joined(kinds[0].item or ANY, kinds[1].item or ANY)) if kind.name == "list"
            else TEXT), add  # fmt: skip


def number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueFault("a number is wanted")
    return value


def calculated(apply: Callable[[Any, Any], Any], one: Any, two: Any, told: str) -> Any:
    try:
        value = apply(one, two)
    except (ZeroDivisionError, OverflowError):
        raise ValueFault(f"{told}: divided by nothing") from None
    if not abs(value) <= GREATEST:
        raise ValueFault(f"{told}: a number beyond 10^15")
    return value
