"""What a caller uploads for a batch, read: each line a request, or a problem with its place."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any

import msgspec

from service.domain.batches import CHAT_ENDPOINT, NewRequest
from service.domain.chat import ChatRequest, parse
from service.domain.errors import HeadgateError, InvalidRequest
from service.domain.modal_requests import parse_modal
from service.domain.modalities import EMBEDDING

MOST_PROBLEMS = 100
MOST_NAME = 256
ANSWER_TOKENS = 256  # foreseen where the request gives no cap
LEAST_WINDOW_S = 60
_SPAN = re.compile(r"([1-9]\d{0,5})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _Line(msgspec.Struct):
    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


_line = msgspec.json.Decoder(_Line).decode


def request_of(endpoint: str, body: bytes) -> ChatRequest:
    """A request as its endpoint reads it; raises HeadgateError."""
    return parse(body) if endpoint == CHAT_ENDPOINT else parse_modal(EMBEDDING, body)


def tokens_of(request: ChatRequest) -> int:
    """What a request and its answer may take."""
    shape = request.shape
    return shape.tokens_in + (shape.tokens_out_limit or ANSWER_TOKENS)


def read_requests(
    content: bytes, endpoint: str, most: int
) -> tuple[list[NewRequest], list[Mapping[str, Any]]]:
    """The requests of a file, and what is wrong with it in OpenAI's shape; lines count from 1."""
    requests: list[NewRequest] = []
    problems: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    for number, text in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1):
        if not text.strip():
            continue
        if len(requests) >= most:
            problems.append(_problem("too_many_requests", f"a batch has at most {most} requests",
                                     number))  # fmt: skip
            break
        try:
            requests.append(_read(text, endpoint, seen))
        except HeadgateError as error:
            param = error.param or None
            problems.append(_problem(error.code, error.message, number, param))
            if len(problems) >= MOST_PROBLEMS:
                break
    if not requests and not problems:
        problems.append(_problem("empty_file", "the file has no requests"))
    return requests, problems


def _problem(
    code: str, message: str, line: int | None = None, param: str | None = None
) -> Mapping[str, Any]:
    return {"code": code, "message": message, "line": line, "param": param}


def _read(text: bytes, endpoint: str, seen: set[str]) -> NewRequest:
    try:
        line = _line(text)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the line does not fit: {error}", code="invalid_line") from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("the line is not valid JSON", code="invalid_json_line") from None
    if not 1 <= len(line.custom_id) <= MOST_NAME:
        raise InvalidRequest(f"custom_id must have 1 to {MOST_NAME} characters", param="custom_id",
                             code="invalid_custom_id")  # fmt: skip
    if line.custom_id in seen:
        raise InvalidRequest("custom_id stands on an earlier line already", param="custom_id",
                             code="duplicate_custom_id")  # fmt: skip
    if line.method != "POST":
        raise InvalidRequest("method must be POST", param="method", code="invalid_method")
    if line.url != endpoint:
        raise InvalidRequest(f"url must be {endpoint}, the endpoint of the batch", param="url",
                             code="mismatched_url")  # fmt: skip
    body = bytes(line.body)
    request = request_of(endpoint, body)
    if request.model.startswith("workflow:"):
        raise InvalidRequest("workflows cannot be run in a batch", param="body.model",
                             code="invalid_model")  # fmt: skip
    seen.add(line.custom_id)
    return NewRequest(line.custom_id, body, tokens_of(request))


def window_s(text: str, longest_s: float) -> int:
    """A completion window such as 24h, 90m or 2d, in seconds; raises InvalidRequest."""
    found = _SPAN.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not LEAST_WINDOW_S <= seconds <= longest_s:
        raise InvalidRequest(
            f"completion_window must be a time such as 24h or 90m, from {LEAST_WINDOW_S} to "
            f"{longest_s:.0f} seconds",
            param="completion_window",
            code="invalid_completion_window",
        )
    return seconds
