"""The gate before every page: who is logged in, where from, and what a page may load."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from importlib import resources
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.console.calling import REQUEST_ID, Api
from service.console.entering import Door, caller
from service.console.login import page as login_page
from service.console.sessions import Session, Sessions
from service.domain.acting import Person
from service.domain.errors import (
    BodyTooLarge,
    HeadgateError,
    NotAllowed,
    NotFound,
    PermissionDenied,
)
from service.domain.records import Key
from service.runtime import Runtime

ROOT = "/console"
SOCKETS = f"{ROOT}/_nicegui_ws/"
ASSETS = f"{ROOT}/assets/"
COOKIE = "headgate_console"
BEFORE = "headgate_login"  # the cookie that a log-in form must match
FORM_BYTES = 4_096
MOST_SOCKETS = 64
MOST_OF_A_SESSION = 12
_OURS = (  # the inline scripts of a page of NiceGUI, by how they begin and in their order
    b'<script type="importmap">\n      {"imports": ',
    b"<script>\n      addStyle = ",
    b'<script type="module">\n      import * as Vue from "vue";',
    b'<script type="module">\n      // Load DOMPurify',
)
_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page stands on: the running service, and who looks."""

    runtime: Runtime
    sessions: Sessions
    session: Session
    api: Api

    def key(self) -> Key | None:
        """The visitor's key as it now stands; None once the session has ended."""
        found = self.sessions.find(self.session.id)
        return found[1] if found else None


