"""Which requests may be answered again, for how long: by task, temperature, tools and choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from service.domain.chat import ChatRequest

_number = msgspec.json.Decoder(float | None).decode
_UNSURE = float("inf")  # a value that is no number: above every bound


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a task."""

    enabled: bool = True
    ttl_s: float = 86_400.0
    most_temperature: float = 0.0
    without_temperature: bool = False
    tools: bool = False

    def along(self, other: Rule) -> Rule:
        """The wider of both, in every part."""
        return Rule(
            self.enabled or other.enabled,
            max(self.ttl_s, other.ttl_s),
            max(self.most_temperature, other.most_temperature),
            self.without_temperature or other.without_temperature,
            self.tools or other.tools,
        )


@dataclass(frozen=True, slots=True)
class CacheRules:
    """The plan's. ``raised``: what is added while caching is raised; None: it cannot be.
    ``policy``: of whatever says which requests are alike; another one makes all entries strangers.
    """

    usual: Rule
    tasks: Mapping[str, Rule] = field(default_factory=dict)
    raised: Mapping[str, Rule] | None = None  # by task; empty name: of every other
    within: str = "tenant"
    policy: str = "1"
    most_bytes: int = 64_000_000
    entry_bytes: int = 262_144
    evict_below: float = 0.5

    def of(self, task: str, raised: bool = False) -> Rule:
        """What holds for a task now."""
        if raised and self.raised is not None:
            return self.raised.get(task) or self.raised[""]
        return self.tasks.get(task, self.usual)

    def longest_s(self, task: str) -> float:
        """How long an answer of a task may be of use, raised or not."""
        return max(self.of(task).ttl_s, self.of(task, True).ttl_s)


def kept_out(request: ChatRequest, rule: Rule) -> str:
    """Why a request is neither answered from the cache nor kept, in a word; empty: it may be."""
    if not rule.enabled:
        return "disabled"
    fields = request.fields
    if "temperature" in fields and bytes(fields["temperature"]) != b"null":
        if not _read(fields["temperature"]) <= rule.most_temperature:
            return "temperature"
    elif not rule.without_temperature:
        return "temperature"
    if "n" in fields and _read(fields["n"]) > 1.0:
        return "choices"
    if "web_search_options" in fields:
        return "live"  # what is found changes
    if not rule.tools and (request.shape.tools or "functions" in fields):
        return "tools"
    return ""


def _read(raw: msgspec.Raw) -> float:
    try:
        found = _number(raw)
    except (msgspec.DecodeError, RecursionError):
        return _UNSURE
    return 0.0 if found is None else found


def with_parts(rule: Rule, parts: Mapping[str, object]) -> Rule:
    """The rule with the parts that are named."""
    return replace(rule, **{name: value for name, value in parts.items() if value is not None})  # type: ignore[arg-type]
