"""No key ever gets more than it allows in any sixty seconds; several keys share the load."""

from __future__ import annotations

import random

import pytest

from service.domain.catalog import Endpoint, Limits
from service.routing.windows import RateWindows
from tests.service.routing.world import CATALOG, deployment

LIMITED = deployment("limited", limits=Limits(requests_per_minute=10, tokens_per_minute=1_000))
MANY = deployment(
    "many",
    endpoints=(
        Endpoint("http://127.0.0.1:1/v1", "key-a", Limits(requests_per_minute=10)),
        Endpoint("http://127.0.0.1:2/v1", "key-b", Limits(requests_per_minute=30)),
    ),
)


def test_limits_count_requests_and_tokens_a_minute() -> None:
    windows = RateWindows(CATALOG)
    limited = CATALOG[-1]  # 2 requests, 500 tokens
    assert not windows.exhausted(limited, 100, 0.0)
    windows.sent(limited, 400, 0.0)
    assert windows.exhausted(limited, 101, 1.0) and not windows.exhausted(limited, 100, 1.0)
    windows.sent(limited, 10, 2.0)
    assert windows.exhausted(limited, 1, 3.0) and windows.free_in_s(3.0) == 58.0
    assert not windows.exhausted(limited, 100, 61.0)
    assert not windows.exhausted(CATALOG[0], 10**9, 0.0)


def test_in_no_sixty_seconds_is_more_sent_than_allowed() -> None:
    windows, chance = RateWindows([LIMITED]), random.Random(3)
    sent: list[tuple[float, int]] = []
    now_s = 0.0
    for _ in range(3_000):
        now_s += chance.expovariate(1.0)
        tokens = chance.randrange(10, 300)
        if windows.pick(LIMITED, tokens, now_s) is not None:
            windows.sent(LIMITED, tokens, now_s)
            sent.append((now_s, tokens))
    assert len(sent) > 200
    for at, _ in sent:
        inside = [tokens for t, tokens in sent if at <= t < at + 60.0]
        assert len(inside) <= 10 and sum(inside) <= 1_000


def test_the_tokens_that_a_call_really_took_are_counted() -> None:
    windows = RateWindows([LIMITED])
    first = windows.sent(LIMITED, 900, 0.0)
    assert windows.exhausted(LIMITED, 200, 1.0)
    windows.settle(LIMITED, first, -700, 1.0)
    assert not windows.exhausted(LIMITED, 200, 1.0)
    windows.settle(LIMITED, first, 10**6, 200.0)  # long gone: changes nothing
    assert not windows.exhausted(LIMITED, 900, 200.0)


def test_keys_share_by_the_room_that_they_have_left() -> None:
    windows = RateWindows([MANY])
    counts = {"key-a": 0, "key-b": 0}
    for _ in range(40):
        endpoint = windows.pick(MANY, 1, 0.0)
        assert endpoint is not None and endpoint.api_key is not None
        windows.sent(endpoint, 1, 0.0)
        counts[endpoint.api_key] += 1
    assert counts == {"key-a": 10, "key-b": 30}
    assert windows.pick(MANY, 1, 0.0) is None


def test_a_key_that_cools_leaves_the_others_in_use() -> None:
    windows = RateWindows([MANY, LIMITED])
    first = MANY.ends[1]
    assert windows.cool(first, 30.0, 0.0) == 30.0
    assert {windows.pick(MANY, 1, t).api_key for t in (0.0, 29.0)} == {"key-a"}  # type: ignore[union-attr]
    assert windows.pick(MANY, 1, 30.0).api_key == "key-b"  # type: ignore[union-attr]
    assert windows.cool(LIMITED, 30.0, 0.0) == 0.0  # the only one: the breaker's affair
    windows.forgive("many")
    assert windows.pick(MANY, 1, 0.0).api_key == "key-b"  # type: ignore[union-attr]


@pytest.mark.parametrize("now_s", [0.0, 59.0])
def test_counts_are_taken_over_by_those_who_follow(now_s: float) -> None:
    before, after = RateWindows([LIMITED]), RateWindows([LIMITED, MANY])
    for _ in range(10):
        before.sent(LIMITED, 1, now_s)
    after.inherit(before)
    assert after.exhausted(LIMITED, 1, now_s + 1.0)
    assert not after.exhausted(LIMITED, 1, now_s + 62.0)


def test_what_ends_at_those_before_is_known_to_those_who_follow() -> None:
    """A reload takes a moment: calls go on at the old windows, and end there long after."""
    before, after = RateWindows([LIMITED]), RateWindows([LIMITED])
    after.inherit(before)
    sent = [before.sent(LIMITED, 90, 0.0) for _ in range(10)]
    assert after.exhausted(LIMITED, 1, 1.0)
    before.settle(LIMITED, sent[0], -80, 1.0)
    assert before.free_in_s(62.0) == 1.0
    assert not after.exhausted(LIMITED, 1_000, 62.0)
    for _ in range(10):
        after.sent(LIMITED, 1, 62.0)
    assert after.exhausted(LIMITED, 1, 62.0) and before.exhausted(LIMITED, 1, 62.0)


def test_a_key_that_names_no_time_waits_longer_each_time_until_it_answers() -> None:
    windows, first = RateWindows([MANY]), MANY.ends[0]
    assert [windows.cool(first, None, 0.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    windows.well(first)
    assert windows.cool(first, None, 0.0) == 1.0


def test_what_share_is_left_after_one_more_call() -> None:
    windows = RateWindows([*CATALOG, LIMITED, MANY])
    assert windows.left(CATALOG[0], 10**9, 0.0) == 1.0, "no limits"
    assert windows.left(LIMITED, 100, 0.0) == pytest.approx(0.9)
    assert windows.left(LIMITED, 700, 0.0) == pytest.approx(0.3)
    windows.sent(LIMITED.ends[0], 500, 0.0)
    assert windows.left(LIMITED, 100, 1.0) == pytest.approx(0.4)
    assert windows.left(LIMITED, 600, 1.0) < 0.0
    first, second = MANY.ends
    assert windows.left(MANY, 1, 0.0) == pytest.approx(1 - 1 / 30)
    windows.cool(second, 10.0, 0.0)
    assert windows.left(MANY, 1, 1.0) == pytest.approx(0.9)
    windows.cool(first, 10.0, 0.0)
    assert windows.left(MANY, 1, 1.0) == 0.0
