"""When to come back, whatever a provider writes: never an error, never beyond a day."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.providers.waits import MAX_WAIT_S, reset_s, retry_after, wait_s

NOW_S = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
CORPUS = [
    "3", "2.5", "-4", "1e9", "-1e309", "nan", "inf", "", " ", "soon", "1_0", "٣", "0x10", "+7",
    "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 99 Foo 10000 25:61",
    "Mon, 21 Sep 2026 14:13:50 GMT", "Monday, 21-Sep-26 14:13:50 GMT", "21 Sep 2026 14:13",
    "Mon, 21 Sep 2026 14:13:50 -0000", "0 0 0 0", ", ,", "1s", "6m0s", "88ms", "1h2m3.5s", "1d",
    "s", "5", "1790000030", "1790000030000", "1e300", "2026-09-21T14:13:50Z", "2026-09-21",
    "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-14:00", "1s2", "1s 2s", "99999999999s",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0), ("2.5", 2.5), ("-4", 0.0), ("1e9", MAX_WAIT_S), ("inf", MAX_WAIT_S),
        ("nan", None), ("", None), ("soon", None), ("x" * 99, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
    ],
)  # fmt: skip
def test_F16_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, NOW_S) == seconds


def test_F16_a_date_counts_from_the_answers_own_date() -> None:
    headers = {"Retry-After": "Mon, 21 Sep 2026 14:13:50 GMT",
               "Date": "Mon, 21 Sep 2026 14:13:40 GMT"}  # fmt: skip
    for our_clock in (NOW_S, NOW_S - 86_400.0, NOW_S + 86_400.0):
        assert retry_after(headers, our_clock) == 10.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0), ("6m0s", 360.0), ("88ms", 0.088), ("1h2m3.5s", 3_723.5), ("0s", 0.0),
        ("5", 5.0), ("-1", 0.0), ("1790000030", 30.0), ("1790000030000", 30.0),
        ("1780000000", 0.0), ("2026-09-21T14:13:50Z", 30.0), ("9d", MAX_WAIT_S),
        ("2026-09-21T14:13:50", None), ("1s2", None), ("s", None), ("", None), ("never", None),
    ],
)  # fmt: skip
def test_F16_resets(text: str, seconds: float | None) -> None:
    found = reset_s(text, NOW_S)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "limited", "seconds"),
    [
        ({"Retry-After": "7", "retry-after-ms": "100"}, True, 7.0),
        ({"retry-after-ms": "1500"}, False, 1.5),
        ({"retry-after-ms": "x"}, False, None),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "6m0s"}, True, 360.0),
        ({"x-ratelimit-reset-requests": "2s"}, False, None),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "6m0s",
          "x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "9"}, True, 2.0),
        ({"x-ratelimit-reset": "1790000030000"}, True, 30.0),
        ({"Retry-After": "gibberish", "x-ratelimit-reset-tokens": "1s"}, True, 1.0),
        ({}, True, None),
    ],
)  # fmt: skip
def test_F16_which_header_is_heard(
    headers: dict[str, str], limited: bool, seconds: float | None
) -> None:
    assert wait_s(headers, NOW_S, limited) == seconds


def _bounded(found: float | None) -> bool:
    return found is None or 0.0 <= found <= MAX_WAIT_S


@pytest.mark.parametrize("text", CORPUS)
def test_F16_the_corpus_is_survived(text: str) -> None:
    assert _bounded(retry_after({"Retry-After": text}, NOW_S))
    assert _bounded(retry_after({"Retry-After": CORPUS[15], "Date": text}, NOW_S))
    assert _bounded(reset_s(text, NOW_S))


TEXTS = st.one_of(
    st.text(max_size=70),
    st.sampled_from(CORPUS).flatmap(
        lambda seed: st.tuples(st.integers(0, len(seed)), st.text(max_size=4)).map(
            lambda cut: seed[: cut[0]] + cut[1] + seed[cut[0] :]
        )
    ),
    st.text(alphabet="0123456789.:-+ ,smhdTZGMe", max_size=40),
)


@settings(derandomize=True, max_examples=400)
@given(TEXTS, st.sampled_from(["Retry-After", "retry-after-ms", "x-ratelimit-reset-tokens"]))
def test_F16_any_text_gives_nothing_or_a_bounded_wait(text: str, name: str) -> None:
    assert _bounded(wait_s({name: text}, NOW_S, limited=True))
    assert _bounded(wait_s({"Retry-After": text, "Date": text}, NOW_S))
    assert _bounded(reset_s(text, NOW_S))
