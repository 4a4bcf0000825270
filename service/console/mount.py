"""The console joined to the app: NiceGUI mounted at /console, behind the gate."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from nicegui import Client, core, ui
from nicegui.element import Element
from starlette.types import Receive, Scope, Send

from service.console import shell
from service.console.forms import HANDLERS
from service.console.gate import ROOT, SOCKETS, Gate, Visit
from service.console.looker import Drawn, Gone, Looker, Page
from service.console.nodes import Node, h
from service.console.pages.registry import PAGES
from service.console.reading.warnings import warnings
from service.console.section import Section
from service.console.sessions import SessionRules, Sessions
from service.console.socket import Socket
from service.domain.errors import HeadgateError, Overloaded
from service.runtime import Runtime

MOST_PAGES = 200  # open in browsers, or just asked for
HEAD = (
    f'<link rel="stylesheet" href="{ROOT}/assets/console.css">'
    f'<script src="{ROOT}/assets/theme.js"></script>'
)
HISTORY = 20  # messages that a page that lost its connection is sent again
RECONNECT_S = 15.0


def console(app: FastAPI, runtime: Runtime) -> tuple[Gate, tuple[bytes, type[Socket]]]:
    """Mount the pages; the gate to put before them, and what serves their sockets where.

    NiceGUI is one for the whole process, and so is the console.
    """
    rules = runtime.plan.console
    sessions = Sessions(
        runtime.kept.keys, runtime.clock, SessionRules(rules.idle_s, rules.session_s)
    )
    for page in PAGES:
        _register(page)
    ui.add_head_html(HEAD, shared=True)
    ui.run_with(
        app,
        title="Headgate",
        favicon=Path(__file__).parent / "assets" / "mark.svg",
        dark=None,
        language="en-US",
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        message_history_length=HISTORY,
        mount_path=ROOT,
        tailwind=False,
        gzip_middleware_factory=None,  # compressing would hold the loop; files are kept by browsers
        show_welcome_message=False,
    )
    core.app.config.socket_io_js_transports = ["websocket"]
    routes = functools.partial(FastAPI.__call__, app)
    gate = Gate(functools.partial(_inner, app), runtime, sessions, routes)
    return gate, (SOCKETS.encode(), Socket)


async def _inner(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and len(Client.instances) >= MOST_PAGES:
        raise Overloaded("Too many pages are open. Close some, and try again in a minute.")
    await FastAPI.__call__(app, scope, receive, send)


def _register(page: Page) -> None:
    async def build(request: Request) -> None:
        visit: Visit = request.scope["headgate.visit"]
        of = str(request.path_params.get("of", ""))
        await _Built(page, Looker(visit, dict(request.query_params), of)).start()

    ui.page(page.path, title=f"{page.title} · Headgate")(build)


class _Built:
    """A page in a browser: its sections, redrawn by the clock and after every act."""

    def __init__(self, page: Page, looker: Looker) -> None:
        self._page, self._looker = page, looker
        self._sections: dict[str, Section] = {}
        self._here = _way_of(page)
        self._client = ui.context.client

    async def start(self) -> None:
        """Draw it, and begin to keep it up to date once a browser is there."""
        parts = await self._drawn()
        with Element("div").classes("hg-shell"):
            self._add("top", parts.pop("top"))
            with Element("div").classes("hg-body"):
                self._add("ways", parts.pop("ways"))
                over = parts.pop("over")
                self._main = Element("main").classes("hg-main")
                self._main.props["id"] = "hg-main"
                self._main.props["tabindex"] = "-1"
                with self._main:
                    for name, tree in parts.items():
                        self._add(name, tree)
            self._add("over", over)
        ui.timer(self._page.refresh_s, self._tick, immediate=False)

    def _add(self, name: str, tree: list[Node]) -> None:
        now_s = self._looker.runtime.clock.wall_us() / 1e6
        self._sections[name] = Section(tree, self._act, now_s)

    async def _drawn(self) -> dict[str, list[Node]]:
        looker = self._looker
        try:
            body: Drawn = await self._page.draw(looker)
        except HeadgateError as error:
            body = {"head": [shell.heading(self._page.title), h("p", error.message, role="alert")]}
        counts = {
            "/console/alerts": len(warnings(looker.runtime)) + len(looker.runtime.alerts.firing()),
            "/console/approvals": len(looker.runtime.kept.approvals.open()),
            "/console/reviews": looker.runtime.people.desk.count(),
        }
        return {
            "top": shell.top(looker), "ways": shell.ways(self._here, counts), **body,
            "over": shell.over(looker),
        }  # fmt: skip

    async def _tick(self) -> None:
        try:
            self._show(await self._drawn())
        except Gone:
            self._client.open("/login")

    async def _act(self, name: str, of: str, fields: dict[str, str]) -> None:
        handler = {**HANDLERS, **self._page.handlers}.get(name)
        if handler is None:
            return
        try:
            await self._looker.do(handler, of, fields)
            if self._looker.go:
                self._client.open(self._looker.go.removeprefix(ROOT))
                return
            self._show(await self._drawn())
        except Gone:
            self._client.open("/login")

    def _show(self, parts: dict[str, Any]) -> None:
        for name, tree in parts.items():
            section = self._sections.get(name)
            if section is not None:
                section.show(tree)
                continue
            with self._main:
                self._add(name, tree)
        for name in self._sections.keys() - parts.keys():
            self._sections[name].show([])


def _way_of(page: Page) -> str:
    """Under which of the ways a page stands."""
    return f"{ROOT}/{page.path.strip('/').split('/')[0]}"
