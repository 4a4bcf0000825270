"""Notices by e-mail, to a real server: TLS, logins, refusals, and texts that add no header."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from service.bootstrap.alerts import target
from service.monitoring import notify
from service.monitoring.channels import Channels, Target
from service.monitoring.mail import Mailbox, MailFailed, send, written
from service.monitoring.notify import Address, Notice
from service.plan.alerts import AlertsPlan
from tests.certificates import Authority
from tests.conftest import HandClock
from tests.service.monitoring.watched import until

TO = ("duty@example.com", "owner@example.com")


class Inbox:
    """What a server took; ``refuses``: recipients that it does not know."""

    def __init__(self, refuses: tuple[str, ...] = (), busy: int = 0) -> None:
        self.letters: list[tuple[str, list[str], str]] = []
        self.refuses, self.busy = refuses, busy
        self.logins: list[bytes] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.busy:
            self.busy -= 1
            return "451 later"
        assert isinstance(envelope.content, bytes)
        text = envelope.content.decode()
        self.letters.append((envelope.mail_from or "", envelope.rcpt_tos, text))
        return "250 taken"

    def login(self, server: Any, session: Any, envelope: Any, how: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=data.password == b"right", handled=False)


class Mails:
    """Servers on loopback, in a thread with a loop of its own; each ends with the test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._running: list[asyncio.Server] = []

    def __call__(self, inbox: Inbox, context: ssl.SSLContext | None = None, **more: Any) -> int:
        def protocol() -> SMTP:
            return SMTP(inbox, hostname="loopback", loop=self._loop, **more)

        making = self._loop.create_server(protocol, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(making, self._loop).result(30)
        self._running.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        for each in self._running:
            each.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture
def mails() -> Iterator[Mails]:
    made = Mails()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def box(port: int, **more: Any) -> Mailbox:
    fields = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "headgate@example.com",
              "recipients": TO}  # fmt: skip
    return Mailbox(**(fields | more))


def letter(to: Mailbox) -> EmailMessage:
    return written(to, "latency of river", "the whole text\n", "a-1")


def test_a_letter_reaches_its_recipients(mails: Mails) -> None:
    inbox = Inbox()
    to = box(mails(inbox))
    send(to, letter(to))
    ((sender, recipients, text),) = inbox.letters
    assert (sender, tuple(recipients)) == ("headgate@example.com", TO)
    for line in ("Subject: Headgate: latency of river", "X-Headgate-Key: a-1",
                 "Auto-Submitted: auto-generated", "the whole text"):  # fmt: skip
        assert line in text


def test_a_text_adds_no_header() -> None:
    mail = written(box(1), "slow\r\nBcc: everybody@example.com\n\nhello", "b\n", "k")
    assert mail["Bcc"] is None and "\n" not in str(mail["Subject"])
    assert str(mail["Subject"]).startswith("Headgate: slow Bcc: everybody@")
    assert len(str(written(box(1), "x" * 500, "b", "k")["Subject"])) <= 150


def test_starttls_is_asked_for_and_the_certificate_checked(
    mails: Mails, authority: Authority
) -> None:
    inbox = Inbox()
    port = mails(
        inbox, tls_context=authority.server(), authenticator=inbox.login, auth_required=True
    )
    login = {"tls": "starttls", "username": "headgate", "context": authority.trust()}
    to = box(port, password="right", **login)
    send(to, letter(to))
    assert len(inbox.letters) == 1 and inbox.logins == [b"headgate"]
    with pytest.raises(MailFailed, match="login was refused") as caught:
        send(box(port, password="wrong", **login), letter(to))
    assert not caught.value.again
    with pytest.raises(MailFailed, match="no TLS with the server"):
        send(box(port, password="right", **(login | {"context": None})), letter(to))
    assert len(inbox.letters) == 1
    assert "right" not in repr(to) and "headgate'" not in repr(to).replace("headgate@", "")


