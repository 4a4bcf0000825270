"""Kept answers in memory: found by fingerprint, bounded in bytes, ended by time, taken back."""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

AROUND = 600  # bytes that an entry takes beside its answer, its names and the index included
MOST_ALIKE = 4  # answers to one request, each of another deployment
EXPIRED, FULL, REPLACED = "expired", "full", "replaced"


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer. ``tail``: its body after the id; ``mark``: what its deployment was; ``tenant``: as
    its request said, ``owner``: as its key was bound; ``stored_s`` and ``dies_s`` on the monotonic
    clock: from the latter on it is older than any rule allows; ``most_s``: how old its asker lets
    it become; ``source``: the decision that it answered.
    """

    name: str
    fingerprint: str
    scope: str
    deployment: str
    mark: str
    task: str
    tenant: str
    owner: str
    tags: tuple[str, ...]
    tail: bytes
    stored_s: float
    stored_us: int
    dies_s: float
    most_s: float
    source: str
    cost_micro_usd: int
    tokens_in: int
    tokens_out: int

    @property
    def size(self) -> int:
        """Bytes that it counts with."""
        return len(self.tail) + sum(map(len, self.tags)) + AROUND

    def age_s(self, now_s: float) -> float:
        """How old it is; never less than nothing."""
        return max(now_s - self.stored_s, 0.0)


@dataclass(frozen=True, slots=True)
class Which:
    """The entries that are meant: all that every given part takes. ``tenant``: as their requests
    said; ``owner``: as the keys that shared them are bound.
    """

    tag: str | None = None
    deployment: str | None = None
    task: str | None = None
    tenant: str | None = None
    before_us: int | None = None  # stored before that moment
    owner: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is meant."""
        return (
            (self.tag is None or self.tag in entry.tags)
            and (self.deployment is None or self.deployment == entry.deployment)
            and (self.task is None or self.task == entry.task)
            and (self.tenant is None or self.tenant == entry.tenant)
            and (self.owner is None or self.owner == entry.owner)
            and (self.before_us is None or entry.stored_us < self.before_us)
        )


class Shelf:
    """Lives on the event loop. The least lately used goes first; ``gone`` is told what goes."""

    def __init__(self, most_bytes: int, gone: Callable[[list[str]], None] = lambda _: None) -> None:
        self.most_bytes = most_bytes
        self.gone = gone
        self.bytes = 0
        self.ended: Counter[str] = Counter()  # by why
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # the least lately used first
        self._alike: dict[str, list[str]] = {}  # fingerprint to names, the oldest first
        self._sources: dict[str, str] = {}  # decision to name
        self._dying: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def alike(self, fingerprint: str) -> list[Entry]:
        """The answers to a request, the newest first."""
        return [self._entries[name] for name in reversed(self._alike.get(fingerprint, ()))]

    def stands(self, entry: Entry) -> bool:
        """Whether it is still here, and not another one in its place."""
        return self._entries.get(entry.name) is entry

    def used(self, entry: Entry) -> None:
        """It was given again."""
        if entry.name in self._entries:
            self._entries.move_to_end(entry.name)

    def of_source(self, decision_id: str) -> Entry | None:
        """The entry that a decision's answer became."""
        name = self._sources.get(decision_id)
        return None if name is None else self._entries.get(name)

    def put(self, entry: Entry) -> bool:
        """Keep one, in place of its deployment's former answer; False where it does not fit."""
        if entry.size > self.most_bytes:
            return False
        if entry.name in self._entries:
            self._remove(entry.name)
            self.ended[REPLACED] += 1
        self._entries[entry.name] = entry
        self._alike.setdefault(entry.fingerprint, []).append(entry.name)
        self._sources[entry.source] = entry.name
        self.bytes += entry.size
        heapq.heappush(self._dying, (entry.dies_s, entry.name))
        if len(self._dying) > 2 * len(self._entries) + 64:
            self._dying = [(each.dies_s, each.name) for each in self._entries.values()]
            heapq.heapify(self._dying)
        self._make_room(entry)
        return True

    def _make_room(self, entry: Entry) -> None:
        out = []
        alike = self._alike[entry.fingerprint]
        while len(alike) > MOST_ALIKE:
            out.append(alike[0])
            self._remove(alike[0])
        while self.bytes > self.most_bytes:
            name = next(iter(self._entries))
            out.append(name)
            self._remove(name)
        self._told(out, FULL)

    def bound(self, most_bytes: int) -> None:
        """Another bound holds."""
        self.most_bytes = most_bytes
        out = []
        while self.bytes > self.most_bytes:
            name = next(iter(self._entries))
            out.append(name)
            self._remove(name)
        self._told(out, FULL)

    def expire(self, now_s: float) -> int:
        """Forget what no rule allows any more; how many."""
        out = []
        while self._dying and self._dying[0][0] <= now_s:
            _, name = heapq.heappop(self._dying)
            entry = self._entries.get(name)
            if entry is not None and entry.dies_s <= now_s:
                out.append(name)
                self._remove(name)
        self._told(out, EXPIRED)
        return len(out)

    def forget(self, which: Callable[[Entry], bool], why: str) -> int:
        """Forget those that are meant; how many."""
        out = [name for name, entry in self._entries.items() if which(entry)]
        for name in out:
            self._remove(name)
        self._told(out, why)
        return len(out)

    def drop(self, entry: Entry, why: str) -> None:
        """Forget one."""
        if self._entries.get(entry.name) is entry:
            self._remove(entry.name)
            self._told([entry.name], why)

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name)
        self.bytes -= entry.size
        alike = self._alike[entry.fingerprint]
        alike.remove(name)
        if not alike:
            del self._alike[entry.fingerprint]
        if self._sources.get(entry.source) == name:
            del self._sources[entry.source]

    def _told(self, out: list[str], why: str) -> None:
        if out:
            self.ended[why] += len(out)
            self.gone(out)


ENDLESS = math.inf
