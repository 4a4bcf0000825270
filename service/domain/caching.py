"""What is said of kept answers: a request's wish, and the record of an answer given again."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from service.domain.errors import InvalidRequest

DEFAULT, BYPASS, NO_STORE, REFRESH = "default", "bypass", "no-store", "refresh"
WISHES = (DEFAULT, BYPASS, NO_STORE, REFRESH)
EXACT, SHARED, SEMANTIC = "exact", "shared", "semantic"
LONGEST_S = 2_592_000.0  # thirty days
MOST_TAGS, MAX_TAG = 16, 128


class CacheWish(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The option ``headgate.cache``: ``default`` takes and keeps, ``bypass`` neither, ``no-store``
    only takes, ``refresh`` only keeps. ``ttl_s`` lowers, ``tags`` are for taking back.
    """

    mode: str = DEFAULT
    ttl_s: float | None = None
    tags: tuple[str, ...] = ()

    @property
    def takes(self) -> bool:
        """Whether a kept answer will do."""
        return self.mode in (DEFAULT, NO_STORE)

    @property
    def keeps(self) -> bool:
        """Whether the answer may be kept."""
        return self.mode in (DEFAULT, REFRESH)


NO_WISH = CacheWish()


def wish_of(given: str | CacheWish | None) -> CacheWish:
    """The wish, checked; raises InvalidRequest that names the field and the mend."""
    if given is None:
        return NO_WISH
    wish = CacheWish(given) if isinstance(given, str) else given
    if wish.mode not in WISHES:
        raise _wrong("cache", f"must be one of {', '.join(WISHES)}")
    if wish.ttl_s is not None and not 0.0 < wish.ttl_s <= LONGEST_S:
        raise _wrong("cache.ttl_s", f"must lie above 0 and at most at {LONGEST_S:g}")
    fits = len(wish.tags) <= MOST_TAGS and all(0 < len(each) <= MAX_TAG for each in wish.tags)
    if not fits:
        raise _wrong(
            "cache.tags", f"must be at most {MOST_TAGS} texts of 1 to {MAX_TAG} characters"
        )
    return wish


def _wrong(option: str, said: str) -> InvalidRequest:
    return InvalidRequest(
        f"headgate.{option} {said}", param=f"headgate.{option}", code="invalid_option"
    )


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer given again. ``kind``: exact, shared (it waited for the same request's call) or
    semantic; ``saved_micro_usd``: what the first one cost, an estimate of what another call would
    have; ``tokens_in`` and ``tokens_out``: what that took.
    """

    decision_id: str
    at_us: int
    source_decision_id: str
    deployment: str
    task: str
    tenant: str
    kind: str
    age_s: float
    saved_micro_usd: int
    tokens_in: int
    tokens_out: int
