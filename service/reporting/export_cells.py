"""The cells of a provider's export: days, counts and amounts, in the forms that exports have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_DATES = ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%Y/%m/%d")
_EPOCH = re.compile(r"\d{9,10}(\.\d+)?|\d{13}|\d{16}")
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_DOLLARS = re.compile(r"US\$|USD|\$", re.IGNORECASE)
_SLASHES = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}")


def text_of(value: Any) -> str:
    """A cell without the mark that keeps a spreadsheet from running it."""
    return str("" if value is None else value).strip().lstrip("'")


def day_of(value: Any, form: str = "") -> str:
    """The day (UTC) of a moment: ISO 8601, seconds or their thousandths or millionths since 1970, a
    month by its English name; or as ``form`` says (of strptime). Raises ValueError.
    """
    text = text_of(value)
    try:
        if form:
            moment = datetime.strptime(text, form)  # noqa: DTZ007
        elif _EPOCH.fullmatch(text):
            digits = len(text.partition(".")[0])
            seconds = float(text) / {13: 1e3, 16: 1e6}.get(digits, 1.0)
            return datetime.fromtimestamp(seconds, UTC).date().isoformat()
        else:
            moment = _moment(text.removesuffix(" UTC"))
    except (ValueError, OverflowError, OSError):
        mend = "; say which part is what, as --date-form %m/%d/%Y" if _slashes(text) else ""
        raise ValueError(f"{text[:40]!r} is no date{mend}") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.date().isoformat()


def _slashes(text: str) -> bool:
    return _SLASHES.match(text) is not None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        for form in _DATES:
            try:
                return datetime.strptime(text, form)  # noqa: DTZ007
            except ValueError:
                continue
        raise


def number_of(value: Any, column: str) -> Decimal:
    """A number: with a dollar's sign or name, with commas between thousands, negative in brackets.
    Another currency's sign, and a comma for a point, are refused. Raises ValueError.
    """
    text = text_of(value) or "0"
    plain = _DOLLARS.sub("", text).replace("\u00a0", "").replace("\u202f", "").strip()
    if plain.startswith("(") and plain.endswith(")"):
        plain = f"-{plain[1:-1].strip()}"
    sign = "-" if plain.startswith("-") else ""
    amount = plain[len(sign) :].strip()
    if "," in amount:
        if not _GROUPED.fullmatch(amount):
            raise ValueError(
                f"{column}: {text[:40]!r} has a comma that divides no thousands; write it with a "
                "decimal point"
            )
        amount = amount.replace(",", "")
    try:
        found = Decimal(sign + amount)
    except InvalidOperation:
        raise ValueError(f"{column}: {text[:40]!r} is no number") from None
    if not found.is_finite() or abs(found) > Decimal(10) ** 15:
        raise ValueError(f"{column}: {text[:40]!r} cannot be")
    return found


def summed(row: Mapping[str, Any], column: str) -> Decimal:
    """What a column says, or several that are joined by ``+`` say together."""
    if column in row:
        return number_of(row[column], column)
    return sum((number_of(row.get(each), each) for each in column.split("+")), Decimal(0))


def count_of(row: Mapping[str, Any], column: str) -> int:
    """A whole number that is not negative."""
    found = summed(row, column)
    if found != found.to_integral_value() or found < 0:
        raise ValueError(f"{column}: {found} is no count")
    return int(found)


def check_currency(row: Mapping[str, Any], column: str | None) -> None:
    """Raises ValueError where a row says that it is not in dollars."""
    told = text_of(row.get(column)) if column else ""
    if told and _DOLLARS.fullmatch(told) is None:
        raise ValueError(f"{column}: {told[:10]!r}: dollars alone can be held against the ledger")
