"""Every call has its price; what the provider does not say is estimated and marked."""

from __future__ import annotations

from service.domain.records import ErrorKind, Usage
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
