"""Every call has its price; what the provider does not say is estimated and marked."""

from __future__ import annotations

from service.domain.catalog import Price
from service.domain.records import ErrorKind, Extras, Usage
from service.providers.base import ProviderFailure, Tokens
from service.routing.billing import Seen, seen_before, usage_of
from tests.service.routing.world import deployment

PRICED = deployment("a")  # one dollar in, two out, per million


def test_what_the_provider_says_is_billed() -> None:
    seen = Seen(True, 400, Tokens(1_000, 500, 0))
    assert usage_of(PRICED, 9, seen, None, 0) == Usage(1_000, 500, 0, 2_000)


def test_what_is_missing_is_estimated_and_marked() -> None:
    assert usage_of(PRICED, 1_000, Seen(True, 401), None, 0) == Usage(1_000, 101, 0, 1_202, True)


def test_partial_and_cancelled_calls_cost_what_was_sent() -> None:
    for kind in (ErrorKind.CUT, ErrorKind.STALLED, ErrorKind.CANCELLED, ErrorKind.TIMEOUT):
        found = usage_of(PRICED, 1_000, Seen(True, 400), kind, 0)
        assert found == Usage(1_000, 100, 0, 1_200, True)


def test_a_refused_call_costs_nothing() -> None:
    for kind in (ErrorKind.CONNECTION, ErrorKind.RATE_LIMIT, ErrorKind.AUTH, ErrorKind.INVALID):
        assert usage_of(PRICED, 1_000, Seen(), kind, 0).cost_micro_usd == 0


def test_a_refusal_that_came_as_an_answer_is_billed() -> None:
    policy, told = ErrorKind.POLICY, Tokens(1_000, 500)
    for failure, expected in (
        (ProviderFailure(policy, status=200, tokens=told), Usage(1_000, 500, 0, 2_000)),
        (ProviderFailure(policy, status=200), Usage(9, 0, 0, 9, True)),
        (ProviderFailure(policy, status=400), Usage(0, 0, 0, 0)),
    ):
        assert usage_of(PRICED, 9, seen_before(failure), policy, 0) == expected


def test_reasoning_caches_images_and_characters_are_billed_and_kept_apart() -> None:
    price = Price(1_000_000, 2_000_000, 0, 0, 3_000_000, 4_000_000, 50, 1_000_000, 7)
    rich = deployment("rich", prices=(price,))
    seen = Seen(True, 10, Tokens(1_000, 500, 100, False, 200, 300), images=2)
    found = usage_of(rich, 25, seen, None, 0)
    assert found.extras == Extras(200, 300, 2, 100)
    assert found.cost_micro_usd == 700 + 600 + 200 * 2 + 300 * 4 + 2 * 50 + 100 + 7
    assert found.estimated, "characters are our own count"
    assert usage_of(PRICED, 9, Seen(True, 10, Tokens(1, 5, reasoning=2)), None, 0).extras == (
        Extras(0, 2, 0, 0))  # fmt: skip


def test_a_request_has_its_price_only_where_it_is_billed_at_all() -> None:
    each = deployment("each", prices=(Price(0, 0, request_micro_usd=500),))
    assert usage_of(each, 9, Seen(True, 40), ErrorKind.CUT, 0).cost_micro_usd == 500
    assert usage_of(each, 9, Seen(), ErrorKind.RATE_LIMIT, 0).cost_micro_usd == 0
