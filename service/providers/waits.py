"""When a provider says to come back: Retry-After and its relatives, whatever is written there."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import datetime

MAX_WAIT_S = 86_400.0  # a day: what is asked beyond it is taken for an error of the asker
_LONGEST = 64  # characters of a header that we look at
_EPOCH_S = 1e9  # plain numbers above it are a moment, not a wait
_EPOCH_MS = 1e12
_PART = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_WINDOWS = ("requests", "tokens")


def wait_s(headers: Mapping[str, str], now_s: float, limited: bool = False) -> float | None:
    """Seconds to wait, from 0 to a day; None where the provider says nothing that can be read.

    ``now_s`` is the wall clock, in seconds since the epoch. A date is compared with the answer's
    own Date where it has one, so that a clock that is off (theirs or ours) does no harm. What
    ``x-ratelimit-reset-*`` says is heard only when the call was ``limited``: providers send it
    with every answer.
    """
    found = retry_after(headers, now_s)
    if found is None:
        found = _milliseconds(headers.get("retry-after-ms", ""))
    if found is None and limited:
        found = _resets(headers, now_s)
    return found


def retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """The Retry-After header alone: seconds, or a date (RFC 9110)."""
    text = _text(headers, "Retry-After")
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    moment = _date(text)
    if moment is None:
        return None
    said_at = _date(_text(headers, "Date"))
    return _bounded(moment - (now_s if said_at is None else said_at))


def reset_s(text: str, now_s: float) -> float | None:
    """One reset: ``1s``, ``6m0s``, ``88ms``, seconds, a moment since the epoch, or an ISO date."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    number = _number(text)
    if number is not None:
        if number >= _EPOCH_MS:
            number = number / 1e3 - now_s
        elif number >= _EPOCH_S:
            number -= now_s
        return _bounded(number)
    parts = _PART.findall(text)
    if parts and "".join(value + unit for value, unit in parts) == text:
        return _bounded(sum(float(value) * _UNITS[unit] for value, unit in parts))
    try:
        moment = datetime.fromisoformat(text)
        return _bounded(moment.timestamp() - now_s) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _resets(headers: Mapping[str, str], now_s: float) -> float | None:
    """The longest wait of the windows that are used up; of all, where none says that it is."""
    names = [name for name in _WINDOWS if _text(headers, f"x-ratelimit-remaining-{name}") == "0"]
    said = [_text(headers, f"x-ratelimit-reset-{name}") for name in names or _WINDOWS]
    if not any(said):
        said = [_text(headers, "x-ratelimit-reset")]
    waits = [wait for text in said if (wait := reset_s(text, now_s)) is not None]
    return max(waits, default=None)


def _text(headers: Mapping[str, str], name: str) -> str:
    text = headers.get(name, "").strip()
    return text if len(text) <= _LONGEST else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _milliseconds(text: str) -> float | None:
    number = _number(text) if len(text) <= _LONGEST else None
    return None if number is None else _bounded(number / 1e3)


def _date(text: str) -> float | None:
    try:
        parsed = email.utils.parsedate_tz(text)
        return None if parsed is None else float(email.utils.mktime_tz(parsed))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _bounded(seconds: float) -> float | None:
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_WAIT_S)
