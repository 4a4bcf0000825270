"""What each scorer takes: references and options, checked before anything is asked."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any

from service.orchestration.scorers import Check
from service.orchestration.structure import CHECKS, COUNTS, TEXTS

MAX_CHECKS = 30


def problem(check: Check) -> tuple[str, str] | None:
    """What is wrong with a check: the field and what to give there; None where nothing is."""
    if check.scorer not in SCORERS:
        return "scorer", f"{check.scorer!r} is none: give one of {', '.join(sorted(SCORERS))}"
    unknown = sorted(set(check.options) - _OPTIONS.get(check.scorer, frozenset()))
    if unknown:
        known = ", ".join(sorted(_OPTIONS.get(check.scorer, frozenset()))) or "none"
        return "options", f"{unknown[0]!r} is no option of {check.scorer}; there are: {known}"
    return _REFERENCES[check.scorer](check)


def _ref_exact(check: Check) -> tuple[str, str] | None:
    good = isinstance(check.reference, str) or _texts(check.reference)
    return None if good else ("reference", "exact takes a text, or a list of texts")


def _ref_numeric(check: Check) -> tuple[str, str] | None:
    if not _number(check.reference):
        return "reference", "numeric takes a finite number"
    for name, value in check.options.items():
        if not _number(value) or value < 0:
            return "options", f"{name} takes a number of at least 0"
    return None


def _number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _ref_choice(check: Check) -> tuple[str, str] | None:
    letters = check.options.get("letters", "ABCD")
    if not isinstance(letters, str) or not letters.isalpha() or letters != letters.upper():
        return "options", 'letters of choice are capitals, such as "ABCDE"'
    if not isinstance(check.reference, str) or len(check.reference) != 1:
        return "reference", f"choice takes one letter of {letters}"
    return None if check.reference in letters else ("reference", f"give one of {letters}")


def _ref_structure(check: Check) -> tuple[str, str] | None:
    wanted = check.reference
    if not isinstance(wanted, dict) or not wanted or len(wanted) > MAX_CHECKS:
        return "reference", 'structure takes an object of checks, such as {"max_words": 50}'
    for name, value in wanted.items():
        if name not in CHECKS:
            return "reference", f"{name!r} is no check; there are: {', '.join(CHECKS)}"
        if name in TEXTS and not _texts(value):
            return "reference", f"{name} takes a list of texts"
        if name in COUNTS and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            return "reference", f"{name} takes a whole number"
        if name in ("starts", "ends") and not (isinstance(value, str) and value):
            return "reference", f"{name} takes a text"
        if name == "json" and not isinstance(value, bool):
            return "reference", "json takes true or false"
        if name == "values" and not (isinstance(value, dict) and value):
            return "reference", "values takes an object"
    return None


def _ref_code(check: Check) -> tuple[str, str] | None:
    if not _texts(check.reference):
        return "reference", 'code takes a list of tests, such as ["assert add(1, 2) == 3"]'
    for at, test in enumerate(check.reference):
        try:
            ast.parse(test)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return "reference", f"test {at + 1} is no Python: {error}"
    return None


def _ref_rubric(check: Check) -> tuple[str, str] | None:
    good = check.reference is None or (isinstance(check.reference, str) and check.reference)
    return None if good else ("reference", "rubric takes the text of a rubric, or nothing")


def _texts(value: Any) -> bool:
    return (
        isinstance(value, list) and 0 < len(value) <= MAX_CHECKS
        and all(isinstance(each, str) and each for each in value)
    )  # fmt: skip


_OPTIONS: Mapping[str, frozenset[str]] = {
    "exact": frozenset({"case"}),
    "numeric": frozenset({"tolerance", "relative"}),
    "choice": frozenset({"letters"}),
    "structure": frozenset({"all"}),
}
_REFERENCES: Mapping[str, Callable[[Check], tuple[str, str] | None]] = {
    "exact": _ref_exact,
    "numeric": _ref_numeric,
    "choice": _ref_choice,
    "structure": _ref_structure,
    "code": _ref_code,
    "rubric": _ref_rubric,
}
SCORERS = tuple(_REFERENCES)
