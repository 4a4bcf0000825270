"""A review as one self-contained page, as Markdown, and as JSON: the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from experiments.errors import CannotSay
from experiments.reviewing.finding import Finding, Review, usd, usd_range
from service.reporting import charts
from service.reporting.style import STYLE

MOST_PANELS = 8  # of one kind of chart

HEADINGS: Mapping[str, tuple[str, str]] = {
    "moved": ("What moved", "against the same weekdays of the four weeks before"),
    "opportunity": (
        "What could be saved",
        "by the weeks to its end; caches replayed, tiers off policy, nothing counted twice",
    ),
    "waste": ("High cost, low value", "money that quality does not follow"),
    "dominated": ("Dominated deployments", "worse and dearer, both with confidence"),
    "mispriced": ("Mispriced deployments", "what they cost is not what the policy foretells"),
    "slow": ("Slow workflows", "more than twice as many slow requests as usual"),
    "fallback": ("Frequent fallbacks", "more than one request in fifty"),
    "cache": ("Cache opportunities", "repeats within 24 hours and a tenant: upper bounds"),
    "judge": ("Judges", "that disagree with themselves or with people"),
    "responses": ("Who rates", "is it the same for all deployments?"),
    "savings": ("Savings", "beside fixed choices made from the weeks before, off policy"),
    "override": ("Overrides", "what people forced, and what it cost"),
    "experiment": ("Experiments", "what was done with them"),
    "promotion": ("Promotions and rollbacks", "which version became the live one"),
    "proposal": ("Experiments proposed", "nothing starts before somebody approves it"),
    "retire": ("Deployments to retire", "dominated with confidence, or without a use"),
    "candidate": ("Candidates that earn their place", "better or cheaper somewhere"),
    "capability": ("Capability by task", "mean rated quality with 95 % intervals"),
    "price": ("Prices moved", "what an answer costs, beside the quarter before"),
}


def as_json(review: Review) -> str:
    """The whole review."""
    return json.dumps(review.to_dict(), indent=1, sort_keys=True) + "\n"


def as_markdown(review: Review) -> str:
    """For a message or a wiki."""
    lines = [f"# {review.title}", "", f"{review.since} to {review.until}, UTC. History through "
             f"{review.through}.", ""]  # fmt: skip
    if review.missing:
        lines += ["## What is missing", "", *(f"- {each}" for each in review.missing), ""]
    lines += [*(f"- {name}: {value}" for name, value in _tiles(review)), ""]
    if schedule := review.figures.get("schedule", ()):
        lines += ["## Schedule", "", *(f"- {each}" for each in schedule), ""]
    for kind, found in _by_kind(review):
        heading, under = HEADINGS[kind]
        lines += [f"## {heading}", "", f"*{under}*", ""]
        for each in found:
            lines += [
                f"### {each.title}", "", f"{sentence(each.words)}.", "",
                f"- money: {money_words(each)}",
                f"- proposal: {each.proposal}", *(f"- see {link}" for link in each.links), "",
            ]  # fmt: skip
            if each.sql:
                lines += ["```sql", each.sql, "```", ""]
    lines += ["## What was looked at", "", looked_words(review), ""]
    return "\n".join(lines)


def as_html(review: Review) -> str:
    """One page, without scripts and without anything from elsewhere."""
    body = [
        f"<header><h1>{escape(review.title)}</h1><p>{escape(review.since)} to "
        f"{escape(review.until)}, UTC. History through {escape(review.through)}.</p></header>"
    ]
    if review.missing:
        items = "".join(f"<li>{escape(each)}</li>" for each in review.missing)
        body.append(f'<section class="missing"><h2>What is missing</h2><ul>{items}</ul></section>')
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in _tiles(review)
    )
    if tiles:
        body.append(f'<dl class="tiles">{tiles}</dl>')
    schedule = review.figures.get("schedule", ())
    if schedule:
        items = "".join(f"<li>{escape(each)}</li>" for each in schedule)
        body.append(f"<section><h2>Schedule</h2><ul>{items}</ul></section>")
    body += _charts(review.charts)
    for kind, found in _by_kind(review):
        heading, under = HEADINGS[kind]
        cards = "".join(_card(each) for each in found)
        body.append(f'<section><h2>{heading}</h2><p class="under">{under}</p>{cards}</section>')
    if not review.findings:
        body.append("<section><h2>Findings</h2><p>None.</p></section>")
    body.append(
        f"<section><h2>What was looked at</h2><p>{escape(looked_words(review))}</p></section>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(review.title)}</title><style>{STYLE}</style></head><body><main>"
        + "\n".join(body)
        + "</main></body></html>\n"
    )


def sentence(words: str) -> str:
    """With a capital where it begins."""
    return words[:1].upper() + words[1:]


def money_words(finding: Finding) -> str:
    """Dollars a week with their interval, or what is missing."""
    money = finding.money
    if isinstance(money, CannotSay):
        return f"cannot be said: {money}"
    if money.low == money.high:
        return f"{usd(money.estimate)} a week (an exact difference)"
    if finding.kind == "cache":
        return f"at most {usd(money.high)} a week"
    most = "at most " if finding.slug.startswith("opportunity-cache") else ""
    return f"{most}{usd_range(money)} a week, 95 %"


def looked_words(review: Review) -> str:
    """How many hypotheses were tested, and what bounds the false ones."""
    if not review.looked:
        return "Nothing was tested: what is said here are facts and estimates."
    told = ", ".join(f"{number} {kind}" for kind, number in review.looked.items())
    whole = sum(review.looked.values())
    return (
        f"{whole} hypotheses were tested ({told}). Of those that are reported at most one in "
        "twenty is expected to be false, over all of them together (e-BH, under any dependence). "
        "Facts, such as overrides and repeats, are counted and not tested."
    )


def _tiles(review: Review) -> list[tuple[str, str]]:
    figures = review.figures
    if "requests" not in figures:
        return [(str(name), str(value)) for name, value in figures.get("tiles", {}).items()]
    requests = figures["requests"]
    quality = figures["mean_quality"]
    told = [("requests", f"{requests:,}"), ("spend", usd(figures["spend_usd"]))]
    if requests:
        told.append(("cost a request", usd(figures["spend_usd"] / requests)))
        told.append(("failed", f"{figures['failed'] / requests:.2%}"))
        told.append(("fallbacks", f"{figures['fallbacks'] / requests:.2%}"))
    told.append(("rated", f"{figures['rated']:,}"))
    told.append(("mean rating", "nothing was rated" if quality is None else f"{quality:.3f}"))
    change = figures.get("quality_change")
    if change:
        told.append(
            (
                "rating against before",
                f"{change['mix']:+.3f} by mix, {change['within']:+.3f} within",
            )
        )
    return told


def _by_kind(review: Review) -> list[tuple[str, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for each in review.findings:
        found.setdefault(each.kind, []).append(each)
    return list(found.items())


def _card(finding: Finding) -> str:
    sql = (
        f"<details><summary>the query behind it</summary><pre>{escape(finding.sql)}</pre></details>"
        if finding.sql else ""
    )  # fmt: skip
    links = "".join(f"<li>{escape(link)}</li>" for link in finding.links)
    more = f"<ul>{links}</ul>" if links else ""
    return (
        f'<article id="{escape(finding.slug)}"><h3>{escape(finding.title)}</h3>'
        f"<p>{escape(sentence(finding.words))}.</p>{more}"
        f'<p class="money"><b>Money</b> {escape(money_words(finding))}</p>'
        f"<p><b>Proposal</b> {escape(finding.proposal)}</p>{sql}</article>"
    )


def _charts(drawn: Mapping[str, Any]) -> list[str]:
    names = {name for by in drawn.get("weights", {}).values() for name in by}
    names |= set(drawn.get("spend", {})) | {row["deployment"] for row in drawn.get("quality", ())}
    colour = charts.colours(sorted(names))
    told = []
    if drawn.get("weights"):
        panels = [charts.shares(task, by, colour) for task, by in sorted(drawn["weights"].items())]
        told.append(
            _figure("Weights", "share of each task by deployment, every three hours", panels)
        )
    if drawn.get("spend"):
        panel = charts.columns("US dollars a day", drawn["spend"], colour)
        told.append(_figure("Spend", "by day and the deployment drawn, all attempts", [panel]))
    if drawn.get("quality"):
        by: dict[str, list[Mapping[str, float | str]]] = {}
        for row in drawn["quality"]:
            by.setdefault(row["task"], []).append(row)
        panels = [charts.dots(task, rows, colour) for task, rows in by.items()]
        told.append(
            _figure("Quality", "mean rating of drawn answers (0 to 1), 95 % intervals", panels)
        )
    if drawn.get("latency"):
        panels = [charts.bands(task, days) for task, days in drawn["latency"].items() if any(days)]
        told.append(_figure("Latency", "of answered requests: median to 95th percentile", panels))
    return told


def _figure(title: str, under: str, panels: Sequence[str]) -> str:
    if not panels:
        return ""
    shown = "".join(f'<div class="panel">{each}</div>' for each in panels[:MOST_PANELS])
    left = len(panels) - MOST_PANELS
    more = f"<p>{left} more tasks are in the JSON.</p>" if left > 0 else ""
    return (
        f'<section><h2>{title}</h2><p class="under">{under}</p>'
        f'<div class="panels">{shown}</div>{more}</section>'
    )
