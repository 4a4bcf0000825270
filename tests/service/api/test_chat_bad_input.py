"""Bad input on the wire: a clear error of OpenAI's shape, never a 500, nothing leaked."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from service.api.asgi import error_body
from service.domain.errors import HeadgateError, ModelNotFound
from tests.conftest import KEY, Service

AUTH = {"Authorization": f"Bearer {KEY}"}
GOOD: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"


def check(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"]
    assert len(response.headers["x-request-id"]) == 36
    for secret in (KEY, "Traceback", "/service/", "duckdb"):
        assert secret not in response.text
    return error


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_request"),
        (b"\xff\xfe\x00", 400, "invalid_request"),
        (b'{"model": NaN}', 400, "invalid_json"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400, "nested_too_deeply"),
        (b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}', 400, None),
        (json.dumps(GOOD | {"messages": []}).encode(), 400, "invalid_request"),
        (json.dumps(GOOD | {"messages": {}}).encode(), 400, "invalid_request"),
        (json.dumps(GOOD | {"messages": [{"role": "user", "content": 3}]}).encode(), 400, None),
        (json.dumps(GOOD | {"model": "nobody"}).encode(), 404, "model_not_found"),
        (json.dumps(GOOD | {"model": "x" * 100_000}).encode(), 404, "model_not_found"),
        (json.dumps(GOOD | {"headgate": {"cache": "on"}}).encode(), 400, "invalid_option"),
        (json.dumps(GOOD | {"headgate": {"conversation": "c"}}).encode(), 400, "invalid_option"),
        (json.dumps(GOOD | {"headgate": {"quality_cost": 7}}).encode(), 400, "invalid_option"),
        (json.dumps(GOOD | {"stream": 1}).encode(), 400, "invalid_request"),
    ],
)
def test_each_is_a_clear_error(
    service: Service, body: bytes, status: int, code: str | None
) -> None:
    before = service.runtime.board.requests
    response = httpx.post(service.url + PATH, content=body, headers=AUTH)
    error = check(response, status)
    assert code in (None, error["code"])
    assert service.runtime.board.requests == before


def test_nul_and_odd_characters_are_served(service: Service) -> None:
    text = "a\x00b \u202e \U0001f600 " + "'); DROP TABLE decisions; --"
    body = GOOD | {"messages": [{"role": "user", "content": text}], "user": text,
                   "metadata": {"tags": text[:50], "tenant": "'; --"}}  # fmt: skip
    response = httpx.post(service.url + PATH, json=body, headers=AUTH)
    assert response.status_code == 200, response.text
    service.runtime.kept.log.flush().result(5)
    assert service.runtime.kept.log.healthy and service.runtime.kept.log.dropped == 0


@pytest.mark.parametrize("path", [PATH, "/v1/route", "/v1/feedback", "/admin/overrides"])
def test_a_body_beyond_the_limit_is_refused_while_reading(service: Service, path: str) -> None:
    """The length is not declared: two hundred megabytes are offered, few are taken."""
    sent = 0

    def endless() -> Any:
        nonlocal sent
        for _ in range(3_200):
            sent += 65_536
            yield b"x" * 65_536

    try:
        response = httpx.post(service.url + path, content=endless(), headers=AUTH, timeout=20)
        check(response, 413)
    except (httpx.WriteError, httpx.ReadError):
        pass  # the server closed the connection on us, as it may
    assert sent < 60_000_000


def test_a_declared_length_beyond_the_limit_is_refused_at_once(service: Service) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1])), 5) as sock:
        sock.sendall(head.encode() + b"Content-Length: 999999999999\r\n\r\n{")
        assert sock.recv(64).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Basic abc", "Bearer ' OR 1=1 --",
                      "Bearer " + "x" * 5_000, "bearer hg-nobody"]
)  # fmt: skip
def test_without_a_known_key_nothing_is_read(service: Service, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in (PATH, "/v1/feedback", "/v1/route", "/admin/overrides", "/v1/nowhere"):
        check(httpx.post(service.url + path, json={"id": "x"}, headers=headers), 401)
    for path in ("/v1/models", "/v1/decisions/x", "/admin/status", "/admin/weights"):
        check(httpx.get(service.url + path, headers=headers), 401)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("GET", "/nowhere", 404), ("DELETE", "/v1/models", 405),
     ("GET", "/v1/models/../admin/status", 404), ("GET", "/v1/decisions/%00", 404),
     ("GET", "/v1/decisions/zzz", 404), ("POST", PATH + "/", 404)],
)  # fmt: skip
def test_unknown_paths_and_methods(service: Service, method: str, path: str, status: int) -> None:
    response = httpx.request(method, service.url + path, headers=AUTH, follow_redirects=False)
    assert response.status_code in (status, 404, 307)
    if response.status_code != 307:
        check(response, response.status_code)


def test_errors_in_openais_shape() -> None:
    made = error_body(HeadgateError("broken"), "r-1")["error"]
    assert made == {"message": "broken (incident r-1)", "type": "server_error", "param": None,
                    "code": "internal_error"}  # fmt: skip
    found = error_body(ModelNotFound("no", ["a"]), "r")["error"]
    assert found["did_you_mean"] == ["a"] and "incident" not in found["message"]
