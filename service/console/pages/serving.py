"""Now serving: who gets which share of what, why, and whose will stands over the policy."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    bar,
    button,
    card,
    chart,
    empty,
    figure,
    figures,
    h,
    link,
    moment,
    swatch,
    table,
)
from service.console.pages.wills import in_force
from service.console.reading import serving as reading
from service.console.reading.warnings import warnings
from service.console.shell import heading
from service.console.wording import count, number, percent, plural, seconds, short, usd

EVERY_S = 15.0  # the charts of the past are read anew
HOURS = (1, 6, 24)
_COLUMNS = (
    Column("Deployment"), Column("Share", True), Column("Quality", True),
    Column("Cost a request", True), Column("Latency", True), Column("Errors", True),
    Column("State"), Column("What moved it", wide=True),
)  # fmt: skip


async def _draw(looker: Looker) -> Drawn:
    found = reading.serving(looker.runtime)
    return {
        "head": [heading("Now serving", "Which deployment answers which share of each task."),
                 *_warned(looker)],
        "figures": [_figures(found)],
        "will": [_will(looker, found)],
        "past": await _past(looker),
        "now": [_now(each) for each in found.tasks] or [_none()],
        "policy": [_policy(looker, found)],
    }  # fmt: skip


def _warned(looker: Looker) -> list[Node]:
    found = warnings(looker.runtime)
    if not found:
        return []
    items = [h("li", each.text) for each in found[:4]]
    more = len(found) - len(items)
    rest = h("li", f"and {more} more") if more > 0 else None
    head = h("strong", badge(plural(len(found), "warning"), "warn"))
    return [h("div", head, h("ul", *items, rest), link("See alerts", "/console/alerts"),
              cls="hg-warned", role="status")]  # fmt: skip


def _figures(found: reading.Serving) -> Node:
    failed = f"{count(found.failed)} failed" if found.failed else "none failed"
    return figures(
        figure("Calls a minute", number(found.per_minute, 1), "over the last 5 minutes"),
        figure("Median", seconds(found.p50_s), f"95 % within {seconds(found.p95_s)}"),
        figure("Cost a minute", usd(found.usd_per_minute), "over the last 5 minutes"),
        figure("Requests", count(found.requests), f"{failed} since the start"),
        figure("Under way", count(found.under_way), "at this moment"),
    )


def _will(looker: Looker, found: reading.Serving) -> Node:
    """Who overrides what, and until when."""
    set_one = button("Override the policy", ("ask", "override"), "hg-primary",
                     aria_haspopup="dialog") if looker.acts else None  # fmt: skip
    rows = [in_force(looker, each) for each in found.overrides]
    rows += [
        h("li", h("div", badge("experiment", "info"),
                  link(name, f"/console/experiments/{name}"),
                  h("span", f"{exposed} % of its units exposed"), cls="hg-line"), key=name)
        for name, exposed in found.experiments
    ]  # fmt: skip
    body = (
        h("ul", *rows, cls="hg-wills")
        if rows
        else empty("Nobody overrides anything: the policy decides by itself.")
    )
    return card("Overrides and experiments in force", body, aside=set_one)


def _now(found: reading.TaskServed) -> Node:
    rows = [
        (
            row.deployment,
            (
                h("a", swatch(row.tone, row.deployment),
                  href=f"/console/deployments/{row.deployment}"),
                h("span", bar(row.share, row.tone), percent(row.share, 1), cls="hg-share"),
                number(row.quality), usd(row.cost_usd), seconds(row.latency_s),
                percent(row.error_rate, 1), _state(row.state, row.meaning),
                row.why or h("span", "nothing since", cls="hg-hint"),
            ),
        )
        for row in found.rows
    ]  # fmt: skip
    return card(f"Task {found.task}", table(f"Shares of {found.task} now", _COLUMNS, rows))


def _state(state: str, meaning: str) -> Node:
    if not state:
        return h("span", "–")
    tone = {"steady": "good", "on trial": "info"}.get(state, "warn")
    return h("span", badge(state, tone), title=meaning)


def _none() -> Node:
    return card("Shares", empty(
        "No request has been routed yet. Send one to /v1/chat/completions with a caller's key."
    ))  # fmt: skip


async def _past(looker: Looker) -> list[Node]:
    runtime, now_s = looker.runtime, looker.runtime.clock.monotonic_s()
    asked = looker.query.get("hours", "1")
    hours = int(asked) if asked in {str(each) for each in HOURS} else 1
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S:
        looker.kept["past"] = await reading.past(runtime, hours)
        looker.kept["read_s"] = now_s
    found: tuple[reading.Past, ...] = looker.kept["past"]
    if not found:
        return []
    spans = h("div", *(link(f"{each} h", f"?hours={each}", "hg-now" if each == hours else "")
                       for each in HOURS), cls="hg-tabs", aria_label="How far back")  # fmt: skip
    charts = [h("div", h("h3", each.task), _chart(each, hours), cls="hg-small") for each in found]
    title = "Shares over the last hour" if hours == 1 else f"Shares over the last {hours} hours"
    return [
        card(
            title,
            h("div", *charts, cls="hg-charts"),
            aside=spans,
            note="Of the next requests, as the policy then stood; times in UTC.",
        )
    ]


def _chart(found: reading.Past, hours: int) -> Node:
    series = [
        {
            "name": name, "tone": tone,
            "data": [[at // 1_000, None if share is None else round(100 * share, 2)]
                     for at, share in zip(found.at_us, line, strict=True)],
        }
        for name, tone, line in found.shares
    ]  # fmt: skip
    last = ", ".join(
        f"{name} {percent(line[-1])}" for name, _, line in found.shares if line[-1] is not None
    )
    spec = {"kind": "areas", "series": series, "unit": " %", "min": 0, "max": 100, "digits": 0,
            "from": _begin(found) // 1_000, "until": found.at_us[-1] // 1_000}  # fmt: skip
    return chart(f"Shares of {found.task} over time; now {last}", spec, key=found.task)


def _begin(found: reading.Past) -> int:
    """From when on there is anything, in a chart that is at least a tenth of its width."""
    lines = [line for _, _, line in found.shares]
    known = [i for i in range(len(found.at_us)) if any(line[i] is not None for line in lines)]
    least = found.at_us[-1] - (found.at_us[-1] - found.at_us[0]) // 10
    return min(found.at_us[known[0]] if known else least, least)


def _policy(looker: Looker, found: reading.Serving) -> Node:
    back = None
    if looker.acts and found.may_go_back:
        back = button("Roll back", ("ask", "rollback"), "hg-danger", aria_haspopup="dialog")
    body = h(
        "p", h("strong", found.policy), f" ({found.kind}), version ",
        h("code", short(found.version_id), title=found.version_id),
        f", {found.how} ", moment(found.live_since_us), ".",
    )  # fmt: skip
    return card("Policy in force", body, aside=back)


PAGE = Page("/", "Now serving", _draw)
