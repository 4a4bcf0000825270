"""The gate: cookies, where requests come from, what a page may load, who gets a socket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from nicegui.client import templates

from service.console.gate import BEFORE, COOKIE, Gate
from service.console.mount import HEAD
from service.console.sessions import SessionRules, Sessions
from service.domain.clock import SystemClock
from service.storage.cases import rows_of
from tests.conftest import KEY, Service
from tests.service.api.test_auth import make_key

HOST = "http://headgate.test"
CANARY = "<script>canary</script>"
INJECTED = (
    '<script>alert(1)</script><SCRIPT>alert(2)</SCRIPT><script type="module">alert(3)</script>'
    '<script>\n      addStyle = alert(4)</script><script type="importmap">\n      {"imports": {}}'
    '</script><script src="https://elsewhere.test/5.js"></script>'
)


async def _page(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the gate here: it shows what reached it."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    prefix = [v for k, v in scope["headers"] if k == b"x-forwarded-prefix"]
    told = templates.get_template("index.html").render(
        title="Here", imports="{}", head_html=HEAD, body_html=INJECTED, elements=INJECTED,
        translations={}, socket_io_js_query_params=prefix,
    )  # fmt: skip
    body = told.encode()
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[:9], "more_body": True})
    await send({"type": "http.response.body", "body": body[9:]})


@pytest.fixture(scope="module")
def gate(service: Service) -> Gate:
    kept = service.runtime.kept
    return Gate(_page, service.runtime, Sessions(kept.keys, SystemClock(), SessionRules()), _page)


@pytest.fixture
def web(gate: Gate) -> Iterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gate, client=("10.0.0.9", 1))
    gate.sessions._failed.clear()
    yield httpx.AsyncClient(transport=transport, base_url=HOST)


async def log_in(web: httpx.AsyncClient, key: str = KEY, **more: Any) -> httpx.Response:
    form = await web.get("/console/login", headers=more.get("headers", {}))
    token = re.search(r'name="token" value="([^"]+)"', form.text)
    assert token is not None
    data = {"token": token[1], "key": key, "next": more.get("next", "")}
    headers = {"origin": HOST} | more.get("headers", {})
    return await web.post("/console/login", data=data, headers=headers)


async def test_S09_nobody_gets_in_without_a_session(web: httpx.AsyncClient) -> None:
    for path in ("/console", "/console/", "/console/audit?q=a&b", "/console/_nicegui/3/static/x.js",
                 "/console/nowhere", "/console/assets"):  # fmt: skip
        answer = await web.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/console/login?next=")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await web.request(method, "/console/audit")).status_code == 405


async def test_logging_in_and_out(web: httpx.AsyncClient, gate: Gate) -> None:
    entered = await log_in(web, next="/console/audit?q=a")
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/audit?q=a")
    cookies = entered.headers.get_list("set-cookie")
    made = next(each for each in cookies if each.startswith(COOKIE))
    for part in ("HttpOnly", "SameSite=strict", "Path=/console"):
        assert part in made
    assert "Secure" not in made and KEY not in made and "max-age" not in made.lower()
    page = await web.get("/console/audit")
    assert page.status_code == 200
    session, _ = gate.sessions.find(web.cookies[COOKIE]) or (None, None)
    assert session is not None
    wrong = await web.post("/console/logout", data={"token": "x"}, headers={"origin": HOST})
    assert wrong.status_code == 403 and gate.sessions.find(session.id)
    assert (await web.get("/console/logout")).status_code == 405
    data = {"token": session.token}
    left = await web.post("/console/logout", data=data, headers={"origin": HOST})
    assert left.headers["location"] == "/console/login" and not gate.sessions.find(session.id)
    assert (await web.get("/console/audit")).status_code == 303


def console_acts(service: Service) -> list[dict[str, Any]]:
    service.runtime.kept.log.flush().result(10)
    cursor = service.runtime.kept.database.cursor()
    sql = "SELECT * FROM acts WHERE act LIKE 'console.%' ORDER BY log_seq"
    return rows_of(cursor, sql)


async def test_log_ins_stand_in_the_audit(
    web: httpx.AsyncClient, gate: Gate, service: Service
) -> None:
    before = len(console_acts(service))
    gate._door._told_s.clear()
    await log_in(web, "hg-wrong-secret")
    await log_in(web, make_key(service, "caller"))  # of the same address: counted
    gate._door._told_s.clear()
    await log_in(web, make_key(service, "caller"))
    await log_in(web)
    session, key = gate.sessions.find(web.cookies[COOKIE]) or (None, None)
    assert session is not None and key is not None
    await web.post("/console/logout", data={"token": session.token}, headers={"origin": HOST})
    wrong, caller, came, left = console_acts(service)[before:]
    assert [each["act"] for each in (wrong, caller, came, left)] == [
        "console.refused", "console.refused", "console.entered", "console.left",
    ]  # fmt: skip
    assert {each["ip"] for each in (wrong, caller, came, left)} == {"10.0.0.9"}
    assert (wrong["actor"], wrong["key_id"]) == ("unknown", "") and "not known" in wrong["reason"]
    assert caller["role"] == "caller" and '"untold": 1' in caller["detail"]
    for each in (came, left):
        assert (each["actor"], each["key_id"], each["role"]) == (key.name, key.id, key.role)
    assert "hg-wrong" not in str(console_acts(service)) and KEY not in str(console_acts(service))


async def test_the_cookie_is_secure_where_the_page_is(web: httpx.AsyncClient) -> None:
    for proto, secure in (("https", True), ("http", False)):
        form = await web.get("/console/login", headers={"x-forwarded-proto": proto})
        assert ("Secure" in form.headers["set-cookie"]) is secure


@pytest.mark.parametrize("origin", ["", "null", "https://elsewhere.test", "http://headgate.test:1"])
async def test_S09_a_form_from_elsewhere_is_refused(web: httpx.AsyncClient, origin: str) -> None:
    answer = await log_in(web, headers={"origin": origin})
    assert answer.status_code == 403 and COOKIE not in web.cookies
    assert "another site" in answer.text


async def test_S09_a_form_without_its_token_is_refused(web: httpx.AsyncClient) -> None:
    for given in ({}, {"token": ""}, {"token": "forged"}):
        data = {"key": KEY, **given}
        answer = await web.post("/console/login", data=data, headers={"origin": HOST})
        assert answer.status_code == 403 and COOKIE not in web.cookies
    web.cookies.set(BEFORE, "")
    answer = await web.post("/console/login", data={"key": KEY}, headers={"origin": HOST})
    assert answer.status_code == 403
    long = await web.post("/console/login", content=b"a" * 9_000, headers={"origin": HOST})
    assert long.status_code == 413


async def test_S09_what_is_wrong_is_told_and_nothing_reflected(
    web: httpx.AsyncClient, service: Service
) -> None:
    wrong = await log_in(web, CANARY, next=CANARY)
    assert wrong.status_code == 401 and "canary" not in wrong.text and "not known" in wrong.text
    caller = await log_in(web, make_key(service, "caller"))
    assert caller.status_code == 403 and "needs the role analyst" in caller.text
    bound = await log_in(web, make_key(service, "analyst", "acme"))
    assert bound.status_code == 403 and "only the tenant acme" in bound.text
    for _ in range(10):
        await log_in(web, "hg-wrong")
    late = await log_in(web, "hg-wrong")
    assert late.status_code == 429 and 0 < int(late.headers["retry-after"]) <= 301
    assert (await log_in(web)).status_code == 303  # a right key all the same


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "https://evil.test/console/", "/console/..//x", "/admin/status", "javascript:1",
     "/console/\\evil", "/console/login", "/console/logout", "/consolex/", "/console/\r\nx: y", ""],
)  # fmt: skip
async def test_after_the_log_in_one_stays_inside(web: httpx.AsyncClient, target: str) -> None:
    entered = await log_in(web, next=target)
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")


async def test_S09_the_headers_of_every_answer(web: httpx.AsyncClient) -> None:
    seen = [await web.get("/console/login"), await web.get("/console/"), await log_in(web)]
    seen += [await web.get("/console/"), await web.get("/console/assets/console.css"),
             await web.get("/console/assets/none"), await web.post("/console/x")]  # fmt: skip
    for answer in seen:
        rules = answer.headers["content-security-policy"]
        directives = dict(part.strip().split(" ", 1) for part in rules.split(";"))
        assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
        assert directives["base-uri"] == "'none'" and directives["form-action"] == "'self'"
        assert "unsafe" not in directives["script-src"] and "http" not in rules and "*" not in rules
        assert re.fullmatch(r"'self' 'nonce-[\w-]{20,}'", directives["script-src"])
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "cache-control" in answer.headers


async def test_scripts_get_the_nonce_of_their_answer(web: httpx.AsyncClient) -> None:
    await log_in(web)
    one, two = (await web.get("/console/", headers={"x-forwarded-prefix": "//evil.test"}),
                await web.get("/console/"))  # fmt: skip
    nonces = [re.findall(r'<script nonce="([\w-]+)"', each.text) for each in (one, two)]
    assert len(nonces[0]) == 4 and len({*nonces[0], *nonces[1]}) == 2
    assert nonces[0][0] in one.headers["content-security-policy"]
    assert int(one.headers["content-length"]) == len(one.content) and "evil" not in one.text


async def test_a_script_that_came_in_with_data_gets_no_nonce(web: httpx.AsyncClient) -> None:
    await log_in(web)
    page = (await web.get("/console/")).text
    nonce = re.findall(r'nonce="([\w-]+)"', page)[0]
    plain = page.replace(f' nonce="{nonce}"', "")
    assert plain.count(INJECTED) == page.count(INJECTED) == 2  # as it came
    inline = [
        t for t in re.findall(r"<script[^>]*>", page.replace(INJECTED, "")) if "src=" not in t
    ]
    assert len(inline) == 4 and all(f'nonce="{nonce}"' in tag for tag in inline)
    assert "nonce" not in (await web.get("/console/login")).text


# sockets ----------------------------------------------------------------------------------------


async def socket(gate: Gate, cookie: str, path: str, origin: str, *texts: str) -> list[Any]:
    """What a socket is answered to these texts."""
    headers = [(b"host", b"headgate.test"), (b"cookie", f"{COOKIE}={cookie}".encode())]
    if origin:
        headers.append((b"origin", origin.encode()))
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers}
    incoming = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": t}
                for t in texts), {"type": "websocket.disconnect", "code": 1000}]  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await gate(scope, receive, send)
    return sent


SOCKETS = "/console/_nicegui_ws/socket.io/"


async def test_S09_a_socket_needs_a_session_and_its_own_origin(
    web: httpx.AsyncClient, gate: Gate
) -> None:
    await log_in(web)
    cookie = web.cookies[COOKIE]
    opened = await socket(gate, cookie, SOCKETS, HOST, "a")
    assert [each["type"] for each in opened] == ["websocket.accept", "websocket.send"]
    wrong = [
        (cookie, SOCKETS, "https://elsewhere.test"), (cookie, SOCKETS, ""),
        ("none", SOCKETS, HOST), ("", SOCKETS, HOST), (cookie, "/console/x", HOST),
    ]  # fmt: skip
    for how in wrong:
        refused = await socket(gate, *how)
        assert refused == [{"type": "websocket.close", "code": 1008}], how
    polled = await web.get(SOCKETS + "?transport=polling")
    assert polled.status_code == 404
    assert (await web.post(SOCKETS)).status_code == 404


async def test_a_socket_is_closed_soon_after_its_session_ended(
    web: httpx.AsyncClient, gate: Gate
) -> None:
    await log_in(web)
    cookie = web.cookies[COOKIE]
    found = gate.sessions.find(cookie)
    assert found is not None

    class Ending(Sessions):
        """Ends after the first text."""

        left = 2

        def find(self, session_id: str) -> Any:
            self.left -= 1
            return found if self.left >= 0 else None

    kept = gate.sessions
    gate.sessions = Ending.__new__(Ending)
    try:
        sent = await socket(gate, cookie, SOCKETS, HOST, *"abcdef")
    finally:
        gate.sessions = kept
    assert sent[-1] == {"type": "websocket.close", "code": 1008}
    assert 1 <= sum(each["type"] == "websocket.send" for each in sent) <= 3
    assert found[0].sockets == 0 and gate._sockets == 0


async def test_sockets_are_bounded(
    web: httpx.AsyncClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log_in(web)
    found = gate.sessions.find(web.cookies[COOKIE])
    assert found is not None
    monkeypatch.setattr(found[0], "sockets", 12)
    full = await socket(gate, found[0].id, SOCKETS, HOST)
    assert full == [{"type": "websocket.close", "code": 1013}]
