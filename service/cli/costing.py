"""Costs for the commands: from a published history, or from a running service, in one form."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.output import client, duration_s, err, fail, service_errors

HistoryOption = Annotated[
    str | None, typer.Option("--state", help="Read its published history, not a service.")
]
SinceOption = Annotated[
    str, typer.Option("--since", help="How far back (7d, 24h), or a date (2026-11-01, UTC).")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="A date (UTC) that it ends at.")]
DAY_US = 86_400_000_000


def moment_us(option: str, text: str, now_us: int) -> int:
    """A date or a span back from now, microseconds since the epoch."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now_us - int(duration_s(option, text) * 1e6)
    told = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(told.timestamp() * 1e6)


def now_us() -> int:
    """Now."""
    return int(datetime.now(UTC).timestamp() * 1e6)


def span_us(state: str | None, since: str, until: str | None) -> tuple[int, int]:
    """From when to when; a history ends where it was published last."""
    end_us = now_us() + 1
    if state is not None:
        from service.storage.manifest import read_manifest

        end_us = int(read_manifest(Path(state), newer=True).published_at * 1e6) + 1
    if until is not None:
        end_us = moment_us("--until", until, end_us)
    begins_us = moment_us("--since", since, end_us)
    if begins_us >= end_us:
        fail("--since must be before --until", 2)
    return begins_us, end_us


def asked(state: str | None, url: str, by: str, span: tuple[int, int]) -> dict[str, Any]:
    """The rows by dimension and their total, as GET /admin/costs gives them."""
    if state is not None:
        return of_history(Path(state), by, span)
    with service_errors():
        since, until = (datetime.fromtimestamp(each / 1e6, UTC).isoformat() for each in span)
        found: dict[str, Any] = client(url).get("/admin/costs", by=by, since=since, until=until)
        return found
    raise AssertionError


def caches_asked(state: str | None, url: str, span: tuple[int, int]) -> dict[str, Any]:
    """What prompt caches saved, as GET /admin/prompt-caches gives it."""
    if state is not None:
        from service.cli.history import opened
        from service.storage.errors import StorageError
        from service.storage.prompt_caches import CachesAsked, prompt_caches

        with opened(state) as connection:
            try:
                with err.status("adding up"):
                    return prompt_caches(connection, CachesAsked(*span))
            except StorageError as error:
                fail(str(error))
    with service_errors():
        since, until = (datetime.fromtimestamp(each / 1e6, UTC).isoformat() for each in span)
        found: dict[str, Any] = client(url).get("/admin/prompt-caches", since=since, until=until)
        return found
    raise AssertionError


def batches_asked(state: str | None, url: str, span: tuple[int, int]) -> dict[str, Any]:
    """What batches saved, as GET /admin/batches/savings gives it."""
    if state is not None:
        from service.cli.history import opened
        from service.storage.batch_savings import SavingsAsked, batch_savings
        from service.storage.errors import StorageError

        with opened(state) as connection:
            try:
                return batch_savings(connection, SavingsAsked(*span))
            except StorageError as error:
                fail(str(error))
    with service_errors():
        since, until = (datetime.fromtimestamp(each / 1e6, UTC).isoformat() for each in span)
        found: dict[str, Any] = client(url).get("/admin/batches/savings", since=since, until=until)
        return found
    raise AssertionError


def saved_asked(state: str | None, url: str, span: tuple[int, int]) -> dict[str, Any]:
    """What was saved beside what was spent, as GET /admin/costs/saved gives it."""
    if state is not None:
        from service.cli.history import opened
        from service.storage.batch_savings import SavingsAsked
        from service.storage.errors import StorageError
        from service.storage.savings import savings

        with opened(state) as connection:
            try:
                with err.status("adding up"):
                    return savings(connection, SavingsAsked(*span))
            except StorageError as error:
                fail(str(error))
    with service_errors():
        since, until = (datetime.fromtimestamp(each / 1e6, UTC).isoformat() for each in span)
        found: dict[str, Any] = client(url).get("/admin/costs/saved", since=since, until=until)
        return found
    raise AssertionError


def of_history(
    state: Path, by: str, span: tuple[int, int], tenant: str | None = None
) -> dict[str, Any]:
    """The same from a published history."""
    from service.cli.history import opened
    from service.storage.costs import CostsAsked, costs, plain
    from service.storage.errors import StorageError

    names = tuple(each.strip() for each in by.split(",") if each.strip())
    question = CostsAsked(names, *span, tenant)
    with opened(str(state)) as connection:
        try:
            with err.status("adding up"):
                return plain(costs(connection, question), question)
        except ValueError as error:
            fail(f"--by: {error}", 2)
        except StorageError as error:
            fail(str(error))
