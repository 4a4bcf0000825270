"""The tables of money: each record's columns in order, the kind of each, and its attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain.budgets import KeyBudget
from service.domain.money import Charge, Tariff

_PRICES = (
    "input_micro_usd_mtok", "output_micro_usd_mtok", "cached_input_micro_usd_mtok",
    "cache_write_micro_usd_mtok", "reasoning_micro_usd_mtok", "image_micro_usd",
    "mchar_micro_usd", "request_micro_usd", "batch_ppm",
)  # fmt: skip
_RENAMED = {"at_us": "ts", "from_us": "from_at"}

# By record: the table, its texts and times in order, whole numbers, and more texts.
_FORMS: Sequence[tuple[type, str, Sequence[str], Sequence[str], Sequence[str]]] = (
    (Charge, "charges", ("decision_id",),
     ("number", "at_us", "deployment", "cache_write_tokens", "reasoning_tokens", "images",
      "characters"), ()),
    (Tariff, "tariffs", ("at_us", "deployment", "provider", "model", "from_us"), _PRICES, ()),
    (KeyBudget, "key_budgets", ("key_id", "at_us", "period"),
     ("hard_micro_usd", "soft_micro_usd"), ("at_cap", "author", "reason")),
)  # fmt: skip
_TEXTS = ("deployment",)


def kind_of(name: str, numeric: bool) -> str:
    """text, time, int or long."""
    if name in _RENAMED:
        return "time"
    if name in _TEXTS or not numeric:
        return "text"
    return "int" if name == "number" else "long"


MONEY: Mapping[type, tuple[str, Sequence[tuple[str, str]], Sequence[str]]] = {
    record: (
        name,
        [(_RENAMED.get(each, each), kind_of(each, False)) for each in words]
        + [(_RENAMED.get(each, each), kind_of(each, True)) for each in numbers]
        + [(each, "text") for each in more],
        (*words, *numbers, *more),
    )
    for record, name, words, numbers, more in _FORMS
}
