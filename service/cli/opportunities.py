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
    "try",
    epilog='Example: headgate cost opportunities try "tier:code=mill" --reason "a third of it"',
)
def try_one(
    which: Annotated[str, typer.Argument(help="Its number in the list, or the change as written.")],
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
    """Make a draft experiment of a tier; of other changes print what to put into the plan.

    Numbers move with the traffic, the change as it is written does not. With --state, or with
    --out, nothing is made on a service: the design is printed or written.
    """
    if which.isdecimal():
        content = _numbered(int(which), _asked((state, url), (since, until), tenant))
    else:
        content = _written(which)
    if content["design"] is not None and state is None and out is None:
        body = {"design": content["design"], "layer": "main", "share": 1.0,
                **signed(author, reason)}  # fmt: skip
        with service_errors():
            made = client(url).post("/admin/experiments", body)
        give({**content, "experiment": made}, as_json, _show_draft)
        return
    design = content["design"]
    text = json.dumps(design, indent=2) + "\n" if design else content["plan"]
    if out is not None and not text:
        fail(f"--out: there is nothing to write of {content['change']}: {content['words']}", 2)
    if out is not None:
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            fail(f"--out: {out} cannot be written: {error.strerror}")
    give(content, as_json, lambda _: _show_trial(content, text, out))


def _numbered(number: int, found: dict[str, Any]) -> dict[str, Any]:
    rows = found["opportunities"]
    if not 1 <= number <= len(rows):
        fail(
            f"the list has {len(rows)} opportunities, none is number {number}; "
            "headgate cost opportunities shows it as it is now",
            2,
        )
    row = rows[number - 1]
    return {"change": row["change"], **row["trial"]}


def _written(text: str) -> dict[str, Any]:
    from experiments.errors import ExperimentError
    from experiments.opportunities.changes import parse
    from service.reporting.opportunities import trial_of

    try:
        change = parse(text)
        return {"change": change.text, **trial_of(change)}
    except ExperimentError as error:
        fail(f"give a number of the list, or a change: {error}", 2)


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


def _usd(micro: float) -> str:
    from experiments.reviewing.finding import usd

    return usd(micro / 1e6)


def _money(interval: dict[str, Any]) -> str:
    if "cannot_say" in interval:
        return f"cannot say how sure: {interval['cannot_say']}"
    return f"{_usd(interval['low'])} to {_usd(interval['high'])}"


def _parts(value: dict[str, Any], percent: bool = False) -> str:
    if "cannot_say" in value:
        return f"cannot be said: {value['cannot_say']}"
    form = "{:.1%}" if percent else "{:+.3f}"
    told = [form.format(value[name]) for name in ("estimate", "low", "high")]
    return f"{told[0]} [{told[1]}, {told[2]}]"


def _line(each: dict[str, Any], before: int) -> str:
    if each["refusal"]:
        return f"{each['change']}: cannot say: {each['refusal']}"
    kind, saved = each["change"].partition(":")[0], each["saved_micro_usd"]
    most = "at most " if kind == "cache" else ""
    of = "checks" if kind == "skip" else "requests"
    told = [
        f"{each['change']}: saves {most}{_usd(saved)} [{_money(each['interval_micro_usd'])}]"
        + (f", {saved / before:.1%} of what was paid" if before else ""),
        f"touches {_parts(each['share'], True)} of these {of}",
    ]
    if each["quality_change"] is not None:
        told.append(f"quality of an answer {_parts(each['quality_change'])}")
    if (risk := _risk(kind, each["answers_at_risk"])) is not None:
        told.append(risk)
    return "; ".join(told)


def _risk(kind: str, risk: float | None) -> str | None:
    """What may be lost, in words; None where all is said already."""
    if kind in ("batch", "price"):
        return None
    if kind == "cache":
        return "how stale an answer may be is yours to judge"
    if kind == "budget":
        return f"{risk or 0.0:,.0f} requests refused"
    if kind == "skip":
        return f"at most {risk or 0.0:,.0f} bad answers that nobody sees"
    return None if risk is None else f"at worst the worth of {risk:,.1f} good answers lost"


def _show(found: dict[str, Any]) -> None:
    _show_head(found)
    before = found["joint"]["before_micro_usd"]
    for each in found["opportunities"]:
        marks = [word for word, held in (("unbeaten", each["pareto"]),
                                         ("together", each["together"])) if held]  # fmt: skip
        told = f" ({', '.join(marks)})" if marks else ""
        say(f"{each['number']}. {_line(each, before)}{told}")
    if not found["requests"]:
        say("there are no requests in that time: give another --since and --until")
        return
    if not found["opportunities"]:
        say("nothing that could be estimated would have saved anything worth it")
    _show_joint(found)
    why: dict[str, list[str]] = {}
    for each in found["unsaid"]:
        why.setdefault(each["why"], []).append(each["change"])
    for reason, changes in why.items():
        say(f"cannot say {', '.join(changes)}: {reason}")
    if found["opportunities"]:
        say("try one: headgate cost opportunities try N, or the change as it is written")


def _show_head(found: dict[str, Any]) -> None:
    of = f" of {found['tenant']}" if found["tenant"] is not None else ""
    thin = (f", one session in {found['one_in']} of them all; each stands for as many"
            if found["one_in"] > 1 else "")  # fmt: skip
    say(f"{found['since']} to {found['until']}, {found['requests']:,} requests{of}{thin}")


def _show_joint(found: dict[str, Any]) -> None:
    joint = found["joint"]
    if not joint["parts"]:
        say(f"${dollars(joint['before_micro_usd'])} was paid")
        return
    say(f"together, in the order {found['order']}:")
    for each in joint["parts"]:
        say(f"   {_line(each, joint['before_micro_usd'])}")
    before, saved, after = (
        dollars(joint[f"{name}_micro_usd"]) for name in ("before", "saved", "after")
    )
    say(
        f"of ${before} (answers {_usd(joint['spent_micro_usd'])}, checks "
        f"{_usd(joint['checked_micro_usd'])}) ${saved} would have been saved "
        f"[{_money(joint['interval_micro_usd'])}], ${after} left"
    )


def _show_simulated(found: dict[str, Any]) -> None:
    _show_head(found)
    say("each alone:")
    for each in found["single"]:
        say(f"   {_line(each, found['joint']['before_micro_usd'])}")
        if each["assumes"]:
            say(f"      stands on: {each['assumes']}")
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
