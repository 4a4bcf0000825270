"""Notices by e-mail: one message, one connection, in a thread of its own."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage

TIMEOUT_S = 10.0
SUBJECT = 150


class MailFailed(Exception):
    """A message that was not taken; ``again``: whether another try may do better."""

    def __init__(self, told: str, again: bool = True) -> None:
        super().__init__(told)
        self.again = again


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A server that sends for us, from whom and to whom. ``tls``: starttls, tls or none."""

    host: str
    port: int
    tls: str
    sender: str
    recipients: tuple[str, ...]
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    context: ssl.SSLContext | None = None


def written(box: Mailbox, text: str, body: str, key: str) -> EmailMessage:
    """The message; ``key`` joins what is of one matter. A name in a text adds no header."""
    mail = EmailMessage()
    mail["Subject"] = f"Headgate: {' '.join(text.split())}"[:SUBJECT]
    mail["From"] = box.sender
    mail["To"] = ", ".join(box.recipients)
    mail["X-Headgate-Key"] = key
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(body)
    return mail


def send(box: Mailbox, mail: EmailMessage) -> None:
    """Hand it over; blocks, raises MailFailed. The certificate and the name are checked; where TLS
    is wanted and not offered, nothing is sent.
    """
    context = box.context or ssl.create_default_context()
    try:
        if box.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                box.host, box.port, timeout=TIMEOUT_S, context=context
            )
        else:
            server = smtplib.SMTP(box.host, box.port, timeout=TIMEOUT_S)
        with server:
            if box.tls == "starttls":
                server.starttls(context=context)
            if box.username:
                server.login(box.username, box.password)
            refused = server.send_message(mail)
    except smtplib.SMTPAuthenticationError as error:
        raise MailFailed(f"the login was refused ({error.smtp_code})", again=False) from None
    except smtplib.SMTPNotSupportedError:
        raise MailFailed("the server does not offer what the plan asks for", again=False) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        again = all(code < 500 for code in codes)
        told = ", ".join(str(code) for code in codes)
        raise MailFailed(f"no recipient was taken ({told})", again) from None
    except smtplib.SMTPResponseException as error:
        again = error.smtp_code < 500
        raise MailFailed(f"the server answered {error.smtp_code}", again) from None
    except ssl.SSLError as error:
        raise MailFailed(f"no TLS with the server ({type(error).__name__})") from None
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        raise MailFailed(f"no answer ({type(error).__name__})") from None
    if refused:
        raise MailFailed(
            f"{len(refused)} of {len(box.recipients)} recipients were not taken", False
        )
