"""`headgate cost opportunities`, `opportunities try`, `simulate`: what could be saved, and how."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.cost import dollars
from service.cli.costing import HistoryOption, SinceOption, UntilOption, span_us
from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    err,
    fail,
    give,
    say,
    service_errors,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Of this one alone.")]
CHANGES = (
    "tier:TASK=DEPLOYMENT, cache:TASK ttl=24h, batch:TASK window=24h tags=a,b tiers=t factor=0.5, "
    "skip:TASK above=0.9, price:DEPLOYMENT=IN/OUT, budget:tenant=NAME usd=50 per=day"
)
group = typer.Typer(
    invoke_without_command=True,
    epilog="Example: headgate cost opportunities --state state --since 28d",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the noun."""
    app.add_typer(group, name="opportunities")
    app.command(
        "simulate",
        epilog='Example: headgate cost simulate --change "tier:code=mill" --change '
        '"cache:faq ttl=24h" --state state',
    )(simulate)


@group.callback()
def opportunities(
    context: typer.Context,
    since: SinceOption = "28d",
    until: UntilOption = None,
    tenant: TenantOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What could be saved by cheaper tiers, caches, batches and skipped checks, with intervals."""
    if context.invoked_subcommand is None:
        give(_asked((state, url), (since, until), tenant), as_json, _show)


@group.command(
    "try", epilog='Example: headgate cost opportunities try 1 --reason "a third of the bill"'
)
def try_one(
    number: Annotated[int, typer.Argument(help="As the list numbers it.", min=1)],
    reason: ReasonOption = "an opportunity that the history shows",
    since: SinceOption = "28d",
    until: UntilOption = None,
    tenant: TenantOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the design or the plan's part there.")
    ] = None,
    author: AuthorOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Make a draft experiment of an opportunity; or print what to put into the plan.

    With --state, or with --out, nothing is asked of a service: the design is printed or written.
    """
    rows = _asked((state, url), (since, until), tenant)["opportunities"]
    if number > len(rows):
        fail(f"there are {len(rows)} opportunities, none is number {number}", 2)
    row, trial = rows[number - 1], rows[number - 1]["trial"]
    content = {"change": row["change"], **trial}
    if trial["design"] is not None and state is None and out is None:
        body = {"design": trial["design"], "layer": "main", "share": 1.0, **signed(author, reason)}
        with service_errors():
            made = client(url).post("/admin/experiments", body)
        give({**content, "experiment": made}, as_json, _show_draft)
        return
    text = json.dumps(trial["design"], indent=2) + "\n" if trial["design"] else trial["plan"]
    if out is not None and text:
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            fail(f"{out} cannot be written: {error.strerror}")
    give(content, as_json, lambda _: _show_trial(content, text, out))


def simulate(
    change: Annotated[list[str], typer.Option("--change", help=f"{CHANGES}; repeatable.")],
    since: SinceOption = "28d",
    until: UntilOption = None,
    tenant: TenantOption = None,
    state: HistoryOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """What changes that you name would have saved, alone and together, nothing counted twice."""
    give(_asked((state, url), (since, until), tenant, tuple(change)), as_json, _show_simulated)


def _asked(
    where: tuple[str | None, str], when: tuple[str, str | None], tenant: str | None,
    changes: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    state, url = where
    span = span_us(state, *when)
    if state is not None:
        return _of_history(state, span, tenant, changes)
    if tenant is not None:
        fail("--tenant goes with --state; a service shows its tenant to a tenant's key", 2)
    since, until = (datetime.fromtimestamp(each / 1e6, UTC).isoformat() for each in span)
    with service_errors(), err.status("trying on the history"):
        found: dict[str, Any] = client(url).get(
            "/admin/costs/opportunities", since=since, until=until, change=list(changes)
        )
        return found
    raise AssertionError


def _of_history(
    state: str, span: tuple[int, int], tenant: str | None, changes: Sequence[str]
) -> dict[str, Any]:
    from experiments.errors import ExperimentError
    from service.config import one_blas_thread
    from service.reporting.opportunities import Wanted, found
    from service.storage.errors import StorageError

    one_blas_thread()
    try:
        with err.status("trying on the history"):
            return found(Wanted(state, *span, tenant, tuple(changes)))
    except ExperimentError as error:
        fail(str(error), 2)
    except StorageError as error:
        fail(str(error))


def _money(interval: dict[str, Any]) -> str:
    if "cannot_say" in interval:
        return str(interval["cannot_say"])
    return f"{dollars(interval['low'])} to {dollars(interval['high'])}"


def _parts(value: dict[str, Any] | None, percent: bool = False) -> str:
    if value is None:
        return "-"
    if "cannot_say" in value:
        return "cannot say"
    form = "{:.1%}" if percent else "{:+.3f}"
    told = [form.format(value[name]) for name in ("estimate", "low", "high")]
    return f"{told[0]} [{told[1]}, {told[2]}]"


def _line(each: dict[str, Any]) -> str:
    if each["refusal"]:
        return f"{each['change']}: cannot say: {each['refusal']}"
    risk, quality = each["answers_at_risk"], each["quality_change"]
    told = [
        f"{each['change']}: saves ${dollars(each['saved_micro_usd'])} "
        f"[{_money(each['interval_micro_usd'])}], touches {_parts(each['share'], True)} of it"
    ]
    if quality is not None:
        told.append(f"quality of an answer {_parts(quality)}")
    told.append("what quality it risks cannot be said" if risk is None
                else f"at worst {risk:,.0f} answers' quality at risk")  # fmt: skip
    return "; ".join(told)


def _show(found: dict[str, Any]) -> None:
    say(f"{found['since']} to {found['until']}, {found['requests']:,} requests")
    for each in found["opportunities"]:
        marks = [word for word, held in (("unbeaten", each["pareto"]),
                                         ("together", each["together"])) if held]  # fmt: skip
        say(f"{each['number']}. {_line(each)}{' (' + ', '.join(marks) + ')' if marks else ''}")
    if not found["opportunities"]:
        say("nothing that could be estimated would have saved anything worth it")
    _show_joint(found)
    for each in found["unsaid"]:
        say(f"cannot say {each['change']}: {each['why']}")
    if found["opportunities"]:
        say("try one: headgate cost opportunities try N")


def _show_joint(found: dict[str, Any]) -> None:
    joint = found["joint"]
    if joint["parts"]:
        say(f"together, in the order {found['order']}:")
    for each in joint["parts"]:
        say(f"   {_line(each)}")
    say(
        f"of ${dollars(joint['before_micro_usd'])} (answers ${dollars(joint['spent_micro_usd'])}, "
        f"checks ${dollars(joint['checked_micro_usd'])}) ${dollars(joint['saved_micro_usd'])} "
        f"[{_money(joint['interval_micro_usd'])}] saved, ${dollars(joint['after_micro_usd'])} left"
    )
    if not found["whole"]:
        say(f"only the newest {found['requests']} requests of that time were read")


def _show_simulated(found: dict[str, Any]) -> None:
    say(f"{found['since']} to {found['until']}, {found['requests']:,} requests; each alone:")
    for each in found["single"]:
        say(f"   {_line(each)}")
        if each["assumes"]:
            say(f"      assumes: {each['assumes']}")
    _show_joint(found)


def _show_trial(content: dict[str, Any], text: str, out: Path | None) -> None:
    say(f"{content['change']}: {content['words']}")
    if out is not None and text:
        say(f"written to {out}")
    elif text:
        say(text)
    if content["design"] is not None:
        say(f"make the draft: headgate experiment create {out or 'FILE'} --reason ...")


def _show_draft(content: dict[str, Any]) -> None:
    made = content["experiment"]
    say(f"{content['change']}: the draft {made['id']} is made; {content['words']}")
    say(f"start it: headgate experiment start {made['id']} --reason ...")
