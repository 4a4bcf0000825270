"""Results of identical calls of a tenant, kept in memory for a while where a step says so."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from service.orchestration.workflows.asks import Ask, Said

TTL_S = 900.0
MOST = 1_000
MOST_BYTES = 200_000  # of one result


@dataclass(slots=True)
class StepCache:
    """The newest results; nothing of it is written anywhere."""

    ttl_s: float = TTL_S
    _kept: OrderedDict[str, tuple[float, Said]] = field(default_factory=OrderedDict)

    def get(self, key: str, now_s: float) -> Said | None:
        """What the same call gave, if that was not long ago."""
        found = self._kept.get(key)
        if found is None or now_s - found[0] > self.ttl_s:
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: str, said: Said, now_s: float) -> None:
        """Keep a result that is not too long."""
        if len(msgspec.json.encode(said.fields)) > MOST_BYTES:
            return
        self._kept[key] = (now_s, said)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)


def call_key(owner: str, ask: Ask) -> str:
    """Of all that makes a call what it is; one tenant's is never another's."""
    form = ask.form
    parts = [owner, ask.kind, form.model, form.route.model_dump(), dict(ask.body), ask.exclude]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
