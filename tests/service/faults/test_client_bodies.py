"""Bodies that are odd, deep, of many values or not text: a clear refusal, never a 5xx."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.service.faults.inbound import GOOD, PATH, Rig, one_answer, post, rss_mb, running

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'
CONTENT = b'{"model":"auto","messages":[{"role":"user","content":['
ROUTES = (PATH, "/v1/route", "/v1/feedback", "/admin/overrides", "/admin/overrides/x/lift")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("bodies")) as made:
        yield made


def refusal(answer: httpx.Response) -> str:
    """The code of a refusal of the caller's."""
    assert 400 <= answer.status_code < 500, answer.text[:300]
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert len(answer.text) < 2_000 and "Traceback" not in answer.text
    return str(error["code"])


def ask(rig: Rig, path: str, body: bytes, **headers: str) -> httpx.Response:
    more = {"content-type": "application/json"} | headers
    return rig.client.post(path, content=body, headers=more)


def chat(extra: bytes) -> bytes:
    """A good request with something more."""
    return b'{"model":"auto",' + MESSAGES + b"," + extra + b"}"


DEEP_LIST = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "body",
    [DEEP_LIST, DEEP_OBJECT, b'{"a":' + DEEP_LIST + b"}", b'{"messages":' + DEEP_LIST + b"}",
     b'{"value":' + DEEP_OBJECT + b"}", b"[" * 900_000],
    ids=["list", "object", "field", "messages", "value", "open"],
)  # fmt: skip
def test_C05_depth(rig: Rig, path: str, body: bytes) -> None:
    refusal(ask(rig, path, body))
    rig.healthy()


@pytest.mark.parametrize("field", [b'"headgate"', b'"metadata"', b'"tools"', b'"user"', b'"n"'])
def test_C05_depth_within_a_field(rig: Rig, field: bytes) -> None:
    refusal(ask(rig, PATH, chat(field + b":" + DEEP_LIST)))
    refusal(ask(rig, PATH, chat(field + b":" + DEEP_OBJECT)))
    rig.healthy()


def many(pattern: str, count: int) -> bytes:
    each = (pattern.replace("N", f"{n:x}") for n in range(count))
    return ",".join(each if "N" in pattern else [pattern] * count).encode()


@pytest.mark.parametrize(
    "made",
    [lambda: b"{" + many('"N":0', 1_000_000)[:9_900_000].rpartition(b",")[0] + b"}",
     lambda: chat(many('"N":0', 700_000)),
     lambda: chat(b'"metadata":{"a":[' + many("[]", 3_000_000) + b"]}"),
     lambda: chat(b'"tools":[' + many("0", 4_500_000) + b"]"),
     lambda: CONTENT + many("{}", 3_000_000) + b"]}]}",
     lambda: b'{"model":"auto","messages":[' + many('{"role":"user"}', 600_000) + b"]}",
     lambda: chat(b'"headgate":{"exclude":[' + many('"N"', 800_000) + b"]}"),
     lambda: chat(b'"x":[' + many('","', 2_000_000) + b"]")],
    ids=["keys", "fields", "metadata", "tools", "parts", "messages", "options", "texts"],
)  # fmt: skip
def test_C05_values_by_the_million_take_neither_memory_nor_time(
    rig: Rig, made: Callable[[], bytes]
) -> None:
    body = made()
    assert len(body) <= 10_000_000
    lag, memory = rig.runtime.load.lag, rss_mb()
    lag.greatest_s = 0.0
    assert refusal(ask(rig, PATH, body)) == "too_many_values"
    assert refusal(ask(rig, "/v1/route", body)) == "too_many_values"
    assert rss_mb() - memory < 100.0
    assert lag.greatest_s < 1.0
    rig.healthy()


def test_C05_a_million_keys_on_the_other_routes(rig: Rig) -> None:
    body = b"{" + many('"N":0', 100_000) + b"}"
    assert len(body) < 1_000_000
    for path in ROUTES[2:]:
        refusal(ask(rig, path, body))
    rig.healthy()


def test_C05_a_long_honest_text_is_served(rig: Rig) -> None:
    rig.healthy()
    text = 'He said: "no, {never}, [ever]",\n' * 275_000
    body = json.dumps(GOOD | {"messages": [{"role": "user", "content": text}]}).encode()
    assert 9_000_000 < len(body) < 10_000_000
    answer = ask(rig, PATH, body)
    assert answer.status_code == 200, answer.text[:200]
    assert len(rig.upstream.requests[-1]) > 9_000_000
    rig.healthy()


def test_C05_duplicate_keys_are_one_key_upstream(rig: Rig) -> None:
    rig.healthy()
    answer = ask(rig, PATH, chat(b'"temperature":0.1,"temperature":0.2,"model":"one"'))
    assert answer.status_code == 200 and answer.headers["x-headgate-mode"] == "pinned"
    sent = rig.upstream.requests[-1].partition(b"\r\n\r\n")[2]
    assert sent.count(b'"temperature"') == 1 and sent.count(b'"model"') == 1
    assert json.loads(sent)["temperature"] == 0.2


