"""Requests alike have one form; strangers never have one name, whatever they say of themselves."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.caching.canonical import Uncanonical, canonical, fingerprint, scope_of
from service.domain.chat import parse
from service.domain.records import Key

HELLO = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-4, 4) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


def form(body: dict[str, Any] | str) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    return canonical(parse(text.encode()))


def key(identity: str, tenant: str = "") -> Key:
    return Key(identity, 0, identity, "caller", tenant, "", "d")


@pytest.mark.parametrize(
    "more",
    [
        {"model": "other"}, {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "u"}, {"headgate": {"tier": None, "cache": "default"}}, {"temperature": 0.0},
        {"temperature": -0.0}, {"n": 1}, {"top_p": 1.0}, {"stop": None}, {"tools": []},
        {"response_format": {"type": "text"}}, {"logprobs": False}, {"metadata": {"tags": "a"}},
        {"metadata": {"tenant": "t", "session": "s"}}, {"prompt_cache_key": "k"},
        {"messages": [{"content": "hello", "role": "user", "name": None}]},
    ],
)  # fmt: skip
def test_what_goes_without_saying_changes_nothing(more: dict[str, Any]) -> None:
    assert form(HELLO | more) == form(HELLO)


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.1}, {"temperature": None}, {"n": 2}, {"n": True}, {"top_p": 0.9},
        {"seed": 0}, {"max_completion_tokens": 5}, {"a_new_field": False}, {"logprobs": True},
        {"metadata": {"own": "x"}}, {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "user", "content": "hello "}]},
        {"messages": [{"role": "system", "content": "hello"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
        {"messages": [{"role": "user", "content": "hello", "name": "n"}]},
    ],
)  # fmt: skip
def test_what_a_model_sees_counts(more: dict[str, Any]) -> None:
    try:
        assert form(HELLO | more) != form(HELLO)
    except Exception as error:  # refused as a request: it is like no other
        assert "InvalidRequest" in type(error).__name__


@pytest.mark.parametrize(
    "text",
    [
        # Who reads it may take either content, so nobody else may be given its answer.
        '{"model": "auto", "messages": [{"role": "user", "content": "evil", "content": "hello"}]}',
        '{"model": "auto", "messages": [{"role": "user", "content": "x"}], "m": {"a": 1, "a": 2}}',
        '{"model": "auto", "messages": [{"role": "user", "content": "x"}], "more": [1e999]}',
        '{"model": "auto", "messages": [{"role": "user", "content": [{"type": "image_url", '
        '"image_url": {"url": "https://example.com/a.png"}}]}]}',
    ],
)  # fmt: skip
def test_what_has_no_one_form_is_not_kept(text: str) -> None:
    with pytest.raises(Uncanonical):
        form(text)


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(name, _shuffled(each, chance)) for name, each in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [_shuffled(each, chance) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5).map("x".__add__), VALUES, max_size=4),
       st.integers(0, 99))  # fmt: skip
def test_order_and_the_forms_of_numbers_do_not_matter(more: dict[str, Any], seed: int) -> None:
    body = HELLO | more
    assert form(_shuffled(body, random.Random(seed))) == form(body)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.dictionaries(st.just("xy"), VALUES), st.dictionaries(st.just("xy"), VALUES))
def test_other_values_are_other_requests(one: dict[str, Any], other: dict[str, Any]) -> None:
    def plain(found: dict[str, Any]) -> str:
        kept = {name: value for name, value in found.items() if value is not None}
        return json.dumps(_shuffled(kept, random.Random(0)) | {}, sort_keys=True)

    same = plain(one).replace("-0.0", "0.0") == plain(other).replace("-0.0", "0.0")
    assert (form(HELLO | one) == form(HELLO | other)) == same


PARTS = st.text(st.sampled_from('ab"\\,]['), max_size=4)
CALLERS = st.tuples(PARTS, PARTS, PARTS, PARTS)  # key, its tenant, the tenant and user it says


@settings(derandomize=True, max_examples=80, deadline=None)
@given(CALLERS, CALLERS, st.sampled_from(["tenant", "key", "user"]))
def test_nobody_is_taken_for_another(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str], within: str
) -> None:
    """Whatever is in a name: two callers share a scope only where they are of one tenant that their
    keys are bound to, or are the same key; and say the same of themselves.
    """

    def named(who: tuple[str, str, str, str]) -> tuple[str, tuple[str, ...]]:
        identity, tenant, said, user = who
        request = parse(json.dumps(HELLO | {"metadata": {"tenant": said}, "user": user}).encode())
        scope = scope_of(key(identity, tenant), request, within)
        mine = ("tenant", tenant, said) if tenant else ("key", identity, said)
        mine += (identity,) if within != "tenant" else ()
        mine += (user,) if within == "user" else ()
        return fingerprint(b"secret", scope, "1/", b"{}"), mine

    (first, whose), (second, others) = named(one), named(other)
    assert (first == second) == (whose == others)


def test_another_policy_secret_or_scope_is_another_name() -> None:
    base = fingerprint(b"s", "a", "1", b"{}")
    others = {fingerprint(b"t", "a", "1", b"{}"), fingerprint(b"s", "b", "1", b"{}"),
              fingerprint(b"s", "a", "2", b"{}"), fingerprint(b"s", "a", "1", b"[]")}  # fmt: skip
    assert len(others | {base}) == 5
