"""Upstream faults told by a status: overload, bursts, keys, contexts, redirects."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.records import ErrorKind
from tests.chaos import Chaos, fault
from tests.service.faults.rig import CANARY, VENDOR, Rig


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (500, ErrorKind.SERVER),
        (502, ErrorKind.SERVER),
        (503, ErrorKind.SERVER),
        (504, ErrorKind.SERVER),
        (529, ErrorKind.OVERLOADED),
        (408, ErrorKind.SERVER),
        (409, ErrorKind.SERVER),
        (425, ErrorKind.SERVER),
        (404, ErrorKind.SERVER),
    ],
)
def test_F18_a_failing_provider_falls_back_unbilled(rig: Rig, code: int, kind: ErrorKind) -> None:
    rig.play(fault("status", code=code, message=f"{VENDOR} {CANARY}"))
    rig.both_fall_back(kind)


@pytest.mark.parametrize(
    "given",
    [
        {"code": 503, "message": "The model is overloaded, please come back"},
        {"code": 503, "type": "overloaded_error"},
        {"code": 500, "type": "overloaded_error"},
        {"code": 503, "word": "slow_down"},
    ],
    ids=str,
)
def test_F18_an_overload_is_told_apart(rig: Rig, given: dict[str, Any]) -> None:
    rig.play(fault("status", **given))
    rig.falls_back(ErrorKind.OVERLOADED)


def test_F18_a_status_counts_though_its_words_never_come(rig: Rig) -> None:
    rig.play(fault("status", code=429, silent=True, headers=["retry-after: 7"]))
    rig.falls_back(ErrorKind.RATE_LIMIT)


def test_F18_a_burst_ends_and_the_provider_is_used_again(rig: Rig) -> None:
    rig.play(fault("status", 2, code=503))
    rig.falls_back(ErrorKind.SERVER)
    rig.falls_back(ErrorKind.SERVER)
    rig.ask().served_by("faulty")


def test_F18_when_every_provider_fails_the_caller_gets_one_clear_error(rig: Rig) -> None:
    for each in rig.upstreams.values():
        each.play(fault("status", code=500, message=f"{VENDOR} {CANARY}"))
    for stream in (False, True):
        got = rig.ask(stream)
        assert got.status == 503 and got.headers["content-type"] == "application/json"
        assert int(got.headers["retry-after"]) >= 1
        assert got.outcome.usage.cost_micro_usd == 0
        got.nothing_leaks()
        assert len(got.attempts) <= 3
    rig.stays_healthy()


TOO_LONG: list[dict[str, Any]] = [
    {"code": 400, "word": "context_length_exceeded"},
    {"code": 400, "message": "This model's maximum context length is 32000 tokens."},
    {"code": 413},
    {"code": 422, "message": "Prompt is too long: 41000 tokens"},
    {"code": 500, "message": "the request exceeds the context window"},
]


@pytest.mark.parametrize("given", TOO_LONG, ids=str)
def test_F21_too_long_a_context_goes_to_a_larger_window(rig: Rig, given: dict[str, Any]) -> None:
    for stream in (False, True):
        rig.play(fault("status", **given))
        got = rig.ask(stream)
        got.served_by("roomy")
        assert got.kinds == [ErrorKind.CONTEXT_LENGTH, None]
        assert not rig.steady.requests  # as small as the first: it is not asked
        assert got.attempts[0].usage.cost_micro_usd == 0
        assert not ErrorKind.CONTEXT_LENGTH.blames_deployment


def test_F21_a_context_too_long_for_all_is_the_callers_error(rig: Rig) -> None:
    for each in (rig.faulty, rig.roomy):
        each.play(fault("status", code=400, word="context_length_exceeded", message=VENDOR))
    got = rig.ask()
    assert got.status == 400 and b"context_length_exceeded" in got.body
    got.nothing_leaks()


@pytest.mark.parametrize("code", [401, 402, 403])
def test_F22_a_refused_key_fails_over_and_blames_the_deployment(rig: Rig, code: int) -> None:
    message = f"Incorrect API key provided: {CANARY}. {VENDOR}"
    rig.play(fault("status", code=code, message=message, word="invalid_api_key"))
    for got in rig.both_fall_back(ErrorKind.AUTH):
        assert ErrorKind.AUTH.blames_deployment and got.attempts[0].status == code
    assert 'headgate_attempt_errors_total{deployment="faulty",kind="auth"} 2.0' in rig.metrics()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_F23_a_redirect_is_never_followed(rig: Rig, code: int) -> None:
    with Chaos() as internal:
        rig.play(fault("redirect", code=code, location=internal.url + "/chat/completions"))
        for got in rig.both_fall_back(ErrorKind.MALFORMED):
            assert got.attempts[0].status == code
            assert str(internal.port).encode() not in got.body
        assert internal.connections == 0 and len(rig.faulty.requests) == 2


def test_F23_a_redirect_to_itself_is_not_followed(rig: Rig) -> None:
    rig.play(fault("redirect", code=307, location=rig.faulty.url + "/chat/completions"))
    rig.falls_back(ErrorKind.MALFORMED)
    assert len(rig.faulty.requests) == 1


@pytest.mark.parametrize("code", [201, 204, 206, 304])
def test_F23_a_status_that_is_not_to_be_is_a_failure(rig: Rig, code: int) -> None:
    rig.play(fault("raw", status=code, data="" if code in (204, 304) else "{}"))
    rig.falls_back(ErrorKind.MALFORMED)