@pytest.mark.parametrize(
    "extra",
    [b'"max_tokens":1e400', b'"max_tokens":-1', b'"stream":1e999',
     b'"headgate":{"deadline_s":1e999}', b'"headgate":{"max_cost_usd":-1}',
     b'"headgate":{"quality_cost":' + b"9" * 5_000 + b"}", b'"headgate":{"min_quality":NaN}',
     b'"temperature":NaN', b'"temperature":Infinity', b'"temperature":-Infinity',
     b'"temperature":0x10', b'"temperature":01', b'"temperature":.5', b'"temperature":+1',
     b'"user":"\\ud800"', b'"metadata":{"tags":["\\udfff"]}', b'"user":"\x01"', b'"user":"\x00"',
     b'"user":"\\x"', b'"user":"\\u12"', b'"user":3', b'"metadata":{"tenant":"\\ud800"}',
     b'"metadata":[]', b'"tools":{}', b'"response_format":3', b'"stream_options":[]',
     b'"headgate":[]', b'"headgate":{"session_id":"\\ud800"}'],
)  # fmt: skip
def test_C05_odd_values_that_are_read(rig: Rig, extra: bytes) -> None:
    refusal(ask(rig, PATH, chat(extra)))
    refusal(ask(rig, "/v1/route", chat(extra)))


@pytest.mark.parametrize(
    "extra",
    [b'"seed":' + b"9" * 400, b'"temperature":1e400', b'"temperature":1e-400',
     b'"logit_bias":{"a":' + b"9" * 5_000 + b"}", b'"user":"\\u0000"',
     b'"x\\u0000":"\\ud83d\\ude00"', b'"max_tokens":' + b"9" * 400,
     b'"user":"' + "\u202e\ufeff\U0001f600".encode() + b'"', b'"":""'],
)  # fmt: skip
def test_C05_odd_values_that_are_passed_on(rig: Rig, extra: bytes) -> None:
    """What the router does not read is the provider's to judge; it reaches it as it was sent."""
    rig.healthy()
    assert ask(rig, PATH, chat(extra)).status_code == 200
    sent = rig.upstream.requests[-1].partition(b"\r\n\r\n")[2]
    assert extra.partition(b":")[2] in sent
    rig.runtime.kept.log.flush().result(5)
    assert rig.runtime.kept.log.healthy


ODD: list[Any] = [
    b'{"id":"x","value":' + b"9" * 5_000 + b"}", b'{"id":"x","value":1e999}',
    b'{"id":"x","value":NaN}', b'{"id":"\\ud800","value":1}', b'{"id":"\\u0000","value":1}',
    b'{"id":"x","value":1,"reason":"\\ud800"}', b'{"id":"x","value":1,"id":"y"}',
    b'{"id":"x","value":1,"tags":["\\udfff"]}', b'{"id":' + b"9" * 5_000 + b"}", b"NaN", b"null",
    b'"x"', b"", b"{", b"\x00", b'{"deployment":"\\ud800"}', b'{"expires_in_s":1e999}',
    b'{"expires_in_s":NaN,"action":"force","deployment":"one","reason":"0123456789","author":"a"}',
    b'{"action":"force","deployment":"one","reason":"012345678\\ud800","author":"a"}',
]  # fmt: skip


@pytest.mark.parametrize("path", ROUTES[2:])
@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_C05_odd_values_on_the_other_routes(rig: Rig, path: str, body: bytes) -> None:
    refusal(ask(rig, path, body))
    rig.runtime.kept.log.flush().result(5)
    assert rig.runtime.kept.log.healthy


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "odd",
    [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\xe2\x82", b"\x80"],
    ids=lambda odd: odd.hex(),
)
def test_C06_invalid_utf8(rig: Rig, path: str, odd: bytes) -> None:
    before = rig.runtime.board.requests
    refusal(ask(rig, path, chat(b'"user":"' + odd + b'"')))
    refusal(ask(rig, path, b'{"id":"x","value":1,"reason":"' + odd + b'"}'))
    refusal(ask(rig, path, odd + b"{}"))
    assert rig.runtime.board.requests == before


def test_C06_invalid_utf8_within_a_field_that_is_passed_on(rig: Rig) -> None:
    assert refusal(ask(rig, PATH, chat(b'"seed":"\xff"'))) == "invalid_request"


def test_C06_other_encodings_of_text(rig: Rig) -> None:
    text = json.dumps(GOOD)
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        refusal(ask(rig, PATH, text.encode(encoding)))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown"])
def test_S16_a_compressed_body_is_refused_unread(rig: Rig, path: str, coding: str) -> None:
    before = rig.refused("encoding")
    bomb = gzip.compress(b"\x00" * 50_000_000) if "gzip" in coding else zlib.compress(b"{}")
    answer = ask(rig, path, bomb, **{"content-encoding": coding})
    assert answer.status_code == 415 and refusal(answer) == "unsupported_encoding"
    assert "Content-Encoding" in answer.json()["error"]["message"]
    assert rig.refused("encoding") == before + 1


def test_S16_the_encoding_that_is_none_is_served(rig: Rig) -> None:
    rig.healthy()
    body = json.dumps(GOOD).encode()
    assert ask(rig, PATH, body, **{"content-encoding": "identity"}).status_code == 200
    with rig.connect() as sock:
        sock.sendall(post(gzip.compress(body)))
        assert one_answer(sock)[0] == 400, "compressed, and not said to be"
