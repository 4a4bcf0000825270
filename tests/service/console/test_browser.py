"""The console in a browser, against a running service: looked at, acted on, read by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import websockets.sync.client
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright
from websockets.exceptions import InvalidStatus

from service.app import create_app
from service.console.gate import COOKIE, SOCKETS
from service.console.mount import console
from service.domain.clock import new_id
from service.domain.records import Candidates
from service.domain.refusals import Review
from tests.chromium import ARGUMENTS, CHROMIUM
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.api.test_auth import make_key

pytestmark = pytest.mark.slow

if CHROMIUM is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

AUTH = {"Authorization": f"Bearer {KEY}"}
CANARY = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
REASON = "the browser's tests say so"
WAIT_MS = 30_000
SHUT = "http://127.0.0.1:1/v1"  # nobody listens there


@pytest.fixture(scope="module")
def busy(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose deployment brook cannot be reached, with traffic, a version and a review."""
    text = plan_text(providers.url)
    first = text.index("base_url:")
    text = text[:first] + re.sub(r"base_url: \S+", f"base_url: {SHUT}", text[first:], count=1)
    runtime = make_runtime(tmp_path_factory.mktemp("state"), text)
    app = create_app(runtime)
    app.console, app.sockets = console(app, runtime)
    with Server(app) as server:
        service = Service(runtime, server)
        for i in range(30):
            _ask(service, f"Say something of number {i}.")
        body = {"reason": REASON, "author": "ann"}
        made = _post(service, "/admin/policies", {**body, "parameters": {"floor": 0.05}})
        _post(service, f"/admin/policies/{made['id']}/promote", body)
        _review(service)
        yield service


def _post(service: Service, path: str, body: dict[str, Any]) -> Any:
    answer = httpx.post(service.url + path, json=body, headers=AUTH, timeout=60)
    assert answer.status_code < 300, answer.text
    return answer.json()


def _ask(service: Service, text: str, **more: Any) -> str:
    messages = [{"role": "user", "content": text}]
    answer = _post(service, "/v1/chat/completions", {"model": "auto", "messages": messages, **more})
    return str(answer["id"])


def _review(service: Service) -> None:
    now_us = service.runtime.clock.wall_us()
    review = Review(
        new_id(), now_us, "incident", new_id(), "hash", "key", "", "premium", "", "code", "mill",
        "sim", "refusal", now_us + 3_600_000_000,
    )  # fmt: skip
    service.runtime.kept.log.append_durable(review).result(10)
    service.runtime.refusals.reviews.put(review)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield made
        made.close()


