"""Files of batches as they really come: with marks of an editor, too deep, given odd times."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.batching.reading import read_requests, window_s
from service.domain.errors import InvalidRequest

CHAT = "/v1/chat/completions"


def line(name: str, **more: Any) -> bytes:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]} | more
    return json.dumps({"custom_id": name, "url": CHAT, "body": body}).encode()


def test_a_mark_of_the_byte_order_and_line_ends_of_another_system_are_read() -> None:
    requests, problems = read_requests(
        b"\xef\xbb\xbf" + line("a") + b"\r\n" + line("b") + b"\r\n", CHAT, 9
    )
    assert [each.custom_id for each in requests] == ["a", "b"] and not problems


def test_what_is_nested_too_deeply_is_a_problem_of_its_line() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = line("a").replace(b'"hello"', deep)
    requests, problems = read_requests(line("ok") + b"\n" + body + b"\n" + deep, CHAT, 9)
    assert [each.custom_id for each in requests] == ["ok"]
    assert [each["line"] for each in problems] == [2, 3]
    assert problems[0]["code"] == "invalid_json_line"


@pytest.mark.parametrize("text", ["24h\n", " 24h", "24 h", "0h", "1.5h", "٢h", "59s", "25h"])
def test_a_time_is_a_number_and_a_unit(text: str) -> None:
    assert window_s("24h", 86_400.0) == 86_400 == window_s("1d", 86_400.0)
    with pytest.raises(InvalidRequest, match="completion_window must be a time"):
        window_s(text, 86_400.0)