def policy(nonce: str) -> bytes:
    """The Content-Security-Policy. Styles may be inline: NiceGUI adds them by script, and the
    chart's tooltip carries them; scripts may not, but for those of this answer, and none is made
    of text (no ``unsafe-eval``).
    """
    script = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    return (
        f"default-src 'none'; script-src {script}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ).encode()


class Gate:
    """Asked before NiceGUI sees a request. ``inner`` serves the pages, ``api`` the routes."""

    def __init__(self, inner: ASGIApp, runtime: Runtime, sessions: Sessions, api: ASGIApp) -> None:
        self._api, self._door = api, Door(runtime.kept.log, runtime.clock)
        self._inner, self._runtime, self.sessions = inner, runtime, sessions
        folder = resources.files("service.console") / "assets"
        self._assets = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        self._sockets = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        guarded = _Guarded(send, secrets.token_urlsafe(16))
        try:
            answer = await self._answer(Request(scope, receive))
            if answer is not None:
                await answer(scope, receive, guarded)
            else:
                await self._inner(scope, receive, guarded)
        except HeadgateError as error:
            told = HTMLResponse(login_page("", "", error.message), error.status)
            await told(scope, receive, guarded)
        except ClientDisconnect:
            pass

    async def _answer(self, request: Request) -> Response | None:
        """The answer, or None where the pages are asked."""
        path, method = request.scope["path"], request.method
        if path.startswith(ASSETS):
            return self._asset(path.removeprefix(ASSETS))
        if path == f"{ROOT}/login":
            return await self._login(request)
        if path == f"{ROOT}/logout":
            return await self._logout(request)
        if path.startswith(SOCKETS):
            raise NotFound("Pages are kept up to date over a web socket.")
        if method not in ("GET", "HEAD"):
            raise NotAllowed("Nothing is sent to this address.")
        found = self.sessions.find(request.cookies.get(COOKIE, ""))
        if found is None:
            query = request.url.query
            target = path + (f"?{query}" if query else "")
            return _see_other(f"{ROOT}/login?next={quote(target, safe='')}")
        if "/_nicegui/" not in path:
            self.sessions.used(found[0])
        self._enter(request.scope, found[0])
        return None

    def _enter(self, scope: Scope, session: Session) -> None:
        """Say who visits. A prefix that the browser claims is not taken over."""
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"x-forwarded-prefix"]
        api = Api(self._api, _address(HTTPConnection(scope)))
        scope["headgate.visit"] = Visit(self._runtime, self.sessions, session, api)
        if scope["path"] == ROOT:
            scope["path"] = f"{ROOT}/"

    def _asset(self, name: str) -> Response:
        content = self._assets.get(name)
        if content is None:
            raise NotFound("There is no such file.")
        kind = _KINDS[name.rsplit(".", 1)[-1]]
        return Response(content, 200, {"cache-control": "max-age=300"}, kind)

    # logging in and out -------------------------------------------------------------------------

    async def _login(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            token = secrets.token_urlsafe(24)
            target = _inside(request.query_params.get("next", ""))
            return _kept(request, HTMLResponse(login_page(token, target, "")), BEFORE, token)
        fields = await _fields(request)
        token, target = fields.get("token", ""), _inside(fields.get("next", ""))
        if not token or not hmac.compare_digest(token, request.cookies.get(BEFORE, "")):
            raise PermissionDenied("The form is too old. Open the log-in page again.")
        secret, keys = fields.get("key", "").strip(), self._runtime.kept.keys
        try:
            session = self.sessions.open(secret, _address(request))
        except HeadgateError as error:
            key = keys.find(secret) if isinstance(error, PermissionDenied) else None
            self._door.refused(_who(request, key), error.message)
            refused = HTMLResponse(login_page(token, target, error.message), error.status)
            if error.retry_after_s:
                refused.headers["retry-after"] = str(int(error.retry_after_s) + 1)
            return _kept(request, refused, BEFORE, token)
        self._door.entered(_who(request, keys.by_id(session.key_id)))
        entered = _kept(request, _see_other(target), COOKIE, session.id)
        entered.delete_cookie(BEFORE, ROOT)
        return entered

    async def _logout(self, request: Request) -> Response:
        fields = await _fields(request)
        found = self.sessions.find(request.cookies.get(COOKIE, ""))
        if found is not None:
            if not hmac.compare_digest(fields.get("token", ""), found[0].token):
                raise PermissionDenied("The form is too old. Open the page again.")
            self.sessions.close(found[0].id)
            self._door.left(_who(request, found[1]))
        left = _see_other(f"{ROOT}/login")
        left.delete_cookie(COOKIE, ROOT)
        return left

    # the pages' web sockets ---------------------------------------------------------------------

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        found = self.sessions.find(connection.cookies.get(COOKIE, ""))
        try:
            _check_origin(connection)
        except PermissionDenied:
            found = None
        full = self._sockets >= MOST_SOCKETS or (
            found is not None and found[0].sockets >= MOST_OF_A_SESSION
        )
        if found is None or full or not scope["path"].startswith(SOCKETS):
            await receive()
            await send({"type": "websocket.close", "code": 1013 if full else 1008})
            return
        session = found[0]
        watched = _Watched(self.sessions, session, receive, send)
        self._sockets += 1
        session.sockets += 1
        try:
            self._enter(scope, session)
            await self._inner(scope, watched.receive, watched.send)
        finally:
            self._sockets -= 1
            session.sockets -= 1


class _Watched:
    """A socket that is closed soon after its session has ended: at the next message either way."""

    GRACE = 3  # messages in which the page can still tell that it ends

    def __init__(self, sessions: Sessions, session: Session, receive: Receive, send: Send) -> None:
        self._sessions, self._session = sessions, session
        self._receive, self._send = receive, send
        self._late = 0
        self._closed = False

    def _over(self) -> bool:
        if self._sessions.find(self._session.id) is not None:
            return False
        self._late += 1
        return self._late > self.GRACE

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.receive" and self._over():
            await self._close()
            return {"type": "websocket.disconnect", "code": 1008}
        return message

    async def send(self, message: Message) -> None:
        if self._closed:
            return
        if message["type"] == "websocket.send" and self._over():
            await self._close()
            return
        await self._send(message)

    async def _close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": 1008})


class _Guarded:
    """A send that adds the headers of a page, and the nonce to the inline scripts of NiceGUI."""

    def __init__(self, send: Send, nonce: str) -> None:
        self._send, self._nonce = send, nonce
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *_HEADERS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            headers.append((b"content-security-policy", policy(self._nonce)))
            message = {**message, "headers": headers}
            kinds = [value for name, value in headers if name.lower() == b"content-type"]
            if self._nonce and kinds and kinds[0].startswith(b"text/html"):
                self._start = message
                return
        elif self._start is not None:
            self._parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = stamped(b"".join(self._parts), self._nonce)
            headers = [h for h in self._start["headers"] if h[0].lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            start, self._start = {**self._start, "headers": headers}, None
            await self._send(start)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)


def stamped(page: bytes, nonce: str) -> bytes:
    """The page with the nonce on its own inline scripts, each once and where it is known to stand;
    a script that came in with data gets none, and the browser does not run it.
    """
    tag, done = f'<script nonce="{nonce}"'.encode(), b""
    for ours in _OURS:
        before, found, rest = page.partition(ours)
        if not found:
            continue
        done += before + found.replace(b"<script", tag, 1)
        page = rest
    return done + page


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _who(request: Request, key: Key | None) -> Person:
    return caller(key, _address(request), request.scope.get(REQUEST_ID, ""))


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form, sent by POST from a page of this very address."""
    if request.method != "POST":
        raise NotAllowed("This takes a form, sent by POST.")
    _check_origin(request)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise BodyTooLarge("No form of the console is so long.")
    given = parse_qs(body.decode("latin-1"))
    return {name: values[0] for name, values in given.items()}


def _check_origin(connection: HTTPConnection) -> None:
    """Whatever changes something, and every socket, must come from a page of this address."""
    origin, host = connection.headers.get("origin", ""), connection.headers.get("host", "")
    if not origin or urlsplit(origin).netloc.lower() != host.lower():
        raise PermissionDenied("This was sent from another site. Open the console itself.")


def _kept(request: Request, answer: Response, name: str, value: str) -> Response:
    """With a cookie that no script reads and no other site sends; Secure where the page is."""
    proto = request.headers.get("x-forwarded-proto", request.url.scheme)
    answer.set_cookie(
        name, value, path=ROOT, secure=proto == "https", httponly=True, samesite="strict"
    )
    return answer


def _inside(target: str) -> str:
    """Where to go after the log-in: a page of the console, whatever was asked."""
    parts = urlsplit(target)
    good = not parts.scheme and not parts.netloc and parts.path.startswith(f"{ROOT}/")
    bad = "\\" in target or "//" in target or parts.path.endswith(("/login", "/logout"))
    return target if good and not bad and target.isprintable() else f"{ROOT}/"


def _see_other(target: str) -> Response:
    return RedirectResponse(target, 303, {"cache-control": "no-store"})