def test_tls_from_the_first_byte(mails: Mails, authority: Authority) -> None:
    inbox = Inbox()
    to = box(mails(inbox, authority.server()), tls="tls", context=authority.trust())
    send(to, letter(to))
    assert len(inbox.letters) == 1


def test_without_the_tls_that_was_asked_for_nothing_is_sent(mails: Mails) -> None:
    inbox = Inbox()
    with pytest.raises(MailFailed, match="does not offer") as caught:
        send(box(mails(inbox), tls="starttls"), letter(box(1)))
    assert not caught.value.again and inbox.letters == []


def test_what_a_server_says_decides_whether_to_try_again(mails: Mails) -> None:
    gone = box(mails(Inbox(refuses=TO)))
    with pytest.raises(MailFailed, match="no recipient was taken \\(550\\)") as caught:
        send(gone, letter(gone))
    assert not caught.value.again
    half = box(mails(Inbox(refuses=TO[:1])))
    with pytest.raises(MailFailed, match="1 of 2 recipients") as caught:
        send(half, letter(half))
    assert not caught.value.again, "who has it should not get it twice"
    busy = box(mails(Inbox(busy=1)))
    with pytest.raises(MailFailed, match="answered 451") as caught:
        send(busy, letter(busy))
    assert caught.value.again
    with pytest.raises(MailFailed, match="no answer") as caught:
        send(box(9), letter(box(9)))
    assert caught.value.again


async def test_a_channel_by_mail_is_tried_again_and_never_holds_the_loop(
    mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "WAITS_S", (0.01, 0.01))
    inbox = Inbox(busy=1)
    results: list[str] = []
    mailbox = box(mails(inbox))
    target = Target("mail", "email", frozenset(("page",)), Address(runbook_url="https://runbook/"),
                    "", mailbox)  # fmt: skip
    to = Channels([target], HandClock(), lambda name, notice, result: results.append(result))
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while not results:
            turns += 1
            await asyncio.sleep(0)

    to.send(Notice("alert.fired", "a-1", 0, "slow", link="https://console/alerts/a-1"))
    await asyncio.gather(turning(), until(lambda: results == ["sent"]))
    assert turns > 10, "others had their turns meanwhile"
    ((_, _, text),) = inbox.letters
    for line in ("https://console/alerts/a-1", "https://runbook/", "alert.fired a-1"):
        assert line in text
    await to.stop()


def test_a_channel_of_the_plan_has_its_secrets_from_the_environment() -> None:
    plan = AlertsPlan.model_validate(
        {
            "runbook_url": "https://runbook/",
            "channels": [
                {"name": "mail", "kind": "email", "smtp_host": "mail.inner", "smtp_port": 465,
                 "tls": "tls", "sender": "h@example.com", "recipients": ["d@example.com"],
                 "username_env": "U", "password_env": "P", "severities": ["page"]},
                {"name": "hook", "kind": "webhook", "url_env": "A", "secret_env": "S"},
                {"name": "pager", "kind": "pagerduty", "url_env": "A", "routing_key_env": "R"},
            ],
        }
    )  # fmt: skip
    secrets = {"U": "user", "P": "canary-1", "A": "https://example.com/canary-2", "S": "canary-3",
               "R": "canary-4"}  # fmt: skip
    mail, hook, pager = (target(each, plan, secrets) for each in plan.channels)
    assert mail.mailbox == Mailbox(
        "mail.inner", 465, "tls", "h@example.com", ("d@example.com",), "user", "canary-1"
    )
    assert mail.severities == {"page"} and mail.address.runbook_url == "https://runbook/"
    assert (hook.address.url, hook.address.shape, hook.secret) == (
        "https://example.com/canary-2", "plain", "canary-3",
    )  # fmt: skip
    assert (pager.address.shape, pager.address.routing_key) == ("pagerduty", "canary-4")
    assert "canary" not in repr((mail, hook, pager))
