"""Experiments: the list, and one with its effect over time, its verdict, what would change it."""

from __future__ import annotations

import json

from experiments.analysis import Report
from experiments.findings import Compared, Finding
from experiments.guardrails import Verdict
from service.console.looker import Drawn, Looker, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    card,
    chart,
    empty,
    figure,
    figures,
    fold,
    h,
    link,
    moment,
    table,
)
from service.console.reading import experiments as reading
from service.console.shell import back, heading
from service.console.wording import count, measured, number, percent, plural
from service.storage.experiments import Conducted

EVERY_S = 60.0  # a report is made anew
_TONES = {"running": "good", "paused": "warn", "draft": "quiet", "rolled back": "bad"}
_FINDINGS = {Finding.BETTER: "good", Finding.WORSE: "bad"}
_ADVICE = {"ship": "good", "roll back": "bad", "invalid": "bad", "stop": "warn"}


async def _draw(looker: Looker) -> Drawn:
    found = reading.all_of(looker.runtime)
    running = sum(each.standing.exposed > 0 for each in found)
    note = f"{plural(running, 'experiment')} running now." if found else ""
    if not found:
        body = empty("There is no experiment yet. Make one with: headgate experiment create "
                     "DESIGN.yaml")  # fmt: skip
    else:
        columns = (Column("Experiment"), Column("State"), Column("Exposed", True),
                   Column("Variants"), Column("Goal"), Column("What it asks", wide=True),
                   Column("Made"))  # fmt: skip
        body = table("Experiments", columns, [(each.id, _row(looker, each)) for each in found])
    return {"head": [heading("Experiments", note)], "all": [card("All, newest first", body)]}


def _row(looker: Looker, each: Conducted) -> tuple[Node, ...]:
    variants = ", ".join(f"{v.name} {percent(v.share)}" for v in each.design.variants)
    return (
        link(each.id, f"/console/experiments/{each.id}"), _state(looker, each),
        f"{each.standing.exposed} %", variants, each.design.goals[0], each.design.hypothesis,
        h("span", moment(each.record.at_us)),
    )  # fmt: skip


def _state(looker: Looker, each: Conducted) -> Node:
    state = each.standing.state.value
    held = looker.runtime.experiments.desk.holds.get(each.id)
    shown = badge(state, _TONES.get(state, "info"))
    return h("span", shown, badge("held", "warn"), title=held) if held else shown


async def _one(looker: Looker) -> Drawn:
    runtime = looker.runtime
    found = runtime.experiments.desk.find(looker.of)
    now_s = runtime.clock.monotonic_s()
    if now_s - looker.kept.get("read_s", -EVERY_S) >= EVERY_S:
        looker.kept["examined"] = await reading.examined(runtime, found)
        looker.kept["read_s"] = now_s
    examined: reading.Examined | str = looker.kept["examined"]
    parts: dict[str, list[Node]] = {
        "head": [back("Experiments", "/console/experiments"),
                 heading(found.id, found.design.hypothesis, _state(looker, found))],
    }  # fmt: skip
    if isinstance(examined, str):
        parts["said"] = [card("What the data say", h("p", examined, cls="hg-empty"))]
    else:
        report = examined.report
        parts["figures"] = [_figures(found, report)]
        parts["advice"] = [_advice(report)]
        parts["sequence"] = [_sequence(examined)]
        parts["metrics"] = [_metrics(report)]
        parts["guardrails"] = [_guardrails(report.verdicts)]
    parts["steps"] = [_steps(found)]
    return parts


def _figures(found: Conducted, report: Report) -> Node:
    ratio = report.ratio
    told = "blocks are drawn in pairs" if ratio is None else ", ".join(
        f"{name} {count(n)}" for name, n in zip(report.variants, ratio.found, strict=True)
    )  # fmt: skip
    alarm = ratio is not None and ratio.alarm
    return figures(
        figure("Exposed", f"{found.standing.exposed} %", f"layer {found.record.layer}"),
        figure("Decisions", count(report.rows)),
        figure("Sample ratio", "off" if alarm else "as drawn", told, "bad" if alarm else ""),
        figure("In two variants", count(report.crossed), "units, left out"),
    )


