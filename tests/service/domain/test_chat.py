"""A request is read once; what is ours is taken out; the rest stays byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.chat import Message, derived_session, parse
from service.domain.errors import InvalidRequest
from service.domain.hashing import keyed_hash

BASE = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
leaf = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(max_size=10)
deep = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip


def body(**more: object) -> bytes:
    return json.dumps(BASE | more).encode()


@given(st.dictionaries(st.sampled_from(["seed", "stop", "logit_bias", "x_new", "n"]), deep))
def test_unknown_fields_pass_through_untouched(extra: dict[str, object]) -> None:
    sent = json.loads(parse(body(**extra)).for_upstream("served"))
    assert sent == BASE | extra | {"model": "served"}


def test_numbers_keep_their_spelling() -> None:
    data = (
        b'{"model":"auto","messages":[{"role":"user","content":"hi"}],"temperature":0.70,"x":1e400}'
    )
    assert b'"temperature":0.70,"x":1e400' in parse(data).for_upstream("m")


def test_the_models_name_is_swapped_at_the_top_only() -> None:
    sent = json.loads(parse(body(tools=[{"model": "auto"}], metadata={"model": "auto"}))
                      .for_upstream("m"))  # fmt: skip
    assert sent["model"] == "m"
    assert sent["tools"] == [{"model": "auto"}] and sent["metadata"] == {"model": "auto"}


def test_the_routers_own_parts_are_removed() -> None:
    request = parse(
        body(
            headgate={"task": "code"},
            metadata={"tags": "a, b, a", "tenant": "t", "feature": "f", "type": "x", "own": "kept"},
        )
    )
    assert request.options.task == "code"
    assert request.labels == {"tags": ("a", "b"), "tenant": "t", "feature": "f", "type": "x"}
    sent = json.loads(request.for_upstream("m"))
    assert "headgate" not in sent and sent["metadata"] == {"own": "kept"}
    only = parse(body(metadata={"tags": ["a"]}))
    assert "metadata" not in json.loads(only.for_upstream("m"))


def test_streams_ask_for_usage_and_remember_who_wanted_it() -> None:
    quiet, wanting = (
        parse(body(stream=True)),
        parse(body(stream=True, stream_options={"include_usage": True, "other": 1})),
    )
    assert (quiet.wants_usage, wanting.wants_usage) == (False, True)
    assert json.loads(quiet.for_upstream("m"))["stream_options"] == {"include_usage": True}
    assert json.loads(wanting.for_upstream("m"))["stream_options"]["other"] == 1


def test_what_it_needs() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]
    request = parse(body(messages=messages, tools=[{"type": "function"}],
                         response_format={"type": "json_schema", "json_schema": {}}))  # fmt: skip
    assert request.needs == {"images", "tools", "json"}
    assert request.shape.images == 1 and request.shape.text == "see"


@pytest.mark.parametrize(
    ("data", "param", "said"),
    [
        (b"", None, "not valid JSON"),
        (b"{", None, "not valid JSON"),
        (b"[1]", None, "must be a JSON object"),
        (b'"x"', None, "must be a JSON object"),
        (b"\xff\xfe", None, "not valid UTF-8"),
        (b'{"a": NaN}', None, "not valid JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "nested too deeply"),
        (b'{"model":"a","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "nested"),
        (body(model=""), "model", '"auto"'),
        (body(model=3), "model", "Expected `str`"),
        (b'{"messages": []}', "model", '"auto"'),
        (b'{"model": "auto"}', "messages", "missing"),
        (body(messages=[]), "messages", "empty"),
        (body(messages="x"), "messages", "Expected `array`"),
        (body(messages=[{"content": "x"}]), "messages", "role"),
        (body(messages=[{"role": "wizard", "content": "x"}]), "messages[0].role", "one of"),
        (body(messages=[{"role": "user", "content": 5}]), "messages", "Expected"),
        (body(stream="yes"), "stream", "Expected `bool"),
        (body(max_tokens=-1), "max_tokens", "negative"),
        (body(headgate={"queued": True}), "headgate", "known options"),
        (body(headgate={"max_cost_usd": -1}), "headgate.max_cost_usd", "must lie in"),
        (body(headgate={"min_quality": 2}), "headgate.min_quality", "must lie in"),
        (body(headgate=[]), "headgate", "headgate"),
        (body(headgate={"deadline_s": 3_601}), "headgate.deadline_s", "must lie in"),
        (body(headgate={"queue": True, "deadline_s": 1e5}), "headgate.deadline_s", "to 86400"),
        (body(headgate={"queue": "yes"}), "headgate", "Expected `bool`"),
        (body(metadata={"tenant": "t" * 200}), "metadata.tenant", "at most 128"),
        (body(metadata={"tags": 4}), "metadata.tags", "short texts"),
    ],
)
def test_bad_input_names_the_field_and_the_mend(data: bytes, param: str | None, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(data)
    assert said in caught.value.message
    if param is not None:
        assert caught.value.param == param


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for sent in (data, b'{"model":"a","messages":' + data + b"}"):
        try:
            parse(sent)
        except InvalidRequest:
            pass


def test_a_session_is_derived_from_the_second_turn_on() -> None:
    first = [Message("system", "s"), Message("user", "u")]
    second = [*first, Message("assistant", "a"), Message("user", "v")]
    third = [*second, Message("assistant", "b"), Message("user", "w")]
    assert derived_session(first) == ""
    assert derived_session(second) == derived_session(third) != ""
    other = [*first, Message("assistant", "z"), Message("user", "v")]
    assert derived_session(other) != derived_session(second)


def test_a_keyed_hash_needs_its_key_and_keeps_parts_apart() -> None:
    assert keyed_hash(b"k", "a", "b") != keyed_hash(b"l", "a", "b")
    assert keyed_hash(b"k", "ab", "") != keyed_hash(b"k", "a", "b")
