"""What was refused of late, so that it is not sent again: bounded, and read back from the log."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

from service.domain.clock import Clock
from service.domain.refusals import Refusal
from service.storage.cases import at_time, rows_of, us
from service.storage.database import Cursor

MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Remembered:
    refusal: Refusal
    ends_s: float


class RefusalMemory:
    """The newest refusals by the hash of their request, each for ``remember_s`` seconds.

    Times run on the monotonic clock: a wall clock that jumps neither frees nor prolongs one.
    """

    def __init__(self, clock: Clock, remember_s: float, most: int = MOST) -> None:
        self._clock, self._remember_s, self._most = clock, remember_s, most
        self._known: OrderedDict[str, _Remembered] = OrderedDict()
        self._prompts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def load(self, cursor: Cursor) -> None:
        """Take back what the log knows and no reviewer has allowed since."""
        now_us = self._clock.wall_us()
        rows = rows_of(
            cursor,
            "SELECT r.* FROM refusals r LEFT JOIN ("
            "  SELECT v.request_hash, max(d.log_seq) AS seq FROM review_decisions d "
            "  JOIN reviews v ON v.id = d.review_id WHERE d.verdict = 'allow' GROUP BY ALL"
            ") allowed ON allowed.request_hash = r.request_hash "
            "WHERE r.repeat_of IS NULL AND r.ts >= ? AND r.log_seq > coalesce(allowed.seq, 0) "
            "ORDER BY r.log_seq DESC LIMIT ?",
            [at_time(now_us - int(self._remember_s * 1e6)), self._most],
        )
        for row in reversed(rows):
            refusal = refusal_from(row)
            self.add(refusal, self._remember_s - (now_us - refusal.at_us) / 1e6)

    def add(self, refusal: Refusal, left_s: float | None = None) -> None:
        """Remember a refusal, for what is left of its time."""
        now_s = self._clock.monotonic_s()
        left_s = self._remember_s if left_s is None else min(left_s, self._remember_s)
        self.forget(refusal.request_hash)
        if left_s <= 0.0:
            return
        self._known[refusal.request_hash] = _Remembered(refusal, now_s + left_s)
        self._prompts[refusal.prompt_hash] += 1
        while self._known:
            oldest = next(iter(self._known))
            if len(self._known) <= self._most and self._known[oldest].ends_s > now_s:
                break
            self.forget(oldest)

    def knows_prompt(self, prompt_hash: str) -> bool:
        """Whether a request with these messages may be among the remembered: the quick test."""
        return prompt_hash in self._prompts

    def find(self, request_hash: str) -> Refusal | None:
        """The refusal of the same request, while it is remembered."""
        found = self._known.get(request_hash)
        if found is None or found.ends_s <= self._clock.monotonic_s():
            return None
        return found.refusal

    def forget(self, request_hash: str) -> None:
        """Let a request be sent again."""
        found = self._known.pop(request_hash, None)
        if found is not None:
            prompt = found.refusal.prompt_hash
            self._prompts[prompt] -= 1
            if not self._prompts[prompt]:
                del self._prompts[prompt]


def refusals_since(cursor: Cursor, since_us: int) -> list[Refusal]:
    """The providers' refusals of users that are known, oldest first."""
    rows = rows_of(
        cursor,
        "SELECT * FROM refusals WHERE repeat_of IS NULL AND unit <> '' AND ts >= ? "
        "ORDER BY log_seq",
        [at_time(since_us)],
    )
    return [refusal_from(row) for row in rows]


def refusal_from(row: dict[str, Any]) -> Refusal:
    """A refusal from its row."""
    return Refusal(
        row["id"], us(row["ts"]), str(row["decision_id"]), row["prompt_hash"],
        row["request_hash"], row["key_id"], row["tenant"], row["tier"], row["unit"], row["task"],
        row["deployment"], row["provider"], row["word"], row["repeat_of"],
    )  # fmt: skip