def _advice(report: Report) -> Node:
    advice = report.advice
    word = advice.recommendation.value
    told = f"{word} {advice.variant}" if advice.variant else word
    notes = [h("li", each) for each in (*report.invalid, *report.caveats)]
    return card(
        "Verdict",
        h("p", badge(told, _ADVICE.get(word, "info")), cls="hg-verdict"),
        h("h3", "Why"), h("ul", *(h("li", each) for each in advice.reasons), cls="hg-story"),
        h("h3", "What would change it"),
        h("ul", *(h("li", each) for each in advice.would_change), cls="hg-story"),
        fold("What to keep in mind", h("ul", *notes, cls="hg-story")) if notes else None,
    )  # fmt: skip


def _sequence(found: reading.Examined) -> Node:
    told = reading.sequence(found)
    title = f"Effect on {found.goal} over time"
    if told is None:
        return card(title, empty("No look says anything yet: each arm needs more units."))
    at = [each // 1_000 for each in told.at_us]
    band = [high - low for low, high in zip(told.low, told.high, strict=True)]
    series = [
        {"name": "effect", "data": list(map(list, zip(at, told.estimate, strict=True)))},
        {"name": "low", "hidden": True, "band": "base",
         "data": list(map(list, zip(at, told.low, strict=True)))},
        {"name": "to high", "hidden": True, "band": "fill",
         "data": list(map(list, zip(at, band, strict=True)))},
    ]  # fmt: skip
    days = told.at_us[-1] - told.at_us[0] > 2 * 86_400_000_000
    spec = {
        "kind": "band",
        "series": series,
        "zero": 0,
        "days": days,
        "digits": 0 if abs(told.high[-1]) > 100 else 4,
    }
    note = (
        f"Treatment less control. Now {told.estimate[-1]:+.4g}, between {told.low[-1]:+.4g} and "
        f"{told.high[-1]:+.4g}; the band holds at every look together."
    )
    return card(title, h("div", chart(note, spec), cls="hg-tall"), note=note)


def _metrics(report: Report) -> Node:
    if not report.comparisons:
        return card("Metrics", empty("Nothing to compare yet."))
    columns = (
        Column("Metric"), Column("Treatment"), Column("Finding"), Column("Control", True),
        Column("Treated", True), Column("Relative effect", True), Column("Units", True),
        Column("In words", wide=True),
    )  # fmt: skip
    rows = [(f"{e.metric}/{e.treatment}", _metric(e)) for e in report.comparisons]
    return card("Metrics", table("Metrics", columns, rows))


def _metric(each: Compared) -> tuple[Node, ...]:
    control, treated = each.means or (None, None)
    gap = each.relative
    told = "–" if gap is None else (
        f"{100 * gap.estimate:+.1f} % ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
    )  # fmt: skip
    units = " / ".join(count(n) for n in each.counts.units)
    finding = badge(each.finding.value, _FINDINGS.get(each.finding, "quiet"))
    return (
        each.metric, each.treatment, finding,
        measured(control), measured(treated), told, units, each.words,
    )  # fmt: skip


def _guardrails(verdicts: tuple[Verdict, ...]) -> Node:
    if not verdicts:
        return card("Guardrails", empty("This experiment has none."))
    columns = (Column("Metric"), Column("Treatment"), Column("State"), Column("Does"),
               Column("e-value", True), Column("Breached at", True),
               Column("In words", wide=True))  # fmt: skip
    rows = [
        (
            f"{e.metric}/{e.treatment}",
            (
                e.metric, e.treatment, badge(e.status.value, "bad" if e.breached else "good"),
                e.action.value, number(e.e_value, 2), number(e.threshold, 0), e.words,
            ),
        )
        for e in verdicts
    ]  # fmt: skip
    return card("Guardrails", table("Guardrails", columns, rows))


def _steps(found: Conducted) -> Node:
    rows = [
        h("li", h("span", moment(each.at_us), cls="hg-when"),
          badge(each.step, _TONES.get(each.after, "info")),
          h("div", h("p", f"{each.before} to {each.after}, {each.percent} %"),
            h("p", each.reason, " ", h("span", each.author, cls="hg-who-did")),
            fold("What the service saw", h("code", each.cause))
            if json.loads(each.cause or "{}") else None),
          key=str(each.at_us))
        for each in reversed(found.steps)
    ]  # fmt: skip
    made = h(
        "li",
        h("span", moment(found.record.at_us), cls="hg-when"),
        badge("made", "quiet"),
        h("p", found.record.reason, " ", h("span", found.record.author, cls="hg-who-did")),
    )
    return card("Every step", h("ul", *rows, made, cls="hg-events"))


PAGE = Page("/experiments", "Experiments", _draw)
ONE = Page("/experiments/{of}", "Experiment", _one)
