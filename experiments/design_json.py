"""An experiment's design as JSON, and back: whatever it does not know is refused by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any, TypeVar

from experiments.design import Action, DesignError, Experiment, Guardrail, Unit, Variant
from experiments.errors import ExperimentError
from experiments.metrics import Direction
from experiments.switchback import Blocks

_Word = TypeVar("_Word", bound=StrEnum)
_Read = Callable[[str, Any], Any]  # of a field's full name and what stands there


def to_json(experiment: Experiment) -> str:
    """The design, every field named; settings are an object, in their order."""
    told = asdict(experiment)
    for variant in told["variants"]:
        variant["settings"] = dict(variant["settings"])
    return json.dumps(told, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> Experiment:
    """The design that a text describes; what may be left out has the default of the design."""
    try:
        given = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except ValueError as wrong:
        raise DesignError("design", f"it is no JSON: {wrong}", "mend it at that place") from None
    return Experiment(**_fields("design", given, _EXPERIMENT, ("slug", "hypothesis", "variants",
                                                               "goals")))  # fmt: skip


def _fields(
    where: str, given: object, readers: Mapping[str, _Read], required: Sequence[str]
) -> dict[str, Any]:
    """The object's fields by their readers; those that nobody reads or that lack are refused."""
    if not isinstance(given, dict):
        raise DesignError(where, f"{given!r} is no object", f"give {', '.join(readers)} by name")
    prefix = "" if where == "design" else f"{where}."
    for name in given:
        if name not in readers:
            near = difflib.get_close_matches(name, readers, n=1)
            mend = f"did you mean {near[0]}?" if near else f"use {', '.join(readers)}"
            raise DesignError(f"{prefix}{name}", "no field is called so", mend)
    for name in required:
        if name not in given:
            raise DesignError(f"{prefix}{name}", "it is not there", "give it")
    return {name: readers[name](f"{prefix}{name}", value) for name, value in given.items()}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise DesignError(name, "it stands twice in one object", "keep one of them")
        found[name] = value
    return found


def _no_number(name: str) -> float:
    raise DesignError("design", f"{name} is no number of JSON", "give a finite number")


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise DesignError(field, f"{value!r} is no text", 'give a text in quotes: "..."')
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise DesignError(field, "it holds half of a character", "give a text in Unicode")
    return value


def _number(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DesignError(field, f"{value!r} is no number", "give a number, without quotes")
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers of any length
        raise DesignError(field, "it is too large", "give a smaller number") from None


def _whole(field: str, value: Any) -> int:
    number = _number(field, value)
    if not number.is_integer():
        raise DesignError(field, f"{value!r} is no whole number", "give one such as 30")
    return int(value)


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DesignError(field, f"{value!r} is neither", "give true or false")
    return value


def _word(kind: type[_Word]) -> Callable[[str, Any], _Word]:
    def read(field: str, value: Any) -> _Word:
        if value not in list(kind):
            raise DesignError(field, f"{value!r} is none", f"use {', '.join(kind)}")
        return kind(value)

    return read


def _or_none(read: _Read) -> _Read:
    return lambda field, value: None if value is None else read(field, value)


def _each(read: _Read) -> _Read:
    def all_of(field: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise DesignError(field, f"{value!r} is no list", "give a list: [...]")
        return tuple(read(field, each) for each in value)

    return all_of


def _settings(field: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise DesignError(field, f"{value!r} is no object", 'give {"name": "value"}')
    return tuple((name, _text(f"{field}.{name}", told)) for name, told in value.items())


def _variant(field: str, value: Any) -> Variant:
    return Variant(**_fields(field, value, _VARIANT, ("name", "share")))


def _guardrail(field: str, value: Any) -> Guardrail:
    return Guardrail(**_fields(field, value, _GUARDRAIL, ("metric",)))


def _blocks(field: str, value: Any) -> Blocks:
    found = _fields(field, value, _BLOCKS, ("salt", "start_us"))
    try:
        return Blocks(**found)
    except ExperimentError as wrong:
        raise DesignError(field, "it does not stand", str(wrong)) from None


_VARIANT: Mapping[str, _Read] = {"name": _text, "share": _number, "settings": _settings}
_GUARDRAIL: Mapping[str, _Read] = {
    "metric": _text, "direction": _or_none(_word(Direction)), "tolerance": _number,
    "action": _word(Action), "least": _whole, "dry_run": _flag,
}  # fmt: skip
_BLOCKS: Mapping[str, _Read] = {
    "salt": _text, "start_us": _whole, "length_s": _whole, "burn_in_s": _whole,
}  # fmt: skip
_EXPERIMENT: Mapping[str, _Read] = {
    "slug": _text, "hypothesis": _text, "variants": _each(_variant), "goals": _each(_text),
    "guardrails": _each(_guardrail), "unit": _word(Unit), "alpha": _number,
    "smallest_effect": _number, "winsorise": _or_none(_number), "blocks": _or_none(_blocks),
    "version": _whole, "reverse": _flag, "covariate": _or_none(_text),
}  # fmt: skip
