"""Texts with values in them: {{ expression }}; what is put in is never read as a template."""

from __future__ import annotations

from dataclasses import dataclass

from service.orchestration.workflows.functions import MOST_CHARACTERS, ValueFault, shown
from service.orchestration.workflows.language import Scope, Value, compiled
from service.orchestration.workflows.operations import LanguageInvalid, Names

OPEN, CLOSE = "{{", "}}"
MOST_SLOTS = 100
MAX_LENGTH = 100_000


@dataclass(frozen=True, slots=True)
class Template:
    """Fixed texts and the values between them."""

    parts: tuple[str | Value, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The values in it."""
        return tuple(each for each in self.parts if isinstance(each, Value))

    def __call__(self, names: Names) -> str:
        told: list[str] = []
        size = 0
        for each in self.parts:
            part = each if isinstance(each, str) else shown(each(names))
            size += len(part)
            if size > MOST_CHARACTERS:
                raise ValueFault(f"a text of more than {MOST_CHARACTERS} characters")
            told.append(part)
        return "".join(told)


def template(text: str, scope: Scope) -> Template:
    """Read a template; raises LanguageInvalid."""
    if len(text) > MAX_LENGTH:
        raise LanguageInvalid(f"longer than {MAX_LENGTH} characters")
    parts: list[str | Value] = []
    rest = text
    while OPEN in rest:
        before, _, after = rest.partition(OPEN)
        inner, closing, rest = _inner(after)
        if not closing:
            raise LanguageInvalid("{{ without }}")
        if before:
            parts.append(before)
        value = compiled(inner, scope)
        if value.kind.name in ("image", "audio"):
            raise LanguageInvalid(
                f"{inner.strip()!r} is {value.kind} and cannot stand in a text; give it in images"
            )
        parts.append(value)
        if len(parts) > 2 * MOST_SLOTS:
            raise LanguageInvalid(f"more than {MOST_SLOTS} values in one text")
    if rest:
        parts.append(rest)
    return Template(tuple(parts))


def _inner(text: str) -> tuple[str, str, str]:
    """What stands up to the closing braces, those in quotes passed over."""
    quote = ""
    at = 0
    while at < len(text):
        sign = text[at]
        if quote:
            if sign == "\\":
                at += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'":
            quote = sign
        elif text.startswith(CLOSE, at):
            return text[:at], CLOSE, text[at + len(CLOSE) :]
        at += 1
    return text, "", ""