class Seen:
    """A page, with all that it asked for and all that it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.wrong: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on(
            "console",
            lambda message: self.wrong.append(message.text) if message.type == "error" else None,
        )

    def clean(self, service: Service) -> None:
        """Nothing was asked of another host, and nothing went wrong."""
        here = (service.url, service.url.replace("http", "ws", 1), "data:")
        assert [url for url in self.asked if not url.startswith(here)] == []
        assert self.wrong == []


@pytest.fixture
def seen(browser: Browser) -> Iterator[Seen]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield Seen(context.new_page())
    context.close()


def enter(seen: Seen, service: Service, path: str = "/console/", key: str = KEY) -> Page:
    page = seen.page
    page.goto(service.url + path)
    page.get_by_label("Your key").fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    return page


def ask_form(page: Page, name: str, **fields: str) -> None:
    """Open a form by its button, and fill in what is given and the reason."""
    page.get_by_role("button", name=name, exact=True).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    for field, value in fields.items():
        page.locator(f"dialog [name={field}]").first.select_option(value)
    page.locator("dialog [name=reason]").fill(REASON)


def told(page: Page, text: str) -> None:
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


# the story of an incident -----------------------------------------------------------------------


def test_traffic_is_forced_away_from_a_failing_deployment(busy: Service, seen: Seen) -> None:
    page = enter(seen, busy, "/console/deployments")
    body = {"model": "brook", "messages": [{"role": "user", "content": "You alone."}]}
    for _ in range(8):
        httpx.post(busy.url + "/v1/chat/completions", json=body, headers=AUTH)
    row = page.get_by_role("row").filter(has_text="brook")
    expect(row).to_contain_text("unwell")
    expect(row).to_contain_text("breaker open")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("brook")
    page.goto(busy.url + "/console/deployments/river")
    ask_form(page, "Keep requests away", lasts="900")
    page.get_by_role("button", name="Look at what it would do").click()
    expect(page.get_by_role("dialog")).to_contain_text("gets no request, for 15")
    assert not busy.runtime.kept.overrides.holding()
    page.get_by_role("button", name="Put it in effect").click()
    told(page, "In effect: river gets no request")
    identity = _ask(busy, "Another one, after the override.")
    why = httpx.get(f"{busy.url}/v1/decisions/{identity}", headers=AUTH).json()
    assert {"deployment": "river", "reason": "override"} in why["disqualified"]
    page.goto(busy.url + f"/console/decisions/{identity}")
    expect(page.get_by_text("was out: an operator excludes it now")).to_be_visible()
    page.goto(busy.url + "/console/")
    expect(page.locator(".hg-countdown").first).to_contain_text(re.compile(r"1[45]:\d\d"))
    ask_form(page, "Lift")
    page.get_by_role("button", name="Lift it").click()
    told(page, "Lifted: river")
    expect(page.get_by_text("river gets no request")).to_be_hidden()
    seen.clean(busy)


def test_an_override_is_seen_to_expire(busy: Service, seen: Seen) -> None:
    page = enter(seen, busy)
    body = {"action": "exclude", "deployment": "fall", "reason": CANARY, "author": CANARY,
            "expires_in_s": 6.0}  # fmt: skip
    _post(busy, "/admin/overrides", body)
    expect(page.get_by_text("fall gets no request")).to_be_visible()
    expect(page.get_by_text(CANARY).first).to_be_visible()  # as a text, letter by letter
    expect(page.get_by_text("fall gets no request")).to_be_hidden()
    page.goto(busy.url + "/console/audit?q=expired")
    expect(page.get_by_text("expired").first).to_be_visible()
    assert page.title() == "Audit · Headgate"
    seen.clean(busy)


def test_the_policy_is_rolled_back(busy: Service, seen: Seen) -> None:
    page = enter(seen, busy)
    live = busy.runtime.learner.version.id
    ask_form(page, "Roll back")
    page.get_by_role("button", name="Look at what it would do").click()
    expect(page.get_by_role("dialog").get_by_role("row").filter(has_text="floor")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    told(page, "Rolled back")
    assert busy.runtime.learner.version.id != live
    page.goto(busy.url + "/console/timeline")
    expect(page.get_by_text("rolled back").first).to_be_visible()
    seen.clean(busy)


def test_a_review_is_decided_and_an_alarm_acknowledged(busy: Service, seen: Seen) -> None:
    page = enter(seen, busy, "/console/reviews")
    ask_form(page, "Decide")
    page.get_by_label("Let it be sent again").check()
    page.get_by_role("dialog").get_by_role("button", name="Decide").click()
    told(page, "Decided: let it be sent again")
    assert not busy.runtime.refusals.reviews.open()
    made = busy.runtime.kept.cases.latest(1)[0].decision
    spoiled = Candidates(("brook", "mill"), (1.0, 0.0))  # what cannot have been drawn
    busy.runtime.kept.log.append(replace(made, id=new_id(), candidates=spoiled, deployment="mill"))
    page.goto(busy.url + "/console/alerts")
    warned = page.get_by_role("listitem").filter(has_text="do not follow the logged propensities")
    warned.get_by_role("button", name="Acknowledge").first.click()  # an alert may say so too
    page.locator("dialog [name=reason]").fill(REASON)
    page.get_by_role("button", name="Acknowledge it").click()
    told(page, "Acknowledged")
    assert busy.runtime.propensities.current.alarmed_us is None
    seen.clean(busy)


# what a browser is let do -----------------------------------------------------------------------


def test_every_page_is_read_at_every_width_and_by_its_own_host(busy: Service, seen: Seen) -> None:
    identity = _ask(busy, "The one to look at.")
    rated = {"id": identity, "value": 0.4, "reason": CANARY, "tags": ["<b>bold</b>"]}
    _post(busy, "/v1/feedback", rated)
    page = enter(seen, busy)
    for path in ("", "deployments", "deployments/brook", "decisions", f"decisions/{identity}",
                 "experiments", "alerts", "reviews", "approvals", "budgets", "savings",
                 "capabilities", "timeline", "audit"):  # fmt: skip
        answer = page.goto(f"{busy.url}/console/{path}")
        _checked(answer)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.title() != "owned" and not page.locator("main img, main b").count()
    seen.clean(busy)


def _checked(answer: Response | None) -> None:
    assert answer is not None and answer.status == 200
    rules = answer.headers["content-security-policy"]
    assert "unsafe-eval" not in rules and "http" not in rules


def test_it_is_worked_by_keyboard(busy: Service, seen: Seen) -> None:
    page = enter(seen, busy)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the page")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "hg-main"
    opener = page.get_by_role("button", name="Kill switch")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        at = "document.activeElement === document.body || document.activeElement.closest('dialog')"
        assert page.evaluate(f"!!({at})")  # the page below is out of reach
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light / dark").press("Enter")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    seen.clean(busy)


def test_an_analyst_reads_and_a_revoked_key_sees_no_more(busy: Service, seen: Seen) -> None:
    secret = make_key(busy, "analyst")
    page = enter(seen, busy, key=secret)
    expect(page.get_by_text("analyst").first).to_be_visible()
    assert not page.get_by_role("button", name="Kill switch").count()
    assert not page.get_by_role("button", name="Override the policy").count()
    keys = busy.runtime.kept.keys
    found = keys.find(secret)
    assert found is not None
    keys.put(replace(found, revoked=True))
    page.wait_for_url("**/console/login*")
    expect(page.get_by_label("Your key")).to_be_visible()


def test_a_socket_is_for_who_is_logged_in(busy: Service, seen: Seen) -> None:
    page = enter(seen, busy)
    cookies = {each["name"]: each for each in page.context.cookies()}
    made = cookies[COOKIE]
    assert made["httpOnly"] and made["sameSite"] == "Strict" and made["path"] == "/console"
    url = busy.url.replace("http", "ws", 1) + SOCKETS + "socket.io/?EIO=4&transport=websocket"
    good = {"Cookie": f"{COOKIE}={made['value']}", "Origin": busy.url}
    with websockets.sync.client.connect(url, additional_headers=good) as socket:
        assert str(socket.recv(timeout=10)).startswith("0{")
    for bad in ({}, good | {"Cookie": ""}, good | {"Origin": "https://elsewhere.test"}):
        with (
            pytest.raises(InvalidStatus),
            websockets.sync.client.connect(url, additional_headers=bad),
        ):
            pass
    elsewhere = url.replace(SOCKETS, "/v1/models/")
    with pytest.raises(InvalidStatus), websockets.sync.client.connect(elsewhere):
        pass
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Your key")).to_be_visible()
    with pytest.raises(InvalidStatus), websockets.sync.client.connect(url, additional_headers=good):
        pass
