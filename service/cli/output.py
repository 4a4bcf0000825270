"""How the commands speak: tables for people, JSON alone when asked, exit codes."""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table

_JSON_ALONE: ContextVar[bool] = ContextVar("json_alone", default=False)


def _noted(value: bool) -> bool:
    """For what is said in a command's place, such as that it waits for a second person."""
    _JSON_ALONE.set(value)
    return value


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON alone.", callback=_noted)]
UrlOption = Annotated[
    str, typer.Option("--url", envvar="HEADGATE_URL", help="A running service's address.")
]
StateOption = Annotated[
    str, typer.Option("--state", envvar="HEADGATE_STATE", help="The state directory.")
]
AuthorOption = Annotated[
    str | None, typer.Option("--author", help="Who wants it; your login by default.")
]
GlassFlag = Annotated[
    bool,
    typer.Option("--break-glass", help="At once, without a second person; loud, and looked at."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in at least ten characters.")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DEFAULT_URL = "http://127.0.0.1:8080"

out = Console()
WHOLE = 240  # characters of a line that goes to a file or a pipe
err = Console(stderr=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what went wrong on standard error and end: 1 failed, 2 misused."""
    err.print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(code)


def say(text: str) -> None:
    """A line for people, taken as it is; wrapped by the terminal alone, so that it can be found."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def signed(author: str | None, reason: str) -> dict[str, str]:
    """Who wants it and why, as every act of an operator carries it; your login by default."""
    return {"author": author or getpass.getuser(), "reason": reason}


def give(content: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """JSON alone, or the view for people."""
    if as_json:
        sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
    else:
        show(content)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "", whole: str = ""
) -> None:
    """A plain table; numbers stand right. Ids, and the column ``whole``, are never folded: they are
    there to be copied.
    """
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for at, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[at], int | float) for row in rows)
        side: Literal["left", "right"] = "right" if numeric else "left"
        copied = column in ("id", whole)
        longest = max((len(text(row[at])) for row in rows), default=0) if copied else None
        made.add_column(column, justify=side, no_wrap=copied, min_width=longest, overflow="fold")
    for row in rows:
        made.add_row(*(text(value) for value in row))
    if not out.is_terminal:  # where nobody's screen sets a bound, nothing is cut
        out.width = max(out.width, WHOLE)
    out.print(made)


def text(value: Any) -> str:
    """A cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def duration_s(option: str, text: str) -> float:
    """Seconds of a time such as 90s, 30m, 4h or 2d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        fail(f"{option} takes a time such as 90s, 30m, 4h or 2d", 2)
    return float(match[1]) * _UNITS[match[2]]


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parameters given as NAME=VALUE; a value that is no JSON is a text."""
    found: dict[str, Any] = {}
    for each in texts:
        name, equals, value = each.partition("=")
        if not equals or not name:
            fail(f"--set takes name=value, not {each!r}", 2)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def moment(at_s: int | None) -> str | None:
    """A time, UTC."""
    return (
        None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    )


def client(url: str) -> Any:
    """A client to the service at ``url`` with the key from the environment."""
    from service.client import Client
    from service.config import client_key

    key = client_key()
    if key is None:
        fail("set HEADGATE_KEY to a key of this service", 2)
    return Client(url, key)


def _show_waiting(found: dict[str, Any]) -> None:
    say(f"not done yet: {found['message']}\nid {found['approval']}")
    say(f"it waits until {found['expires_at']}")


@contextmanager
def service_errors() -> Iterator[None]:
    """Turn an error of the service into a message and an exit code; what waits for a second person
    says so, and is no error.
    """
    from service.client import ServiceError, Waits

    try:
        yield
    except Waits as waits:
        give(waits.content, _JSON_ALONE.get(), _show_waiting)
        raise typer.Exit(0) from None
    except ServiceError as error:
        fail(str(error), 2 if error.status in (400, 404, 422) else 1)
