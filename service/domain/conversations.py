"""A conversation that is kept: what was said, and what is known of it, in a form with a version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

SCHEMA = 1  # of the context object and of each turn; what changes its form raises it
USER, ASSISTANT, TOOL = "user", "assistant", "tool"
FACT, PREFERENCE = "fact", "preference"

Document = dict[str, Any]
# From each older schema to the next one.
MIGRATIONS: Mapping[int, Callable[[Document], Document]] = {}


class SchemaUnknown(ValueError):
    """What was kept was written by a newer Headgate."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence worth keeping when its turn no longer is: who said it, and how much it says.
    ``slot``: what it settles; a later note of the same slot takes its place.
    """

    kind: str  # FACT or PREFERENCE
    said_by: str  # USER, ASSISTANT or TOOL
    text: str
    weight: float
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a caller sent and what was answered. ``messages``: the JSON of each, in OpenAI's form.
    ``opens``: whether it begins something new; where it does not, it holds the results of tools
    that the turn before called, and the two are never parted.
    """

    number: int
    at_us: int
    decision_id: str
    deployment: str
    messages: tuple[bytes, ...]
    tokens: int
    opens: bool = True
    notes: tuple[Note, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()  # kind and value
    finish: str = "stop"
    tokens_in: int = 0  # as billed for the call that answered
    tokens_out: int = 0
    previous: str = ""  # the decision that it goes on from


@dataclass(frozen=True, slots=True)
class Summary:
    """What a deployment wrote of all turns up to ``through``."""

    text: str
    through: int
    deployment: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The context object. ``owner``: whose it is (a tenant's, or a key's); ``person``: the keyed
    hash of the user that the caller named. ``revision`` counts its changes.
    """

    id: str
    owner: str
    person: str = ""
    created_us: int = 0
    seen_us: int = 0
    revision: int = 0
    system: tuple[bytes, ...] = ()
    pins: tuple[str, ...] = ()
    summary: Summary | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def last(self) -> Turn | None:
        """The newest turn."""
        return self.turns[-1] if self.turns else None

    @property
    def notes(self) -> tuple[Note, ...]:
        """The notes of all turns, the oldest first."""
        return tuple(note for turn in self.turns for note in turn.notes)


@dataclass(frozen=True, slots=True)
class Composed:
    """The messages for one deployment: how many tokens they are counted as, and how many of the
    turns are no longer among them.
    """

    messages: tuple[bytes, ...]
    tokens: int
    cut: int = 0
    noted: int = 0  # notes that stand for them


@dataclass(frozen=True, slots=True)
class Pins:
    """What a request wants pinned, and no longer pinned."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = field(default=())


def dump_context(kept: Conversation) -> bytes:
    """The context object without its turns, as it is stored."""
    summary = kept.summary
    return msgspec.json.encode({
        "schema": SCHEMA, "system": [each.decode() for each in kept.system],
        "pins": list(kept.pins),
        "summary": summary and [summary.text, summary.through, summary.deployment],
    })  # fmt: skip


def dump_turn(turn: Turn) -> bytes:
    """A turn as it is stored."""
    return msgspec.json.encode({
        "schema": SCHEMA, "number": turn.number, "at_us": turn.at_us,
        "decision_id": turn.decision_id, "deployment": turn.deployment,
        "messages": [each.decode() for each in turn.messages], "tokens": turn.tokens,
        "opens": turn.opens, "finish": turn.finish,
        "notes": [[n.kind, n.said_by, n.text, n.weight, n.slot] for n in turn.notes],
        "entities": list(turn.entities), "tokens_in": turn.tokens_in,
        "tokens_out": turn.tokens_out, "previous": turn.previous,
    })  # fmt: skip


def current(
    data: bytes,
    migrations: Mapping[int, Callable[[Document], Document]] = MIGRATIONS,
    schema: int = SCHEMA,
) -> Document:
    """A stored document in the schema of now; raises SchemaUnknown."""
    document: Document = msgspec.json.decode(data)
    while (found := document.get("schema")) != schema:
        if not isinstance(found, int) or found not in migrations:
            raise SchemaUnknown(f"a conversation of schema {found!r} cannot be read here")
        document = migrations[found](document)
    return document


def load_turn(data: bytes) -> Turn:
    """A stored turn; raises SchemaUnknown."""
    of = current(data)
    return Turn(
        of["number"], of["at_us"], of["decision_id"], of["deployment"],
        tuple(each.encode() for each in of["messages"]), of["tokens"], of["opens"],
        tuple(Note(*each) for each in of["notes"]),
        tuple((kind, value) for kind, value in of["entities"]), of["finish"],
        of["tokens_in"], of["tokens_out"], of["previous"],
    )  # fmt: skip


def context_of(data: bytes) -> tuple[tuple[bytes, ...], tuple[str, ...], Summary | None]:
    """A stored context's system messages, pins and summary; raises SchemaUnknown."""
    of = current(data)
    summary = of["summary"]
    return (
        tuple(each.encode() for each in of["system"]),
        tuple(of["pins"]),
        Summary(*summary) if summary else None,
    )


def preferences(kept: Conversation) -> list[str]:
    """What the user prefers, the newest of each kind."""
    return [note.text for note in standing(kept.notes) if note.kind == PREFERENCE]


def standing(notes: tuple[Note, ...]) -> list[Note]:
    """The notes without those that a later one replaces, in order; nothing twice."""
    seen: set[str] = set()
    kept: list[Note] = []
    for note in reversed(notes):
        marks = {note.text.casefold()} | ({f"\x00{note.slot}"} if note.slot else set())
        if not marks & seen:
            kept.append(note)
        seen |= marks
    return kept[::-1]


def entities(kept: Conversation) -> dict[str, list[str]]:
    """What is spoken of, by kind, each once, in the order of first mention."""
    found: dict[str, list[str]] = {}
    for turn in kept.turns:
        for kind, value in turn.entities:
            values = found.setdefault(kind, [])
            if value not in values:
                values.append(value)
    return found
