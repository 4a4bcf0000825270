"""A provider's error in our words, whatever form it has; nothing of its text is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.records import ErrorKind
from service.providers.failures import failure

NESTED = {"error": {"message": "secret", "code": 400, "status": "RESOURCE_EXHAUSTED"}}
LONG = "This model's maximum context length is 8192 tokens, however you requested 9000"


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"object": "error", "message": LONG, "type": "BadRequestError", "code": 400},
         ErrorKind.CONTEXT_LENGTH),
        (400, [{"error": {"message": "The input token count (9) exceeds", "code": 400}}],
         ErrorKind.CONTEXT_LENGTH),
        (400, {"error": "prompt is too long: 9000 tokens"}, ErrorKind.CONTEXT_LENGTH),
        (400, {"detail": "no such thing"}, ErrorKind.INVALID),
        (200, {"error": {"code": 429, "message": "x"}}, ErrorKind.RATE_LIMIT),
        (200, {"error": {"code": 529, "message": "x"}}, ErrorKind.OVERLOADED),
        (200, {"error": {"code": 401, "message": "x"}}, ErrorKind.AUTH),
        (200, {"error": {"type": "overloaded_error"}}, ErrorKind.OVERLOADED),
        (200, {"error": {"code": "invalid_api_key"}}, ErrorKind.AUTH),
        (503, {"error": {"status": "UNAVAILABLE"}}, ErrorKind.OVERLOADED),
        (503, {"error": {"message": "down for repair"}}, ErrorKind.SERVER),
        (500, NESTED, ErrorKind.RATE_LIMIT),
        (402, {}, ErrorKind.AUTH),
        (200, {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}},
         ErrorKind.RATE_LIMIT),
        (302, {}, ErrorKind.MALFORMED),
        (206, {}, ErrorKind.MALFORMED),
    ],
)  # fmt: skip
def test_kinds(status: int, content: Any, kind: ErrorKind) -> None:
    assert failure(status, {}, json.dumps(content).encode()).kind is kind


def test_only_plain_words_are_kept() -> None:
    error = {"message": "secret", "code": "bad code with spaces", "type": "x" * 65,
             "param": "messages[0].content"}  # fmt: skip
    found = failure(400, {}, json.dumps({"error": error}).encode())
    assert (found.code, found.param) == ("", "messages[0].content")
    assert "secret" not in repr(vars(found)) + repr(found)


def test_the_wait_is_told_and_dates_use_the_given_clock() -> None:
    date = {"Retry-After": "Mon, 21 Sep 2026 14:13:50 GMT"}
    assert failure(503, date, b"", 1_790_000_000.0).retry_after_s == 30.0
    assert failure(429, {"x-ratelimit-reset-requests": "2s"}, b"").retry_after_s == 2.0
    assert failure(500, {"x-ratelimit-reset-requests": "2s"}, b"").retry_after_s is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "status", "param", "response"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(derandomize=True, max_examples=300)
@given(st.integers(100, 599), JSON | st.binary(max_size=60))
def test_any_body_is_some_kind(status: int, content: Any) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    found = failure(status, {}, data)
    assert isinstance(found.kind, ErrorKind) and len(found.code) <= 64
